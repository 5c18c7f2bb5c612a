"""A network: layers of neurons, and the connections between them. Every message takes one timestep, plus its delay."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import prod

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.network.brief import Brief
from nsim.network.neurons import Neuron, Relay
from nsim.network.pooling import Pool
from nsim.network.synapses import Shape, Synapses

MAX_DELAY = 62  # timesteps; the longest delay of Loihi, see lava-dl's netx


@dataclass(frozen=True, eq=False)
class Layer:
    """Neurons of one model in one block.

    shape    (channels, rows, columns); a layer without space has (n, 1, 1). Neuron index is row-major in it.
    on_chip  False for an input that the host sends in, message by message
    pool     how what arrives is pooled before the neurons; None: one sum for every neuron
    lag      timesteps in which the neurons stand still at first, until the input can have arrived
    """

    name: str
    shape: Shape
    neuron: Neuron
    on_chip: bool = True
    pool: Pool | None = None
    lag: int = 0

    @property
    def neurons(self) -> int:
        return int(prod(self.shape))

    @property
    def sums_shape(self) -> Shape:
        """Of what the connections fill."""
        return self.shape if self.pool is None else self.pool.shape

    @property
    def sums(self) -> int:
        return int(prod(self.sums_shape))


@dataclass(frozen=True, eq=False, repr=False)
class Connection(Brief):
    """Synapses from one layer to another (or to itself).

    source_delay  extra timesteps by source neuron, int64[sources] or one number
    target_delay  extra timesteps by target neuron, int64[targets] or one number; both add up
    wait          extra timesteps of all, so that paths of different length meet; chips without timesteps need none
    dendrite      which of the target's sums it feeds
    weight_bits   width of a stored weight
    """

    source: str
    target: str
    synapses: Synapses
    source_delay: NDArray[np.int64] | int = 0
    target_delay: NDArray[np.int64] | int = 0
    wait: int = 0
    dendrite: int = 0
    weight_bits: int = 8

    @property
    def name(self) -> str:
        return f"{self.source} -> {self.target}"

    @property
    def longest_delay(self) -> int:
        return int(np.max(self.source_delay)) + int(np.max(self.target_delay)) + self.wait


@dataclass(frozen=True, eq=False, repr=False)
class Network(Brief):
    """Layers in order of the data, and their connections; checked when made.

    name      as the user calls it
    input     name of the layer that the input drives
    output    name of the layer whose messages or state are the result
    more_inputs, more_outputs   names of further ones: an input drives all side by side, in this order, and results lie
              side by side
    dt_s      seconds per timestep that the parameters were made for, if known
    activity  message density by layer that comes with a built-in network, each a number or a schedule over timesteps
    notes     where weights come from, if not from a file: every report repeats them
    activity_notes   where that activity comes from; reports of runs that draw it repeat them
    stimulus  bool[timesteps, inputs], spikes that drive the input layer unless a run has an input of its own
    exported  whether a framework trained it in real numbers: chips of integers then round it unless told otherwise
    rounding  what was lost where real numbers were rounded to integers; runs that evaluate the network repeat it
    missing   the error of a run that evaluates the network, if a parameter is unknown that its structure does not need
    """

    name: str
    layers: tuple[Layer, ...]
    connections: tuple[Connection, ...]
    input: str
    output: str
    dt_s: float | None = None
    activity: dict[str, float | list[float]] | None = None
    notes: tuple[str, ...] = ()
    activity_notes: tuple[str, ...] = ()
    stimulus: NDArray[np.bool_] | None = None
    exported: bool = False
    rounding: str | None = None
    missing: str | None = None
    more_inputs: tuple[str, ...] = ()
    more_outputs: tuple[str, ...] = ()
    by_name: dict[str, Layer] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "by_name", {layer.name: layer for layer in self.layers})
        if len(self.by_name) != len(self.layers):
            raise NetworkError(
                f"network {self.name!r} has two layers of one name: rename one of {[x.name for x in self.layers]}"
            )
        for end in (*self.inputs, *self.outputs):
            if end not in self.by_name:
                raise NetworkError(f"network {self.name!r} has no layer {end!r}: its layers are {list(self.by_name)}")
        for layer in self.layers:
            _check_layer(layer)
            if layer.neuron.external and layer.name not in self.inputs:
                raise NetworkError(
                    f"layer {layer.name!r} takes input from outside, but the input layer is {self.input!r}: "
                    "only that one may"
                )
        for connection in self.connections:
            self._check_connection(connection)
        kinds = {layer.neuron.fixed_point for layer in self.layers if not isinstance(layer.neuron, Relay)}
        if len(kinds) > 1:
            raise NetworkError(f"network {self.name!r} mixes fixed-point and floating-point layers: use one kind")

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of all input layers."""
        return (self.input, *self.more_inputs)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all output layers."""
        return (self.output, *self.more_outputs)

    @property
    def input_shape(self) -> Shape:
        """Of what drives the network: of its input layer, or of several as a vector."""
        return self.by_name[self.input].shape if not self.more_inputs else (self._places(self.inputs)[-1][1].stop, 1, 1)

    @property
    def input_slices(self) -> dict[str, slice]:
        """Which part of the input drives each input layer."""
        return dict(self._places(self.inputs))

    @property
    def output_slices(self) -> dict[str, slice]:
        """Which part of the outputs each output layer gives."""
        return dict(self._places(self.outputs))

    def _places(self, names: tuple[str, ...]) -> list[tuple[str, slice]]:
        ends = np.cumsum([self.by_name[name].neurons for name in names]).tolist()
        return [(name, slice(begin, end)) for name, begin, end in zip(names, [0, *ends], ends, strict=False)]

    def several_ends(self) -> str | None:
        """The inputs and outputs in words, for what takes one of each; None if there are no more."""
        if not (self.more_inputs or self.more_outputs):
            return None
        return f"network {self.name!r} has inputs {', '.join(self.inputs)} and outputs {', '.join(self.outputs)}"

    @property
    def fixed_point(self) -> bool:
        return any(layer.neuron.fixed_point for layer in self.layers)

    def with_notes(self, notes: tuple[str, ...]) -> Network:
        """The same network, with more for reports to repeat."""
        return replace(self, notes=self.notes + notes)

    def check_complete(self) -> None:
        """Raise the error of a network whose timestep is unknown."""
        if self.missing:
            raise NetworkError(self.missing)

    def outgoing(self, name: str) -> list[Connection]:
        return list(self._ends[0].get(name, ()))

    def incoming(self, name: str) -> list[Connection]:
        return list(self._ends[1].get(name, ()))

    @cached_property
    def _ends(self) -> tuple[dict[str, list[Connection]], dict[str, list[Connection]]]:
        """Connections by source, and by target."""
        ends: tuple[dict[str, list[Connection]], dict[str, list[Connection]]] = ({}, {})
        for connection in self.connections:
            ends[0].setdefault(connection.source, []).append(connection)
            ends[1].setdefault(connection.target, []).append(connection)
        return ends

    def sends(self, layer: Layer) -> bool:
        """Whether a layer's messages leave it: a layer that only holds a result for reading sends none."""
        return bool(self.outgoing(layer.name)) or not layer.neuron.holds

    def _check_connection(self, connection: Connection) -> None:
        for end in (connection.source, connection.target):
            if end not in self.by_name:
                raise NetworkError(
                    f"connection {connection.name} names {end!r}, which is no layer of network {self.name!r}: "
                    f"there are {', '.join(self.by_name)}"
                )
        synapses = connection.synapses
        source, target = self.by_name[connection.source], self.by_name[connection.target]
        if synapses.sources != source.neurons or synapses.targets != target.sums:
            before_pool = "" if target.pool is None else " sums before its pool"
            raise NetworkError(
                f"connection {connection.name} joins {synapses.sources} to {synapses.targets} neurons, but the layers "
                f"have {source.neurons} and {target.sums}{before_pool}: give weights of that shape"
            )
        if not np.isfinite(synapses.weights).all():
            bad = int(np.count_nonzero(~np.isfinite(synapses.weights)))
            raise NetworkError(
                f"connection {connection.name} has {bad} weights that are NaN or infinite: train again or mend the file"
            )
        if not 0 <= connection.dendrite < target.neuron.dendrites:
            raise NetworkError(
                f"connection {connection.name} feeds dendrite {connection.dendrite}, but a "
                f"{type(target.neuron).__name__} has {target.neuron.dendrites}: count from 0"
            )
        longest = connection.longest_delay
        if min(np.min(connection.source_delay), np.min(connection.target_delay)) < 0 or longest > MAX_DELAY:
            raise NetworkError(
                f"connection {connection.name} has delays of up to {longest} timesteps: give 0..{MAX_DELAY} in all"
            )


def _check_layer(layer: Layer) -> None:
    if len(layer.shape) != 3 or min(layer.shape) < 1:
        raise NetworkError(f"layer {layer.name!r} has shape {layer.shape}: expected three positive numbers (C, H, W)")
    if layer.pool is not None and layer.pool.pooled_shape != layer.shape:
        raise NetworkError(
            f"layer {layer.name!r} has shape {layer.shape}, but its pool makes {layer.pool.pooled_shape} of "
            f"{layer.pool.shape}: give the layer that shape"
        )
    if layer.neurons % layer.neuron.granule:
        raise NetworkError(
            f"layer {layer.name!r} has {layer.neurons} neurons: give a multiple of {layer.neuron.granule}"
        )
    if not layer.on_chip and not layer.neuron.external:
        raise NetworkError(f"layer {layer.name!r} is off the chip but takes no input from outside: put it on the chip")
