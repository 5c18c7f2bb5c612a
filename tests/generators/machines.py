"""Small chips, networks and activity for the tests: made by hand, or drawn by hypothesis.

`hand_mapped` says for every neuron where it sits and what it sends, so that a test can write down a whole timeline.
`steps()` draws such timesteps at random on random machines, `mapped_networks()` real networks on small chips.
"""

from __future__ import annotations

import itertools
import math
import tempfile
from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from hypothesis import reject
from hypothesis import strategies as st
from numpy.typing import NDArray

from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.errors import MappingError
from nsim.machine.stations import MeshMachine, build_machine
from nsim.mapping.cores.copies import Copies
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, DiagonalState, Neuron, Relay, Threshold
from nsim.network.synapses import Convolution, Dense, Shape, Sparse, convolved_shape

LINKS = ("core_to_router", "router_to_core", "east_west", "north_south")
BOARD_OF = {"loihi": "nahuku32", "loihi2": "kapoho-point"}
MANY = 1_000_000  # places that are never all taken
AnyMachine = TypeVar("AnyMachine", bound=MeshMachine)


@cache
def shipped(name: str) -> BarrierChip:
    return load_chip(name)


def small_chip(
    columns: int = 1,
    rows: int = 1,
    cores_per_router: int = 1,
    *,
    update: int = 1,
    spike: int = 0,
    send: int = 1,
    links: MappingABC[str, tuple[int, int]] | tuple[int, int] = (1, 0),
    places: int | tuple[int, int, int] = 1,
    host: tuple[int, int] = (0, 0),
    base: str = "loihi2",
    chips: tuple[int, int] | None = None,
    **more: Any,
) -> BarrierChip:
    """A chip with these times in picoseconds.

    links   (service, wire) of all links, or by kind
    places  of all queues, or (message_in, message_out, link)
    chips   columns and rows of chips, each with this mesh: a board; None: a chip alone
    more    further values, with __ for the dots of their key path
    """
    message_in, message_out, link = places if isinstance(places, tuple) else (places,) * 3
    if chips is not None:
        base = BOARD_OF[base]
        more |= {"board__columns": chips[0], "board__rows": chips[1]}
    times = links if isinstance(links, MappingABC) else dict.fromkeys(shipped(base).links.model_fields_set, links)
    bits = shipped(base).messages.bits
    values: dict[str, Any] = {
        "mesh.columns": columns,
        "mesh.rows": rows,
        "mesh.cores_per_router": cores_per_router,
        "actions.neuron_update.latency_ps": update,
        "actions.spike.latency_ps": spike,
        "actions.message_out.latency_ps": send,
        "buffers.message_in": message_in,
        "buffers.message_out": message_out,
        "buffers.link": link,
        "host.router": host,
        "host.message_ps": send,
    }
    for kind, (service_ps, wire_ps) in times.items():
        values[f"links.{kind}.bandwidth_gbps"] = bits * 1000 / service_ps
        values[f"links.{kind}.wire_ps"] = wire_ps
    return changed(shipped(base), values | {key.replace("__", "."): value for key, value in more.items()})


def with_places(machine: MeshMachine, places: int) -> MeshMachine:
    """The same machine with so many places in every queue."""
    return replace(machine, capacity=np.full_like(machine.capacity, places))


@dataclass(frozen=True)
class Cell:
    """One neuron: its core, its place in the sweep, and the synapse time of its message at each destination core."""

    core: int
    slot: int
    copies: MappingABC[int, int]


