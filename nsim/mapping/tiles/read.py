"""Networks for the tiles: a matrix (.npy, .npz), the recurrent layer of a NIR graph, or a random network."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, NetworkError, require
from nsim.formats.connectome import read_graph
from nsim.formats.numpy_files import existing, read_npy, read_npz
from nsim.mapping.tiles.connectivity import Connectivity, check_weights
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.profile import parse_profile, random_network
from nsim.network.layers import Layer, Network
from nsim.network.neurons import Relay
from nsim.network.synapses import Dense, Sparse, Synapses

SUFFIXES = (".npy", ".npz", ".nir")
CSR = ("format", "shape", "indptr", "indices", "data")


@dataclass(frozen=True, eq=False)
class TileNetwork:
    """A network with one layer for the tiles.

    whole         all layers; of a bare connectivity, one layer without a neuron model (has_neurons is False)
    layer         the one whose neurons go on the tiles; the others are outside
    connectivity  of that layer
    """

    whole: Network
    layer: str
    connectivity: Connectivity
    has_neurons: bool = True

    @staticmethod
    def bare(connectivity: Connectivity) -> TileNetwork:
        """Neurons of which only the connections are known."""
        layer = Layer("neurons", (connectivity.neurons, 1, 1), Relay())
        return TileNetwork(
            Network(connectivity.name, (layer,), (), "neurons", "neurons"), "neurons", connectivity, False
        )


ForTiles = Network | TileNetwork | NDArray | str | Path  # what can be mapped on tiles, see `for_tiles`


def load_for_tiles(name: str | Path, dt_s: float | None = None) -> TileNetwork | str:
    """What a name on the command line stands for.

    name     a matrix[source, target] of weights or booleans: .npy, or .npz with one array or written by
             scipy.sparse.save_npz (CSR); a connectome (nsim/formats/connectome.py); a .nir graph with one recurrent
             layer; or "random:p1=0.95,p3=0.1", which stays a text until it is mapped, since such a network has as many
             neurons as the tiles hold
    dt_s     seconds per timestep, for NIR graphs whose time constants are in seconds
    raises   NetworkError if it cannot be read or is no square of finite numbers
    """
    text = str(name)
    if text.startswith("random:"):
        parse_profile(text.removeprefix("random:"))
        return text
    path = _path_of(text)
    try:
        if path.suffix.lower() == ".npy":
            return TileNetwork.bare(Connectivity.from_matrix(read_npy(path), text))
        if path.suffix.lower() == ".npz":
            return TileNetwork.bare(_from_npz(path, text))
    except InputError as error:
        raise NetworkError(str(error)) from None
    require("nir", str(path), NetworkError)
    from nsim.formats.nir_graph import read_nir  # an extra

    return recurrent(read_nir(path, dt_s=dt_s), str(path))


def for_tiles(network: ForTiles, fabric: Fabric, rng: np.random.Generator) -> TileNetwork:
    """A network to be mapped, from what `nsim.map_network` takes; `rng` draws a random one, on all neurons."""
    if isinstance(network, str | Path):
        loaded = load_for_tiles(network)
        if isinstance(loaded, TileNetwork):
            return loaded
        return TileNetwork.bare(random_network(fabric, parse_profile(loaded.removeprefix("random:")), rng))
    if isinstance(network, TileNetwork):
        return network
    if isinstance(network, Network):
        return recurrent(network, f"network {network.name!r}")
    return TileNetwork.bare(Connectivity.from_matrix(network, "matrix"))


def _path_of(text: str) -> Path:
    try:
        return existing(Path(text), SUFFIXES)
    except InputError as error:
        hint = "; or a random network, as in random:p1=0.95,p3=0.1" if "." not in text else ""
        raise NetworkError(f"{error}{hint}") from None


def _from_npz(path: Path, name: str) -> Connectivity:
    arrays = read_npz(path, _wanted)
    if {"indptr", "weights"} <= arrays.keys():
        graph = read_graph(path)
        source = np.repeat(np.arange(graph.neurons), np.diff(graph.indptr))[graph.weights != 0]
        return Connectivity.from_pairs(source, graph.indices[graph.weights != 0], graph.neurons, name)
    if len(arrays) == 1:
        return Connectivity.from_matrix(next(iter(arrays.values())), name)
    missing = [key for key in CSR if key not in arrays]
    if missing:
        found = ", ".join(sorted(arrays)[:10]) or "none"
        raise NetworkError(f"{name} holds the arrays {found}: give one matrix, or save it with scipy.sparse.save_npz")
    kind = arrays["format"].ravel()
    if kind.size != 1 or kind[0] not in (b"csr", "csr"):
        raise NetworkError(f"{name} is in sparse format {str(kind.tolist())[:40]}: save matrix.tocsr() instead")
    return _from_csr(name, *(arrays[key] for key in CSR[1:]))


def _wanted(names: list[str]) -> list[str]:
    """The arrays of a CSR matrix, or all of a few others."""
    return [key for key in (*CSR, "weights") if key in names] if "indptr" in names else names[:20]


def _from_csr(name: str, shape: NDArray, indptr: NDArray, indices: NDArray, data: NDArray) -> Connectivity:
    """Check that the four arrays are a square CSR matrix; stored zeros are no connections."""
    for key, array in (("shape", shape), ("indptr", indptr), ("indices", indices)):
        if array.dtype.kind not in "iu" or array.ndim != 1:
            raise NetworkError(f"{name}: {key} is {array.dtype} of shape {array.shape}: give a list of whole numbers")
    if shape.size != 2 or shape[0] != shape[1]:
        shown = " x ".join(map(str, shape.tolist()))
        raise NetworkError(f"{name} is {shown}: give a square matrix, rows source and columns target neurons")
    neurons = int(shape[0])
    if neurons < 1:
        raise NetworkError(f"{name} is {neurons} x {neurons}: give a matrix of at least 1 neuron")
    check_weights(data, name)
    steps: NDArray[np.int64] = indptr[1:].astype(np.int64) - indptr[:-1].astype(np.int64)
    fits = indptr.size == neurons + 1 and indices.shape == data.shape and not (steps < 0).any()
    if not fits or indptr[0] != 0 or indptr[-1] != indices.size:
        raise NetworkError(
            f"{name} is no CSR matrix: {indptr.size} row pointers do not fit {neurons} rows, {indices.size} "
            f"columns and {data.size} values: write it again"
        )
    if indices.size and not (int(indices.min()) >= 0 and int(indices.max()) < neurons):
        raise NetworkError(f"{name} has column {int(indices.max())} or below 0 of {neurons} columns: write it again")
    stored = np.flatnonzero(data)
    source = np.repeat(np.arange(neurons), steps)
    return Connectivity.from_pairs(source[stored], indices[stored], neurons, name)


def recurrent(network: Network, name: str) -> TileNetwork:
    """A network and its recurrent layer: the one whose messages come back to itself.

    raises   NetworkError if it has none, or several
    """
    network.check_complete()
    own = [c for c in network.connections if c.source == c.target]
    layers = list(dict.fromkeys(c.source for c in own))
    if len(layers) != 1:
        found = f"{len(layers)} recurrent layers ({', '.join(layers)})" if layers else "no recurrent layer"
        raise NetworkError(f"{name} has {found}: give a graph with exactly one, whose neurons go on the tiles")
    neurons = network.by_name[layers[0]].neurons
    pairs = [_pairs_of(name, connection.synapses) for connection in own]
    source, target = (np.concatenate([pair[k] for pair in pairs]) for k in range(2))
    connectivity = Connectivity.from_pairs(source, target, neurons, f"{network.name}, layer {layers[0]}")
    return TileNetwork(network, layers[0], connectivity)


def _pairs_of(name: str, synapses: Synapses) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Source and target of every weight that is not 0."""
    if isinstance(synapses, Dense):
        target, source = np.nonzero(synapses.matrix)
        return source, target
    if not isinstance(synapses, Sparse):
        raise NetworkError(f"{name}: a recurrent connection is a {synapses.kind}: export it as a matrix (Linear)")
    kept = np.flatnonzero(synapses.values)
    source = np.repeat(np.arange(synapses.sources), np.diff(synapses.indptr))
    return source[kept], synapses.target_index[kept].astype(np.int64)
