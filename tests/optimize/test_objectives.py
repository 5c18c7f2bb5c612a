"""What the search over frames minimises, from its definition, on numbers that tell the objectives apart."""

from types import SimpleNamespace

import numpy as np
import pytest

from nsim.optimize.frames import OBJECTIVES, Tried

MAPPINGS = {  # time, latency, energy, processors: each is the best in exactly one
    "time": (1.0, 90, 90.0, 9),
    "latency": (9.0, 10, 80.0, 8),
    "energy": (30.0, 70, 1.0, 7),
    "energy-delay": (4.0, 60, 5.0, 6),
    "cores": (8.0, 50, 70.0, 2),
}


def tried(time_ps, latency_ps, energy_fj, processors):
    return Tried(time_ps, energy_fj, processors, SimpleNamespace(), latency_ps, "conv")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_each_objective_of_frames_has_its_own_winner(objective):
    best = min(MAPPINGS, key=lambda name: tried(*MAPPINGS[name]).key(objective))
    assert best == objective


@pytest.mark.parametrize("seed", range(20))
def test_energy_delay_is_the_product(seed):
    rng = np.random.default_rng(seed)
    time, latency, energy, cores = (int(n) for n in rng.integers(1, 1000, 4))
    assert tried(time, latency, energy, cores).key("energy-delay")[0] == time * energy
