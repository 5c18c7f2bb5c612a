"""The networks that both simulators run, as plain arrays, and how each of the two is told about them.

all_to_all_10, all_to_all_50  three layers of 1024 neurons, each layer to the next, 16 cores a layer; about 10 % and
                              50 % of the neurons fire in a timestep
random                        128 cores of 64 neurons; every neuron fires in every timestep and sends 8 messages to 8
                              random cores, each with 8 synapses
dvs                           1024 inputs, 3x3 convolutions to 3600, 5408, 7744 and 891 neurons, a dense layer of 11

The neurons are Loihi's, with integer weights and biases: both simulators then do the same arithmetic, and their spikes
can be compared one by one. Biases and thresholds are chosen so that activity comes near the published one; weights are
random. This module imports neither simulator until asked to build for it.
"""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KEEP_SCALE = 4096  # of Loihi's decay: v * keep / 4096


@dataclass(frozen=True)
class Group:
    """A layer. shape (channels, rows, columns), cores it is spread over evenly.

    bias  int64[neurons], or None for inputs that send the spikes they are given
    keep  4096ths of the voltage kept from one timestep to the next
    """

    name: str
    shape: tuple[int, int, int]
    cores: int
    bias: NDArray[np.int64] | None
    threshold: int = 0
    keep: int = KEEP_SCALE

    @property
    def neurons(self) -> int:
        return int(np.prod(self.shape))


@dataclass(frozen=True)
class Link:
    """Synapses between two groups, or of a group with itself.

    kind     dense: weights int8[targets, sources] · conv: weights int8[out, in, 3, 3] ·
             sparse: weights int8[synapses], with indptr int64[sources + 1] and target int32[synapses]
    """

    source: str
    target: str
    kind: str
    weights: NDArray[np.int8]
    stride: int = 1
    indptr: NDArray[np.int64] | None = None
    index: NDArray[np.int32] | None = None


@dataclass(frozen=True)
class Net:
    """A network with its input: spikes bool[timesteps, inputs] if the first group takes spikes, else None."""

    name: str
    groups: tuple[Group, ...]
    links: tuple[Link, ...]
    timesteps: int
    spikes: NDArray[np.bool_] | None = None

    @property
    def frames(self) -> NDArray:
        """The input as nsim takes it: spikes by timestep, or the biases of the first group, held."""
        first = self.groups[0]
        return first.bias.reshape(first.shape) if self.spikes is None else self.spikes.reshape(-1, *first.shape)

    def save(self, path: Path) -> None:
        with path.open("wb") as file:
            pickle.dump(self, file, protocol=5)

    @staticmethod
    def load(path: Path) -> Net:
        with path.open("rb") as file:
            return pickle.load(file)


# --- the networks -------------------------------------------------------------------------------------------


def all_to_all(active: float, timesteps: int, seed: int = 1) -> Net:
    """Three layers of 1024 neurons, of which about the share `active` fires in a timestep.

    A bias carries each neuron to its threshold at a pace of its own, one to ten timesteps or more; the weights, of
    either sign, make the intervals irregular.
    """
    rng = np.random.default_rng(seed)
    threshold = 4_000
    # a neuron that gains b a timestep fires every floor(threshold / b) + 1 timesteps
    low, high = {0.1: (280, 560), 0.5: (1_000, 4_450)}[active]
    groups = tuple(Group(f"layer{k}", (1024, 1, 1), 16, rng.integers(low, high, 1024), threshold) for k in range(3))
    links = tuple(
        Link(f"layer{k}", f"layer{k + 1}", "dense", rng.integers(-32, 33, (1024, 1024)).astype(np.int8))
        for k in range(2)
    )
    return Net(f"all_to_all_{active:.0%}".rstrip("%"), groups, links, timesteps)


