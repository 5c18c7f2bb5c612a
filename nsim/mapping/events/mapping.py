"""Which layer is on which core, what the core is configured to do there, and where its spikes go.

One layer takes one core, never two. Cores differ in memory, so layers and cores are matched (bipartite matching).
A layer's incoming connections share its core's kernel: connections with equal weights add up (a residual), others get
input channels of their own, one after another (a concatenation).
"""

from __future__ import annotations

from collections.abc import Mapping as Options
from dataclasses import dataclass, replace
from math import ceil, log2

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import maximum_bipartite_matching

from nsim.chip.events import StreamChip
from nsim.errors import InputError, MappingError, counted
from nsim.mapping.events.shapes import as_convolution
from nsim.network.brief import Brief
from nsim.network.inputs import PS_PER_SECOND, EventStream, spread
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf
from nsim.network.synapses import Convolution, Shape

RESOURCES = ("kernel", "neuron", "bias")


@dataclass(frozen=True)
class Destination:
    """Where copies of a layer's spikes go: a core, which sees them pooled and with shifted channels.

    layer          on that core
    pool           window of the sum pooling, (rows, columns)
    rows, columns  of the pooled map; what lies beyond the last whole window is not sent
    channel_shift  added to the channel
    """

    core: int
    layer: str
    pool: tuple[int, int]
    rows: int
    columns: int
    channel_shift: int


@dataclass(frozen=True, eq=False, repr=False)
class CoreLayer(Brief):
    """A layer on its core.

    kernel        int64[input channels, rows, columns, channels]
    bias          int64[channels], or None if the slow clock has nothing to add
    decimation    passes one of so many spikes
    balanced      whether the input congestion balancer is on
    is_output     whether its spikes leave the chip
    """

    layer: Layer
    core: int
    kernel: NDArray[np.int64]
    stride: tuple[int, int]
    padding: tuple[int, int]
    bias: NDArray[np.int64] | None
    destinations: tuple[Destination, ...]
    is_output: bool
    decimation: int = 1
    balanced: bool = False

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def neuron(self) -> FixedIf:
        assert isinstance(self.layer.neuron, FixedIf)
        return self.layer.neuron

    @property
    def entries(self) -> dict[str, int]:
        """Memory it takes, by resource; sizes are rounded up to powers of two as the chip addresses them."""
        inputs, kernel_rows, kernel_columns, channels = self.kernel.shape
        _, rows, columns = self.layer.shape
        return {
            "kernel": inputs * 2 ** (_bits(kernel_rows * kernel_columns) + _bits(channels)),
            "neuron": channels * 2 ** (_bits(rows) + _bits(columns)),
            "bias": 0 if self.bias is None else channels,
        }


@dataclass(frozen=True)
class Rates:
    """How frames become spikes.

    steps   timesteps of a frame
    scale   value of the input that is one spike a timestep
    """

    steps: int
    scale: float

    def length_ps(self, dt_s: float) -> int:
        """Of a frame."""
        return self.steps * round(dt_s * PS_PER_SECOND)

    def stream(self, frame: NDArray, dt_s: float) -> EventStream:
        """A frame as events: of every value round(steps * value / scale), evenly spaced."""
        if (frame < 0).any():
            raise InputError(f"a frame holds {frame.min():g}, but a rate is not negative: shift values to start at 0")
        rate = np.asarray(frame, np.float64) / self.scale
        sent = [np.floor(step * rate + 0.5) for step in range(self.steps + 1)]
        note = f"a frame comes as rates of events, over {counted(self.steps, 'timestep')} or {self.steps * dt_s:g} s"
        return spread(np.diff(sent, axis=0).astype(np.int64), dt_s, (note,))


@dataclass(frozen=True, eq=False, repr=False)
class StreamMapping(Brief):
    """A network on a chip: its layers with their cores, in order of the data, and where the sensor's events go.

    rates   how frames become events, if the network was one of real activations
    """

    network: Network
    chip: StreamChip
    layers: tuple[CoreLayer, ...]
    sensor: tuple[Destination, ...]
    rates: Rates | None = None

    @property
    def by_core(self) -> dict[int, CoreLayer]:
        return {layer.core: layer for layer in self.layers}

    def faster_core(self, core: int) -> int | None:
        """A faster core than this one that could hold its layer; None if it is fast itself, or none could."""
        fast = self.chip.parallel.cores
        if core in fast:
            return None
        return next((other for other in fast if self.chip.holds(other, self.by_core[core].entries)), None)

    @property
    def sensor_shape(self) -> Shape:
        return self.network.by_name[self.network.input].shape

    def with_options(self, decimate: Options[str, int] | None = None, balance: tuple[str, ...] = ()) -> StreamMapping:
        """The same with a decimator (pass one of N) and input congestion balancers at the cores of these layers."""
        decimate = decimate or {}
        names = [layer.name for layer in self.layers]
        for name in (*decimate, *balance):
            if name not in names:
                raise MappingError(f"no layer {name!r} on a core of {self.chip.name!r}: there are {', '.join(names)}")
        for name, every in decimate.items():
            if not 1 <= every <= 512:
                raise MappingError(f"decimator of layer {name!r} passes one of {every}: give 1 (all) to 512")
        layers = tuple(
            replace(layer, decimation=decimate.get(layer.name, 1), balanced=layer.name in balance)
            for layer in self.layers
        )
        return replace(self, layers=layers)