def hand_mapped(chip: BarrierChip, cells: Sequence[Cell], allocated: MappingABC[int, int] | None = None) -> Mapping:
    """A mapping of these neurons; a core sweeps up to its last one, or `allocated` neurons."""
    core, slot = (np.array([getattr(cell, name) for cell in cells], np.int64) for name in ("core", "slot"))
    rows = [sorted(cell.copies.items()) for cell in cells]
    sent = np.array(list(itertools.chain.from_iterable(rows)), np.int64).reshape(-1, 2)
    target, service_ps = sent.T.copy()
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    swept = np.zeros(chip.cores + 1, np.int64)
    np.maximum.at(swept, core, slot + 1)
    swept[-1] = 0
    for number, neurons in (allocated or {}).items():
        swept[number] = neurons
    layer = Layer("cells", (len(cells), 1, 1), Relay())
    copies = Copies(indptr, target, np.zeros((target.size, 3), np.int64), np.zeros_like(target), service_ps)
    network = Network("by hand", (layer,), (), "cells", "cells")
    return Mapping(network, chip, None, (), (), np.zeros(0, np.int64), core, slot, swept, copies)


def everyone(mapping: Mapping) -> NDArray[np.int64]:
    """All neurons of a mapping, as those that fire."""
    return np.arange(mapping.core.size)


@dataclass(frozen=True, eq=False)
class Step:
    """What an engine is given. The repr is what hypothesis prints."""

    mapping: Mapping
    machine: MeshMachine
    firing: NDArray[np.int64]

    def __repr__(self) -> str:
        return f"{described(self.mapping, self.machine)}, firing {self.firing.tolist()}"


def described(mapping: Mapping, machine: MeshMachine) -> str:
    """A small machine and what is mapped on it, in words: core, slot and copies of every neuron."""
    copies, shape, board = mapping.copies, machine.chip.mesh, getattr(machine.chip, "board", None)
    chips = f" of {board.columns}x{board.rows} chips" if board else ""
    neurons = [
        (int(core), int(slot), dict(zip(copies.core[a:b].tolist(), copies.service_ps[a:b].tolist(), strict=True)))
        for core, slot, a, b in zip(mapping.core, mapping.slot, copies.indptr, copies.indptr[1:], strict=False)
    ]
    arrays = {name: getattr(machine, name).tolist() for name in ("capacity", "service_ps", "wire_ps")}
    return (
        f"mesh {shape.columns}x{shape.rows}x{shape.cores_per_router}{chips}, "
        f"host {machine.chip.host.router}, {arrays}, "
        f"neurons {neurons}, allocated {mapping.allocated.tolist()}"
    )


def random_times(rng: np.random.Generator, size: int, longest_ps: int) -> NDArray[np.int64]:
    return rng.integers(1, longest_ps + 1, size)


def random_chip(
    rng: np.random.Generator,
    columns: int,
    rows: int,
    cores_per_router: int,
    longest_ps: int,
    chips: tuple[int, int] | None = None,
) -> BarrierChip:
    """A small chip or board with random times, the same for all links of a kind."""
    across, down = chips or (1, 1)
    kinds = LINKS if chips is None else (*LINKS, "chip_to_chip")
    return small_chip(
        columns,
        rows,
        cores_per_router,
        update=int(rng.integers(0, longest_ps + 1)),
        spike=int(rng.integers(0, longest_ps + 1)),
        send=int(rng.integers(1, longest_ps + 1)),
        links={kind: (int(rng.integers(1, longest_ps + 1)), int(rng.integers(0, longest_ps + 1))) for kind in kinds},
        host=(int(rng.integers(columns * across)), int(rng.integers(rows * down))),
        chips=chips,
    )


def with_random_queues(
    rng: np.random.Generator, machine: AnyMachine, longest_ps: int, places: int, own_links: bool
) -> AnyMachine:
    """The same machine with so many places in every queue (0: 1 to 4 in each), and maybe own times of every link."""
    capacity = rng.integers(1, 5, machine.stations) if places == 0 else np.full(machine.stations, places)
    machine = replace(machine, capacity=np.where(machine.capacity > 0, capacity, 0))
    if not own_links:
        return machine
    link = np.zeros(machine.stations, bool)
    link[machine.first[2] : machine.first[5]] = True
    return replace(
        machine,
        service_ps=np.where(link, random_times(rng, link.size, longest_ps), machine.service_ps),
        wire_ps=np.where(link, random_times(rng, link.size, longest_ps + 1) - 1, machine.wire_ps),
    )


