"""What ranges of constants do to a run: exact where time and energy are linear, and the same however it is found."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nsim
from nsim.chip.chip import changed
from nsim.chip.ranges import drawn_chip, latin_hypercube, ranges_of
from nsim.errors import SimulationError
from nsim.mapping.cores.mapping import Recosting
from nsim.mapping.frames.mapping import FrameRecosting
from nsim.network.builtin import build
from nsim.network.inputs import EventStream
from nsim.report.words import ranges_line, with_range
from nsim.result.ranges import DRAWS, Headline, chosen_steps, find_ranges
from nsim.result.retime import frames as retimed_frames
from nsim.result.run_ticks import simulate_tiles
from tests.generators.commands import nsim as command
from tests.generators.commands import refused, the_line
from tests.generators.frame_networks import conv, dense, quantized_network
from tests.generators.machines import mapped_networks
from tests.generators.streams import chain
from tests.generators.tiles import costly_chip

HEADLINES = {"barrier": "time_per_timestep_ps", "frame": "latency_ps", "stream": "latency_median_ps"}
ENERGIES = {"barrier": "known_energy_per_timestep_fj", "frame": "known_energy_per_frame_fj", "stream": "energy_fj"}


def with_ranges(chip, **limits):
    """The chip with these ranges only; dots of key paths as __."""
    bare = changed(chip, {f"{each.key}_range": None for each in ranges_of(chip)})
    return changed(bare, {f"{key.replace('__', '.')}_range": pair for key, pair in limits.items()})


def network_for(chip):
    if chip.discipline == "barrier":
        return build("mlp", width=24, depth=2, inputs=16)
    if chip.discipline == "frame":
        return quantized_network((1, 8, 8), [conv(8), dense(10)], input_bits=4)
    return chain(2)


def run(chip, **options):
    """A small run, of which all timesteps and events are timed again."""
    mapping = nsim.map_network(network_for(chip), chip)
    if chip.discipline == "stream":
        rng = np.random.default_rng(1)
        neuron = np.full(30, 36)
        stream = EventStream(np.sort(rng.integers(0, 10**8, 30)), neuron, 64)
        return nsim.simulate(mapping, stream, **options)
    counted = {"timesteps": 6} if chip.discipline == "barrier" else {"samples": 3}
    return nsim.simulate(mapping, activity=0.3, **counted, **options)


def headline(result):
    facts = result.summary()
    name = result.chip.discipline
    return facts[HEADLINES[name]], facts[ENERGIES[name]]


@pytest.mark.parametrize("name", ["loihi", "loihi2", "akd1000", "speck"])
def test_without_ranges_nothing_moves(name):
    result = run(with_ranges(nsim.load_chip(name)), ranges=True)
    time_ps, energy_fj = headline(result)
    facts = result.summary()
    assert (facts["time_low_ps"], facts["time_high_ps"]) == (time_ps, time_ps)
    assert (facts["energy_low_fj"], facts["energy_high_fj"]) == (energy_fj, energy_fj)
    assert facts["range_constants"] == []


def test_ranges_are_not_sought_unless_asked_for():
    result = run(nsim.load_chip("loihi2"))
    assert result.summary()["time_low_ps"] is None
    assert "ranges" not in result.tables


CASES = [
    ("loihi2", "actions.synop_sparse.latency_ps", (1, 40_000)),
    ("loihi2", "actions.neuron_update.latency_ps", (590, 50_000)),
    ("loihi2", "messages.bits", (1, 96)),
    ("loihi2", "links.core_to_router.bandwidth_gbps", (0.05, 400.0)),
    ("loihi2", "buffers.message_in", (1, 64)),
    ("loihi2", "host.message_ps", (0, 90_000)),
    ("loihi2", "barrier.latency_ps", ((0, 0, 0, 0), (10**6, 10**6, 2 * 10**6, 3 * 10**6))),
    ("loihi2", "management.lava.latency_ps", (0, 10**7)),
    ("loihi2", "power.core_mw", (0.0, 50.0)),
    ("akd1000", "actions.step.clocks", (0.01, 3.0)),
    ("akd1000", "actions.fully_connected_value.clocks", (1.0, 60.0)),
    ("akd1000", "host.message_clocks", (0.0, 40.0)),
    ("akd1000", "power.static_mw_per_mhz", (0.0, 5.0)),
    ("speck", "actions.synop.latency_ps", (0, 90_000)),
    ("speck", "links.output.wire_ps", (0, 10**6)),
    ("speck", "actions.synop_parallel.energy_fj", (1, 10**6)),
]


@pytest.mark.parametrize(("name", "key", "limits"), CASES)
def test_one_range_goes_where_runs_on_its_ends_go(name, key, limits):
    """Mapped and simulated anew with the constant at either end."""
    chip = with_ranges(nsim.load_chip(name), **{key.replace(".", "__"): limits})
    result = run(chip, ranges=True)
    ends = [headline(run(changed(chip, {key: end}))) for end in limits]
    every = np.array([headline(result), *ends])
    for column, interval in enumerate((result.ranges.time_ps, result.ranges.energy_fj)):
        assert interval.low == pytest.approx(every[:, column].min(), rel=1e-12)
        assert interval.high == pytest.approx(every[:, column].max(), rel=1e-12)
        moves = np.ptp(every[:, column]) > 1e-9 * every[0, column]
        assert [effect.key for effect in interval.effects] == [key] * bool(moves)


def test_ticks_likewise(tmp_path):
    chip = nsim.load_chip(costly_chip(tmp_path))
    ranged = changed(chip, {"actions.row_read.latency_ps_range": (1, 9_000)})

    def ticks(chip, ranges=False):
        network = nsim.chip.discipline.DISCIPLINES["tick"].part("load")("random:p1=0.9,p3=0.3")
        mapping = nsim.map_network(network, chip, grid="2x2", neurons_per_tile=4)
        return simulate_tiles(mapping, activity=0.5, timesteps=4, ranges=ranges)

    result = ticks(ranged, ranges=True)
    ends = [ticks(changed(ranged, {"actions.row_read.latency_ps": end})) for end in (1, 9_000)]
    found = [result.summary()["time_per_timestep_ps"], *(each.summary()["time_per_timestep_ps"] for each in ends)]
    assert (result.ranges.time_ps.low, result.ranges.time_ps.high) == (min(found), max(found))
    assert result.ranges.time_ps.effects[0].key == "actions.row_read.latency_ps"


def test_energy_is_linear_in_energies():
    """Counts x (ends of the ranges), added up by hand."""
    chip = nsim.load_chip("loihi2")
    limits = {
        key.key: (key.low, key.high) for key in ranges_of(chip) if key.key.startswith("actions.") and not key.timing
    }
    result = run(with_ranges(chip, **{key.replace(".", "__"): pair for key, pair in limits.items()}), ranges=True)
    _, energy_fj = headline(result)
    moved = [0.0, 0.0]
    for key, pair in limits.items():
        action = key.split(".")[1]
        value = getattr(chip.actions, action).energy_fj
        for end in (0, 1):
            moved[end] += result.actions.get(action, 0) * (pair[end] - value) / result.spans
    interval = result.ranges.energy_fj
    assert [interval.low, interval.high] == pytest.approx([energy_fj + each for each in moved], rel=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_a_wider_range_is_not_narrower(seed):
    chip, rng = nsim.load_chip("loihi2"), np.random.default_rng(seed)
    chosen = rng.choice([each for each in ranges_of(chip) if each.key.endswith("_ps")], 3, replace=False)
    narrow = {each.key.replace(".", "__"): (each.low, each.high) for each in chosen}
    wide = {key: (low // 2, 3 * high) for key, (low, high) in narrow.items()}
    time_ps, _ = headline(run(chip))
    inner, outer = (run(with_ranges(chip, **each), ranges=True).ranges.time_ps for each in (narrow, wide))
    assert outer.low <= inner.low <= time_ps <= inner.high <= outer.high


def test_the_same_whatever_threads_seed_and_engine():
    chip = nsim.load_chip("loihi2")
    mapping = nsim.map_network(network_for(chip), chip)
    found = [
        nsim.simulate(mapping, activity=0.2, timesteps=20, ranges=True, **options)
        for options in ({"threads": 1}, {}, {"engine": "simpy"})
    ]
    for result in found[1:]:
        assert result.summary() | {"engine": ""} == found[0].summary() | {"engine": ""}
        assert result.table("ranges").equals(found[0].table("ranges"))


def test_engines_agree_on_a_drawn_chip():
    for name in ("loihi2", "akd1000", "speck"):
        chip = nsim.load_chip(name)
        ranges = ranges_of(chip)
        places = latin_hypercube(len(ranges), 2, np.random.default_rng(3))[0].tolist()
        drawn = drawn_chip(chip, {each.key: each.at(place) for each, place in zip(ranges, places, strict=True)})
        summaries = [run(drawn, engine=engine).summary() for engine in ("compiled", "simpy")]
        assert summaries[0] == summaries[1] | {"engine": "compiled"}


@settings(max_examples=15, deadline=None)
@given(mapped_networks(), st.integers(0, 99))
def test_other_costs_are_those_of_a_new_mapping(mapping, seed):
    rng = np.random.default_rng(seed)
    keys = ["message_in", "synop_dense", "synop_sparse", "synop_conv", "word_read"]
    chip = changed(mapping.chip, {f"actions.{key}.latency_ps": int(rng.integers(0, 9_000)) for key in keys})
    anew = nsim.map_network(mapping.network, chip, mapping.partition, weight_format=mapping.dense_layers)
    placed = Recosting(anew).at(chip)  # placements differ, so copies are compared on one of them
    assert placed.copies.service_ps.tolist() == anew.copies.service_ps.tolist()
    moved = Recosting(
        nsim.map_network(mapping.network, mapping.chip, mapping.partition, weight_format=mapping.dense_layers)
    )
    assert moved.at(chip).copies.service_ps.tolist() == anew.copies.service_ps.tolist()


def test_other_costs_of_frames_are_those_of_a_new_mapping():
    chip = nsim.load_chip("akd1000")
    ranges = ranges_of(chip)
    drawn = drawn_chip(chip, {each.key: each.at(0.9) for each in ranges})
    network = network_for(chip)
    (found,), (anew,) = (
        each.sequences
        for each in (FrameRecosting(nsim.map_network(network, chip)).at(drawn), nsim.map_network(network, drawn))
    )
    for name in ("slot", "allocated", "frame_ps", "program_bytes", "program_ps", "reload_ps"):
        assert np.array_equal(getattr(found, name), getattr(anew, name)), name
    assert found.copies.service_ps.tolist() == anew.copies.service_ps.tolist()


def test_floorlines_move_as_the_simulation_does(monkeypatch):
    """Ten of frames' draws within 5 %: the module says 2 % of AkidaNet."""
    chip = nsim.load_chip("akd1000")
    simulated = run(chip, ranges=True).ranges
    monkeypatch.setattr(retimed_frames, "SERVICES", 0)
    estimated = run(chip, ranges=True).ranges
    assert estimated.drawn == pytest.approx(simulated.drawn, rel=0.05)
    assert not np.array_equal(estimated.drawn, simulated.drawn)


