"""A result in Python: short to print, saved and read back, drawn, shown as a card; for every discipline."""

import json
import re
from dataclasses import fields

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest

import nsim
from nsim import load_chip, load_network, load_result, map_network, simulate
from nsim.errors import InputError, OutputError
from nsim.network.brief import shortly
from nsim.network.inputs import EventStream
from nsim.report.screen import progress
from nsim.result.limits.timesteps_bottleneck import bottleneck_of
from tests.generators.quantities import head_lines, quantities
from tests.generators.results import RUNS

mpl.use("Agg")
FEW = ["timesteps, path", "frames, path", "stream, path", "ticks, times", "ticks", "stream, silent"]


@pytest.mark.parametrize("name", RUNS)
def test_a_result_prints_as_its_head(name, results):
    """Four lines; the energy and time that they begin with are those of the summary."""
    result = results(name)
    lines = repr(result).splitlines()
    assert len(lines) == 4 and [line.split()[0] for line in lines[1:]] == ["time", "energy", "limit"]
    facts, said = result.summary(), head_lines(repr(result) + "\n\n")
    means = ("time_per_timestep_ps", "latency_ps", "latency_median_ps")
    mean_ps = next((facts[key] for key in means if facts.get(key) is not None), None)
    if mean_ps:
        assert quantities(said["time"])[0] == (pytest.approx(mean_ps / 1e12, rel=6e-3), "s")


@pytest.mark.parametrize("name", RUNS)
def test_seconds_and_joules_beside_integers(name, results):
    result, facts = results(name), results(name).summary()
    assert result.time_s == (None if facts["time_ps"] is None else pytest.approx(facts["time_ps"] * 1e-12))
    assert result.energy_j == (None if facts["energy_fj"] is None else pytest.approx(facts["energy_fj"] * 1e-15))


@pytest.mark.parametrize("name", RUNS)
def test_what_was_saved_is_read_back_as_equal(name, results, tmp_path):
    result = results(name)
    assert result.save(tmp_path / "out") == tmp_path / "out"
    saved = load_result(tmp_path / "out")
    assert saved == result and result == saved and hash(saved) == hash(result)
    assert saved.to_dict() == result.to_dict() == json.loads((tmp_path / "out" / "summary.json").read_text())
    assert saved.tables == result.tables
    for each in result.tables:
        pd.testing.assert_frame_equal(saved.table(each), result.table(each), check_exact=True)
    assert (saved.time_s, saved.energy_j, saved.limit()) == (result.time_s, result.energy_j, result.limit())
    assert repr(saved) == repr(result)
    saved.save(tmp_path / "copy")
    assert load_result(tmp_path / "copy") == result
    assert (tmp_path / "copy" / "report.json").read_bytes() == (tmp_path / "out" / "report.json").read_bytes()


def test_other_results_are_not_equal(results):
    one = results("timesteps")
    assert one == RUNS["timesteps"]() and one != results("timesteps, bare") and one != results("frames")
    assert one != RUNS["timesteps"](seed=5) and one != "a result"


def test_equality_sees_one_bit_of_a_table_and_of_outputs(tmp_path):
    frames = (np.random.default_rng(0).random((1, 4, 16)) < 0.5).astype(np.int8)
    result = simulate(map_network(load_network("mlp:width=8,depth=2,inputs=16"), load_chip("loihi2")), frames)
    saved = load_result(result.save(tmp_path / "out"))
    assert saved == result and saved.outputs is not None
    saved.outputs[0, 0] += 1
    assert saved != result
    saved.outputs[0, 0] -= 1
    cores = saved.run.tables["cores"]
    cores.loc[0, "utilisation"] = np.nextafter(cores.loc[0, "utilisation"], 1)
    assert load_result(tmp_path / "out") == result != saved


def test_layers_whose_names_are_numbers_stay_texts(tmp_path):
    """As those of a NIR graph that an exporter numbers: "0", "01" and "1e3" are names."""
    from nsim.network.layers import Connection, Layer, Network
    from nsim.network.neurons import Activation, Relay
    from nsim.network.synapses import Dense

    layers = Layer("01", (4, 1, 1), Relay(), on_chip=False), Layer("1e3", (2, 1, 1), Activation(rectify=True))
    connection = Connection("01", "1e3", Dense(np.eye(2, 4), (4, 1, 1), (2, 1, 1)))
    network = Network("numbered", layers, (connection,), "01", "1e3")
    result = simulate(map_network(network, load_chip("loihi2")), timesteps=2, activity=0.5)
    saved = load_result(result.save(tmp_path / "out"))
    assert saved == result and saved.table("layers")["layer"].tolist() == ["01", "1e3"]


def test_folders_that_cannot_be_written_or_read(results, tmp_path):
    result = results("ticks")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("kept")
    with pytest.raises(OutputError, match="holds other files"):
        result.save(tmp_path / "full")
    result.save(tmp_path / "full", force=True)
    assert (tmp_path / "full" / "mine.txt").read_text() == "kept"
    np.save(tmp_path / "full" / "outputs.npy", np.zeros(3))  # not of this result, which has none
    assert load_result(tmp_path / "full") == result
    with pytest.raises(InputError, match="is not a folder"):
        load_result(tmp_path / "none")
    (tmp_path / "full" / "tiles.csv").write_text("tile\n1\n")
    with pytest.raises(InputError, match="is not as nsim wrote it"):
        load_result(tmp_path / "full")
    with pytest.raises(OutputError, match=r"end its name in \.html"):
        result.to_html(tmp_path / "page.pdf")


