"""From a network and a chip with frames to hardware sequences, and the tables that say what every message causes."""

from __future__ import annotations

from collections.abc import Sequence as SequenceABC
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import nearest
from nsim.chip.frames import FrameChip
from nsim.errors import MappingError
from nsim.mapping.cores.copies import Copies
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.partition import Slice
from nsim.mapping.cores.storage import FORMATS
from nsim.mapping.frames.place import place
from nsim.mapping.frames.plan import MODES, Plan, Planner, StagePlan, is_internal, modes_of
from nsim.mapping.frames.stages import Stage, stages
from nsim.mapping.frames.tiles import Tile
from nsim.network.activity import Activity, layer_offsets
from nsim.network.assignments import parse_assignments
from nsim.network.brief import Brief
from nsim.network.layers import Layer, Network
from nsim.network.neurons import QuantizedInput, QuantizedRelu, Relay
from nsim.network.synapses import Box

SWEPT = ("neuron_update", "output_input")  # what a core does in its sweep; the rest of a frame's actions come before


@dataclass(frozen=True)
class Part:
    """What one core holds of a layer.

    box            of the layer's neurons
    sums           box of the sums that these neurons pool, or are
    kind           "input", "convolution", "separable" or "fully_connected"
    tile           its part of the layer's input; None if the input is not cut
    values         input values that it goes past: its tile with the halo, or the whole input
    kernel         side of the kernel; 0 if fully connected
    input_bytes    input memory used (0 if not known: input block)
    weight_bytes   weight memory used
    external       the weights are in external memory
    """

    layer: str
    core: int
    box: Box
    sums: Box
    kind: str
    tile: Tile | None
    values: int
    kernel: int
    input_bytes: int
    weight_bytes: int
    external: bool

    @property
    def filters(self) -> int:
        return self.box.extent[0]

    @property
    def steps(self) -> int:
        """Of one message: every position of the kernel for every filter, whatever the stride and the border."""
        return self.kernel**2 * self.filters

    def each_frame(self, chip: FrameChip) -> dict[str, int]:
        """Actions that a frame causes whatever its messages are, by name in the chip file."""
        if self.kind == "input":
            block = chip.input_block.filter_block
            outputs = self.sums.neurons // self.filters * (-(-self.filters // block) * block)
            return {"frame": 1, "output_input": outputs}
        found = {"frame": 1, "neuron_update": self.sums.neurons}
        if self.kind == "fully_connected":
            return found | {"fully_connected_value": self.values, "external_byte": self.weight_bytes * self.external}
        return found | {"filter": self.filters, "value": self.values, "value_filter": self.values * self.filters}


@dataclass(frozen=True, eq=False, repr=False)
class Sequence(Mapping):
    """The layers that are on the chip together, as a mapping of their part of the network.

    Its network begins with the layer that the host sends in: the network's input, or the last layer of the sequence
    before. Results go back to the host as messages. What the input block takes in are no messages.
    In `copies`, service_ps is the work that a message adds to its core's frame, synops are in the column of "conv" or
    "dense", and words are not counted. `allocated` is the time of a core's sweep, and slots are times in it, in
    picoseconds: cores go through their outputs at different speeds.

    parts           what every used core holds
    input_buffers   int64[cores + 1]  frames a core can hold at a time
    frame_ps        int64[cores + 1]  work on a frame that does not depend on its messages
    in_flight       frames that may be under way at a time
    program_bytes   written before it can run
    program_ps      the time of that
    reload_ps       time to write, within every frame, what another sequence has overwritten
    first_neuron    of the first layer, in the whole network
    """

    chip: FrameChip  # type: ignore[assignment]  # the fields of Mapping are those of chips with a barrier
    parts: tuple[Part, ...]
    input_buffers: NDArray[np.int64]
    frame_ps: NDArray[np.int64]
    in_flight: int
    program_bytes: int
    program_ps: int
    reload_ps: int
    first_neuron: int

    def activity(self, whole: Activity) -> Activity:
        """The part of a network's activity that concerns this sequence, numbered as in its own network.

        What the input block takes in is left out: it sends no messages.
        """
        offsets = layer_offsets(self.network)
        by_host = np.diff(self.copies.indptr)[: offsets[1]].any()
        first = 0 if by_host else int(offsets[1])
        own = whole.neurons - self.first_neuron
        inside = (own >= first) & (own < offsets[-1])
        before = np.concatenate(([0], np.cumsum(inside)))
        return Activity(before[whole.indptr], own[inside], whole.outputs)


