"""Connectomes: CSR arrays as a recurrent network, against a twin that adds up weights one matrix at a time."""

from __future__ import annotations

import zipfile

import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.errors import NetworkError
from nsim.formats.network import load_network
from nsim.mapping.network import map_network
from nsim.result.run import simulate
from tests.generators.commands import nsim, refused
from tests.generators.machines import shipped

F = np.float32


def random_graph(rng: np.random.Generator, neurons: int) -> dict[str, np.ndarray]:
    """A file's arrays: whole weights (sums are exact), some repeated synapses, and some of what may be left out."""
    fan_out = rng.integers(0, 6, neurons)
    indices = np.concatenate([np.sort(rng.integers(0, neurons, n)) for n in fan_out]).astype(rng.choice(["i4", "u8"]))
    arrays = {"indptr": np.concatenate(([0], np.cumsum(fan_out))), "indices": indices}
    arrays["weights"] = rng.integers(-3, 6, indices.size).astype(rng.choice(["i1", "f4", "f8"]))
    optional = {
        "delays": rng.integers(0, 5, indices.size if rng.random() < 0.7 else 1),
        "threshold": rng.integers(1, 5, neurons) / 2,
        "leak": rng.integers(0, 5, neurons) / 4 if rng.random() < 0.5 else np.array(0.25),
        "bias": rng.integers(-1, 3, neurons) / 4,
        "reset": -rng.integers(0, 3, 1) / 4,
        "inputs": np.flatnonzero(rng.random(neurons) < 0.5),
    }
    arrays |= {name: value for name, value in optional.items() if rng.random() < 0.7}
    if not arrays.get("inputs", np.ones(1)).size:
        del arrays["inputs"]
    driven = arrays.get("inputs", np.arange(neurons))
    return arrays | ({"input_weights": rng.integers(0, 4, driven.size)} if rng.random() < 0.5 else {})


def naive_spikes(arrays: dict[str, np.ndarray], stimulus: np.ndarray) -> np.ndarray:
    """bool[timesteps, neurons]: v += leak (0 - v) + sum + bias, every message under way for 1 + delay timesteps."""
    neurons, timesteps = arrays["indptr"].size - 1, len(stimulus)
    source = np.repeat(np.arange(neurons), np.diff(arrays["indptr"].astype(int)))
    delays = np.broadcast_to(arrays.get("delays", 0), source.size)
    matrices = np.zeros((6, neurons, neurons))
    np.add.at(matrices, (delays, arrays["indices"].astype(int), source), arrays["weights"])
    threshold, leak, bias, reset = (
        np.broadcast_to(arrays.get(name, usual), neurons).astype(F)
        for name, usual in (("threshold", 1), ("leak", 0), ("bias", 0), ("reset", 0))
    )
    driven = arrays.get("inputs", np.arange(neurons))
    sums = np.zeros((timesteps + 7, neurons), F)
    weights = np.broadcast_to(arrays.get("input_weights", 2 * threshold[driven]), driven.size)
    for step in range(timesteps):
        sums[step + 1, driven] += (stimulus[step] * weights).astype(F)
    v, spikes = np.zeros(neurons, F), np.zeros((timesteps, neurons), bool)
    for step in range(timesteps):
        v += leak * (0 - v) + (sums[step] + bias)
        spikes[step] = v > threshold
        v = np.where(spikes[step], reset, v)
        for delay in range(6):
            sums[step + 1 + delay] += (matrices[delay] @ spikes[step]).astype(F)
    return spikes


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 24), st.booleans())
def test_spikes_are_those_of_the_twin(tmp_path_factory, seed, neurons, packed):
    """Each timestep's spikes, on as many cores as neurons allow, and the same times in both engines."""
    rng = np.random.default_rng(seed)
    arrays = random_graph(rng, neurons)
    path = tmp_path_factory.mktemp("graphs") / "graph.npz"
    (np.savez_compressed if packed else np.savez)(path, **arrays)
    stimulus = rng.random((12, arrays.get("inputs", np.arange(neurons)).size)) < 0.4
    network = load_network(path)
    mapping = map_network(network, shipped("kapoho-point"), f"even:{min(5, neurons)}", precision="float")
    results = [
        simulate(mapping, stimulus[None, :, :, None, None], engine=engine, drain=False, record={"neurons": "s"})
        for engine in ("compiled", "simpy")
    ]
    for result in results:
        assert (result.record["neurons.s"] != 0).tolist() == naive_spikes(arrays, stimulus).tolist()
    assert results[0].step_ps.tolist() == results[1].step_ps.tolist()
    assert results[0].summary()["time_ps"] == results[1].summary()["time_ps"]