def random_net(timesteps: int, seed: int = 2) -> Net:
    """128 cores of 64 neurons: 8 messages of 8 synapses from every neuron in every timestep."""
    rng = np.random.default_rng(seed)
    cores, per_core, fan = 128, 64, 8
    neurons = cores * per_core
    core = np.argsort(rng.random((neurons, cores)), axis=1)[:, :fan]
    within = np.argsort(rng.random((neurons, fan, per_core)), axis=2)[:, :, :fan]
    index = np.sort((core[:, :, None] * per_core + within).reshape(neurons, -1), axis=1).astype(np.int32)
    indptr = np.arange(neurons + 1, dtype=np.int64) * fan * fan
    weights = rng.integers(1, 4, index.size) * rng.choice([-1, 1], index.size)
    group = Group("neurons", (neurons, 1, 1), cores, rng.integers(1_000, 1_100, neurons), threshold=500)
    link = Link("neurons", "neurons", "sparse", weights.astype(np.int8), indptr=indptr, index=index.ravel())
    return Net("random", (group,), (link,), timesteps)


def dvs(timesteps: int, seed: int = 3) -> Net:
    """A convolutional network of the size of the published DVS-gesture one, on 42 cores, with random weights.

    Input spikes are drawn for every timestep. Each neuron fires at a rate that its bias sets, disturbed by what
    arrives; the rates by layer are such that spikes, messages and synops come near 365, 2,500 and 51,500 a timestep.
    """
    rng = np.random.default_rng(seed)
    shapes = [(1, 32, 32), (16, 15, 15), (32, 13, 13), (64, 11, 11), (11, 9, 9), (11, 1, 1)]
    cores = [1, 4, 16, 16, 4, 1]
    threshold = 2_000
    period = [None, 45, 80, 74, 14, 4]  # mean timesteps between the spikes of a neuron
    groups = [Group("input", shapes[0], cores[0], None)]
    for k in range(1, len(shapes)):
        neurons = int(np.prod(shapes[k]))
        pace = threshold / period[k]
        bias = np.maximum(1, rng.integers(int(0.6 * pace), int(1.4 * pace), neurons))
        groups.append(Group(f"layer{k}", shapes[k], cores[k], bias, threshold))
    links = []
    for k in range(1, 5):
        kernel = rng.integers(-16, 17, (shapes[k][0], shapes[k - 1][0], 3, 3)).astype(np.int8)
        links.append(Link(groups[k - 1].name, groups[k].name, "conv", kernel, stride=2 if k == 1 else 1))
    dense = rng.integers(-16, 17, (11, 891)).astype(np.int8)
    links.append(Link("layer4", "layer5", "dense", dense))
    return Net("dvs", tuple(groups), tuple(links), timesteps, rng.random((timesteps, 1024)) < 0.06)


