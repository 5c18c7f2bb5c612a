"""Which neurons send for each frame, evaluated from weights and images: all layers at once, without timesteps."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, NetworkError
from nsim.network.activity import Activity, layer_offsets
from nsim.network.exact_sums import exact_sums
from nsim.network.inputs import Frames
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import QuantizedInput, QuantizedRelu, Relay


def evaluate_frames(network: Network, frames: Frames | NDArray) -> Iterator[Activity]:
    """The activity of each frame, one by one; a neuron that holds zero sends nothing.

    frames   [frames, ...] with the input layer's neurons in the other axes, whole numbers that fit its bits
    raises   InputError for frames that do not fit; NetworkError for a network that is not one row of quantised layers
    """
    evaluator = FrameEvaluator(network)
    for frame in _checked_frames(network, frames):
        yield evaluator.evaluate(frame)


class FrameEvaluator:
    """A quantised network, ready to be evaluated frame by frame."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.offsets = layer_offsets(network).tolist()
        self.layers = []
        most, source = _largest_input(network.by_name[network.input]), network.input
        for layer in network.layers[1:]:
            connection = _only_connection(network, layer, source)
            assert isinstance(layer.neuron, QuantizedRelu)
            if layer.neuron.bits is None and layer is not network.layers[-1]:
                raise NetworkError(f"layer {layer.name!r} sends sums, which only the last layer may: give it bits")
            self.layers.append((layer, exact_sums(connection.synapses, most), layer.neuron.start(layer.neurons)))
            most, source = (1 << (layer.neuron.bits or 0)) - 1, layer.name

    def evaluate(self, frame: NDArray) -> Activity:
        """One frame: int64[input neurons]."""
        values = frame
        firing = [np.flatnonzero(values)]
        for (layer, sums_of, state), offset in zip(self.layers, self.offsets[1:], strict=False):
            sums = sums_of(values)
            if layer.pool is not None:
                sums = layer.pool.reduced(sums)
            values = layer.neuron.update(state, sums[None], 1, None)
            firing.append(np.flatnonzero(values) + offset)
        neurons = np.concatenate(firing)
        return Activity(np.array([0, neurons.size]), neurons, values[None])


def _largest_input(layer: Layer) -> int:
    if isinstance(layer.neuron, QuantizedInput):
        return (1 << layer.neuron.bits) - 1
    if isinstance(layer.neuron, Relay) and layer.neuron.binary:
        return 1
    raise NetworkError(
        f"input layer {layer.name!r} sends values of a {type(layer.neuron).__name__} without a width in bits: "
        "give it one"
    )


def _only_connection(network: Network, layer: Layer, source: str) -> Connection:
    incoming = network.incoming(layer.name)
    if [connection.source for connection in incoming] != [source] or not isinstance(layer.neuron, QuantizedRelu):
        raise NetworkError(
            f"layer {layer.name!r} is no quantised layer behind {source!r}: frames are evaluated for one row of "
            "quantised layers"
        )
    return incoming[0]


def _checked_frames(network: Network, frames: Frames | NDArray) -> Iterator[NDArray[np.int64]]:
    layer = network.by_name[network.input]
    array = np.asarray(frames.frames if isinstance(frames, Frames) else frames)
    if array.ndim < 2 or array.size != len(array) * layer.neurons or array.dtype.kind not in "biuf":
        raise InputError(
            f"frames of shape {array.shape} and type {array.dtype} do not fit input layer {layer.name!r} of network "
            f"{network.name!r}: give numbers, (frames, {', '.join(map(str, layer.shape))})"
        )
    rows = array.reshape(len(array), layer.neurons)
    count = frames.timesteps if isinstance(frames, Frames) else len(rows)
    most = _largest_input(layer)
    with np.errstate(invalid="ignore"):
        bad = ~((rows >= 0) & (rows <= most) & (rows == np.floor(rows)))
    if bad.any():
        raise InputError(
            f"frame {int(np.flatnonzero(bad.any(axis=1))[0])} holds {rows[bad][0]}, but input layer {layer.name!r} "
            f"takes whole numbers from 0 to {most}: scale and round the input"
        )
    return (rows[frame if len(rows) > 1 else 0].astype(np.int64) for frame in range(count))