def map_stream(network: Network, chip: StreamChip, placement: Options[str, int] | None = None) -> StreamMapping:
    """Put every layer on a core.

    placement  cores of layers that are to be on a certain one; the others are matched
    raises     MappingError, naming the layer, the resource, what is needed, what there is, and the cure
    """
    convolutions = {id(c): _convolution(c, chip) for c in network.connections}
    _check_network(network, chip)
    unplaced = [_configured(network, layer, chip, convolutions) for layer in _in_order_of_data(network, chip)]
    core_of = _match(unplaced, chip, placement or {})
    layers = [replace(layer, core=core_of[layer.name]) for layer in unplaced]
    shifts = _channel_shifts(network, convolutions)

    def destinations(name: str) -> tuple[Destination, ...]:
        outgoing = network.outgoing(name)
        if len(outgoing) > chip.limits.destinations:
            what = "the sensor" if name == network.input else f"layer {name!r}"
            raise MappingError(
                f"{what} sends to {len(outgoing)} layers ({', '.join(c.target for c in outgoing)}), but a core of "
                f"{chip.name!r} has {chip.limits.destinations} destinations: send over a layer between, or drop one"
            )
        return tuple(
            Destination(
                core_of[c.target],
                c.target,
                convolutions[id(c)].pool,
                *convolutions[id(c)].pooled_shape[1:],
                shifts[id(c)],
            )
            for c in outgoing
        )

    placed = tuple(replace(layer, destinations=destinations(layer.name)) for layer in layers)
    return StreamMapping(network, chip, placed, destinations(network.input))


def _bits(size: int) -> int:
    return ceil(log2(size))


def _convolution(connection: Connection, chip: StreamChip) -> Convolution:
    """The connection as one kernel behind sum pooling, within the limits of a core."""
    convolution = as_convolution(connection, chip.limits.pools)
    limits, kernel = chip.limits, convolution.kernel
    name = f"connection {connection.name}"
    channels, rows, columns = convolution.pooled_shape
    _, map_rows, map_columns = convolution.target_shape
    for what, size, most, cure in (
        ("a kernel of {} rows or columns", max(kernel.shape[2:]), limits.kernel_side, "pool more before it"),
        ("padding {}", max(convolution.padding), limits.padding, "pad less"),
        ("an input of {} rows or columns", max(rows, columns), limits.input_side, "pool more before it"),
        ("a map of {} rows or columns", max(map_rows, map_columns), limits.output_side, "pool before it or stride"),
        ("{} input channels", channels, limits.channels, "use fewer"),
        ("{} output channels", kernel.shape[0], limits.channels, "use fewer"),
    ):
        if size > most:
            raise MappingError(f"{name} has {what.format(size)}, but {chip.name!r} takes at most {most}: {cure}")
    for what, given, known in (
        ("stride", convolution.stride, limits.strides),
        ("pooling", convolution.pool, limits.pools),
    ):
        for size in given:
            if size not in known:
                raise MappingError(f"{name} has {what} {size}, but {chip.name!r} has {', '.join(map(str, known))}")
    if convolution.dilation != (1, 1):
        raise MappingError(f"{name} has dilation {convolution.dilation}, but {chip.name!r} has none: use 1")
    _check_weights(name, kernel, limits.weight_bits, chip)
    return convolution


def _check_weights(name: str, kernel: NDArray, bits: int, chip: StreamChip) -> None:
    if kernel.dtype.kind not in "iu":
        raise MappingError(
            f"{name} has weights of type {kernel.dtype}, but {chip.name!r} computes with whole numbers: give integers"
        )
    low, high = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    if kernel.size and (kernel.min() < low or kernel.max() > high):
        worst = int(kernel.max() if kernel.max() > high else kernel.min())
        raise MappingError(
            f"{name} has a weight of {worst}, but {chip.name!r} stores {bits} bits, {low} to {high}: scale the weights "
            "and the threshold of the layer down"
        )


