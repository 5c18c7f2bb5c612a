"""From a network and a chip with frames to hardware sequences, and the tables that say what every message causes."""

from __future__ import annotations

from collections.abc import Sequence as SequenceABC
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from nsim.activity import Activity, layer_offsets
from nsim.assignments import parse_assignments
from nsim.chip import nearest
from nsim.errors import MappingError
from nsim.frame.chip import FrameChip
from nsim.frame.place import place
from nsim.frame.plan import MODES, Plan, Planner, StagePlan, is_internal
from nsim.frame.stages import Stage, stages
from nsim.frame.tiles import Tile
from nsim.mapping import Copies, Mapping
from nsim.mapping.partition import Share
from nsim.mapping.storage import FORMATS
from nsim.network import Layer, Network
from nsim.neurons import QuantizedInput, QuantizedRelu, Relay
from nsim.synapses import Box


@dataclass(frozen=True)
class Part:
    """What one core holds of a layer.

    box            of the layer's neurons
    sums           box of the sums that these neurons pool, or are
    kind           "input", "convolution", "separable" or "fully_connected"
    tile           its part of the layer's input; None if the input is not cut
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
    input_bytes: int
    weight_bytes: int
    external: bool


@dataclass(frozen=True, eq=False)
class Sequence(Mapping):
    """The layers that are on the chip together, as a mapping of their part of the network.

    Its network begins with the layer that the host sends in: the network's input, or the last layer of the sequence
    before. Results go back to the host as messages. What the input block takes in are no messages.
    In `copies`, service_ps is the work that a message adds to its core's frame, synops are in the column of "conv" or
    "dense", and words are not counted. `allocated` counts the sums a core goes through in its sweep.

    parts           what every used core holds
    input_buffers   int64[cores + 1]  frames a core can hold at a time
    frame_ps        int64[cores + 1]  work on a frame that does not depend on its messages
    in_flight       frames that may be under way at a time
    program_bytes   written before it can run
    program_ps      the time of that
    first_neuron    of the first layer, in the whole network
    """

    chip: FrameChip  # type: ignore[assignment]  # the fields of Mapping are those of chips with a barrier
    parts: tuple[Part, ...]
    input_buffers: NDArray[np.int64]
    frame_ps: NDArray[np.int64]
    in_flight: int
    program_bytes: int
    program_ps: int
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


@dataclass(frozen=True, eq=False)
class FrameMapping:
    """A network on a chip with frames: one hardware sequence, or several that take turns.

    mode           "minimal" or "all-nps", and limits of a processor behind a colon
    filter_limit   most filters of a processor, as found by the search; None if there was no limit but the memory
    """

    network: Network
    chip: FrameChip
    mode: str
    sequences: tuple[Sequence, ...]
    filter_limit: int | None

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

    mode         "minimal", as few processors as fit, or "all-nps", as many as are useful; lower limits of a processor
                 than the chip's own may follow, as in "minimal:columns=7,rows=14,filters=8"
    clock_mode   None: the chip's default
    raises       MappingError if a layer breaks a limit of the chip; ChipError if it has no such clock mode
    """
    name, limits = parse_mode(chip, mode)
    if clock_mode is not None:
        chip = chip.with_clock_mode(clock_mode)
    planner = Planner(chip.with_processor_limits(limits), stages(network, chip))
    plan = planner.minimal if name == "minimal" else planner.all_processors()
    return FrameMapping(network, chip, mode, tuple(_sequences(network, chip, plan)), plan.filter_limit)


def parse_mode(chip: FrameChip, mode: str) -> tuple[str, dict[str, int]]:
    """A mapping mode and its limits by name, as in "minimal:columns=7": most columns, rows, filters of a processor.

    raises   MappingError
    """
    name, colon, tail = mode.partition(":")
    if name not in MODES:
        raise MappingError(f"no mode {name!r} to map to chip {chip.name!r}: choose from {', '.join(MODES)}")
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
    return [
        _sequence(_part_of_network(network, plans), chip, plans, in_flight, offsets[plans[0].stage.connection.source])
        for plans in plan.sequences
    ]


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
    for plan, own in zip(plans, by_layer, strict=True):
        for part in own:
            buffers[part.core] = _input_buffers(chip, part)
            frame_ps[part.core] = _frame_ps(chip, plan.stage)
    program_bytes = _program_bytes(chip, parts)
    return Sequence(
        network,
        chip,
        "dense",
        tuple((Share(part.layer, part.box, int(allocated[part.core])),) for part in parts),
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
        chip.ps(program_bytes * chip.program.clocks_per_byte),
        first_neuron,
    )


