"""Tables, energy and summary of a run agree with each other and with naive counts, and a seed gives the same bytes."""

from __future__ import annotations

import json
from dataclasses import replace
from math import isclose

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsim.errors import InputError, SimulationError
from nsim.formats.network import load_network
from nsim.mapping.network import map_network
from nsim.network.activity import evaluate
from nsim.network.inputs import Frames
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, Lif, Relay, Threshold
from nsim.network.synapses import Dense, Sparse
from nsim.result.folder import OutputFolder
from nsim.result.run import simulate
from nsim.result.run_timesteps import ENGINES
from tests.generators.commands import refused
from tests.generators.machines import changed, mapped_networks, shipped, unrolled

TABLES = ("cores", "layers", "links", "timesteps")
engines = pytest.mark.parametrize("engine", list(ENGINES))
examples = settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def run(mapping, seed=0, activity=0.1, *, timesteps=4, **options):
    densities = {layer.name: activity for layer in mapping.network.layers}
    return simulate(mapping, activity=densities, seed=seed, timesteps=timesteps, **options)


@pytest.fixture(scope="module")
def mlp():
    return map_network(load_network("mlp:width=40,depth=2,inputs=30,density=0.5"), shipped("loihi2"), 2)


@examples
@given(mapping=mapped_networks(), seed=st.integers(0, 99), density=st.sampled_from([0.0, 0.1, 0.5]))
def test_cores_layers_and_timesteps_tell_the_same_totals(mapping, seed, density):
    result = run(mapping, seed, density, timesteps=3, samples=2)
    cores, layers, links, timesteps = (result.table(name) for name in TABLES)
    off_chip = [not mapping.network.by_name[name].on_chip for name in layers["layer"]]
    assert cores["spikes"].sum() == layers["spikes"].sum() - layers["spikes"][off_chip].sum()
    assert layers["spikes"].sum() == timesteps["spikes"].sum()
    assert cores["messages_in"].sum() == layers["messages"].sum() == timesteps["messages"].sum()
    assert cores["synops"].sum() == layers["synops"].sum() == timesteps["synops"].sum()
    assert cores["words"].sum() == timesteps["words"].sum()
    assert cores["neuron_updates"].sum() == layers["neuron_updates"].sum() == 6 * mapping.allocated.sum()
    assert cores["neurons"].sum() == layers["neurons"].sum() - layers["neurons"][off_chip].sum()
    crossings = links["messages"].sum() if len(links) else 0
    assert crossings == timesteps["link_crossings"].sum() == sum(result.summary()["link_crossings"].values())
    assert timesteps["duration_ps"].sum() == result.time_ps == result.summary()["time_ps"]
    assert timesteps["sample"].tolist() == [0, 0, 0, 1, 1, 1]
    assert timesteps["timestep"].tolist() == [1, 2, 3, 1, 2, 3]
    assert (cores["utilisation"] <= 1).all()
    actions = result.actions
    assert sum(actions[f"synop_{form}"] for form in ("dense", "sparse", "conv")) == cores["synops"].sum()
    assert actions["message_in"] == cores["messages_in"].sum()
    assert actions["message_out"] == cores["messages_out"].sum()  # the host's are not the chip's
    assert actions["spike"] == cores["spikes"].sum()