@dataclass(frozen=True, eq=False, repr=False)
class FrameMapping(Brief):
    """A network on a chip with frames: one hardware sequence, or several that take turns.

    mode           "minimal", "all-nps" or "hw-pr", and limits of a processor behind a colon
    filter_limit   most filters of a processor, as found by the search; None if there was no limit but the memory
    real           the network before it was quantised on samples; None: it was mapped as it is
    """

    network: Network
    chip: FrameChip
    mode: str
    sequences: tuple[Sequence, ...]
    filter_limit: int | None
    real: Network | None = None

    @property
    def processors(self) -> int:
        """Processors of all sequences together, without the input block."""
        return sum(len(s.parts) - sum(p.kind == "input" for p in s.parts) for s in self.sequences)

    def processors_by_layer(self) -> dict[str, int]:
        """How many processors every layer has; the input block counts as none."""
        counts = dict.fromkeys((layer.name for layer in self.network.layers if layer.name != self.network.input), 0)
        for sequence in self.sequences:
            for part in sequence.parts:
                counts[part.layer] += part.kind != "input"
        return counts


def map_frames(network: Network, chip: FrameChip, mode: str = "all-nps", clock_mode: str | None = None) -> FrameMapping:
    """Put a quantised network on a chip with frames.

    mode         "minimal", as few processors as fit, "all-nps", as many as are useful, or "hw-pr", more in more
                 sequences; lower limits of a processor than the chip's own may follow, as in
                 "minimal:columns=7,rows=14,filters=8"
    clock_mode   None: the chip's default
    raises       MappingError if a layer breaks a limit of the chip; ChipError if it has no such clock mode
    """
    name, limits = parse_mode(chip, mode)
    if clock_mode is not None:
        chip = chip.with_clock_mode(clock_mode)
    planner = Planner(chip.with_processor_limits(limits), stages(network, chip))
    plan = {"minimal": planner.plan, "all-nps": planner.all_processors, "hw-pr": planner.partial}[name]()
    return FrameMapping(network, chip, mode, tuple(_sequences(network, chip, plan)), plan.filter_limit)


def parse_mode(chip: FrameChip, mode: str) -> tuple[str, dict[str, int]]:
    """A mapping mode and its limits by name, as in "minimal:columns=7": most columns, rows, filters of a processor.

    raises   MappingError
    """
    name, colon, tail = mode.partition(":")
    if name not in MODES:
        raise MappingError(f"no mode {name!r} to map to chip {chip.name!r}: choose from {', '.join(MODES)}")
    if name not in modes_of(chip):
        raise MappingError(f"chip {chip.name!r} has no partial reconfiguration, which mode {name!r} needs: use all-nps")
    most = chip.processor_limits
    try:
        given = parse_assignments(tail) if colon else {}
    except ValueError as error:
        raise MappingError(f"limits of mode {mode!r}: {error}, as in {name}:columns=7,filters=8") from None
    limits = {}
    for key, text in given.items():
        if key not in most:
            raise MappingError(f"mode {mode!r} has no limit {key!r}{nearest(key, most)}: give {', '.join(most)}")
        if not text.isdecimal() or not 1 <= int(text) <= most[key]:
            raise MappingError(f"mode {mode!r} limits {key} to {text!r}: chip {chip.name!r} takes 1 to {most[key]}")
        limits[key] = int(text)
    return name, limits


