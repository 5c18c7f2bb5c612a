"""Networks of real numbers on chips with frames: quantised on samples, which their runs then take as inputs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from numpy.typing import NDArray

from nsim.chip.frames import FrameChip
from nsim.errors import MappingError
from nsim.formats.spikes import load_frames
from nsim.mapping.frames.mapping import FrameMapping, map_frames
from nsim.mapping.frames.quantize import check_quantisable, input_levels, quantize
from nsim.network.layers import Network
from nsim.network.neurons import Activation, QuantizedInput, Threshold
from nsim.network.synapses import Convolution, Separable


def map_calibrated(
    network: Network,
    chip: FrameChip,
    mode: str = "all-nps",
    clock_mode: str | None = None,
    calibrate: str | Path | NDArray | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
) -> FrameMapping:
    """The part of `nsim.map_network` that is for chips with frames.

    raises   MappingError if a network of real numbers has no samples; see `nsim.mapping.frames.quantize.quantize`
    """
    whole, _ = calibrated(network, chip, calibrate, samples, dt_s)
    mapping = map_frames(whole, chip, mode, clock_mode)
    return mapping if whole is network else replace(mapping, real=network)


def calibrated(
    network: Network, chip: FrameChip, inputs: str | Path | NDArray | None, frames: int | None, dt_s: float | None
) -> tuple[Network, str | Path | NDArray | None]:
    """Integers for a network of real numbers, calibrated on its input, and that input in levels; others as they are.

    raises   MappingError if there is no input to calibrate on; NetworkError for a network that no input can quantise,
             see `nsim.mapping.frames.quantize.quantize`
    """
    neurons = [layer.neuron for layer in network.layers if layer.name != network.input]
    if not all(isinstance(neuron, Activation | Threshold) for neuron in neurons):
        return network, inputs  # integers already, or neurons that the mapping refuses
    check_quantisable(network)
    if inputs is None:
        raise MappingError(
            f"network {network.name!r} has real weights, and chips with frames compute with integers: give samples to "
            "calibrate on (--calibrate or --input), or quantise the network (nsim.quantize)"
        )
    samples = load_frames(inputs, network.by_name[network.input].shape, frames, dt_s)
    source = network.by_name[network.input]
    bits = _input_bits(network, chip)
    levels = input_levels(samples, source, bits)
    return quantize(network, samples, input_bits=bits), levels.reshape(len(levels), 1, *source.shape)


def _input_bits(network: Network, chip: FrameChip) -> int:
    """Those of images, if the first layer is a convolution that the input block takes; else those of other layers."""
    (first,) = network.outgoing(network.input)
    image = isinstance(first.synapses, Convolution) and not isinstance(first.synapses, Separable)
    return chip.input_block.input_bits if image else max(chip.convolution.activation_bits)


def frames_for(mapping: FrameMapping, inputs: str | Path | NDArray, frames: int | None, dt_s: float | None) -> NDArray:
    """The first frames of an input as the mapped network takes them; of a calibrated one, in levels."""
    if mapping.real is None:
        return load_frames(inputs, mapping.network.by_name[mapping.network.input].shape, frames, dt_s)
    samples = load_frames(inputs, mapping.real.by_name[mapping.real.input].shape, frames, dt_s)
    source = mapping.network.by_name[mapping.network.input]
    assert isinstance(source.neuron, QuantizedInput)
    return input_levels(samples, source, source.neuron.bits)