def _in_order_of_data(network: Network, chip: StreamChip) -> list[Layer]:
    """The layers on cores, each after those that feed it. Recurrence can block itself on the chip, and is refused."""
    waiting = [layer for layer in network.layers if layer.name != network.input]
    done, ordered = {network.input}, []
    while waiting:
        ready = next((x for x in waiting if all(c.source in done for c in network.incoming(x.name))), None)
        if ready is None:
            names = ", ".join(repr(layer.name) for layer in waiting)
            raise MappingError(
                f"layers {names} feed each other in a circle, but events of {chip.name!r} that wait for each other "
                "never end: remove a connection"
            )
        waiting.remove(ready)
        done.add(ready.name)
        ordered.append(ready)
    return ordered


def _check_network(network: Network, chip: StreamChip) -> None:
    for connection in network.connections:
        if connection.target == network.input:
            raise MappingError(
                f"connection {connection.name} feeds the input, but {chip.name!r} has a sensor there: remove it"
            )
        if np.any(connection.source_delay) or np.any(connection.target_delay):
            raise MappingError(f"connection {connection.name} has delays, but {chip.name!r} has none: remove them")
    source = network.by_name[network.input]
    if not source.neuron.external or source.neuron.fixed_point:
        raise MappingError(
            f"input layer {source.name!r} is a {type(source.neuron).__name__}, but {chip.name!r} takes events from its "
            "sensor: use a Relay"
        )
    if max(source.shape[1:]) > chip.limits.input_side:
        raise MappingError(
            f"the sensor of {network.name!r} has {source.shape[1]} x {source.shape[2]} places, but {chip.name!r} takes "
            f"at most {chip.limits.input_side} rows and columns: pool or crop the events"
        )


def _configured(network: Network, layer: Layer, chip: StreamChip, convolutions: dict[int, Convolution]) -> CoreLayer:
    """What the layer's core is configured to do, its core and destinations still open."""
    neuron = layer.neuron
    if not isinstance(neuron, FixedIf):
        raise MappingError(
            f"layer {layer.name!r} has neurons of type {type(neuron).__name__}, but {chip.name!r} has 16-bit "
            "integrate-and-fire neurons: use FixedIf, or IF in a NIR graph"
        )
    incoming = network.incoming(layer.name)
    if not incoming:
        raise MappingError(f"layer {layer.name!r} has no connection into it: connect or remove it")
    parts: list[Convolution] = []
    for connection in incoming:
        convolution = convolutions[id(connection)]
        _check_same_geometry(layer, parts, convolution, chip)
        if not any(np.array_equal(part.kernel, convolution.kernel) for part in parts):
            parts.append(convolution)
    kernel = np.concatenate([_grouped(part) for part in parts], axis=1)
    if kernel.shape[1] > chip.limits.channels:
        raise MappingError(
            f"layer {layer.name!r} takes {kernel.shape[1]} input channels from {len(incoming)} layers, but "
            f"{chip.name!r} has {chip.limits.channels}: use fewer, or equal weights for all"
        )
    taps = np.ascontiguousarray(kernel.transpose(1, 2, 3, 0)).astype(np.int64)
    first = parts[0]
    bias = _bias_by_channel(layer, neuron, chip)
    return CoreLayer(layer, -1, taps, first.stride, first.padding, bias, (), layer.name == network.output)


def _check_same_geometry(layer: Layer, parts: list[Convolution], convolution: Convolution, chip: StreamChip) -> None:
    def geometry(c: Convolution) -> tuple:
        return c.kernel.shape[2:], c.stride, c.padding

    if parts and geometry(parts[0]) != geometry(convolution):
        kernel, stride, padding = geometry(convolution)
        raise MappingError(
            f"layer {layer.name!r} is fed with kernel {kernel}, stride {stride}, padding {padding} by one layer and "
            f"{geometry(parts[0])} by another, but a core of {chip.name!r} has one kernel: make them alike"
        )