def _sequences(network: Network, chip: FrameChip, plan: Plan) -> list[Sequence]:
    offsets = dict(zip(network.by_name, layer_offsets(network).tolist(), strict=False))
    several = len(plan.sequences) > 1
    in_flight = chip.frames.in_flight_reprogrammed if several else chip.frames.in_flight
    found = [
        _sequence(_part_of_network(network, plans), chip, plans, in_flight, offsets[plans[0].stage.connection.source])
        for plans in plan.sequences
    ]
    return [replace(sequence, reload_ps=_reload_ps(sequence, found)) for sequence in found] if several else found


def _reload_ps(sequence: Sequence, others: SequenceABC[Sequence]) -> int:
    """Time to write a sequence again after the others: all of it, or the cores that one of them has used."""
    program = sequence.chip.program
    if not program.partial:
        return sequence.program_ps
    used = np.bincount([part.core for each in others for part in each.parts])
    return _program(sequence.chip, [part for part in sequence.parts if used[part.core] > 1])[1]


def _part_of_network(network: Network, plans: SequenceABC[StagePlan]) -> Network:
    """The layers of a sequence, behind an input that the host sends in."""
    source = network.by_name[plans[0].stage.connection.source]
    layers = [replace(source, neuron=_as_input(source), on_chip=False, pool=None)]
    layers += [plan.stage.layer for plan in plans]
    return Network(
        network.name,
        tuple(layers),
        tuple(plan.stage.connection for plan in plans),
        source.name,
        layers[-1].name,
        network.dt_s,
        notes=network.notes,
    )


def _as_input(layer: Layer) -> Relay:
    if isinstance(layer.neuron, QuantizedRelu):
        assert layer.neuron.bits is not None  # only the last layer of a network may send sums
        return QuantizedInput(bits=layer.neuron.bits)
    assert isinstance(layer.neuron, Relay)
    return layer.neuron


def _sequence(
    network: Network, chip: FrameChip, plans: SequenceABC[StagePlan], in_flight: int, first_neuron: int
) -> Sequence:
    placed = place(chip, plans)
    by_layer = [_parts(chip, plan, cores) for plan, cores in zip(plans, placed, strict=True)]
    parts = [part for layer in by_layer for part in layer]
    core, slot, allocated = _assign(network, chip, parts)
    copies = _copies(network, chip, plans, by_layer)
    buffers, frame_ps = np.ones(chip.cores + 1, np.int64), np.zeros(chip.cores + 1, np.int64)
    for part in parts:
        buffers[part.core] = _input_buffers(chip, part)
        frame_ps[part.core] = _time_ps(chip, part, swept=False)
    program_bytes, program_ps = _program(chip, parts)
    return Sequence(
        network,
        chip,
        "dense",
        tuple((Slice(part.layer, part.box),) for part in parts),
        (),
        np.array([part.core for part in parts]),
        core,
        slot,
        allocated,
        copies,
        tuple(parts),
        buffers,
        frame_ps,
        in_flight,
        program_bytes,
        program_ps,
        0,
        first_neuron,
    )


class FrameRecosting:
    """A mapping at other costs of its chip, again and again: the same parts on the same processors.

    places   by sequence, of every neuron on the chip: its number, its core, its place in the part's sweep from 1 on,
             and the neurons of that part; int64[4, neurons]
    """

    def __init__(self, mapping: FrameMapping) -> None:
        self.mapping = mapping
        self.places = [_places(sequence) for sequence in mapping.sequences]

    def at(self, chip: FrameChip, neurons: bool = True) -> FrameMapping:
        """The same on a chip that differs in its costs only; neurons: theirs too, which an engine needs, no bound."""
        pairs = zip(self.mapping.sequences, self.places, strict=True)
        found = [_recosted(sequence, chip, places if neurons else None) for sequence, places in pairs]
        if len(found) > 1:
            found = [replace(sequence, reload_ps=_reload_ps(sequence, found)) for sequence in found]
        return replace(self.mapping, chip=chip, sequences=tuple(found))


def _places(sequence: Sequence) -> NDArray[np.int64]:
    offsets = dict(zip(sequence.network.by_name, layer_offsets(sequence.network).tolist(), strict=False))
    columns = []
    for part in sequence.parts:
        held = offsets[part.layer] + part.box.indices(sequence.network.by_name[part.layer].shape)
        constants = np.full((2, held.size), [[part.core], [held.size]])
        columns.append(np.stack((held, constants[0], np.arange(1, held.size + 1), constants[1])))
    return np.concatenate(columns, axis=1)


