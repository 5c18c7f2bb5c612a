"""What an update costs by the model of a neuron: by hand, in both engines, in the optimiser, and in the energy."""

import numpy as np
import pytest

import nsim
from nsim.chip.chip import changed
from nsim.network.builtin import build
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Lif, Relay, SigmaDelta
from nsim.network.synapses import Dense
from tests.generators.machines import shipped

FIXED, PROGRAM = 4_200, 35_000


def mixed() -> Network:
    """A fixed model and one that needs a program, 5 and 3 neurons, sent to by 4 inputs."""
    layers = (
        Layer("input", (4, 1, 1), Relay(binary=True), on_chip=False),
        Layer("fixed", (5, 1, 1), Lif(leak=0.1, gain=1.0, threshold=1.0)),
        Layer("program", (3, 1, 1), SigmaDelta("hidden", threshold=0.1)),
        Layer("last", (2, 1, 1), Lif(leak=0.1, gain=1.0, threshold=None)),
    )

    def join(source: Layer, target: Layer) -> Connection:
        weights = np.ones((target.neurons, source.neurons), np.float32)
        return Connection(source.name, target.name, Dense(weights, source.shape, target.shape))

    pairs = [(0, 1), (0, 2), (1, 3), (2, 3)]
    return Network("mixed", layers, tuple(join(layers[a], layers[b]) for a, b in pairs), "input", "last")


def together():
    """All three layers on one core."""
    network, chip = mixed(), shipped("loihi2")
    slices = nsim.map_network(network, chip, "even:1").partition
    return nsim.map_network(network, chip, (tuple(piece for held in slices for piece in held),))


def test_a_silent_core_takes_the_sum_of_its_models():
    result = nsim.simulate(together(), activity=0.0, timesteps=2, runtime="bare")
    assert (result.times.duration_ps == 7 * FIXED + 3 * PROGRAM).all()
    assert result.actions["neuron_update"] == 14 and result.actions["microcode_update"] == 6


def test_a_spike_leaves_when_its_own_update_ends():
    """The second of three programs, behind five fixed updates; then two silent updates of the rest."""
    mapping = together()
    swept, unit_ps = mapping.sweep()
    ends = (swept.slot + 1) * unit_ps
    assert ends[4:9].tolist() == [FIXED * n for n in range(1, 6)]
    assert ends[9:12].tolist() == [5 * FIXED + PROGRAM * n for n in range(1, 4)]
    assert ends[12:].tolist() == [5 * FIXED + 3 * PROGRAM + FIXED * n for n in (1, 2)]


@pytest.mark.parametrize("name", ["mixed", "s5"])
def test_engines_agree_and_no_timestep_is_below_its_bound(name):
    mapping = together() if name == "mixed" else nsim.map_network(build("s5", d_model=8, states=4), shipped("loihi2"))
    first, second = (
        nsim.simulate(mapping, activity=0.5, timesteps=3, engine=engine, critical_path=True)
        for engine in ("compiled", "simpy")
    )
    assert first.summary() == second.summary() | {"engine": "compiled"}
    assert first.table("cores").equals(second.table("cores"))
    from nsim.result.limits.timesteps_bottleneck import bottleneck_of

    assert (bottleneck_of(first).bounds.least_ps <= first.step_ps).all()


def test_chips_without_programs_update_all_alike():
    chip = changed(shipped("loihi2"), {"actions.microcode_update": None})
    mapping = nsim.map_network(mixed(), chip, together().partition)
    result = nsim.simulate(mapping, activity=0.0, timesteps=1, runtime="bare")
    assert result.times.duration_ps.tolist() == [10 * FIXED]
    assert "microcode_update" not in result.actions


def test_used_cores_draw_power_and_user_code_too():
    """Loihi: 18 mW, 0.065 mW for each used core, 6.0 mW while the user's code runs."""
    mapping = nsim.map_network(build("mlp", width=24, depth=2, inputs=16), shipped("loihi"), 3)
    result = nsim.simulate(mapping, activity=0.1, timesteps=4, samples=2, embedded_us=10.0, per_sample_us=50.0)
    found, total_ps = result.energy.by_action_fj, result.time_ps
    assert found["static"] == 18 * total_ps
    assert found["used_cores"] == pytest.approx(0.065 * 6 * total_ps)
    assert found["embedded_code"] == pytest.approx(6.0 * (8 * 10 + 2 * 50) * 1e6)