@examples
@given(mapping=mapped_networks(base="loihi"), seed=st.integers(0, 99))
def test_energy_of_cores_and_links_is_the_dynamic_energy(mapping, seed):
    """On Loihi every dynamic cost is known: cores + link crossings = all actions, and layers = cores."""
    result = run(mapping, seed, timesteps=2)
    chip = mapping.chip
    crossings = result.summary()["link_crossings"]
    kinds = ("core_to_router", "router_to_core", "east_west", "north_south", "chip_to_chip")  # the last one of boards
    by_kind = {kind: result.actions[kind] for kind in kinds if kind in result.actions}
    assert sum(by_kind.values()) == sum(crossings.values())
    done = {name: count for name, count in result.actions.items() if name not in by_kind}
    on_links = sum((getattr(chip.links, kind).energy_fj or 0) * count for kind, count in by_kind.items())
    in_cores = sum(getattr(chip.actions, name).energy_fj * count for name, count in done.items())
    assert set(result.energy.unknown) <= {"chip_to_chip"}
    assert isclose(result.table("cores")["known_dynamic_energy_fj"].sum(), in_cores)
    in_layers = result.table("layers")["known_dynamic_energy_fj"].sum()
    assert isclose(in_layers, in_cores)  # receiving and reading cost nothing there
    idle = chip.power.core_mw * mapping.placement.size * result.time_ps
    assert isclose(result.energy.dynamic_fj, in_cores + on_links + idle)