def _recosted(sequence: Sequence, chip: FrameChip, places: NDArray[np.int64] | None) -> Sequence:
    frame_ps, allocated = np.zeros(chip.cores + 1, np.int64), np.zeros(chip.cores + 1, np.int64)
    for part in sequence.parts:
        frame_ps[part.core] = _time_ps(chip, part, swept=False)
        allocated[part.core] = _sweep_ps(chip, part)
    slot, copies = sequence.slot, sequence.copies
    if places is not None:
        number, core, place, among = places
        slot = slot.copy()
        slot[number] = place * allocated[core] // among - 1
        copies = replace(copies, service_ps=message_ps(chip, sequence.parts)[copies.core])
    program_bytes, program_ps = _program(chip, sequence.parts)
    return replace(
        sequence,
        chip=chip,
        slot=slot,
        allocated=allocated,
        copies=copies,
        frame_ps=frame_ps,
        program_bytes=program_bytes,
        program_ps=program_ps,
    )


def message_ps(chip: FrameChip, parts: SequenceABC[Part]) -> NDArray[np.int64]:
    """Work that a message adds to its core's frame, the same wherever in the tile it lies: int64[cores + 1].

    A fully connected layer goes past all its inputs in every frame, so that a message adds nothing; nor at the host.
    """
    found = np.ones(chip.cores + 1, np.int64)
    for part in parts:
        found[part.core] = max(1, chip.ps(part.steps * chip.actions.step.clocks))
    return found


