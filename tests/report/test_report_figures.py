"""What figures of a report show, against summary.json and the tables; figures for papers; the comparison's figure."""

import json
import re
from xml.etree import ElementTree

import matplotlib as mpl
import pandas as pd
import pytest

from nsim.errors import OutputError
from nsim.report import figures
from nsim.report.content import Bars, Floorline, Mesh
from nsim.report.figures import contents
from nsim.report.plots import COLOURS, MARKERS, NOT_RECORDED
from nsim.report.vector import parse_formats, write_figures
from nsim.result.limits.timesteps import STATES
from nsim.result.run_folder import read_run
from tests.generators.commands import SMALL, nsim, refused
from tests.generators.pages import OTHERS, Page

RUNS = {
    "barrier": SMALL,
    "frame": (*OTHERS["frame"], "--critical-path"),
    "stream": (*OTHERS["stream"], "--critical-path"),
    "tick": OTHERS["tick"],
}
WITH_PATH = ("barrier", "frame", "stream")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A run of every discipline, by its name, and one of timesteps without a critical path."""
    base = tmp_path_factory.mktemp("runs")
    for name, command in (RUNS | {"plain": (*SMALL, "--no-critical-path")}).items():
        done = nsim(*command, "--out", base / name)
        assert done.returncode == 0, done.stderr
    return base


def shown(folder):
    return {each.key: each for each in contents(read_run(folder))}


@pytest.mark.parametrize("name", WITH_PATH)
def test_all_stations_add_up_to_the_states(folders, name, monkeypatch):
    """With every station drawn: services and wires are all of the path's memory, compute and traffic."""
    monkeypatch.setattr(figures, "MOST_STATIONS", 10**6)
    totals = read_run(folders / name).summary["critical_path_ps"]
    drawn = {series.name: sum(series.values) for series in shown(folders / name)["stations"].series}
    for state in ("memory", "compute", "traffic"):
        assert drawn.get(state, 0.0) == pytest.approx(totals[state] / 1e6, abs=1e-9)


@pytest.mark.parametrize("name", WITH_PATH)
def test_the_largest_stations_come_first(folders, name):
    bars = shown(folders / name)["stations"]
    assert 0 < len(bars.categories) <= figures.MOST_STATIONS
    lengths = [sum(values) for values in zip(*(series.values for series in bars.series), strict=True)]
    assert lengths == sorted(lengths, reverse=True)
    table = pd.read_csv(folders / name / "critical_path.csv")
    assert lengths[0] == pytest.approx((table["service_ps"] + table["wire_ps"]).max() / 1e6)


def test_points_have_the_state_of_their_own_critical_path(folders):
    found = shown(folders / "barrier")["floorline"]
    table = pd.read_csv(folders / "barrier" / "timesteps.csv")
    for point, row in zip(found.points, table.to_dict("records"), strict=True):
        times = {state: row[f"critical_path_{state}_ps"] for state in STATES}
        assert times[point.state] == max(times.values())
        assert sum(times.values()) == point.time_ps == row["duration_ps"]
    for name in ("frame", "stream"):
        path_ps = read_run(folders / name).summary["critical_path_ps"]
        assert [path_ps[point.state] for point in shown(folders / name)["floorline"].points] == [max(path_ps.values())]


def test_without_a_critical_path_nothing_is_made_up(folders):
    found = shown(folders / "plain")
    assert {"path", "stations"}.isdisjoint(found)
    assert {point.state for point in found["floorline"].points} == {NOT_RECORDED}


def test_every_state_has_a_colour_and_a_marker():
    assert set(MARKERS) == set(COLOURS) - {"bound"}
    drawn_together = [COLOURS[state] for state in (*STATES, NOT_RECORDED, "bound")]
    assert len(set(drawn_together)) == len(drawn_together)


def test_what_is_not_known_is_not_zero(folders, tmp_path):
    """No cost of Mosaic is published: no sum of known terms is shown as 0."""
    assert nsim("report", folders / "tick", "--out", tmp_path / "page.html").returncode == 0
    text = (tmp_path / "page.html").read_text()
    assert re.search(r"<th scope=\"row\">energy_fj</th><td>not known</td>", text)
    assert text.count('<td data-value="">not known</td>') == len(pd.read_csv(folders / "tick" / "tiles.csv"))
    assert "this is not zero" in shown(folders / "tick")["energy"].text


@pytest.mark.parametrize("name", RUNS)
def test_papers_get_every_figure_of_the_page_as_vectors(folders, name, tmp_path):
    before = dict(mpl.rcParams)
    found = contents(read_run(folders / name))
    written = write_figures(found, tmp_path / "figures", ("svg",))
    assert dict(mpl.rcParams) == before
    metrics = [f"mesh-{metric}" for each in found if isinstance(each, Mesh) for metric in each.metrics]
    names = [each.key for each in found if not isinstance(each, Mesh)] + metrics
    assert sorted(path.name for path in written) == sorted(f"{name}.svg" for name in names)
    assert sorted((tmp_path / "figures").iterdir()) == sorted(written)
    for path in written:
        assert not list(ElementTree.parse(path).iter("{http://www.w3.org/2000/svg}image"))


