"""SANA-FE's YAML files, an architecture and a mapped network, as a chip file, a NIR graph and a partition of nsim.

Nothing of the two files is dropped in silence: `Account` has what became of every field, and carried.md tells it.
The format and its meaning are taken from SANA-FE's public documentation, from the example files of its package, and
from running sanafe 2.2.9; none of its code is used.

    tree          a YAML file whose nodes know their place and their fate
    architecture, network    the two files, checked
    neurons       units and parameters of every neuron, spikes of the inputs, and why spikes may differ
    graph, chip   what nsim reads
    account       carried.md
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import nir
import numpy as np

from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.formats.nir_graph import read_nir
from nsim.formats.sanafe.account import Account, account_text
from nsim.formats.sanafe.architecture import Architecture, read_architecture
from nsim.formats.sanafe.chip import chip_text, choose, tell_rest
from nsim.formats.sanafe.graph import Layers, all_edges, convolutions, layers_of, matrices, nir_graph, tell_edges
from nsim.formats.sanafe.network import Spiking, read_network
from nsim.formats.sanafe.neurons import Differences, kept_delays, resolve, tell_buffers, tell_inexact
from nsim.mapping.cores.partition import Partition, Rules, Slice
from nsim.mapping.cores.partition_file import write_partition
from nsim.mapping.network import map_network
from nsim.network.layers import Network
from nsim.network.synapses import Box, Shape
from nsim.result.folder import OutputFolder

CHIP, NETWORK, PARTITION, ACCOUNT = "chip.toml", "network.nir", "partition.toml", "carried.md"


def import_sanafe(
    architecture_file: str | Path,
    network_file: str | Path,
    out: str | Path,
    *,
    timesteps: int | None = None,
    seed: int = 0,
    force: bool = False,
) -> Account:
    """Write a folder with chip.toml, network.nir, partition.toml and carried.md, whole or not at all.

    timesteps   how long the inputs' spikes last; None: as long as the longest train, or 100
    seed        of the spikes that poisson inputs draw
    returns     what became of every field, as carried.md tells it
    raises      ChipError or NetworkError, one line with file, line and field, for what cannot be carried over in any
                way; OutputError if the folder cannot be written
    """
    arch_path, net_path = Path(architecture_file), Path(network_file)
    with OutputFolder(out, force) as folder:
        architecture = read_architecture(arch_path)
        network = read_network(net_path)
        differences = Differences()
        rng = np.random.default_rng(seed)
        neurons = resolve(network, architecture, timesteps, rng, differences)
        edges = all_edges(network, kept_delays(network, neurons))
        tell_buffers(neurons, edges.target, differences)
        tell_inexact(neurons, edges.target, edges.weight, differences)
        layers = layers_of(network, neurons)
        found = list(matrices(network, layers, edges))
        tell_edges(network, neurons, edges, convolutions(network, layers, edges), differences)
        chosen = choose(network, architecture, neurons, found, edges)
        text = chip_text(architecture, chosen, arch_path)
        costs = tell_rest(network, architecture, neurons, edges, found, chosen)
        _tell_network(network, layers)
        account = Account(
            arch_path.name,
            net_path.name,
            Path(out),
            architecture.root.rows(by_pattern=False),
            network.root.rows(by_pattern=True),
            text.assumed,
            differences.lines(),
            costs,
            len(neurons.trains),
        )

        def fill(partial: Path) -> None:
            text.write(partial / CHIP)
            nir.write(partial / NETWORK, nir_graph(layers, found, neurons))
            _write_partition(partial, architecture, network, layers)
            (partial / ACCOUNT).write_text(account_text(account), encoding="utf-8")

        folder.publish(fill)
    return account


def _tell_network(network: Spiking, layers: Layers) -> None:
    for key, node in network.root.table("sections").items():
        if key not in ("network", "mappings"):
            node.left("a section that SANA-FE does not read")
    if (name := network.root.need("network", "").get("name")) is not None:
        name.left("a network of nsim is named after its file")
    for group in network.groups:
        group.node.need("name", "").carried("name of a layer; inputs of all groups make one layer")
    for place in network.places:
        place.node.carried("core of the neuron, in partition.toml")


def _write_partition(folder: Path, architecture: Architecture, network: Spiking, layers: Layers) -> None:
    """A partition file with every neuron on its core; the mapping is made once, so that its limits are checked."""
    chip, loaded = load_chip(folder / CHIP), read_nir(folder / NETWORK)
    assert isinstance(chip, BarrierChip)  # it says so
    partition, placement = _partition(architecture, network, layers, loaded)
    map_network(loaded, chip, partition, placement)
    write_partition(partition, folder / PARTITION, Rules(loaded, chip), placement, f"The mapping of {network.name}.")


def _partition(
    architecture: Architecture, network: Spiking, layers: Layers, loaded: Network
) -> tuple[Partition, list[int]]:
    """Shares of every logical core, cores in the order in which the layers come to them, and their physical cores."""
    slices: dict[int, list[Slice]] = {}
    for layer in loaded.layers:
        if not layer.on_chip:
            continue
        cores = [_core_number(architecture, network, neuron) for neuron in layers.members[layer.name].tolist()]
        starts = [0, *(k for k in range(1, len(cores)) if cores[k] != cores[k - 1]), len(cores)]
        for low, high in pairwise(starts):
            slices.setdefault(cores[low], []).append(Slice(layer.name, _run(layer.shape, low, high)))
    return tuple(tuple(held) for held in slices.values()), list(slices)


def _run(shape: Shape, low: int, high: int) -> Box:
    """Neurons low..high of a layer, which are whole channels, or whole rows of the only one."""
    channels, rows, columns = shape
    if channels > 1 or rows * columns == 1:
        return Box((low // (rows * columns), high // (rows * columns)), (0, rows), (0, columns))
    return Box((0, 1), (low // columns, high // columns), (0, columns))


def _core_number(architecture: Architecture, network: Spiking, neuron: int) -> int:
    place = network.places[neuron]
    column, row = architecture.position(place.tile)
    return (row * architecture.width + column) * architecture.cores_per_tile + place.core


__all__ = ["Account", "import_sanafe"]
