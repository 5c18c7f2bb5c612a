"""The search over the limits of a processor on chips with frames, and mapping modes with limits."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from nsim.errors import MappingError, OptimizationError
from nsim.mapping.network import map_network
from nsim.optimize.frames import optimize_frames
from nsim.result.run import simulate
from tests.generators.frame_networks import conv, dense, quantized_network
from tests.generators.machines import shipped

SPECS = [conv(4, pool="max2"), conv(6), dense(3)]
FRAMES = 3


@pytest.fixture(scope="module")
def network():
    return quantized_network((1, 6, 6), SPECS, rng=np.random.default_rng(1), sums_at_end=True)


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(2).integers(0, 16, (FRAMES, 1, 6, 6))


@pytest.fixture(scope="module")
def every(network, frames):
    """What each combination of limits takes, also those that the search leaves out since they cut alike."""
    found = []
    for columns, rows, filters in product((2, 3, 4, 6), (2, 3, 4, 6), (1, 2, 3, 6)):
        mode = f"minimal:columns={columns},rows={rows},filters={filters}"
        found.append(simulate(map_network(network, shipped("akd1000"), mode=mode), frames))
    return found


def cost(result, objective):
    return {
        "time": result.interval_ps,
        "latency": result.latency_ps,
        "energy": result.summary()["known_energy_per_frame_fj"],
        "cores": result.mapping.processors,
    }[objective]


@pytest.mark.parametrize("objective", ["time", "latency", "energy", "cores"])
def test_no_limits_are_better_than_those_found(network, frames, every, objective):
    found = optimize_frames(network, shipped("akd1000"), frames, objective=objective)
    best = simulate(map_network(network, shipped("akd1000"), mode=found.best.mapping.mode), frames)
    assert cost(best, objective) <= min(cost(result, objective) for result in every)
    assert found.best.key(objective) <= min(found.tried[mode].key(objective) for mode in ("minimal", "all-nps"))


def test_the_search_is_of_what_a_run_takes(network, frames):
    chip = shipped("akd1000")
    for each in optimize_frames(network, chip, frames).tried.values():
        result = simulate(map_network(network, chip, mode=each.mapping.mode), frames)
        assert (each.time_ps, each.latency_ps) == (result.interval_ps, result.latency_ps)


@pytest.mark.parametrize("mode", ["minimal", "minimal:filters=2", "minimal:columns=3,rows=4", "all-nps:columns=2"])
def test_limits_of_a_mode_hold_and_change_no_output(network, frames, mode):
    chip = shipped("akd1000")
    mapping = map_network(network, chip, mode=mode)
    most = {"columns": 32, "rows": 256, "filters": 504} | {
        name: int(value) for name, value in (item.split("=") for item in mode.partition(":")[2].split(",") if item)
    }
    for part in mapping.sequences[0].parts:
        if part.tile is not None:
            assert part.tile.columns[1] - part.tile.columns[0] <= most["columns"]
            assert part.tile.rows[1] - part.tile.rows[0] <= most["rows"]
            assert part.box.channels[1] - part.box.channels[0] <= most["filters"]
    free = simulate(map_network(network, chip, mode="minimal"), frames)
    assert (simulate(mapping, frames).outputs == free.outputs).all()


@pytest.mark.parametrize(
    ("mode", "told"),
    [
        ("most", "no mode 'most'"),
        ("minimal:", "not of the form name=value"),
        ("minimal:colums=3", "no limit 'colums', did you mean \"columns\"?"),
        ("minimal:columns=0", "limits columns to '0': chip 'akd1000' takes 1 to 32"),
        ("all-nps:filters=505", "takes 1 to 504"),
        ("minimal:rows=1.5", "limits rows to '1.5'"),
        ("hw-pr", "chip 'akd1000' has no partial reconfiguration, which mode 'hw-pr' needs: use all-nps"),
    ],
)
def test_modes_that_are_none_are_refused(network, mode, told):
    with pytest.raises(MappingError, match=told.replace("?", r"\?")):
        map_network(network, shipped("akd1000"), mode=mode)


def test_a_network_without_cuts_and_unknown_objectives_are_refused(network, frames):
    connected = quantized_network((1, 6, 6), [dense(4), dense(2)], sums_at_end=True)
    with pytest.raises(OptimizationError, match="nothing to move"):
        optimize_frames(connected, shipped("akd1000"), frames)
    with pytest.raises(OptimizationError, match="did you mean latency"):
        optimize_frames(network, shipped("akd1000"), frames, objective="latenc")


@pytest.mark.parametrize("budget", [1, 5, 30])
def test_a_budget_holds_and_leaves_halves(network, frames, budget):
    found = optimize_frames(network, shipped("akd1000"), frames, budget=budget)
    assert len(found.tried) <= budget + 2
    filters = {int(mode.rpartition("=")[2]) for mode in [*found.tried][2:]}
    assert filters <= {6, 4, 3, 2, 1}  # 6 and 4 filters in 1, 2, 4 parts
    assert len(found.tried) > 2
    with pytest.raises(OptimizationError, match="budget is 0"):
        optimize_frames(network, shipped("akd1000"), frames, budget=0)