@pytest.mark.parametrize(("dimensions", "draws"), [(1, 64), (7, 64), (3, 5)])
def test_a_latin_hypercube_has_one_draw_in_every_part(dimensions, draws):
    cube = latin_hypercube(dimensions, draws, np.random.default_rng(0))
    assert cube.shape == (draws, dimensions)
    for axis in cube.T:
        assert sorted((axis * draws).astype(int).tolist()) == list(range(draws))


@pytest.mark.parametrize("size", [1, 5, 8, 100])
def test_a_timestep_of_every_part_stands_for_all(size):
    steady = 10 + np.arange(size)
    steps = chosen_steps(steady)
    parts = np.array_split(steady, min(8, size))
    assert [step in part for step, part in zip(steps, parts, strict=True)] == [True] * len(parts)


def test_a_draw_that_cannot_be_simulated_is_said_and_no_error():
    def stuck(*_):
        raise SimulationError("deadlock in core 1")

    found = find_ranges(nsim.load_chip("loihi2"), Headline(1.0, 1.0), stuck, stuck)
    assert found.time_ps is None
    assert found.unknown == "ranges of constants are not known: deadlock in core 1"


def test_draws_of_one_chip_are_alike():
    """So that runs can be compared draw by draw: where only one constant moves, times rise in the same order."""
    chip = with_ranges(nsim.load_chip("loihi2"), management__lava__latency_ps=(0, 10**7))
    first, second = (run(chip, ranges=True, seed=seed).table("ranges")["time_ps"] for seed in (0, 5))
    assert len(first) == DRAWS
    assert np.ptp(second - first) < 1e-3


