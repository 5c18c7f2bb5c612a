"""The layers of a network as a chip with frames sees them: what each is, and whether it can be that at all."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nsim.chip.frames import FrameChip
from nsim.errors import MappingError
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import QuantizedInput, QuantizedRelu, Relay
from nsim.network.synapses import Convolution, Dense, Separable


@dataclass(frozen=True, eq=False)
class Stage:
    """A layer, and the connection that feeds it.

    kind         "input" (the input block), "convolution", "separable" or "fully_connected"
    input_bits   of what arrives
    """

    layer: Layer
    connection: Connection
    kind: str
    input_bits: int

    @property
    def name(self) -> str:
        return self.layer.name

    @property
    def channels(self) -> int:
        return self.connection.synapses.source_shape[0]

    @property
    def filters(self) -> int:
        return self.layer.shape[0]

    @property
    def convolution(self) -> Convolution:
        assert isinstance(self.connection.synapses, Convolution)
        return self.connection.synapses

    @property
    def kernel(self) -> int:
        return self.convolution.kernel.shape[2]

    @property
    def whole_windows(self) -> int:
        """Size of a cut tile is a multiple of this along each axis: windows of a pool are not cut."""
        pool = self.layer.pool
        return 1 if pool is None or pool.is_global else pool.stride[0] * self.convolution.stride[0]

    @property
    def ends_with_max_pool(self) -> bool:
        return self.layer.pool is not None and self.layer.pool.kind == "max"


def stages(network: Network, chip: FrameChip) -> list[Stage]:
    """All layers but the input, in order.

    raises   MappingError, one line with the layer, what it has, what the chip has and a cure
    """
    chain = _chain(network, chip)
    found: list[Stage] = []
    for source, connection, layer in chain:
        stage = _stage(chip, source, connection, layer, first=source.name == network.input)
        _CHECKS[stage.kind](chip, stage)
        _check_values(chip, stage)
        if stage.kind == "fully_connected" and found and found[-1].ends_with_max_pool:
            raise MappingError(
                f"layer {stage.name!r} is fully connected behind the max pooling of layer {found[-1].name!r}, which "
                f"chip {chip.name!r} cannot: let a convolution without pooling, or with global average pooling, precede"
            )
        found.append(stage)
    if found[-1].ends_with_max_pool:
        raise MappingError(
            f"layer {found[-1].name!r} ends the network with max pooling, which chip {chip.name!r} cannot: let a layer "
            "without it follow"
        )
    return found


def _chain(network: Network, chip: FrameChip) -> list[tuple[Layer, Connection, Layer]]:
    """Source, connection and target of each layer; refuses everything that is not one row of layers."""
    if several := network.several_ends():
        raise MappingError(f"{several}, but chip {chip.name!r} takes one row of layers: keep one of each")
    chain = []
    source = network.by_name[network.input]
    if network.layers[0] is not source:
        raise MappingError(
            f"network {network.name!r} lists its input {source.name!r} behind {network.layers[0].name!r}: chip "
            f"{chip.name!r} takes layers in order of the data, list it first"
        )
    for layer in network.layers:
        if layer.name == network.input:
            continue
        incoming = network.incoming(layer.name)
        if [connection.source for connection in incoming] != [source.name]:
            raise MappingError(
                f"layer {layer.name!r} takes input from {[c.source for c in incoming]}, but chip {chip.name!r} has one "
                f"row of layers, and expects [{source.name!r}]: remove recurrent, skipping and parallel connections"
            )
        chain.append((source, incoming[0], layer))
        source = layer
    if not chain:
        raise MappingError(f"network {network.name!r} has no layer but its input: nothing to put on chip {chip.name!r}")
    if source.name != network.output or network.outgoing(source.name) or network.incoming(network.input):
        raise MappingError(
            f"network {network.name!r} ends with layer {source.name!r}, but its output is {network.output!r}: "
            f"chip {chip.name!r} has one row of layers, without recurrent connections"
        )
    return chain


def _stage(chip: FrameChip, source: Layer, connection: Connection, layer: Layer, first: bool) -> Stage:
    if not isinstance(layer.neuron, QuantizedRelu):
        raise MappingError(
            f"layer {layer.name!r} has neurons of type {type(layer.neuron).__name__}, but chip {chip.name!r} only has "
            "quantised rectifiers: use rectifiers or thresholds in all layers, which --calibrate makes integers of"
        )
    neuron = source.neuron
    if isinstance(neuron, QuantizedInput | QuantizedRelu) and neuron.bits is not None:
        bits = neuron.bits
    elif isinstance(neuron, Relay) and neuron.binary:
        bits = 1
    else:
        raise MappingError(
            f"layer {source.name!r} sends values of a {type(neuron).__name__} without a width in bits, but chip "
            f"{chip.name!r} takes unsigned integers of {_listed(chip.convolution.activation_bits)} bits "
            f"({chip.input_block.input_bits} from images): give it a width"
        )
    if np.any(connection.source_delay) or np.any(connection.target_delay):
        raise MappingError(f"connection {connection.name} has delays, which chip {chip.name!r} has not: remove them")
    synapses = connection.synapses
    if isinstance(synapses, Dense):
        return Stage(layer, connection, "fully_connected", bits)
    if not isinstance(synapses, Convolution):
        raise MappingError(
            f"layer {layer.name!r} has {synapses.kind} weights, but chip {chip.name!r} has convolutions and fully "
            "connected layers: store them as a dense matrix"
        )
    if isinstance(synapses, Separable):
        return Stage(layer, connection, "separable", bits)
    image = first and bits > max(chip.convolution.activation_bits)
    return Stage(layer, connection, "input" if image else "convolution", bits)


KIND_NAMES = {
    "input": "an input layer",
    "convolution": "a convolution",
    "separable": "a separable convolution",
    "fully_connected": "a fully connected layer",
}


def _refuse(chip: FrameChip, stage: Stage, what: str, given: object, allowed: object, cure: str) -> MappingError:
    return MappingError(
        f"layer {stage.name!r} has {what} {given}, but {KIND_NAMES[stage.kind]} of chip {chip.name!r} takes {allowed}: "
        f"{cure}"
    )


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers[:-1])) + (" or " if len(numbers) > 1 else "") + str(numbers[-1])


def _require(chip: FrameChip, stage: Stage, what: str, given: int, allowed: tuple[int, ...], cure: str) -> None:
    if given not in allowed:
        raise _refuse(chip, stage, what, given, _listed(allowed), cure)


def _check_geometry(chip: FrameChip, stage: Stage, kernels: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """Square kernels and strides, no dilation, no groups, no sum pooling."""
    c = stage.convolution
    for what, pair in (("kernel", c.kernel.shape[2:]), ("stride", c.stride), ("padding", c.padding)):
        if pair[0] != pair[1]:
            raise _refuse(chip, stage, what, f"{pair[0]} x {pair[1]}", "square ones", "make it square")
    _require(chip, stage, "kernel size", stage.kernel, kernels, "pad the kernel with zeros to the next size")
    _require(chip, stage, "stride", c.stride[0], strides, "use another stride")
    _require(chip, stage, "dilation", max(c.dilation), (1,), "fill the kernel with zeros instead")
    _require(chip, stage, "groups in the number of", c.groups, (1,), "fill the kernel with zeros, or make it separable")
    _require(chip, stage, "sum pooling in windows of", max(c.pool), (1,), "widen the kernel, or use max pooling")


def _check_input(chip: FrameChip, stage: Stage) -> None:
    block, shape = chip.input_block, stage.connection.synapses.source_shape
    _check_geometry(chip, stage, block.kernels, tuple(range(1, block.stride_max + 1)))
    _require(chip, stage, "image channels", shape[0], block.channels, "convert the image")
    if not block.columns[0] <= shape[2] <= block.columns[1]:
        raise _refuse(
            chip, stage, "an image width of", shape[2], f"{block.columns[0]} to {block.columns[1]}", "scale the image"
        )
    if shape[1] < block.rows_min:
        raise _refuse(chip, stage, "an image height of", shape[1], f"{block.rows_min} or more", "scale the image")
    by_kernel = block.filters_one_channel if shape[0] == 1 else block.filters_more_channels
    most = by_kernel[block.kernels.index(stage.kernel)]
    if stage.filters > most:
        raise _refuse(chip, stage, "filters", stage.filters, f"up to {most}", "use fewer, or a smaller kernel")
    if stage.input_bits != block.input_bits:
        raise _refuse(chip, stage, "input bits", stage.input_bits, block.input_bits, "scale the image")
    _require(chip, stage, "weight bits", stage.connection.weight_bits, block.weight_bits, "quantise the weights")
    _check_pool(chip, stage)


def _check_convolution(chip: FrameChip, stage: Stage) -> None:
    limits = chip.convolution
    separable = stage.kind == "separable"
    _check_geometry(chip, stage, chip.separable.kernels if separable else limits.kernels, limits.strides)
    stride = stage.convolution.stride[0]
    if stride > 1 and stage.kernel not in limits.strided_kernels:
        given = f"{stage.kernel} with stride {stride}"
        raise _refuse(
            chip, stage, "kernel size", given, f"{_listed(limits.strided_kernels)} then", "pool behind it instead"
        )
    if stage.convolution.padding[0] != (stage.kernel - 1) // 2:
        raise _refuse(
            chip, stage, "padding", stage.convolution.padding[0], (stage.kernel - 1) // 2, "pad by half the kernel"
        )
    widths = chip.separable.weight_bits if separable else limits.weight_bits
    _require(chip, stage, "weight bits", stage.connection.weight_bits, widths, "quantise the weights")
    _require(chip, stage, "input bits", stage.input_bits, limits.activation_bits, "quantise the activations")
    _check_pool(chip, stage)


def _check_pool(chip: FrameChip, stage: Stage) -> None:
    pool, limits = stage.layer.pool, chip.convolution
    if pool is None:
        return
    if pool.is_global and pool.kind == "average":
        columns = stage.connection.synapses.source_shape[2]
        if columns > limits.average_pool_columns:
            raise _refuse(
                chip,
                stage,
                "global average pooling of an input with columns",
                columns,
                f"up to {limits.average_pool_columns}",
                "pool before",
            )
        return
    for what, pair, allowed in (
        ("a max pool of size", pool.size, (limits.max_pool_size,)),
        ("a max pool of stride", pool.stride, limits.max_pool_strides),
    ):
        if pair[0] != pair[1]:
            raise _refuse(chip, stage, what, f"{pair[0]} x {pair[1]}", "square ones", "make it square")
        _require(chip, stage, what, pair[0], allowed, "use that")


def _check_fully_connected(chip: FrameChip, stage: Stage) -> None:
    limits, inputs = chip.fully_connected, stage.connection.synapses.sources
    if inputs > limits.inputs:
        raise _refuse(chip, stage, "inputs", inputs, f"up to {limits.inputs}", "pool before it")
    _require(chip, stage, "weight bits", stage.connection.weight_bits, limits.weight_bits, "quantise the weights")
    _require(
        chip,
        stage,
        "input bits",
        stage.input_bits,
        chip.convolution.activation_bits,
        "let an input convolution precede",
    )
    if stage.layer.pool is not None:
        raise _refuse(chip, stage, "a pool of kind", repr(stage.layer.pool.kind), "none", "remove it")


_CHECKS = {
    "input": _check_input,
    "convolution": _check_convolution,
    "separable": _check_convolution,
    "fully_connected": _check_fully_connected,
}


def weight_range(bits: int) -> tuple[int, int]:
    """Least and largest weight of a width: 0 and 1, or symmetric around 0, as far as measured on the virtual device.

    8-bit weights of the input block use all of two's complement.
    """
    if bits == 1:
        return 0, 1
    largest = (1 << (bits - 1)) - 1
    return (-largest - 1 if bits == 8 else -largest), largest


def _check_values(chip: FrameChip, stage: Stage) -> None:
    weights, bits = stage.connection.synapses.weights, stage.connection.weight_bits
    if weights.dtype.kind != "i":
        raise MappingError(
            f"layer {stage.name!r} has weights of type {weights.dtype}, but chip {chip.name!r} takes integers of "
            f"{bits} bits: store them as integers, as its neurons are"
        )
    low, high = weight_range(bits)
    least, most = int(weights.min()), int(weights.max())
    if least < low or most > high:
        raise MappingError(
            f"layer {stage.name!r} has weights from {least} to {most}, but {bits}-bit weights of chip {chip.name!r} "
            f"go from {low} to {high}: quantise them, or choose more bits"
        )
    out = stage.layer.neuron.bits if isinstance(stage.layer.neuron, QuantizedRelu) else None
    if out is not None and out not in chip.convolution.activation_bits:
        raise _refuse(
            chip, stage, "activation bits", out, _listed(chip.convolution.activation_bits), "quantise the activations"
        )