def _grouped(convolution: Convolution) -> NDArray:
    """The kernel over all input channels: zeros between the groups, which a core stores and skips."""
    groups = convolution.groups
    if groups == 1:
        return convolution.kernel
    out, per_group, rows, columns = convolution.kernel.shape
    full = np.zeros((groups, out // groups, groups, per_group, rows, columns), convolution.kernel.dtype)
    each = np.arange(groups)
    full[each, :, each] = convolution.kernel.reshape(groups, out // groups, per_group, rows, columns)
    return full.reshape(out, groups * per_group, rows, columns)


def _bias_by_channel(layer: Layer, neuron: FixedIf, chip: StreamChip) -> NDArray[np.int64] | None:
    if not np.any(neuron.bias):
        return None
    values = np.broadcast_to(np.asarray(neuron.bias, np.int64).ravel(), (layer.neurons,)).reshape(layer.shape[0], -1)
    if (values != values[:, :1]).any():
        raise MappingError(
            f"layer {layer.name!r} has biases that differ within a channel, but {chip.name!r} stores one per channel: "
            "make them equal"
        )
    return values[:, 0].copy()


def _channel_shifts(network: Network, convolutions: dict[int, Convolution]) -> dict[int, int]:
    """By connection: the first input channel of its part of the target's kernel."""
    shifts: dict[int, int] = {}
    for layer in network.layers:
        parts: list[tuple[NDArray, int]] = []
        end = 0
        for connection in network.incoming(layer.name):
            convolution = convolutions[id(connection)]
            shift = next((at for kernel, at in parts if np.array_equal(kernel, convolution.kernel)), None)
            if shift is None:
                shift, end = end, end + convolution.source_shape[0]
                parts.append((convolution.kernel, shift))
            shifts[id(connection)] = shift
    return shifts


def _match(layers: list[CoreLayer], chip: StreamChip, placement: Options[str, int]) -> dict[str, int]:
    """A core for every layer, each large enough."""
    if len(layers) > chip.cores:
        raise MappingError(
            f"the network has {len(layers)} layers, but chip {chip.name!r} has {chip.cores} cores, one for each layer: "
            "merge layers or remove some"
        )
    available = {name: np.array(getattr(chip.memories, f"{name}_entries")) for name in RESOURCES}
    allowed = np.zeros((len(layers), chip.cores), bool)
    for number, layer in enumerate(layers):
        fits = np.array([chip.holds(core, layer.entries) for core in range(chip.cores)])
        if not fits.any():
            raise MappingError(_too_large(layer, chip, available))
        allowed[number] = fits
    _place(layers, chip, placement, allowed)
    core = maximum_bipartite_matching(csr_array(allowed), perm_type="column")
    if (core < 0).any():
        raise MappingError(_contended(layers, chip, allowed, core))
    return {layer.name: int(core[number]) for number, layer in enumerate(layers)}


def _place(layers: list[CoreLayer], chip: StreamChip, placement: Options[str, int], allowed: NDArray) -> None:
    """Leave a placed layer no core but its own."""
    names = [layer.name for layer in layers]
    for name, core in placement.items():
        if name not in names:
            raise MappingError(f"placement names {name!r}, but the layers are {', '.join(names)}")
        if not 0 <= core < chip.cores:
            raise MappingError(f"placement puts layer {name!r} on core {core}, but the cores are 0 to {chip.cores - 1}")
        number = names.index(name)
        if not allowed[number, core]:
            raise MappingError(
                f"placement puts layer {name!r} on core {core}, which is too small: it fits on "
                f"{', '.join(map(str, np.flatnonzero(allowed[number])))}"
            )
        allowed[number] = np.arange(chip.cores) == core


def _too_large(layer: CoreLayer, chip: StreamChip, available: dict[str, NDArray]) -> str:
    cures = {
        "kernel": "use fewer channels or a smaller kernel",
        "neuron": "pool or stride before it, or use fewer channels",
        "bias": "use fewer channels or no biases",
    }
    for name in RESOURCES:
        needed, most = layer.entries[name], int(available[name].max())
        if needed > most:
            return (
                f"layer {layer.name!r} needs {needed:,} {name} entries, but the largest core of {chip.name!r} has "
                f"{most:,}: {cures[name]}"
            )
    needs = ", ".join(f"{layer.entries[name]:,} {name}" for name in RESOURCES)
    return (
        f"layer {layer.name!r} needs {needs} entries at once, but no core of {chip.name!r} has all of them "
        f"(neuron entries {available['neuron'].tolist()}, kernel entries {available['kernel'].tolist()}): "
        f"{cures['neuron']}"
    )


def _contended(layers: list[CoreLayer], chip: StreamChip, allowed: NDArray, core: NDArray) -> str:
    """Which layers compete for too few cores: those an unmatched one reaches by alternating paths (Hall's theorem)."""
    group = {int(np.flatnonzero(core < 0)[0])}
    while True:
        cores = np.flatnonzero(allowed[sorted(group)].any(axis=0))
        grown = group | {int(n) for n in np.flatnonzero(np.isin(core, cores))}
        if grown == group:
            break
        group = grown
    shown = "; ".join(
        f"{layers[n].name!r} {layers[n].entries['kernel']:,} kernel and {layers[n].entries['neuron']:,} neuron entries"
        for n in sorted(group)
    )
    return (
        f"{len(group)} layers compete for {cores.size} cores of {chip.name!r} that are large enough "
        f"({', '.join(map(str, cores))}): {shown}: make one of them smaller"
    )