# --- what a core holds ----------------------------------------------------------------------------------------


def _parts(chip: FrameChip, plan: StagePlan, cores: list[int]) -> list[Part]:
    stage = plan.stage
    external = stage.kind == "fully_connected" and not (
        is_internal(chip, plan) and "fnp3" in chip.processors[cores[0]].kinds
    )
    parts: list[Part] = []
    for tile in plan.tiles or (None,):
        for group in plan.groups:
            sums, box = _boxes(stage, tile, group)
            input_bytes = tile.input_bytes if tile else 0
            if stage.kind == "fully_connected":
                input_bytes = -(-stage.connection.synapses.sources * stage.input_bits // 8)
            core = cores[len(parts)]
            parts.append(Part(stage.name, core, box, sums, stage.kind, tile, input_bytes, plan.weight_bytes, external))
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


def _frame_ps(chip: FrameChip, stage: Stage) -> int:
    """What beginning with a frame takes; the input block also does all its multiplications, whatever the image."""
    actions = chip.actions
    clocks = actions.frame.clocks
    if stage.kind == "input":
        clocks += actions.synop_input.clocks * stage.layer.sums * stage.channels * stage.kernel**2
    return chip.ps(clocks)


def _program_bytes(chip: FrameChip, parts: SequenceABC[Part]) -> int:
    filters = sum(part.box.extent[0] for part in parts)
    fixed = len(parts) * chip.program.processor_bytes + filters * chip.program.filter_bytes
    return round(sum(part.weight_bytes for part in parts) + fixed)


def _assign(network: Network, chip: FrameChip, parts: SequenceABC[Part]) -> tuple[NDArray, NDArray, NDArray]:
    """Core of every neuron, its place in the sweep, and the sums every core goes through.

    A pooled neuron is finished with the last of its sums, so the places of neurons are as far apart.
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
        sums = part.sums.neurons
        slot[held] = np.arange(1, held.size + 1) * sums // held.size - 1
        allocated[part.core] = sums
    return core, slot, allocated


# --- what a message causes ------------------------------------------------------------------------------------


def message_work(chip: FrameChip, stage: Stage, sums: Box) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Synops and clocks of one message of each source neuron in the core with these sums: [sources].

    A step applies one kernel position to as many filters as there are engines. Convolution: a step for each position
    that the message reaches and each block of filters. Separable: one step for as many depthwise taps as there are
    engines; then the pointwise weights, of which it bears its share (see nsim.synapses.Separable). Zero weights count.
    """
    synapses, engines = stage.connection.synapses, chip.processor.engines
    blocks = -(-sums.extent[0] // engines)
    synops = synapses.fan_out(sums)
    if stage.kind == "fully_connected":
        steps = np.where(synops > 0, blocks, 0)
    elif stage.kind == "separable":
        taps = stage.convolution.taps(sums)
        steps = -(-taps // engines) + -(-taps * blocks // stage.kernel**2)
    else:
        steps = stage.convolution.taps(sums) * blocks
    return synops, np.where(synops > 0, chip.actions.event.clocks + steps * chip.actions.step.clocks, 0.0)


def _copies(network: Network, chip: FrameChip, plans: SequenceABC[StagePlan], by_layer: list[list[Part]]) -> Copies:
    """A copy to every core that a message reaches; the last layer's go to the host."""
    offsets = dict(zip(network.by_name, layer_offsets(network).tolist(), strict=False))
    rows: list[tuple[NDArray, ...]] = []
    for plan, parts in zip(plans, by_layer, strict=True):
        if plan.stage.kind != "input":
            source = offsets[plan.stage.connection.source]
            rows += [_rows_of(chip, plan.stage, part, source) for part in parts]
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


def _rows_of(chip: FrameChip, stage: Stage, part: Part, first: int) -> tuple[NDArray, ...]:
    """Source neuron, core, storage format, synops and work of every message that reaches the part."""
    synops, clocks = message_work(chip, stage, part.sums)
    reached = np.flatnonzero(synops)
    form = FORMATS.index("dense" if stage.kind == "fully_connected" else "conv")
    service_ps = np.maximum(1, np.rint(clocks[reached] * chip.ps(1e6) / 1e6).astype(np.int64))
    constant = (np.full(reached.size, value) for value in (part.core, form))
    return (first + reached, *constant, synops[reached], service_ps)