RING = {"indptr": np.arange(5), "indices": np.array([1, 2, 3, 0]), "weights": np.full(4, 2.0)}


def saved(tmp_path, **changes):
    path = tmp_path / "ring.npz"
    np.savez(path, **{name: value for name, value in (RING | changes).items() if value is not None})
    return path


def test_a_matrix_of_scipy_is_the_same_network(tmp_path):
    matrix = scipy.sparse.csr_array((RING["weights"], RING["indices"], RING["indptr"]), shape=(4, 4))
    scipy.sparse.save_npz(tmp_path / "scipy.npz", matrix)
    own, other = (load_network(path).connections for path in (saved(tmp_path), tmp_path / "scipy.npz"))
    for one, two in zip(own, other, strict=True):
        for name in ("indptr", "target_index", "values"):
            assert getattr(one.synapses, name).tolist() == getattr(two.synapses, name).tolist()


def test_a_spike_goes_round_a_ring(tmp_path):
    """One spike in, and a delay of 2 on one of four synapses: round in 4 + 2 timesteps, for ever."""
    path = saved(tmp_path, delays=np.array([0, 2, 0, 0]), inputs=np.array([0]), threshold=np.array(1.0), leak=0.0)
    stimulus = np.zeros((20, 1))
    stimulus[0] = 1
    network = load_network(path)
    result = simulate(
        map_network(network, shipped("loihi2")), stimulus[None, :, :, None, None], record={"neurons": "s"}, drain=False
    )
    step, neuron = np.nonzero(result.record["neurons.s"])
    assert list(zip(step.tolist(), neuron.tolist(), strict=True))[:6] == [
        (1, 0),
        (2, 1),
        (5, 2),
        (6, 3),
        (7, 0),
        (8, 1),
    ]
    assert network.notes == ()


def test_run_and_map(tmp_path):
    """Without an input the share of neurons that send is drawn, and what the file leaves open is said."""
    path = saved(tmp_path)
    told = nsim("run", path, "--chip", "kapoho-point", "--timesteps", "5")
    assert told.returncode == 0, told.stderr
    assert "no array 'activity': 10% of the neurons" in " ".join(told.stdout.split())
    np.save(tmp_path / "spikes.npy", np.eye(4)[None])
    told = nsim("run", path, "--chip", "loihi", "--input", tmp_path / "spikes.npy")
    assert told.returncode == 0, told.stderr
    assert "no array 'threshold': 1 is assumed" in " ".join(told.stdout.split())
    assert nsim("map", path, "--chip", "mosaic", "--grid", "2x2", "--neurons-per-tile", "4").returncode == 0


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"indptr": None}, "has no array 'indptr', only indices, weights"),
        ({"weights": None}, "neither 'weights' nor 'data'"),
        ({"data": np.ones(4)}, "both 'weights' and 'data'"),
        ({"delay": 3}, "an array 'delay', which no connectome has, did you mean \"delays\"?"),
        ({"indptr": np.arange(6)}, "indptr goes from 0 to 5: give 0 to the 4 synapses"),
        ({"indptr": np.arange(1, 6)}, "indptr goes from 1 to 5"),
        ({"indptr": np.array([0, 3, 2, 3, 4])}, "indptr falls from 3 to 2 at neuron 1"),
        ({"indptr": np.array([0])}, "indptr has 1 entries: give neurons + 1"),
        ({"indptr": np.arange(5.0)}, "indptr holds float64: give whole numbers"),
        ({"indptr": np.arange(5)[None]}, "indptr has shape (1, 5): give a list"),
        ({"indices": np.array([1.0, 2, 3, 0])}, "indices holds float64: give whole numbers"),
        ({"indices": np.array([1, 2, 4, 0])}, "indices is 4 at 2: give 0 to 3"),
        ({"indices": np.array([1, 2, -1, 0])}, "indices is -1 at 2: give 0 to 3"),
        ({"indices": np.array([1, 2, 2**64 - 1, 0], "u8")}, f"indices is {2**64 - 1} at 2"),
        ({"indptr": np.array([0, 0, 4, 4, 4])}, "indices of neuron 1 do not ascend: sort them"),
        ({"weights": np.ones(3)}, "weights has 3 entries: give 4"),
        (
            {"weights": np.array([1, np.nan, 1, np.inf])},
            "weights has 2 values that are NaN, infinite or beyond float32",
        ),
        ({"weights": np.array([1, 1e39, 1, 1])}, "beyond float32, the first at 1"),
        ({"weights": np.ones(4, complex)}, "weights holds complex128: give integers or real numbers"),
        ({"weights": np.array(["a"] * 4)}, "weights holds <U1"),
        ({"weights": np.array([{}] * 4)}, "holds pickled Python objects"),
        ({"delays": np.array([0, -1, 0, 0])}, "delays is -1 at 1: give 0 to 62"),
        ({"delays": 63}, "delays is 63 at 0: give 0 to 62"),
        ({"delays": 1.5}, "delays holds float64: give whole numbers"),
        ({"delays": np.zeros(3, int)}, "delays has 3 entries: give 1 or 4"),
        ({"threshold": np.ones(3)}, "threshold has 3 entries: give 1 or 4"),
        ({"threshold": 0.0}, "threshold is 0.0 at 0: give more than 0"),
        ({"leak": 1.5}, "leak is 1.5 at 0: give 0 to 1"),
        ({"bias": np.nan}, "bias has 1 values that are NaN"),
        ({"activity": 1.2}, "activity is 1.2"),
        ({"weight_bits": 0}, "weight_bits is 0 at 0: give 1 to 32"),
        ({"inputs": np.array([1, 1])}, "inputs has 2 neurons that do not ascend"),
        ({"inputs": np.array([], int)}, "inputs has 0 neurons"),
        ({"inputs": np.array([4])}, "inputs is 4 at 0: give 0 to 3"),
        ({"inputs": np.array([2]), "input_weights": np.ones(2)}, "input_weights has 2 entries: give 1"),
        ({"weights": None, "data": np.ones(4), "shape": np.array([4, 5])}, "is 4 x 5 with 4 rows: give a square"),
        ({"weights": None, "data": np.ones(4), "format": b"csc"}, "is in sparse format"),
    ],
)
def test_bad_files_get_one_line(tmp_path, changes, problem):
    assert problem in refused("run", saved(tmp_path, **changes), "--chip", "loihi2")