@pytest.mark.parametrize("name", FEW)
def test_the_page_is_that_of_the_folder(name, results, tmp_path):
    result = results(name)
    saved = load_result(result.save(tmp_path / "out"))
    one, two = result.to_html(tmp_path / "one.html"), saved.to_html(tmp_path / "two.html")
    assert one.read_bytes() == two.read_bytes() and one.stat().st_size < 1e6


@pytest.mark.parametrize("name", RUNS)
def test_every_table_has_an_index(name, results):
    """It names each row once, and takes nothing away."""
    result = results(name)
    for each in result.tables:
        plain, indexed = result.table(each), result.table(each, indexed=True)
        assert indexed.index.is_unique or each == "events"
        pd.testing.assert_frame_equal(indexed.reset_index(), plain)
    if "layers" in result.tables and result.declared.span != "frame":
        assert result.table("layers", indexed=True).index.name == "layer"


def test_rows_without_a_name_have_no_index():
    from nsim.result.columns.replay import DECLARED
    from nsim.result.result import index_of

    with pytest.raises(InputError, match="rows of table 'messages' have no name"):
        index_of("messages", DECLARED.tables["messages"])


def test_a_floorline_has_a_point_for_every_state(results):
    from matplotlib.figure import Figure

    result = results("timesteps, path")
    axes = Figure().subplots()
    assert result.plot.floorline(axes) is axes
    assert axes.get_xscale() == axes.get_yscale() == "log" and axes.get_xlabel().startswith("synops")
    drawn = result.plot.floorline()
    assert drawn is not axes and drawn.figure is not axes.figure
    times = np.concatenate([line.get_ydata() for line in drawn.lines if line.get_label().startswith("simulated")])
    simulated = set(np.round(result.table("timesteps")["duration_ps"] / 1e6, 6))
    assert set(np.round(times, 6)) == simulated


@pytest.mark.parametrize("name", ["timesteps", "frames"])
def test_a_mesh_has_a_square_for_every_core(name, results):
    result = results(name)
    for metric in ("busy", "synops"):
        axes = result.plot.mesh(metric=metric)
        squares = sum(len(each.get_offsets()) for each in axes.collections if each.get_offsets().size)
        cores, links = result.table("cores"), result.table("links")
        assert squares == len(cores) + int(links["kind"].isin(("mesh", "chip_to_chip")).sum())
    with pytest.raises(InputError, match="no metric 'heat' here: choose from layer, synops, busy, blocked"):
        result.plot.mesh(metric="heat")


def test_figures_that_a_run_has_not(results):
    with pytest.raises(InputError, match="has no floorline"):
        results("ticks").plot.floorline()
    with pytest.raises(InputError, match="has no mesh"):
        results("stream").plot.mesh()


@pytest.mark.parametrize("name", FEW)
def test_the_card_says_time_energy_and_limit(name, results):
    card = results(name)._repr_html_()
    for line in repr(results(name)).splitlines()[1:]:
        first, said = line.split(maxsplit=1)
        assert f">{first}</th>" in card and said.split("   (")[0].split("   ")[0].replace("&", "&amp;") in card
    assert "<script" not in card


def test_what_a_notebook_prints_is_short(results):
    """One to five lines, below 1,000 characters."""
    timesteps, stream = results("timesteps, path"), results("stream")
    network = timesteps.mapping.network
    shown = [timesteps, stream, network, *network.layers, *network.connections, timesteps.counts]
    shown += [network.connections[0].synapses, timesteps.energy, timesteps.limit(), bottleneck_of(timesteps)]
    shown += [stream.mapping.network, stream.mapping.network.connections[0].synapses, timesteps.counts.core_synops]
    shown.append(EventStream(np.arange(500), np.zeros(500, np.int64), 3))
    for each in shown:
        assert len(repr(each)) < 1_000 and repr(each).count("\n") < 5, type(each)
        assert repr(each).isprintable() or "\n" in repr(each)


@pytest.mark.parametrize("name", FEW)
def test_mappings_machines_times_and_chips_are_short_to_print(name, results):
    result = results(name)
    chip = result.mapping.chip
    assert repr(chip) == f"{type(chip).__name__}({chip.name!r}, {chip.title!r})"
    for each in (result.mapping, getattr(result, "machine", None), getattr(result, "times", None)):
        assert len(repr(each)) < 1_000 and repr(each).isprintable(), type(each)


def test_a_brief_repr_names_every_field_that_was_set():
    network = load_network("mlp:width=8,depth=2")
    named = re.findall(r"(?:\(|, )(\w+)=", repr(network))
    changed = [each.name for each in fields(network) if each.repr and getattr(network, each.name) is not each.default]
    assert named == changed and {"name", "layers", "input", "output"} < set(named)
    assert shortly(np.zeros((2, 3), np.int8)) == "int8[2, 3]" and shortly(np.int64(4)) == "4"
    assert shortly("x" * 50) == repr("x" * 37 + "...") and shortly({}) == "{}" and shortly((1, 2)) == "(1, 2)"


def test_the_front_door_shows_its_names():
    assert {*nsim.__all__} <= set(dir(nsim))


def test_progress_is_shown_in_notebooks(monkeypatch):
    """By rich itself: it needs no other package than notebooks do."""
    seen = []
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    monkeypatch.setattr("nsim.report.screen._Progress", lambda *_, **options: seen.append(options) or Fake())
    with progress() as report:
        report(1, 2)
    assert seen[0]["disable"] is False


class Fake:
    """A progress line that draws nothing."""

    tasks = (type("Task", (), {"speed": None}),)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def add_task(self, *_, **__):
        return 0

    def update(self, *_, **__):
        pass