def test_the_words():
    facts = {
        "time_low_ps": 69e6,
        "time_high_ps": 118e6,
        "energy_low_fj": None,
        "energy_high_fj": None,
        "range_constants": [{"of": "time", "key": "a.b", "low": 70e6, "high": 0.11e9}, {"of": "time", "key": "a.c"}],
    }
    from nsim.report.words import Line

    line = with_range(Line("time", "89.0 us per timestep", ("longest 1",)), facts)
    assert line.remarks == "(69.0 to 118 us within the chip file's ranges; longest 1)"
    assert with_range(Line("energy", "1 nJ"), facts).more == ()
    assert ranges_line(facts).said == "time moves most with a.b (70.0 to 110 us), a.c"
    assert ranges_line(facts | {"range_constants": []}).said.startswith("none in the chip file")
    assert ranges_line(facts | {"time_low_ps": None}) is None


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three runs of a network, the last one with much more to do."""
    folder = tmp_path_factory.mktemp("ranges")
    for name, more in (("a", ()), ("b", ("--placement", "random:3")), ("c", ("--activity", 1))):
        done = command(
            *("run", "mlp:width=24,depth=2,inputs=16", "--chip", "loihi2", "--timesteps", 4, "--activity", 0.2),
            *(*more, "--range", "--out", folder / name),
        )
        assert done.returncode == 0, done.stderr
    return folder


def test_the_screen_says_it_unless_told_not_to(folders):  # by default, too: tests/test_golden.py
    facts = json.loads((folders / "a" / "summary.json").read_text())
    assert facts["time_low_ps"] < facts["time_per_timestep_ps"] < facts["time_high_ps"]
    words = ("run", "mlp:width=24,depth=2,inputs=16", "--chip", "loihi2", "--timesteps", 2)
    assert " by ranges)" in " ".join(command(*words, "--range").stdout.split())
    assert "ranges" not in command(*words, "--no-range").stdout


def test_compare_says_what_ranges_leave_open(folders):
    """The same network placed elsewhere is undecided if some draws make it faster; five times the work is not."""
    near = the_line(command("compare", folders / "a", folders / "b", "--json"))["undecided"]
    drawn = [np.genfromtxt(folders / name / "ranges.csv", delimiter=",", names=True) for name in "ab"]
    ratio = drawn[1]["time_ps"] / drawn[0]["time_ps"]
    assert any("the time of" in sentence for sentence in near) == (ratio.min() < 1 < ratio.max())
    assert not the_line(command("compare", folders / "a", folders / "c", "--json"))["undecided"]


def test_compare_on_different_chips_goes_by_the_ranges(folders, tmp_path):
    text = nsim.load_chip("loihi2").path.read_text().replace("static_mw = 232\n", "static_mw = 233\n")
    (tmp_path / "mine.toml").write_text(text)
    words = ("run", "mlp:width=24,depth=2,inputs=16", "--chip", "./mine.toml", "--timesteps", 4, "--activity", 0.2)
    assert command(*words, "--range", "--out", "d", cwd=tmp_path).returncode == 0
    said = command("compare", folders / "a", tmp_path / "d").stdout
    assert "Undecided: within the ranges of constants, d takes" in said


def test_sweeps_carry_ranges(tmp_path):
    pytest.importorskip("pyarrow")
    spec = '[[points]]\nnetworks = ["mlp:width=16,depth=1,inputs=8"]\nchips = ["loihi2"]\ntimesteps = 2\nranges = {}\n'
    (tmp_path / "sweep.toml").write_text(spec.format("true"))
    done = command("sweep", "sweep.toml", "--out", "table.parquet", "--workers", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    import pandas as pd

    (row,) = pd.read_parquet(tmp_path / "table.parquet").to_dict("records")
    assert row["time_low_ps"] < row["time_per_timestep_ps"] < row["time_high_ps"]
    assert row["energy_low_fj"] < row["energy_high_fj"]
    (tmp_path / "sweep.toml").write_text(spec.format('"yes"'))
    assert "ranges" in refused("sweep", "sweep.toml", "--out", "other.parquet", cwd=tmp_path)