def test_damaged_files(tmp_path):
    path = saved(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    assert "cannot be read as .npz archive" in refused("run", path, "--chip", "loihi2")
    assert "takes no options" in refused("run", f"{path}:neurons=3", "--chip", "loihi2")
    assert "does not exist" in refused("run", tmp_path / "other.npz", "--chip", "loihi2")
    path.write_bytes(content)
    with zipfile.ZipFile(path, "a") as archive:  # a header that declares more than is there
        archive.writestr(
            "delays.npy",
            b"\x93NUMPY\x01\x00\x46\x00"
            + repr({"descr": "<i8", "fortran_order": False, "shape": (10**13,)}).ljust(69).encode()
            + b"\n",
        )
    assert "declares (10000000000000,)" in refused("run", path, "--chip", "loihi2")


def test_more_neurons_than_the_board_holds(tmp_path):
    """Chip, resource, needed and available."""
    empty = {"indptr": np.zeros(150_001, int), "indices": np.zeros(0, int), "weights": np.zeros(0)}
    told = refused("run", saved(tmp_path, **empty), "--chip", "loihi")
    assert "needs 147 cores, but chip 'loihi' has 128" in told
    assert "a board of 2 chips" in told


def test_large_files_are_read_at_once(tmp_path):
    """A million synapses in well under a second: nothing is read synapse by synapse."""
    rng = np.random.default_rng(0)
    fan_out = rng.multinomial(1_000_000, np.full(20_000, 1 / 20_000))
    source = np.repeat(np.arange(20_000), fan_out)
    indices = rng.integers(0, 20_000, 1_000_000)
    order = np.lexsort((indices, source))
    arrays = {"indptr": np.concatenate(([0], np.cumsum(fan_out))), "indices": indices[order]}
    path = saved(tmp_path, **arrays, weights=np.ones(1_000_000, F), delays=rng.integers(0, 3, 1_000_000))
    network = load_network(path)
    assert sum(c.synapses.values.size for c in network.connections if c.source == "neurons") == 1_000_000
    with pytest.raises(NetworkError, match="give 0 to 62"):
        load_network(saved(tmp_path, **arrays, weights=np.ones(1_000_000, F), delays=np.full(1_000_000, -1)))
