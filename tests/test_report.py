"""The report of a run: one file, complete, the same bytes every time; and what changed between runs."""

import json
import shutil
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest

from nsim.report.content import MOST_POINTS, extremes
from nsim.report.run_folder import read_run
from tests.test_cli import nsim, refused

SMALL = ("run", "mlp:width=64,depth=2,inputs=16", "--chip", "loihi2", "--timesteps", "3")
OTHERS = {
    "stream": ("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=2e4,seconds=0.01"),
    "tick": ("run", "random:p1=0.95,p3=0.1", "--chip", "mosaic", "--activity", "0.1", "--timesteps", "3"),
    "frame": ("run", "cnn", "--chip", "akd1000", "--samples", "2"),
}


class Page(HTMLParser):
    """What stands in a page: attributes that load something, ids, headings, captions, and JSON scripts by id."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.ids, self.tags, self.json = [], [], [], {}
        self._json = None
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append(tag)
        self.loads += [value for name, value in given.items() if name in ("src", "href", "data", "action")]
        if "id" in given:
            self.ids.append(given["id"])
        self._json = given.get("id") if given.get("type") == "application/json" else None

    def handle_data(self, data):
        if self._json:
            self.json[self._json] = json.loads(data)
            self._json = None


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    done = nsim(*SMALL, "--out", folder / "run", "--report", folder / "run.html")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_page_is_one_file_and_its_numbers_are_those_of_the_summary(reported):
    text = (reported / "run.html").read_text()
    assert 100_000 < len(text.encode()) < 6_000_000
    page = Page(text)
    assert not page.loads
    assert len(page.ids) == len(set(page.ids))
    summary = json.loads((reported / "run" / "summary.json").read_text())
    assert page.json["summary"] == summary
    data = page.json["data"]
    assert set(data) == {"floorline", "mesh", "time", "path", "stations", "energy", "layer-energy"}
    assert all(f"fig-{key}" in page.ids for key in data)
    cores = pd.read_csv(reported / "run" / "cores.csv")
    assert data["mesh"]["switch"]["synops"]["colour"][0] == cores["synops"].tolist()
    durations = pd.read_csv(reported / "run" / "timesteps.csv")["duration_ps"]
    assert data["time"]["figure"]["data"][0]["y"] == pytest.approx(durations / 1e6)
    unknown = data["energy"]["figure"]["data"][1]
    assert unknown["x"] == summary["actions_without_known_energy"]
    assert page.tags.count("table") == page.tags.count("caption") == 3
    for row in json.loads((reported / "run" / "report.json").read_text())["constants"]:
        assert row["key"] in text


def test_a_folder_and_its_run_give_the_same_page(reported, tmp_path):
    done = nsim("report", reported / "run", "--out", tmp_path / "again.html")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.html").read_bytes() == (reported / "run.html").read_bytes()


def test_the_what_if_is_what_a_run_with_that_partition_takes(reported, tmp_path):
    """The measured promise of the verdict against an ordinary run of the partition that it names."""
    tried = json.loads((reported / "run" / "report.json").read_text())["what_if"]
    assert tried is not None  # the synapses of one core limit this run, so another partition is tried
    split = f"even:{tried['layer']}={tried['parts']}"
    done = nsim(*SMALL, "--partition", split, "--out", tmp_path / "split")
    assert done.returncode == 0, done.stderr
    total = json.loads((tmp_path / "split" / "summary.json").read_text())["total_time_ps"]
    assert tried["time_ps"] == pytest.approx(total, rel=0.05)  # the split layer stands last, on other routers


@pytest.mark.parametrize("discipline", OTHERS)
def test_every_discipline_shows_what_it_has(discipline, tmp_path):
    done = nsim(*OTHERS[discipline], "--out", tmp_path / "run")
    assert done.returncode == 0, done.stderr
    assert nsim("report", tmp_path / "run").returncode == 0
    data = Page((tmp_path / "run" / "report.html").read_text()).json["data"]
    expected = {
        "stream": {"floorline", "load", "energy", "layer-energy"},
        "tick": {"tiles", "energy"},
        "frame": {"floorline", "mesh", "time", "energy"},
    }
    assert set(data) == expected[discipline]
    assert all(trace.get("x") or trace.get("z") for each in data.values() for trace in each["figure"]["data"])


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: shutil.rmtree(run), "not a folder"),
        (lambda run: (run / "summary.json").write_text("{"), "damaged"),
        (lambda run: (run / "summary.json").write_text("[]"), "damaged"),
        (lambda run: (run / "summary.json").write_text("{}"), "lacks network"),
        (lambda run: (run / "report.json").unlink(), "no report.json"),
        (lambda run: (run / "report.json").write_text('{"version": 99}'), "version 99"),
        (lambda run: (run / "links.csv").unlink(), "no links.csv"),
        (lambda run: (run / "cores.csv").write_text(""), "cores.csv is damaged"),
    ],
)
def test_what_is_not_a_run_is_refused(reported, tmp_path, damage, said):
    run = shutil.copytree(reported / "run", tmp_path / "run")
    damage(run)
    assert said in refused("report", run, "--out", tmp_path / "page.html")


def test_pages_that_cannot_be_written_are_refused_before_the_run(tmp_path):
    assert "end its name in .html" in refused(*SMALL, "--report", tmp_path / "page.pdf")
    assert "folder that does not exist" in refused(*SMALL, "--report", tmp_path / "none" / "page.html")


def test_reduction_keeps_the_extremes_and_says_so():
    values = np.random.default_rng(1).random(50_000)
    keep, said = extremes(values)
    assert keep.size <= MOST_POINTS
    assert (values[keep].min(), values[keep].max()) == (values.min(), values.max())
    assert "50,000" in said
    assert extremes(values[:10])[0].tolist() == list(range(10))


def test_compare_lists_what_differs_and_nothing_else(reported, tmp_path):
    assert nsim(*SMALL, "--partition", "even:2", "--out", tmp_path / "split").returncode == 0
    done = nsim("compare", reported / "run", tmp_path / "split", "--out", tmp_path / "table.csv")
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "table.csv").set_index(["what", "key"])
    one, two = (read_run(folder).summary for folder in (reported / "run", tmp_path / "split"))
    assert table.loc[("summary", "total_time_ps"), "ratio"] == pytest.approx(
        two["total_time_ps"] / one["total_time_ps"]
    )
    assert not [what for what, _ in table.index if what == "chip"]
    assert "Nothing differs" in nsim("compare", reported / "run", reported / "run").stdout
    assert "at least 2" in refused("compare", reported / "run")


def test_a_notebook_shows_verdict_layers_and_numbers():
    from nsim import load_chip, load_network, map_network, simulate

    result = simulate(map_network(load_network("mlp:width=8,depth=2,inputs=8"), load_chip("loihi2")), timesteps=2)
    shown = result._repr_html_()
    page = Page(shown)
    assert page.tags.count("table") == 2
    assert "script" not in page.tags
    assert all(layer["layer"] in shown for layer in result.layer_rows)
    assert f">{result.total_ps}<" in shown
    assert "not recorded" in shown  # no critical path, so no verdict is made up
