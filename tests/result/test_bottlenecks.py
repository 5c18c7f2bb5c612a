"""The three witnesses of frames and streams, and which costs of a chip file make which state."""

from functools import partial, reduce

import pytest

from nsim.chip.chip import changed
from nsim.chip.discipline import discipline_of
from nsim.chip.file import load_chip
from nsim.formats.streams import load_events
from nsim.mapping.events.mapping import map_stream
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.result.limits.events_bottleneck import find_bottleneck as of_stream
from nsim.result.limits.frames_bottleneck import find_bottleneck as of_frames
from nsim.result.limits.sensitivity import cheaper
from nsim.result.run_events import simulate_stream
from nsim.result.run_frames import simulate_frames

AKD1000, SPECK = load_chip("akd1000"), load_chip("speck")
TIMES = (
    "clocks",
    "latency_ps",
    "wire_ps",
    "wire_clocks",
    "message_ps",
    "message_clocks",
    "clocks_per_byte",
    "clocks_per_processor",
)
RATES = ("bandwidth_gbps", "bits_per_clock")


def table_of(chip, key):
    """The table that a key is in; None if the file leaves it out."""
    table = chip
    for name in key.split(".")[:-1]:
        table = getattr(table, name, None)
    return table


def times_of(chip, table=None, path=""):
    """Key paths of all values of a chip's actions, links, host, ... that are times or rates."""
    if table is None:
        known = ("actions", "links", "host", "program", "barrier", "management")
        tables = [name for name in known if getattr(chip, name, None) is not None]
        return {key for name in tables for key in times_of(chip, getattr(chip, name), name)}
    found = set()
    for name, value in table:
        key = f"{path}.{name}"
        if hasattr(type(value), "model_fields"):
            found |= times_of(chip, value, key)
        elif name in (*TIMES, *RATES):
            found.add(key)
    return found


@pytest.mark.parametrize("name", ["loihi2", "loihi", "akd1000", "speck"])
def test_every_time_of_a_chip_file_makes_one_state(name):
    """The table leaves out no cost of the file, and lists none twice."""
    chip = load_chip(name)
    costs = discipline_of(chip).costs
    listed = [key for keys in costs.values() for key in keys if table_of(chip, key) is not None]
    assert len(listed) == len(set(listed))
    assert times_of(chip) == set(listed)


@pytest.mark.parametrize(
    ("chip", "state"),
    [(c, s) for c in (AKD1000, SPECK) for s in discipline_of(c).costs],
    ids=lambda v: getattr(v, "name", v),
)
def test_only_the_costs_of_the_state_fall(chip, state):
    lower = cheaper(chip, state, 0.5)
    for key in times_of(chip):
        before, after = (reduce(getattr, key.split("."), each) for each in (chip, lower))
        factor = 1.0 if key not in discipline_of(chip).costs[state] else 2.0 if key.endswith(RATES) else 0.5
        assert after == pytest.approx(before * factor, abs=0.5 if key.endswith("_ps") else None), key


def frames_on(chip, network, frames=2, **options):
    run = partial(simulate_frames, critical_path=True, samples=frames, **options)
    return of_frames(map_network(network, chip, mode="minimal"), run)


@pytest.mark.parametrize(
    ("changes", "state", "layer"),
    [
        ({}, "memory", "classifier"),
        ({"actions.neuron_update.clocks": 200.0}, "compute", "conv"),
        ({"actions.message_in.clocks": 400.0}, "traffic", "conv"),
    ],
)
def test_three_witnesses_of_a_frame_agree(changes, state, layer):
    found = frames_on(changed(AKD1000, changes), build("cnn"))
    assert (found.predicted, found.simulated, found.sensitive) == (state,) * 3
    assert sum(found.path_ps.values()) == found.time_ps
    assert 1 <= found.over_bound < 1.1
    assert layer in found.advice
    assert "2 frames behind each other" in found.run_line


@pytest.mark.parametrize(
    ("changes", "rate", "state", "words"),
    [
        ({}, 2e4, "input", "keeps up"),
        ({}, 2e6, "memory", "Fewer channels"),
        ({"links.sensor.bandwidth_gbps": 0.001}, 2e5, "traffic", "sensor carries most"),
    ],
)
def test_three_witnesses_of_a_stream_agree(changes, rate, state, words):
    chip = changed(SPECK, changes)
    mapping = map_stream(build("speck-gesture"), chip)
    stream = load_events(f"edges:rate={rate},seconds=0.01", mapping.sensor_shape)
    found = of_stream(mapping, partial(simulate_stream, inputs=stream, critical_path=True))
    assert (found.predicted, found.simulated, found.sensitive) == (state,) * 3
    assert sum(found.path_ps.values()) == found.time_ps
    assert 1 <= found.over_bound < 1.15
    assert words in found.advice


@pytest.mark.slow
def test_sequences_that_take_turns_add_up():
    """Two of them, programmed anew in every frame: their parts and the programming are bounds of one frame."""
    found = frames_on(AKD1000, build("akidanet", width=1.0), frames=1)
    assert len(found.bounds.behind) == 2
    assert found.bounds.terms_ps["programming"][0] == found.path_ps["programming"] > 0
    assert 1 <= found.over_bound < 1.1
