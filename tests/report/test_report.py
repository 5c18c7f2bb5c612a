"""The report of a run: one file, complete, the same bytes every time; and what changed between runs."""

import json
import re
import shutil

import numpy as np
import pandas as pd
import pytest

from nsim.report.content import MOST_POINTS, extremes
from nsim.result.folder import MANIFEST, files_in, write_manifest
from nsim.result.run_folder import read_run
from tests.generators.commands import nsim, refused
from tests.generators.pages import OTHERS, Page

SMALL = ("run", "mlp:width=64,depth=2,inputs=16", "--chip", "loihi2", "--timesteps", "3", "--runtime", "bare")


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
    done = nsim(*SMALL, "--partition", tried["value"], "--out", tmp_path / "split")
    assert done.returncode == 0, done.stderr
    total = json.loads((tmp_path / "split" / "summary.json").read_text())["time_ps"]
    assert tried["after"] == pytest.approx(total, rel=0.05)  # the split layer stands last, on other routers


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
    changed = refused("report", run, "--out", tmp_path / "page.html")
    if run.is_dir() and "is not as nsim wrote it" in changed:  # a list of files that agrees lets the content be read
        (run / MANIFEST).unlink()
        write_manifest(run, files_in(run))
        changed = refused("report", run, "--out", tmp_path / "page.html")
    assert said in changed


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
    assert table.loc[("summary", "time_ps"), "ratio"] == pytest.approx(two["time_ps"] / one["time_ps"])
    assert not [what for what, _ in table.index if what == "chip"]
    done = nsim("compare", reported / "run", tmp_path / "split", "--out", tmp_path / "table.parquet")
    assert done.returncode == 0, done.stderr
    parquet = pd.read_parquet(tmp_path / "table.parquet").set_index(["what", "key"])
    assert list(parquet.index) == list(table.index) and list(parquet.columns) == list(table.columns)
    assert parquet["ratio"].equals(table["ratio"])
    assert "table.xlsx has no format" in refused("compare", *2 * [reported / "run"], "--out", tmp_path / "table.xlsx")
    shown = nsim("compare", reported / "run", tmp_path / "split").stdout
    assert re.search(r"^time_ps +[\d.]+ [mun]s  ", shown, re.M) and max(map(len, shown.splitlines())) <= 80
    assert "Nothing differs" in nsim("compare", reported / "run", reported / "run").stdout
    assert "at least 2" in refused("compare", reported / "run")


def test_a_notebook_shows_limit_layers_and_numbers():
    from nsim import load_chip, load_network, map_network, simulate

    result = simulate(map_network(load_network("mlp:width=8,depth=2,inputs=8"), load_chip("loihi2")), timesteps=2)
    shown = result._repr_html_()
    page = Page(shown)
    assert page.tags.count("table") == 3  # time, energy and limit; layers; all numbers
    assert "script" not in page.tags
    assert all(layer["layer"] in shown for layer in result.rows("layers"))
    assert f">{result.time_ps}<" in shown
    assert "no critical path recorded" in shown and result.limit().name in shown


@pytest.mark.parametrize("words", [SMALL, ("run", "cnn", "--chip", "akd1000", "--samples", "1", "--mode", "minimal")])
def test_a_run_without_a_message_has_a_page(words, tmp_path):
    """No link carried anything: the table of links has its columns and no rows."""
    done = nsim(*words, "--activity", "0", "--out", tmp_path / "out", "--report", tmp_path / "page.html")
    assert done.returncode == 0, done.stderr
    assert pd.read_csv(tmp_path / "out" / "links.csv").empty
    assert Page((tmp_path / "page.html").read_text(encoding="utf-8")).tags.count("table")