def build(name: str, quick: bool = False) -> Net:
    """One of the networks, with enough timesteps for a second or more of SANA-FE's time."""
    share = 5 if quick else 1
    makers = {
        "all_to_all_10": lambda: all_to_all(0.1, 200 // share),
        "all_to_all_50": lambda: all_to_all(0.5, 50 // share),
        "random": lambda: random_net(20 // share),
        "dvs": lambda: dvs(1000 // share),
    }
    return makers[name]()


NAMES = ("all_to_all_10", "all_to_all_50", "random", "dvs")


# --- nsim ---------------------------------------------------------------------------------------------------


def write_chip(folder: Path) -> Path:
    """A copy of chips/loihi.toml without its limit on outgoing axons, which SANA-FE does not check and `dvs` breaks."""
    from nsim.chip.file import available_chips

    text = available_chips()["loihi"].read_text(encoding="utf-8")
    changed = text.replace("axons_out = 4_096", "axons_out = 1_000_000")
    assert changed != text, "chips/loihi.toml states its outgoing axons in another way"
    path = folder / "loihi_for_benchmarks.toml"
    path.write_text(changed, encoding="utf-8")
    return path


def to_nsim(net: Net, chip_file: str | Path = "loihi") -> Any:
    """The network, mapped on Loihi by nsim."""
    from nsim import load_chip, map_network
    from nsim.network.layers import Connection, Layer, Network
    from nsim.network.neurons import FixedLif, Relay
    from nsim.network.synapses import Convolution, Dense, Sparse

    layers = []
    for group in net.groups:
        if group.bias is None:
            neuron: Any = Relay(binary=True)
        else:
            neuron = FixedLif(
                current_decay=KEEP_SCALE,
                voltage_decay=KEEP_SCALE - group.keep,
                threshold=group.threshold,
                bias=group.bias,
                is_input=group is net.groups[0],
            )
        layers.append(Layer(group.name, group.shape, neuron))
    shapes = {group.name: group.shape for group in net.groups}
    connections = []
    for link in net.links:
        ends = shapes[link.source], shapes[link.target]
        if link.kind == "dense":
            synapses: Any = Dense(link.weights, *ends)
        elif link.kind == "sparse":
            synapses = Sparse(link.indptr, link.index, link.weights, *ends)
        else:
            synapses = Convolution(link.weights, *ends, stride=(link.stride, link.stride))
        connections.append(Connection(link.source, link.target, synapses))
    network = Network(net.name, tuple(layers), tuple(connections), net.groups[0].name, net.groups[-1].name)
    return map_network(network, load_chip(chip_file), partition={group.name: group.cores for group in net.groups})


# --- SANA-FE ------------------------------------------------------------------------------------------------


def to_sanafe(net: Net, core: NDArray[np.int64], slot: NDArray[np.int64]) -> Any:
    """The same network on SANA-FE's Loihi, every neuron on the tile, the core and the place that nsim gave it.

    core, slot  int64[neurons] of the mapping; nsim numbers routers along the rows, SANA-FE tiles along the columns
    """
    import sanafe

    architecture = sanafe.load_loihi()
    columns, rows, per_tile = 8, 4, 4
    cores = {(tile.id, k): each for tile in architecture.tiles for k, each in enumerate(tile.cores)}
    network = sanafe.Network()
    incoming = {link.target: link.kind for link in net.links}
    groups = {}
    for group in net.groups:
        kind = incoming.get(group.name, "dense")
        attributes = {"threshold": float(group.threshold), "leak_decay": group.keep / KEEP_SCALE, "reset": 0.0}
        groups[group.name] = network.create_neuron_group(
            group.name,
            group.neurons,
            model_attributes={} if group.bias is None else attributes,
            soma_hw_name="loihi_inputs[0]" if group.bias is None else "loihi_lif",
            default_synapse_hw_name=f"loihi_{kind}_synapse",
            default_dendrite_hw_name="loihi_dendrites",
        )
    shapes = {group.name: group.shape for group in net.groups}
    for link in net.links:
        source, target = groups[link.source], groups[link.target]
        if link.kind == "conv":
            channels, height, width = shapes[link.source]
            kernel = link.weights.transpose(2, 3, 1, 0).astype(float).ravel()  # rows, columns, in, out
            out, _, taps_y, taps_x = link.weights.shape
            source.connect_neurons_conv2d(
                target, {"w": kernel}, width, height, channels, taps_x, taps_y, out, link.stride, link.stride
            )
        elif link.kind == "dense":
            source.connect_neurons_dense(target, {"w": link.weights.T.astype(float).ravel()})
        else:
            owner = np.repeat(np.arange(link.indptr.size - 1), np.diff(link.indptr))
            pairs = list(zip(owner.tolist(), link.index.tolist(), strict=True))
            source.connect_neurons_sparse(target, {"w": link.weights.astype(float)}, pairs)
    neurons_of = {name: group.neurons for name, group in groups.items()}
    for group in net.groups:
        neurons = neurons_of[group.name]
        for k in range(group.neurons):
            if group.bias is None:
                spikes = net.spikes[:, k].tolist()
                neurons[k].set_attributes(soma_hw_name=f"loihi_inputs[{k}]", model_attributes={"spikes": spikes})
            else:
                neurons[k].set_attributes(model_attributes={"bias": float(group.bias[k])})
    located = np.lexsort((slot, core))
    offsets = np.concatenate(([0], np.cumsum([group.neurons for group in net.groups])))
    owner = np.searchsorted(offsets, located, side="right") - 1
    for neuron, layer in zip(located.tolist(), owner.tolist(), strict=True):
        group = net.groups[layer]
        router, within = divmod(int(core[neuron]), per_tile)
        tile = (router % columns) * rows + router // columns
        neurons_of[group.name][neuron - int(offsets[layer])].map_to_core(cores[tile, within])
    chip = sanafe.SpikingChip(architecture)
    chip.load(network)
    return chip