def _parts(chip: FrameChip, plan: StagePlan, cores: list[int]) -> list[Part]:
    stage = plan.stage
    external = stage.kind == "fully_connected" and not (
        is_internal(chip, plan) and "fnp3" in chip.processors[cores[0]].kinds
    )
    parts: list[Part] = []
    for tile in plan.tiles or (None,):
        for group in plan.groups:
            sums, box = _boxes(stage, tile, group)
            kernel = 0 if stage.kind == "fully_connected" else stage.kernel
            shape = stage.connection.synapses.source_shape
            values = shape[0] * (tile.positions(shape, (kernel - 1) // 2) if tile else shape[1] * shape[2])
            input_bytes = tile.input_bytes if tile else -(-values * stage.input_bits // 8) if kernel == 0 else 0
            held = values, kernel, input_bytes, plan.weight_bytes, external
            parts.append(Part(stage.name, cores[len(parts)], box, sums, stage.kind, tile, *held))
    return parts


def _boxes(stage: Stage, tile: Tile | None, group: tuple[int, int]) -> tuple[Box, Box]:
    """The sums whose windows lie at the tile's input positions, and the neurons behind them."""
    pooled, before = stage.layer.shape, stage.layer.sums_shape
    if tile is None:
        return Box(group, (0, before[1]), (0, before[2])), Box(group, (0, pooled[1]), (0, pooled[2]))
    step = stage.convolution.stride[0]
    rows, columns = (
        tuple(min(-(-end // step), size) for end in ends)
        for ends, size in ((tile.rows, before[1]), (tile.columns, before[2]))
    )
    pool = stage.layer.pool
    if pool is None:
        box = Box(group, rows, columns)  # type: ignore[arg-type]
        return box, box
    neurons = [
        (-(-ends[0] // stride), -(-ends[1] // stride))
        for ends, stride in zip((rows, columns), pool.stride, strict=True)
    ]
    return Box(group, rows, columns), Box(group, neurons[0], neurons[1])  # type: ignore[arg-type]


def _input_buffers(chip: FrameChip, part: Part) -> int:
    """Two if two frames of its tile fit; fully connected layers and the input block have one."""
    return 2 if part.tile is not None and part.input_bytes <= chip.processor.single_buffer_bytes else 1


def _time_ps(chip: FrameChip, part: Part, swept: bool) -> int:
    """What a frame takes whatever its messages are: the sweep through the outputs, or the work before it."""
    actions = part.each_frame(chip).items()
    return chip.ps(sum(n * getattr(chip.actions, name).clocks for name, n in actions if (name in SWEPT) == swept))


def _sweep_ps(chip: FrameChip, part: Part) -> int:
    """The sweep of a part: its neurons are at least a picosecond apart."""
    return max(part.box.neurons, _time_ps(chip, part, swept=True))


def _program(chip: FrameChip, parts: SequenceABC[Part]) -> tuple[int, int]:
    """Bytes that are written for these parts, and the time of that."""
    program = chip.program
    written = sum(program.part_bytes(part.kind, part.filters, part.weight_bytes) for part in parts)
    size = round(program.bytes + written)
    convolving = sum(part.kind in ("convolution", "separable") for part in parts)
    return size, chip.ps(size * program.clocks_per_byte + convolving * program.clocks_per_processor)


def _assign(network: Network, chip: FrameChip, parts: SequenceABC[Part]) -> tuple[NDArray, NDArray, NDArray]:
    """Core of every neuron, when its core's sweep has finished it, and how long that sweep is, in picoseconds.

    Neurons are evenly spread over the sweep, at least a picosecond apart: a pooled one has the time of all its sums.
    """
    offsets = dict(zip(network.by_name, layer_offsets(network).tolist(), strict=False))
    neurons = int(layer_offsets(network)[-1])
    core, slot = np.full(neurons, chip.cores), np.zeros(neurons, np.int64)
    sent_in = network.by_name[network.input].neurons
    slot[:sent_in] = np.arange(sent_in)
    allocated = np.zeros(chip.cores + 1, np.int64)
    for part in parts:
        held = offsets[part.layer] + part.box.indices(network.by_name[part.layer].shape)
        core[held] = part.core
        sweep_ps = _sweep_ps(chip, part)
        slot[held] = np.arange(1, held.size + 1) * sweep_ps // held.size - 1
        allocated[part.core] = sweep_ps
    return core, slot, allocated


def _copies(network: Network, chip: FrameChip, plans: SequenceABC[StagePlan], by_layer: list[list[Part]]) -> Copies:
    """A copy to every core that a message reaches; the last layer's go to the host."""
    offsets = dict(zip(network.by_name, layer_offsets(network).tolist(), strict=False))
    rows: list[tuple[NDArray, ...]] = []
    for plan, parts in zip(plans, by_layer, strict=True):
        if plan.stage.kind != "input":
            source = offsets[plan.stage.connection.source]
            rows += [_rows_of(plan.stage, part, source, message_ps(chip, parts)) for part in parts]
    last = network.by_name[network.output]
    results = offsets[last.name] + np.arange(last.neurons)
    none = np.zeros(last.neurons, np.int64)
    rows.append((results, np.full(last.neurons, chip.cores), none, none, none + 1))
    neuron, core, form, synops, service_ps = (np.concatenate(column) for column in zip(*rows, strict=True))
    order = np.argsort(neuron * (chip.cores + 1) + core, kind="stable")
    by_format = np.zeros((order.size, len(FORMATS)), np.int64)
    by_format[np.arange(order.size), form[order]] = synops[order]
    indptr = np.concatenate(([0], np.cumsum(np.bincount(neuron, minlength=int(layer_offsets(network)[-1])))))
    return Copies(indptr.astype(np.int64), core[order], by_format, np.zeros(order.size, np.int64), service_ps[order])


def _rows_of(stage: Stage, part: Part, first: int, each_ps: NDArray[np.int64]) -> tuple[NDArray, ...]:
    """Source neuron, core, storage format, synops and work of every message that reaches the part.

    Zero weights count. each_ps: as in `message_ps`
    """
    synops = stage.connection.synapses.fan_out(part.sums)
    reached = np.flatnonzero(synops)
    form = FORMATS.index("dense" if stage.kind == "fully_connected" else "conv")
    constant = (np.full(reached.size, value) for value in (part.core, form))
    return (first + reached, *constant, synops[reached], np.full(reached.size, each_ps[part.core]))