def test_figures_are_the_same_bytes_every_time(folders, tmp_path, monkeypatch):
    """Whatever the time of day: SOURCE_DATE_EPOCH is what matplotlib takes for it."""
    found = [each for each in contents(read_run(folders / "tick")) if each.key in ("tiles", "energy")]
    written = []
    for day in (1, 2):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(86400 * day))
        paths = write_figures(found, tmp_path / str(day), ("pdf", "svg", "png"))
        written.append([path.read_bytes() for path in paths])
    assert written[0] == written[1]
    assert all(b"/Subtype /Image" not in content for content in written[0] if content.startswith(b"%PDF"))


@pytest.mark.parametrize("name", RUNS)
def test_axes_show_the_numbers_of_the_content(folders, name):
    from nsim.report.vector import _drawn

    for each in contents(read_run(folders / name)):
        if isinstance(each, Bars):
            (axes,) = _drawn([each]).axes
            widths = [bar.get_width() if each.horizontal else bar.get_height() for bar in axes.patches]
            values = [value for series in each.series for value in series.values]
            assert widths == pytest.approx([value or 0.0 for value in values if each.horizontal or value is not None])
            unknown = sum(text.get_text().strip() == "not known" for text in axes.texts)
            columns = list(zip(*(series.values for series in each.series), strict=True))
            assert unknown == sum(all(value is None for value in column) for column in columns)
        elif isinstance(each, Floorline):
            (axes,) = _drawn([each]).axes
            clouds = [line for line in axes.lines if line.get_label().startswith("simulated")]
            drawn = sorted(y for cloud in clouds for y in cloud.get_ydata())
            assert drawn == pytest.approx(sorted(point.time_ps / 1e6 for point in each.points))


@pytest.mark.slow
def test_run_and_report_write_the_same_figures(tmp_path):
    assert nsim(*SMALL, "--out", tmp_path / "run", "--figures", "svg").returncode == 0
    written = {path.name: path.read_bytes() for path in (tmp_path / "run" / "figures").iterdir()}
    assert "floorline.svg" in written
    assert nsim("report", tmp_path / "run", "--figures", "svg").returncode == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "run" / "figures").iterdir()} == written


def test_formats_that_cannot_be_drawn_are_refused(folders, tmp_path):
    assert parse_formats("PDF, svg,pdf") == ("pdf", "svg")
    for command in ((*SMALL, "--out", tmp_path / "run"), ("report", folders / "barrier")):
        said = refused(*command, "--figures", "pdf,eps")
        assert "'eps'" in said
        assert "png, pdf, svg" in said
    assert not (tmp_path / "run").exists()
    assert "--out" in refused(*SMALL, "--figures", "pdf")
    assert "not a format" in refused("report", folders / "barrier", "--figures", "")


def test_a_folder_of_figures_that_cannot_be_made_is_refused(folders, tmp_path):
    (tmp_path / "figures").write_text("a file")
    with pytest.raises(OutputError, match="folder of figures"):
        write_figures(contents(read_run(folders / "tick")), tmp_path / "figures", ("svg",))


def test_the_comparison_draws_a_bar_for_each_run(folders, tmp_path):
    runs = (folders / "barrier", folders / "plain")
    assert nsim("compare", *runs, "--out", tmp_path / "page.html").returncode == 0
    page = Page((tmp_path / "page.html").read_text())
    assert not page.loads
    assert page.tags.count("table") == 1
    time, energy = (
        [
            [
                float(n.replace(",", ""))
                for n in re.findall(rf"^{place}: \w+ .*: ([\d.,]+) u[sJ]$", "\n".join(said), re.M)
            ]
            for place in (1, 2)
        ]
        for said in (page.figures["time"], page.figures["energy"])
    )
    for place, folder in enumerate(runs):
        summary = json.loads((folder / "summary.json").read_text())
        assert sum(time[place]) == pytest.approx(summary["time_per_timestep_ps"] / 1e6, rel=1e-3)
        assert sum(energy[place]) == pytest.approx(summary["known_energy_per_timestep_fj"] / 1e9, rel=1e-3)
    assert [each for each in page.figures["time"] if NOT_RECORDED in each and not each.endswith(": 0 us")]


@pytest.mark.parametrize("ending", ["png", "pdf", "svg"])
def test_the_comparison_is_a_figure_of_any_format(folders, tmp_path, ending):
    done = nsim("compare", folders / "tick", folders / "tick", "--out", tmp_path / f"figure.{ending}")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / f"figure.{ending}").stat().st_size > 1000


def test_comparisons_that_cannot_be_written_are_refused(folders, tmp_path):
    said = refused("compare", folders / "tick", folders / "tick", "--out", tmp_path / "table.xlsx")
    assert ".csv, .parquet, .html, .png, .pdf, .svg" in said
    assert "does not exist" in refused(
        "compare", folders / "tick", folders / "tick", "--out", tmp_path / "no" / "a.csv"
    )