@examples
@given(mapping=mapped_networks(), seed=st.integers(0, 99))
def test_busy_time_fits_into_the_run(mapping, seed):
    """No station is busy or blocked for longer than the timesteps last without barrier and management."""
    result = run(mapping, seed, timesteps=2)
    assert (result.busy_ps + result.times.blocked_ps <= result.times.duration_ps.sum()).all()
    routers = {core // mapping.chip.mesh.cores_per_router for core in mapping.placement.tolist()}
    assert result.barrier_ps == mapping.chip.barrier_ps(len(routers))
    assert (result.step_ps == result.times.duration_ps + result.barrier_ps + result.management_ps).all()


@engines
def test_the_same_seed_gives_the_same_bytes(engine, mlp, tmp_path):
    """In memory and on disk; another seed gives something else."""
    for name in ("first", "second"):
        with OutputFolder(tmp_path / name) as folder:
            folder.write(run(mlp, 7, engine=engine))
    for name in ("summary.json", *(f"{table}.csv" for table in TABLES)):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()
    a, b = run(mlp, 7, engine=engine), run(mlp, 8, engine=engine)
    assert not a.table("timesteps").equals(b.table("timesteps"))


def test_engines_give_equal_results(mlp):
    """All but the name of the engine."""
    first, *others = (run(mlp, 3, engine=engine) for engine in ENGINES)
    for other in others:
        for name in TABLES:
            pd.testing.assert_frame_equal(first.table(name), other.table(name), check_exact=True)
        assert first.summary() | {"engine": ""} == other.summary() | {"engine": ""}


def test_samples_are_drawn_one_after_another(mlp):
    """The first sample of two is the only sample of one, and means are per timestep and per sample."""
    one, two = run(mlp, 5, timesteps=3), run(mlp, 5, timesteps=3, samples=2)
    pd.testing.assert_frame_equal(one.table("timesteps"), two.table("timesteps")[:3])
    summary = two.summary()
    assert (summary["spans"], summary["samples"]) == (6, 2)
    assert summary["time_per_timestep_ps"] == two.time_ps / 6
    assert summary["time_per_sample_ps"] == two.time_ps / 2


def test_progress_counts_up_to_all_timesteps(mlp):
    seen = []
    run(mlp, timesteps=5, samples=2, progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (10, 10)
    assert seen == sorted(seen)


def test_input_is_evaluated_sample_by_sample(mlp):
    """Outputs are those of the network alone, each sample from its initial state."""
    frames = (np.random.default_rng(0).random((2, 4, 30, 1, 1)) < 0.3).astype(np.float32)
    result = simulate(mlp, frames, drain=False, warm_up=0)
    expected = [chunk.outputs for sample in frames for chunk in evaluate(mlp.network, Frames(sample.reshape(4, 30), 4))]
    np.testing.assert_array_equal(result.outputs, np.concatenate(expected))
    assert result.sample_timesteps == (4, 4)
    assert result.binary_input is True


def test_impossible_runs_are_refused_before_they_start(mlp):
    with pytest.raises(SimulationError, match="no engine 'magic': choose from"):
        simulate(mlp, engine="magic")
    with pytest.raises(InputError, match="timesteps is 0: give at least 1"):
        simulate(mlp, timesteps=0)
    with pytest.raises(InputError, match="both an input and an activity were given"):
        simulate(mlp, np.zeros((1, 30)), activity=0.1)


@pytest.mark.parametrize("option", ["--timesteps", "--samples"])
@pytest.mark.parametrize(
    "command",
    [
        ("run", "mlp:width=8,depth=2,inputs=8", "--chip", "loihi2"),
        ("run", "cnn", "--chip", "akd1000"),
        ("run", "random:p1=0.5", "--chip", "mosaic", "--activity", "0.1"),
        ("floorline", "mlp:width=8,depth=2,inputs=8", "--chip", "loihi2"),
    ],
)
def test_runs_that_no_memory_takes(command, option):
    """Before anything is loaded."""
    for number in ("1" + "0" * 30, str(2**63), "10000001"):
        line = refused(*command, option, number)
        assert "give at least 1, at most 10,000,000" in line or "is not for chip 'akd1000'" in line


def test_many_samples_that_are_too_many_timesteps():
    line = refused("run", "mlp:width=8,depth=2,inputs=8", "--chip", "loihi2", "--samples", "1000000")
    assert "1,000,000 samples of 100 timesteps are 100,000,000: give at most 10,000,000 in all" in line


def two_layers(kind: str, graded: bool):
    """4 inputs -> 3 hidden -> 2, a third of the weights zero."""
    first = np.array([[1, 0, 2, 0], [3, 4, 0, 5], [0, 6, 7, 0]])
    second = np.array([[1, 0, 2], [0, 3, 4]])
    hidden = Activation() if graded else Threshold(0.5)
    layers = (
        Layer("input", (4, 1, 1), Relay(binary=True), on_chip=False),
        Layer("hidden", (3, 1, 1), hidden),
        Layer("output", (2, 1, 1), Lif(0.1, 1.0, threshold=None)),
    )
    make = Sparse.from_matrix if kind == "sparse" else Dense
    connections = (
        Connection("input", "hidden", make(first, (4, 1, 1), (3, 1, 1))),
        Connection("hidden", "output", make(second, (3, 1, 1), (2, 1, 1))),
    )
    return Network("two layers", layers, connections, "input", "output")


@pytest.mark.parametrize("graded", [False, True])
@pytest.mark.parametrize("dense_layers", ["dense", "sparse"])
def test_neurobench_numbers_by_hand(graded, dense_layers):
    """Inputs 0 and 3 spike, then 1: effective synops count their non-zero weights, dense ones every weight.

    A layer hears in the timestep after: in step 2, of the hidden neurons, 0 sends (its sum is 1) and 1 (3 + 5), 2 does
    not (0). The messages of step 2 come too late. Output neurons only hold. The input is no layer of neurons.
    """
    mapping = map_network(two_layers("dense", graded), shipped("loihi2"), weight_format=dense_layers)
    result = simulate(mapping, np.array([[1, 0, 0, 1], [0, 1, 0, 0]], np.float32), drain=False, warm_up=0)
    from_input, from_hidden = (2 + 1) + 2, 1 + 1
    numbers = result.neurobench()
    assert numbers["effective_acs"] == (from_input + (0 if graded else from_hidden)) / 2
    assert numbers["effective_macs"] == (from_hidden if graded else 0) / 2
    assert numbers["dense_synops"] == 4 * 3 + 3 * 2
    assert numbers["activation_sparsity"] == 1 - 2 / (2 * 3)
    assert numbers["connection_sparsity"] == (5 + 2) / (12 + 6)
    fetched = result.table("cores")["synops"].sum()
    assert fetched == (from_input + from_hidden if dense_layers == "sparse" else 3 * 3 + 2 * 2)


@examples
@given(mapping=mapped_networks(), seed=st.integers(0, 99))
def test_neurobench_numbers_equal_a_naive_count(mapping, seed):
    network, steps = mapping.network, 2
    result = run(mapping, seed, 0.3, timesteps=steps)
    effective = zero = possible = 0
    for connection in network.connections:
        exists, weight = unrolled(connection.synapses)
        sent = result.counts.nonzero_synops[:, network.connections.index(connection)].sum()
        assert sent <= steps * np.count_nonzero(exists & (weight != 0))
        effective += sent
        values = connection.synapses.kernel if connection.synapses.kind == "conv" else weight
        zero, possible = zero + np.count_nonzero(values == 0), possible + values.size
    numbers = result.neurobench()
    assert numbers["effective_acs"] + numbers["effective_macs"] == pytest.approx(effective / steps)
    assert numbers["connection_sparsity"] == pytest.approx(zero / possible)
    assert numbers["effective_acs"] + numbers["effective_macs"] <= numbers["dense_synops"]
    sending = [n for n, layer in enumerate(network.layers) if network.sends(layer) and layer.name != "input"]
    possible = steps * sum(network.layers[n].neurons for n in sending)
    if possible:
        spikes = result.counts.spikes[:, sending].sum()
        assert numbers["activation_sparsity"] == pytest.approx(1 - spikes / possible)
    else:
        assert numbers["activation_sparsity"] is None


def test_tables_in_the_summary_keep_their_keys(mlp):
    """Scripts read them, so a change here is a change of the file format."""
    summary = run(mlp).summary()
    assert list(summary["link_crossings"]) == [
        "core_to_router", "router_to_core", "east", "west", "south", "north",
    ]  # fmt: skip
    assert list(summary["neurobench_per_timestep"]) == [
        "effective_macs", "effective_acs", "dense_synops", "activation_sparsity", "connection_sparsity",
    ]  # fmt: skip


def test_files_hold_what_the_tables_hold(mlp, tmp_path):
    result = run(mlp)
    with OutputFolder(tmp_path / "out") as folder:
        folder.write(result)
    for name in TABLES:
        read = pd.read_csv(tmp_path / "out" / f"{name}.csv", keep_default_na=False)
        pd.testing.assert_frame_equal(read, result.table(name), check_dtype=False)
    content = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    provenance = content.pop("reproducibility")
    assert content == json.loads(json.dumps(result.summary()))
    assert provenance["seed"] == 0
    assert provenance["chip_sha256"] == mlp.chip.sha256
    assert not (tmp_path / "out" / "outputs.npy").exists()


def test_a_run_in_which_nothing_is_sent_has_a_summary(mlp):
    result = run(mlp, activity=0.0)
    summary = result.summary()
    assert (summary["messages"], summary["synops"], len(result.table("links"))) == (0, 0, 0)
    assert set(summary["link_crossings"].values()) == {0}
    assert summary["neurobench_per_timestep"]["activation_sparsity"] == 1
    swept_ps = 20 * mlp.chip.actions.neuron_update.latency_ps
    assert summary["time_ps"] == 4 * (swept_ps + result.barrier_ps + mlp.management_ps)


def test_unknown_energies_are_named_in_the_summary(mlp):
    """An action without a known cost appears as null and by name, and adds nothing."""
    summary = run(mlp).summary()
    by_action = summary["energy_by_action_fj"]
    unknown = [name for name, energy in by_action.items() if energy is None]
    assert summary["actions_without_known_energy"] == unknown
    assert "message_in" in unknown
    known = sum(energy for energy in by_action.values() if energy is not None)
    assert summary["known_energy_per_timestep_fj"] == pytest.approx(known / 4)
    free = changed(mlp.chip, {"power.static_mw": None})
    without = run(replace(mlp, chip=free)).summary()
    assert "static" in without["actions_without_known_energy"]
