"""The report of a run: one file, complete, the same bytes every time; and what changed between runs."""

import json
import re
import shutil
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest

from nsim.report.content import digits
from nsim.report.figures import MOST_POINTS, extremes
from nsim.report.units import joules, seconds
from nsim.report.vector import SHADES
from nsim.result.folder import MANIFEST, files_in, write_manifest
from nsim.result.run_folder import read_run
from tests.generators.commands import nsim, refused
from tests.generators.pages import OTHERS, Page

SAID = {"time": seconds, "energy": joules}

SMALL = ("run", "mlp:width=64,depth=2,inputs=16", "--chip", "loihi2", "--timesteps", "3", "--runtime", "bare")


@pytest.fixture(scope="module")
def reported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    done = nsim(*SMALL, "--out", folder / "run", "--report", folder / "run.html")
    assert done.returncode == 0, done.stderr
    return folder


def test_the_page_is_one_file_and_its_numbers_are_those_of_the_summary(reported):
    text = (reported / "run.html").read_text()
    assert 20_000 < len(text.encode()) < 1_000_000
    page = Page(text)
    assert not page.loads
    assert len(page.ids) == len(set(page.ids))
    summary = json.loads((reported / "run" / "summary.json").read_text())
    assert page.json["summary"] == summary
    names = {"floorline", "mesh", "mesh-2", "time", "path", "stations", "energy", "layer-energy"}
    assert set(page.figures) == names
    assert page.tags.count("table") == page.tags.count("details") == 3  # all but the layers are folded; and the sources
    for row in json.loads((reported / "run" / "report.json").read_text())["constants"]:
        assert text.count(f'<th scope="row">{row["key"]}<') == 1


def test_constants_that_move_the_run_stand_first_with_what_they_do(tmp_path):
    command = ("run", "mlp", "--chip", "loihi2", "--timesteps", 4, "--range")
    assert nsim(*command, "--out", tmp_path / "run", "--report", tmp_path / "run.html").returncode == 0
    text = (tmp_path / "run.html").read_text()
    moved = json.loads((tmp_path / "run" / "summary.json").read_text())["range_constants"]
    assert {each["of"] for each in moved} == {"time", "energy"}
    first, others = text.index("What moves the run most"), text.index("All others")
    for each in moved:
        said = f"{each['of']} {SAID[each['of']](each['low'])} to {SAID[each['of']](each['high'])}"
        row = text[text.index(f'<th scope="row">{each["key"]}<') :].split("</tr>")[0]
        assert said in row and first < text.index(row) < others


def test_layers_have_units_and_bars(reported):
    """A bar is as long as its part of the largest of the column; names of things have none."""
    text, table = (reported / "run.html").read_text(), pd.read_csv(reported / "run" / "layers.csv")
    body = re.search(r'<table id="layers".*?</table>', text, re.DOTALL)[0]
    cell = r"""<td data-value="(.*?)"(?: style="--share:(\d+)%")?>(.*?)</td>"""
    shown = [re.findall(cell, row) for row in body.split("<tr>")]
    energy = [row[-1] for row in shown if row]
    assert [float(value) for value, _, _ in energy] == table["known_dynamic_energy_fj"].tolist()
    parts = table["known_dynamic_energy_fj"] / table["known_dynamic_energy_fj"].max()
    assert [int(share or 0) for _, share, _ in energy] == [round(100 * part) for part in parts]
    assert [said for _, _, said in energy] == [joules(value) for value in table["known_dynamic_energy_fj"]]
    assert not any(share for row in shown if row for _, share, _ in row[:2])
    assert "known dynamic energy</button>" in body


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
    text = (tmp_path / "run" / "report.html").read_text()
    page = Page(text)
    assert len(text.encode()) < 500_000
    expected = {
        "stream": {"floorline", "load", "latencies", "energy", "layer-energy"},
        "tick": {"ports", "tiles", "energy"},
        "frame": {"floorline", "mesh", "mesh-2", "pipeline", "time", "energy"},
    }
    assert set(page.figures) == expected[discipline]
    assert [name for name, titles in page.figures.items() if not titles] == (["energy"] if discipline == "tick" else [])
    assert not page.loads
    assert len(page.ids) == len(set(page.ids))


