"""The microbenchmarks of the Loihi 2 runtime model (arXiv:2601.10035, section 6), run in simulation.

In each set-up one constant of the chip file decides the time of a timestep, so the slope of time over work is it.
"""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.validation import microbenchmarks
from benchmarks.validation.microbenchmarks import LINKS, measure_ps, run, variant
from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.machine.stations import KINDS

WITHIN = 0.01


@pytest.fixture(params=["loihi2", "loihi"])
def chip(request) -> BarrierChip:
    return load_chip(request.param)


@pytest.mark.parametrize("routers", [1, 2, 4, 29])
def test_silent_network_shows_the_barrier(chip, routers):
    """What a silent timestep takes when it is extrapolated to no neurons; one router: two cores."""
    expected = dict(zip(chip.barrier.routers, chip.barrier.latency_ps, strict=True))[routers]
    assert measure_ps(microbenchmarks.barrier(chip, routers)) == pytest.approx(expected, rel=WITHIN)


def test_silent_neurons_on_one_core_show_the_update(chip):
    measured = measure_ps(microbenchmarks.neuron_update(chip))
    assert measured == pytest.approx(chip.actions.neuron_update.latency_ps, rel=WITHIN)


def test_dense_layer_shows_the_synop(chip):
    measured = measure_ps(microbenchmarks.synop(chip))
    assert measured == pytest.approx(chip.actions.synop_dense.latency_ps, rel=WITHIN)


def test_reading_weights_shows_the_memory_word(chip):
    """On a copy of the chip whose synops are fast; Loihi's file has no time for a word alone, its copy has 500 ps."""
    expected = {"loihi2": chip.actions.word_read.latency_ps, "loihi": 500}[chip.name]
    assert measure_ps(microbenchmarks.word_read(chip)) == pytest.approx(expected, rel=WITHIN)


@pytest.mark.parametrize("kind", LINKS)
def test_traffic_over_one_link_shows_its_bandwidth(chip, kind):
    """On a copy of the chip whose cores are fast."""
    gbps = 1000 / measure_ps(microbenchmarks.link(chip, kind))
    assert gbps == pytest.approx(getattr(chip.links, kind).bandwidth_gbps, rel=WITHIN)


@pytest.mark.parametrize(
    ("key", "benchmark"),
    [
        ("actions.neuron_update.latency_ps", microbenchmarks.neuron_update),
        ("actions.synop_dense.latency_ps", microbenchmarks.synop),
        ("actions.word_read.latency_ps", microbenchmarks.word_read),
    ],
)
def test_slope_follows_a_changed_chip_file(tmp_path, key, benchmark):
    """A user's own file with another time, without its range, gives that time."""
    shipped = load_chip("loihi2")
    text = shipped.path.read_text(encoding="utf-8")
    header = f"[{key.removesuffix('.latency_ps')}]\n"
    before, table = text.split(header)
    old = next(line for line in table.splitlines() if line.startswith("latency_ps ="))
    lines = [line for line in table.splitlines() if not line.startswith("latency_ps_range")]
    lines[lines.index(old)] = "latency_ps = 1_234"
    file = tmp_path / "mine.toml"
    file.write_text(before + header + "\n".join(lines) + "\n", encoding="utf-8")
    assert measure_ps(benchmark(load_chip(file))) == pytest.approx(1234, rel=WITHIN)


@pytest.mark.parametrize("kind", LINKS)
def test_link_slope_follows_a_changed_bandwidth(kind):
    slow = variant(load_chip("loihi2"), {f"links.{kind}.bandwidth_gbps": 20.0})
    assert 1000 / measure_ps(microbenchmarks.link(slow, kind)) == pytest.approx(20.0, rel=WITHIN)


def test_dense_layer_does_a_synop_for_every_pair_of_neurons(chip):
    for point in microbenchmarks.synop(chip).points:
        counts = run(point).counts
        assert (counts.core_synops.sum(), counts.core_messages_in.sum()) == point.work[:2]


def test_memory_set_up_reads_the_words_of_every_row(chip):
    for point in microbenchmarks.word_read(chip).points:
        assert run(point).counts.core_words.sum() == point.work[0]


@pytest.mark.parametrize("kind", LINKS)
def test_all_messages_cross_the_one_link(chip, kind):
    """No other link carries as many, so no other can be the limit."""
    point = microbenchmarks.link(chip, kind).points[0]
    result = run(point)
    loads = np.sort(result.counts.link_messages[0])
    assert loads[-1] == point.work[0] / chip.messages.bits
    assert loads[-2] < loads[-1]
    row = result.table("links").loc[result.table("links")["messages"].idxmax()]
    wanted = {"east_west": ("mesh", "east"), "north_south": ("mesh", "south")}.get(kind, (kind, ""))
    assert (row["kind"], row["direction"]) == wanted
    assert row["kind"] in KINDS


@pytest.mark.parametrize(
    ("benchmark", "station"),
    [
        (microbenchmarks.neuron_update, "neurons"),
        (microbenchmarks.synop, "synapses"),
        (microbenchmarks.word_read, "synapses"),
        (microbenchmarks.link, "mesh"),
    ],
)
def test_the_measured_station_is_busy_nearly_all_the_time(chip, benchmark, station):
    """Of the timestep without the barrier, in the largest set-up."""
    result = run(benchmark(chip).points[-1])
    busiest = int(result.busy_ps.argmax())
    assert result.machine.kind(busiest) == station
    assert result.busy_ps[busiest] > 0.95 * (result.time_ps - result.barrier_ps)