def random_step(
    rng: np.random.Generator,
    columns: int = 3,
    rows: int = 2,
    cores_per_router: int = 2,
    *,
    longest_ps: int = 2,
    places: int = 1,
    neurons: int = 20,
    hotspot: float = 0.0,
    own_links: bool = True,
    chips: tuple[int, int] | None = None,
    ports: int | None = None,
) -> Step:
    """A random timestep on a random machine.

    longest_ps  services last 1 to so many picoseconds, wires 0 to so many; few make many ties
    places      of every queue, or drawn from 1..4 for each of them if 0
    hotspot     share of copies that go to one core
    own_links   every link has its own service and wire time, else those of its kind
    chips       columns and rows of chips on a board; None: a chip alone
    ports       over each of their edges; None: one for each row or column
    """
    chip = random_chip(rng, columns, rows, cores_per_router, longest_ps, chips)
    chip = changed(chip, {"board.ports": ports}) if chips and ports else chip
    machine = with_random_queues(rng, build_machine(chip), longest_ps, places, own_links)
    hot = int(rng.integers(chip.cores))
    used = [0] * (chip.cores + 1)
    cells = []
    for _ in range(neurons):
        core = int(rng.integers(chip.cores + 1))
        used[core] += int(rng.random() < 0.2 and core < chip.cores)  # an allocated place without a neuron
        targets = rng.choice(chip.cores, min(chip.cores, int(rng.integers(0, 7))), replace=False)
        targets = np.where(rng.random(targets.size) < hotspot, hot, targets)
        cells.append(Cell(core, used[core], {int(t): int(rng.integers(1, longest_ps + 1)) for t in targets}))
        used[core] += 1
    allocated = {core: used[core] + int(rng.integers(3)) for core in range(chip.cores)}
    mapping = hand_mapped(chip, cells, allocated)
    firing = np.flatnonzero(rng.random(neurons) < rng.choice([0.3, 1.0]))
    return Step(mapping, machine, firing)


@st.composite
def steps(draw: st.DrawFn, places: st.SearchStrategy[int] | None = None, most_neurons: int = 30) -> Step:
    """Random timesteps: meshes of 1-4 x 1-3 routers with 1-3 cores, times of 1..1000 ps and often 1..2, hotspots.

    A chip alone, or up to 2 x 2 of them on a board.
    """
    return random_step(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed")),
        draw(st.integers(1, 4), label="columns"),
        draw(st.integers(1, 3), label="rows"),
        draw(st.integers(1, 3), label="cores per router"),
        longest_ps=draw(st.sampled_from([1, 2, 2, 5, 1000]), label="longest time"),
        places=draw(st.sampled_from([0, 1, 1, 2, 4, MANY]) if places is None else places, label="places"),
        neurons=draw(st.integers(1, most_neurons), label="neurons"),
        hotspot=draw(st.sampled_from([0.0, 0.0, 0.5, 1.0]), label="hotspot"),
        own_links=draw(st.booleans(), label="own links"),
        chips=draw(st.sampled_from([None, None, (1, 1), (2, 1), (1, 2), (2, 2)]), label="chips"),
        ports=draw(st.sampled_from([None, 1, 2]), label="ports"),
    )


def random_matrix(rng: np.random.Generator, targets: int, sources: int) -> NDArray[np.int64]:
    """Small whole weights, some of them zero."""
    return rng.integers(-3, 4, (targets, sources)) * (rng.random((targets, sources)) < rng.choice([0.2, 0.7, 1.0]))


def random_connection(rng: np.random.Generator, source: Layer, target: Layer, kind: str) -> Connection:
    matrix = random_matrix(rng, target.neurons, source.neurons)
    if kind == "dense":
        synapses: Any = Dense(matrix, source.shape, target.shape)
    else:
        synapses = Sparse.from_matrix(matrix, source.shape, target.shape)
    return Connection(source.name, target.name, synapses, weight_bits=int(rng.integers(1, 17)))


