"""The what-if of a run: the fastest of the splits that fit, found by other means than the function's own choice."""

from functools import partial
from types import SimpleNamespace

import pytest

from nsim import load_chip, load_network, map_network, simulate
from nsim.report.what_if.events import relieve_core
from nsim.report.what_if.frames import other_modes
from nsim.report.what_if.timesteps import FACTORS, split_limiting_layer


@pytest.fixture(scope="module")
def run():
    mapping = map_network(load_network("mlp:width=64,depth=2,inputs=48"), load_chip("loihi2"))
    return simulate(mapping, timesteps=3, activity=0.5, critical_path=True)


def parts_of(mapping, layer):
    return sum(any(piece.layer == layer for piece in held) for held in mapping.partition)


@pytest.mark.parametrize("fastest", FACTORS)
def test_the_fastest_split_is_told(run, fastest):
    """Whatever the times of the splits are, the smallest is told with its number of cores."""
    seen = {}

    def timed(mapping):
        if not seen:  # the partition as it is
            seen["layers"] = {layer.name: parts_of(mapping, layer.name) for layer in mapping.network.layers[1:]}
            return SimpleNamespace(time_ps=1_000)
        (layer,) = [name for name, now in seen["layers"].items() if parts_of(mapping, name) != now]
        factor = parts_of(mapping, layer) // seen["layers"][layer]
        return SimpleNamespace(time_ps=400 if factor == fastest else 700)

    found = split_limiting_layer(run, timed)
    assert found["after"] == 400 and found["before"] == 1_000
    assert found["value"] == f"even:{found['layer']}={fastest * seen['layers'][found['layer']]}"


def test_a_what_if_is_a_run_of_its_partition(run):
    found = split_limiting_layer(run, lambda mapping: simulate(mapping, timesteps=3, activity=0.5))
    again = map_network(run.mapping.network, run.mapping.chip, partition=found["value"])
    assert simulate(again, timesteps=3, activity=0.5).time_ps == found["after"]


def test_another_mode_is_a_run_of_it():
    network, chip = load_network("cnn"), load_chip("akd1000")
    found = other_modes(simulate(map_network(network, chip, mode="minimal"), samples=2), partial(simulate, samples=2))
    assert (found["option"], found["value"]) == ("mode", "all-nps")  # the chip has no other
    assert found["after"] == simulate(map_network(network, chip, mode="all-nps"), samples=2).time_ps < found["before"]


@pytest.mark.parametrize("core_options", [None, "decimate.conv2=2,balance.fc=on"])
def test_an_overloaded_core_is_relieved_by_what_its_command_says(core_options):
    """Of all that is tried the lowest load, by a run with the options that are printed; conv3 itself sends too late."""
    network, chip = load_network("speck-gesture"), load_chip("speck")
    run = partial(simulate, inputs="edges:rate=4e5,seconds=0.002")
    before = run(map_network(network, chip, core_options=core_options))
    found = relieve_core(before, run)
    after = run(map_network(network, chip, core_options=found["value"]))
    assert found["before"] == before.bottleneck.total > after.bottleneck.total == found["after"]
    assert found["option"] == "core-options"
    assert "decimate.conv3" not in found["value"]
    every = int(found["words"].split(" of ")[1].split()[0])
    assert every >= before.bottleneck.total  # what is let through is at most what the core can do


def test_a_core_that_keeps_up_needs_no_relief():
    mapping = map_network(load_network("speck-gesture"), load_chip("speck"))
    assert relieve_core(simulate(mapping, "edges:rate=1e3,seconds=0.01"), simulate) is None
