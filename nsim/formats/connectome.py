"""Connectomes: who is connected to whom, as arrays that numpy.savez writes, read as a recurrent network of LIF neurons.

indptr         whole numbers [neurons + 1]  neuron n owns the synapses indptr[n]:indptr[n + 1]
indices        whole numbers [synapses]     the neuron that each leads to, ascending within one neuron's synapses
weights        numbers [synapses]           or `data`, as scipy.sparse.save_npz calls them
All others may be left out:
delays         whole numbers, 0 to 62 timesteps beyond the one that every message takes: one, or [synapses]
threshold, leak, bias, reset   numbers of the neurons (`nsim.network.neurons.Lif`, gain 1): one each, or [neurons]
inputs         whole numbers, ascending     neurons that an input drives, each by a synapse of its own; all if left out
input_weights  numbers of these synapses: one, or [inputs]
activity       share of the neurons that send in a timestep, of runs that are given neither input nor activity
weight_bits    of a stored weight
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import nearest
from nsim.errors import InputError, NetworkError
from nsim.formats.numpy_files import existing, read_npz
from nsim.network.layers import MAX_DELAY, Connection, Layer, Network
from nsim.network.neurons import Lif, Relay
from nsim.network.synapses import Sparse

ARRAYS: tuple[str, ...] = ("indptr", "indices", "weights", "delays", "threshold", "leak", "bias", "reset")
ARRAYS += ("inputs", "input_weights", "activity", "weight_bits")
SCIPY = ("format", "shape", "data", "_is_array")  # what scipy.sparse.save_npz writes beside indptr and indices
THRESHOLD, LEAK, ACTIVITY, WEIGHT_BITS = 1.0, 0.0, 0.1, 8  # of files that do not say
MOST_NEURONS = 2**31 - 1
Arrays = dict[str, NDArray]


@dataclass(frozen=True, eq=False)
class Graph:
    """Checked synapses by source neuron.

    indptr   int64[neurons + 1]
    indices  int32[synapses]   target neuron, ascending within a source
    weights  [synapses]        finite, integers or floats
    """

    indptr: NDArray[np.int64]
    indices: NDArray[np.int32]
    weights: NDArray

    @property
    def neurons(self) -> int:
        return self.indptr.size - 1

    def some(self, kept: NDArray[np.bool_]) -> Sparse:
        """These synapses, bool[synapses]."""
        before = np.concatenate(([0], np.cumsum(kept)))
        shape = (self.neurons, 1, 1)
        return Sparse(before[self.indptr], self.indices[kept], self.weights[kept], shape, shape)


def read_connectome(path: str | Path) -> Network:
    """The network of a file, named after it: a layer `input` of spikes that the host sends, and a layer `neurons`.

    raises   NetworkError if the file cannot be read, or an array is missing, unknown, of another size, or wrong
    """
    path = Path(path)
    arrays = _read(path)
    graph, notes = _graph(path, arrays), []
    neuron = _neuron(path, arrays, graph.neurons)
    for name, usual in (("threshold", THRESHOLD), ("leak", LEAK)):
        if name not in arrays:
            notes.append(f"{path.name} has no array {name!r}: {usual:g} is assumed for all neurons")
    driven, activity = _input(path, arrays, neuron, graph.neurons), ACTIVITY
    if "activity" in arrays:
        activity = float(_numbers(path, arrays, "activity", (1,), 0, 1).item())
    bits = int(_wholes(path, arrays, "weight_bits", (1,), 1, 32).item()) if "weight_bits" in arrays else WEIGHT_BITS
    layers = (
        Layer("input", driven.source_shape, Relay(binary=True), on_chip=False),
        Layer("neurons", driven.target_shape, neuron),
    )
    connections = [Connection("input", "neurons", driven, weight_bits=bits)]
    for delay, synapses in _by_delay(path, arrays, graph):
        connections.append(Connection("neurons", "neurons", synapses, source_delay=delay, weight_bits=bits))
    assumed = f"{path.name} has no array 'activity': {ACTIVITY:.0%} of the neurons send in a timestep, which is assumed"
    return Network(
        path.stem,
        layers,
        tuple(connections),
        "input",
        "neurons",
        activity={"input": 0.0, "neurons": activity},
        notes=tuple(notes),
        activity_notes=() if "activity" in arrays else (assumed,),
        exported=True,
    )


def read_graph(path: str | Path) -> Graph:
    """The synapses alone. raises NetworkError"""
    return _graph(Path(path), _read(Path(path)))


def _read(path: Path) -> Arrays:
    """The arrays of a file by name, all of them known; `weights` under this name."""
    try:
        arrays = read_npz(existing(path, (".npz",)), lambda names: _known(path, names))
    except InputError as error:
        raise NetworkError(str(error)) from None
    kind = arrays.pop("format", np.array("csr")).ravel()
    if kind.size != 1 or kind[0] not in (b"csr", "csr"):
        raise NetworkError(f"{path} is in sparse format {str(kind.tolist())[:40]}: save matrix.tocsr() instead")
    if "data" in arrays:
        arrays["weights"] = arrays.pop("data")
    return arrays


def _known(path: Path, names: Sequence[str]) -> list[str]:
    """All arrays of a file but what says nothing. raises InputError if one is missing, or unknown"""
    known = [*ARRAYS, *SCIPY] if "data" in names else list(ARRAYS)
    for name in ("indptr", "indices"):
        if name not in names:
            found = ", ".join(sorted(names)[:10]) or "none"
            raise InputError(
                f"{path} has no array {name!r}, only {found[:200]}: a connectome has indptr, indices and weights "
                "(docs/files-in.md), or is a matrix saved with scipy.sparse.save_npz"
            )
    if ("weights" in names) == ("data" in names):
        which = "both 'weights' and 'data'" if "data" in names else "neither 'weights' nor 'data'"
        raise InputError(f"{path} has {which}: give the weight of every synapse once")
    for name in names:
        if name not in known:
            hint = nearest(name, known) or f": its arrays are {', '.join(ARRAYS)}"
            raise InputError(f"{path} has an array {name[:40]!r}, which no connectome has{hint}")
    return [name for name in names if name != "_is_array"]


def _graph(path: Path, arrays: Arrays) -> Graph:
    indptr, indices = (_wholes(path, arrays, name, None) for name in ("indptr", "indices"))
    neurons, synapses = indptr.size - 1, indices.size
    if not 1 <= neurons <= MOST_NEURONS:
        raise NetworkError(f"{path}: indptr has {indptr.size} entries: give neurons + 1, for 1 to {MOST_NEURONS:,}")
    if "shape" in arrays and _wholes(path, arrays, "shape", None).tolist() != [neurons, neurons]:
        shown = " x ".join(map(str, arrays["shape"].tolist()))
        raise NetworkError(f"{path} is {shown} with {neurons} rows: give a square matrix, rows source neurons")
    if indptr[0] != 0 or indptr[-1] != synapses:
        raise NetworkError(
            f"{path}: indptr goes from {indptr[0]} to {indptr[-1]}: give 0 to the {synapses} synapses of indices"
        )
    falls = np.flatnonzero(indptr[1:] < indptr[:-1])
    if falls.size:
        row = int(falls[0])
        raise NetworkError(f"{path}: indptr falls from {indptr[row]} to {indptr[row + 1]} at neuron {row}: sort it")
    _within(path, "indices", indices, 0, neurons - 1)
    begins = np.zeros(synapses + 1, bool)
    begins[indptr] = True
    unsorted = np.flatnonzero((indices[1:] < indices[:-1]) & ~begins[1:-1])
    if unsorted.size:
        row = int(np.searchsorted(indptr, unsorted[0], side="right")) - 1
        raise NetworkError(f"{path}: indices of neuron {row} do not ascend: sort them (scipy: matrix.sort_indices())")
    weights = _numbers(path, arrays, "weights", (synapses,))
    return Graph(indptr.astype(np.int64), indices.astype(np.int32), weights)


def _neuron(path: Path, arrays: Arrays, neurons: int) -> Lif:
    """The model of all neurons; a parameter is one number, or one for each."""
    least = float(np.finfo(np.float32).tiny)
    ends: dict[str, tuple[float | None, float | None]] = {"threshold": (least, None), "leak": (0, 1)}
    given: dict[str, Any] = {
        name: _numbers(path, arrays, name, (1, neurons), *ends.get(name, (None, None)))
        for name in ("threshold", "leak", "bias", "reset")
        if name in arrays
    }
    return Lif(**{"threshold": THRESHOLD, "leak": LEAK, "gain": 1.0, **given})


def _input(path: Path, arrays: Arrays, neuron: Lif, neurons: int) -> Sparse:
    """A synapse from every element of the input to the neuron that it drives: by default, a spike makes it fire."""
    driven: NDArray = np.arange(neurons)
    if "inputs" in arrays:
        driven = _wholes(path, arrays, "inputs", None)
        _within(path, "inputs", driven, 0, neurons - 1)
        if not driven.size or (driven[1:] <= driven[:-1]).any():
            raise NetworkError(f"{path}: inputs has {driven.size} neurons that do not ascend: name each once, in order")
    weights = 2 * np.broadcast_to(np.asarray(neuron.threshold), neurons)[driven]
    if "input_weights" in arrays:
        weights = np.broadcast_to(_numbers(path, arrays, "input_weights", (1, driven.size)), driven.size).copy()
    shapes = (driven.size, 1, 1), (neurons, 1, 1)
    return Sparse(np.arange(driven.size + 1), driven.astype(np.int32), weights, *shapes)


def _by_delay(path: Path, arrays: Arrays, graph: Graph) -> list[tuple[int, Sparse]]:
    """The synapses of each delay that there is."""
    synapses = graph.indices.size
    given = np.zeros(1, np.int64)
    if "delays" in arrays:
        given = _wholes(path, arrays, "delays", (1, synapses))
        _within(path, "delays", given, 0, MAX_DELAY)
    if given.size == 1:
        return [(int(given[0]), graph.some(np.ones(synapses, bool)))]
    return [(delay, graph.some(given == delay)) for delay in np.unique(given).tolist()]


def _wholes(
    path: Path, arrays: Arrays, name: str, sizes: tuple[int, ...] | None, low: int | None = None, high: int = 0
) -> NDArray:
    """A list of whole numbers of one of these sizes; a single number is a list of one."""
    array = _list(path, arrays, name, sizes)
    if array.dtype.kind not in "iu":
        raise NetworkError(f"{path}: {name} holds {array.dtype}: give whole numbers, such as int64")
    if low is not None:
        _within(path, name, array, low, high)
    return array


def _numbers(
    path: Path,
    arrays: Arrays,
    name: str,
    sizes: tuple[int, ...],
    low: float | None = None,
    high: float | None = None,
) -> NDArray:
    """A list of finite numbers within these ends, of one of these sizes."""
    array = _list(path, arrays, name, sizes)
    if array.dtype.kind not in "biuf":
        raise NetworkError(f"{path}: {name} holds {array.dtype}: give integers or real numbers")
    if array.dtype.kind != "f":
        array = array.astype(np.float32)
    bad = ~np.isfinite(array) | (np.abs(array) > np.finfo(np.float32).max)
    if bad.any():
        raise NetworkError(
            f"{path}: {name} has {np.count_nonzero(bad)} values that are NaN, infinite or beyond float32, the first at "
            f"{int(np.argmax(bad))}: mend the file"
        )
    _within(path, name, array, low, high)
    return array.astype(np.float32)


def _list(path: Path, arrays: Arrays, name: str, sizes: tuple[int, ...] | None) -> NDArray:
    array = arrays[name]
    if array.ndim > 1:
        raise NetworkError(f"{path}: {name} has shape {array.shape}: give a list")
    array = np.atleast_1d(array)
    if sizes is not None and array.size not in sizes:
        raise NetworkError(f"{path}: {name} has {array.size} entries: give {' or '.join(map(str, sorted(set(sizes))))}")
    return array


def _within(path: Path, name: str, array: NDArray, low: float | None, high: float | None) -> None:
    """Refuse values outside these ends."""
    outside = np.zeros(array.size, bool)
    if low is not None:
        outside |= array < low
    if high is not None:
        outside |= array > high
    if outside.any():
        _outside(path, name, array, int(np.argmax(outside)), low, high)


def _outside(path: Path, name: str, array: NDArray, place: int, low: float | None, high: float | None) -> NoReturn:
    wanted = f"{low} to {high}" if high is not None else f"more than 0, at least {low:.2g}"
    raise NetworkError(f"{path}: {name} is {array[place]} at {place}: give {wanted}")