def random_convolution(rng: np.random.Generator, shape: Shape) -> Convolution | None:
    """A convolution that takes this shape, or None if the one drawn does not fit."""
    groups = int(rng.choice([1, 1, shape[0]]))
    out = groups * int(rng.integers(1, 4))
    kernel = rng.integers(-3, 4, (out, shape[0] // groups, int(rng.integers(1, 4)), int(rng.integers(1, 4))))
    stride, padding, dilation = (tuple(rng.integers(low, low + 2, 2).tolist()) for low in (1, 0, 1))
    to = convolved_shape(shape, kernel, stride, padding, dilation)
    return Convolution(kernel, shape, to, stride, padding, dilation, groups) if min(to) > 0 else None


def random_network(rng: np.random.Generator, layers: int = 3, graded: bool = False) -> Network:
    """A chain of dense, sparse and convolutional layers, sometimes with a further connection back or ahead."""

    def neuron(neurons: int) -> Neuron:
        if graded and neurons % 2 == 0 and rng.random() < 0.2:
            return DiagonalState(np.full(neurons // 2, 0.5j))
        return Activation() if graded and rng.random() < 0.5 else Threshold(0.5)

    shape = tuple(rng.integers(1, [4, 6, 8]).tolist()) if rng.random() < 0.6 else (int(rng.integers(1, 12)), 1, 1)
    made = [Layer("input", shape, Relay(binary=not graded), on_chip=bool(rng.random() < 0.2))]
    connections = []
    for number in range(layers):
        source, name = made[-1], f"layer{number}"
        convolution = random_convolution(rng, source.shape) if rng.random() < 0.6 else None
        if convolution is not None:
            made.append(Layer(name, convolution.target_shape, Threshold(0.5)))
            connections.append(Connection(source.name, name, convolution, weight_bits=int(rng.integers(1, 17))))
        else:
            neurons = int(rng.integers(1, 20))
            made.append(Layer(name, (neurons, 1, 1), neuron(neurons)))
            connections.append(random_connection(rng, source, made[-1], str(rng.choice(["dense", "sparse"]))))
    for _ in range(int(rng.integers(3))):
        source, target = made[int(rng.integers(len(made)))], made[int(rng.integers(1, len(made)))]
        connections.append(random_connection(rng, source, target, str(rng.choice(["dense", "sparse"]))))
    return Network("random", tuple(made), tuple(connections), "input", made[-1].name)


def random_partition(rng: np.random.Generator, network: Network, cores: int) -> str:
    """The text of a partition file: random slices of some layers, on cores that several of them may slice."""
    lines = []
    for layer in network.layers:
        if not layer.on_chip or rng.random() < 0.2:
            continue
        axes = [name for name, n in zip(("channels", "rows", "columns"), layer.shape, strict=True) if n > 1]
        axis = str(rng.choice(axes)) if axes else "channels"
        units = layer.shape[("channels", "rows", "columns").index(axis)] // layer.neuron.granule
        cuts = (
            np.sort(rng.choice(units - 1, int(rng.integers(0, min(units, 4))), replace=False) + 1) if units > 1 else []
        )
        sizes = np.diff([0, *cuts, units]) * layer.neuron.granule
        lines += [f"[layers.{layer.name}]", f"{axis} = {sizes.tolist()}"]
        if rng.random() < 0.8:
            lines.append(f"cores = {rng.integers(0, cores, sizes.size).tolist()}")
    return "\n".join(lines or ["[layers]"]) + "\n"


def mapped_from_text(network: Network, chip: BarrierChip, text: str, **options: Any) -> Mapping:
    """Map with a partition file of this content."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "partition.toml"
        path.write_text(text, encoding="utf-8")
        return map_network(network, chip, path, **options)


@st.composite
def mapped_networks(draw: st.DrawFn, base: str | None = None) -> Mapping:
    """Random networks on small variants of a shipped chip or board: default, even and user partitions, shared cores."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    name = base or draw(st.sampled_from(["loihi", "loihi2"]), label="chip")
    network = random_network(rng, draw(st.integers(1, 3), label="layers"), graded=name == "loihi2")
    columns, rows = draw(st.integers(3, 5), label="columns"), draw(st.integers(2, 4), label="rows")
    chips = draw(st.sampled_from([None, None, (2, 1), (1, 2)]), label="chips")
    chip = changed(
        shipped(BOARD_OF[name] if chips else name),
        ({"board.columns": chips[0], "board.rows": chips[1]} if chips else {})
        | {
            "mesh.columns": columns,
            "mesh.rows": rows,
            "mesh.cores_per_router": draw(st.integers(3, 4), label="cores per router"),
            "host.router": (int(rng.integers(columns)), int(rng.integers(rows))),
            "partition.conv_slice_neurons": int(rng.choice([32, 128, 1024])),
        },
    )
    options = {
        "placement": draw(st.sampled_from(["row-major", "greedy"]), label="placement"),
        "dense_layers": draw(st.sampled_from([None, "dense", "sparse"]), label="format of dense layers"),
    }
    way = draw(st.sampled_from(["default", "even", "file", "file"]), label="partition")
    most = min((max(layer.shape) // layer.neuron.granule for layer in network.layers), default=1)
    partition = "default" if way == "default" else f"even:{rng.integers(1, min(4, most) + 1)}"
    own = random_partition(rng, network, 6) if way == "file" else None
    for tried in (partition, "even:1"):  # small slices may need more cores than there are, one core may hold too little
        try:
            if own is not None:
                return mapped_from_text(network, chip, own, **options)
            return map_network(network, chip, tried, **options)
        except MappingError:
            own = None
    return reject()


def unrolled(synapses: Any, target_shape: Shape | None = None) -> tuple[NDArray[np.bool_], NDArray]:
    """A connection as matrices [targets, sources]: where there is a synapse, and its weight.

    target_shape   of a convolution: goes on beyond its layer
    """
    target_shape = target_shape or synapses.target_shape
    shape = math.prod(target_shape), synapses.sources
    if synapses.kind == "dense":
        return np.ones(shape, bool), synapses.matrix
    exists, weight = np.zeros(shape, bool), np.zeros(shape)
    if synapses.kind == "sparse":
        for source in range(synapses.sources):
            for synapse in range(synapses.indptr[source], synapses.indptr[source + 1]):
                target = synapses.target_index[synapse]
                exists[target, source], weight[target, source] = True, synapses.values[synapse]
        return exists, weight
    out, per_group, kernel_rows, kernel_columns = synapses.kernel.shape
    (_, rows, columns), (_, target_rows, target_columns) = synapses.source_shape, target_shape
    taps = itertools.product(range(target_rows), range(target_columns), range(kernel_rows), range(kernel_columns))
    for y, x, i, j in taps:
        row = y * synapses.stride[0] - synapses.padding[0] + i * synapses.dilation[0]
        column = x * synapses.stride[1] - synapses.padding[1] + j * synapses.dilation[1]
        if not (0 <= row < rows and 0 <= column < columns):
            continue
        for o, c in itertools.product(range(out), range(per_group)):
            channel = o // (out // synapses.groups) * per_group + c
            source = (channel * rows + row) * columns + column
            target = (o * target_rows + y) * target_columns + x
            exists[target, source], weight[target, source] = True, synapses.kernel[o, c, i, j]
    return exists, weight


def first_neuron(network: Network, name: str) -> int:
    """Index in the network of a layer's first neuron."""
    names = [layer.name for layer in network.layers]
    return sum(layer.neurons for layer in network.layers[: names.index(name)])


def form_of(mapping: Mapping, connection: Connection) -> str:
    """Storage format of a connection, as documented."""
    if connection.synapses.kind != "dense":
        return connection.synapses.kind
    return mapping.dense_layers or mapping.chip.format_default.dense_layers


def stored_and_counted(mapping: Mapping, connection: Connection) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Weights that are stored, and those of them that are synops: bool[targets, sources] each, as documented.

    Targets are those of `laid_out_shape`.
    """
    exists, weight = unrolled(connection.synapses, laid_out_shape(mapping, connection))
    nonzero, form, zeros = exists & (weight != 0), form_of(mapping, connection), mapping.chip.zeros
    if form == "dense":
        return exists, exists
    if form == "conv":
        return exists, nonzero if zeros is not None and zeros.conv_skipped else exists
    by_compiler = connection.synapses.kind == "dense" and mapping.dense_layers is None
    return exists if by_compiler and zeros is not None and zeros.sparse_stored else nonzero, nonzero


def laid_out_shape(mapping: Mapping, connection: Connection) -> Shape:
    """The target layer's shape; for a convolution with what slices hold beyond it, whose kernels go on there."""
    shape = mapping.network.by_name[connection.target].shape
    if connection.synapses.kind != "conv":
        return shape
    boxes = [piece.laid_out for held in mapping.partition for piece in held if piece.layer == connection.target]
    ends = [(shape[0], box.rows[1], box.columns[1]) for box in boxes]
    return tuple(max(each) for each in zip(shape, *ends, strict=True))


@dataclass
class Work:
    """What one copy of a message causes at its destination core."""

    synops: dict[str, int]
    nonzero: int = 0
    words: int = 0
    time_ps: int = 0


def naive_copies(mapping: Mapping) -> dict[tuple[int, int], Work]:
    """Every (neuron, physical destination core) with synops, found synapse by synapse."""
    network, chip = mapping.network, mapping.chip
    found: dict[tuple[int, int], Work] = {}
    for connection in network.connections:
        shape, first = laid_out_shape(mapping, connection), first_neuron(network, connection.source)
        exists, weight = unrolled(connection.synapses, shape)
        form = form_of(mapping, connection)
        stored, counted = stored_and_counted(mapping, connection)
        for slices, core in zip(mapping.partition, mapping.placement.tolist(), strict=True):
            for piece in slices:
                if piece.layer != connection.target:
                    continue
                inside = (piece.laid_out if form == "conv" else piece.box).indices(shape)
                for source in range(exists.shape[1]):
                    targets = inside[stored[inside, source]]
                    if targets.size:
                        work = found.setdefault(
                            (first + source, core), Work(dict.fromkeys(("dense", "sparse", "conv"), 0))
                        )
                        words = naive_words(connection, form, chip, piece.box, targets, shape)
                        synop_ps = getattr(chip.actions, f"synop_{form}").latency_ps
                        synops = int(np.count_nonzero(counted[targets, source]))
                        zeros = (targets.size - synops) * (chip.zeros.time_share if chip.zeros else 0)
                        adding = (synops + zeros) * synop_ps
                        work.synops[form] += synops
                        work.nonzero += int(np.count_nonzero(weight[targets, source]))
                        work.words += words
                        work.time_ps += max(words * chip.actions.word_read.latency_ps, round(adding))
    return found


def naive_words(connection: Connection, form: str, chip: BarrierChip, box: Any, targets: NDArray, shape: Shape) -> int:
    """Words of one message: a block with its header, or a row of channels per position that a convolution reaches."""
    word = chip.core.word_bits
    if form == "conv":
        positions = set((targets % (shape[1] * shape[2])).tolist())
        return len(positions) * -(-box.extent[0] * connection.weight_bits // word)
    bits = connection.weight_bits
    if form == "sparse":
        bits += min(b for b in chip.formats.sparse.index_bits or () if 1 << b >= box.neurons)
    return -(-(targets.size * bits + getattr(chip.formats, form).header_bits) // word)