def test_a_pointer_on_a_mark_shows_what_the_tables_say(reported):
    """Name, value and unit of every core, timestep, action and layer; each number once, from the tables."""
    shown = Page((reported / "run.html").read_text()).figures
    folder = reported / "run"
    cores, layers = pd.read_csv(folder / "cores.csv"), pd.read_csv(folder / "layers.csv")
    expected = [f"core {row.core} ({row.layers}): synops {digits(row.synops)}, busy " for row in cores.itertuples()]
    for name in ("mesh", "mesh-2"):
        told = [each for each in shown[name] if each.startswith("core ")]
        assert all(each.startswith(begin) for each, begin in zip(told, expected, strict=True))
        links = [each for each in shown[name] if each.startswith("link ")]
        table = pd.read_csv(folder / "links.csv").query("kind == 'mesh'")
        assert all(f"messages {digits(count)}, " in each for each, count in zip(links, table["messages"], strict=True))
    durations = pd.read_csv(folder / "timesteps.csv")["duration_ps"] / 1e6
    assert shown["time"] == [f"timestep {k}: {time_us:.4g} us" for k, time_us in enumerate(durations, 1)]
    summary = json.loads((folder / "summary.json").read_text())
    known = [(name, fj) for name, fj in summary["energy_by_action_fj"].items() if fj is not None]
    assert shown["energy"] == [f"{name} energy: {digits(fj / 1e9)} uJ" for name, fj in known]
    pairs = zip(layers["layer"], layers["known_dynamic_energy_fj"], strict=True)
    assert shown["layer-energy"] == [f"{name} energy: {digits(fj / 1e9)} uJ" for name, fj in pairs]
    assert len(shown["floorline"]) == len(durations)


def test_an_overloaded_stream_shows_its_queue_and_its_load(tmp_path):
    """Load in per cent above a line at 100, and events that wait until long after the input's end."""
    rate = "edges:rate=3e6,seconds=0.0004"
    command = ("run", "speck-gesture", "--chip", "speck", "--input", rate, "--no-range")
    assert nsim(*command, "--out", tmp_path / "run", "--report", tmp_path / "page.html").returncode == 0
    text = (tmp_path / "page.html").read_text()
    shown, cores = Page(text).figures, pd.read_csv(tmp_path / "run" / "cores.csv")
    names = {"link": "link into it", "synapses": "synaptic operations", "send": "sending"}
    expected = [
        f"{row['layer']}, core {row['core']} {name}: {digits(100 * row[f'{stage}_load'])} %"
        for stage, name in names.items()
        for row in cores.to_dict("records")
    ]
    assert shown["load"] == expected and cores["load"].max() > 1
    assert "100 %: all that it can do" in text
    found = json.loads((tmp_path / "run" / "report.json").read_text())["pictures"]["queue"]
    waiting = [int(re.search(r": ([\d,]+) events? waiting", each)[1].replace(",", "")) for each in shown["queue"]]
    assert waiting == [count for count in found["waiting"] if count] and max(waiting) > 100


def test_the_switch_has_a_shade_for_every_mark(reported):
    """The letter of the largest value is that of the last shade, and 0 has the first."""
    page = Page((reported / "run.html").read_text())
    switch, cores = page.json["switch"], pd.read_csv(reported / "run" / "cores.csv")
    assert {"layer", "synops", "busy"} < set(switch["names"]) and len(switch["palette"]) == SHADES + 1
    shades = switch["synops"]["cores"]["shades"]
    assert len(shades) == len(cores)
    most = cores["synops"].max()
    for letter, value in zip(shades, cores["synops"], strict=True):
        assert int(letter, 36) == min(SHADES - 1, value * SHADES // most)


@pytest.mark.parametrize("name", ["run.html", "comparison.html"])
def test_figures_are_well_formed_and_share_no_ids(reported, name):
    if name == "comparison.html":
        assert nsim("compare", reported / "run", reported / "run", "--out", reported / name).returncode == 0
    text = (reported / name).read_text()
    found = re.findall(r"<svg .*?</svg>", text, re.DOTALL)
    assert len(found) == len(Page(text).figures) >= 2
    ids = []
    for svg in found:
        root = ElementTree.fromstring(svg)
        own = [each.get("id") for each in root.iter() if each.get("id")]
        referred = {name for name in re.findall(r'(?:href="#|url\(#)([^")]+)', svg)}
        assert set(own) == referred
        assert "DejaVu" not in svg and "#000000" not in svg and "://" not in svg
        ids += own
    assert len(ids) == len(set(ids))


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
