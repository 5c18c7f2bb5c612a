"""From a network of real numbers to one of spikes: the rate of an integrate-and-fire neuron stands for an activation.

A frame lasts a number of timesteps. In each of them a neuron whose activation is the scale of its layer fires once on
average, others in proportion: weights are multiplied by the scale of their source over that of their target, biases
are divided by the latter and added every timestep, thresholds are 1. A spike subtracts the threshold, so that what is
left counts on, and the error of a rate falls like 1 / timesteps. Below zero a neuron is silent, as a rectifier; an
output without one is read so, too.
Source: normalisation by what samples cause, Diehl et al. 2015 (IJCNN); subtraction, biases, and a percentile of the
activations as the scale, Rueckauer et al. 2017 (Frontiers in Neuroscience 11:682).
The sensor sends every value of the input as evenly as spikes in timesteps can be; assumed.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from numpy.typing import NDArray

from nsim.chip.events import StreamChip
from nsim.errors import InputError, MappingError, counted
from nsim.formats.coding import rate_coded
from nsim.formats.spikes import load_frames
from nsim.formats.streams import load_events
from nsim.mapping.events.mapping import Rates, StreamMapping, map_stream
from nsim.mapping.events.options import CoreOptions, parse_core_options
from nsim.mapping.events.quantize import quantized
from nsim.network.inputs import PS_PER_SECOND, EventStream, joined
from nsim.network.layers import Network
from nsim.network.neurons import Activation

DEFAULT_STEPS = 100  # a rate is then told to 1 % of its layer's scale
MAX_STEPS = 100_000
Frames = str | Path | NDArray


def map_events(
    network: Network,
    chip: StreamChip,
    core_options: str | CoreOptions | None = None,
    calibrate: Frames | None = None,
    rate_steps: int | None = None,
    dt_s: float | None = None,
) -> StreamMapping:
    """The part of `nsim.map_network` that is for chips without timesteps.

    raises   MappingError for what the chip cannot do; NetworkError for activations that no rate can stand for
    """
    chosen = core_options if isinstance(core_options, CoreOptions) else parse_core_options(core_options)
    rates = None
    if all(isinstance(layer.neuron, Activation) for layer in network.layers if layer.name != network.input):
        network, rates = as_rates(network, calibrate, rate_steps, dt_s)
    elif rate_steps is not None:
        raise MappingError(
            f"rate steps {rate_steps} are for rectifiers, and {network.name!r} has other neurons: leave them out"
        )
    mapping = replace(map_stream(quantized(network, chip), chip, chosen.core), rates=rates)
    return mapping.with_options(chosen.decimate, chosen.balanced(network))


def check_steps(steps: int | None) -> None:
    """raises   MappingError for a number of timesteps that is none"""
    if steps is not None and not 1 <= steps <= MAX_STEPS:
        raise MappingError(f"rates over {counted(steps, 'timestep')} were asked for: give 1 to {MAX_STEPS:,}")


def as_rates(
    network: Network, calibrate: Frames | None, steps: int | None, dt_s: float | None
) -> tuple[Network, Rates]:
    """Integrate-and-fire neurons for a network of rectifiers, still in real numbers, and how its input is sent.

    calibrate   samples that give the scales
    """
    steps = DEFAULT_STEPS if steps is None else steps
    check_steps(steps)
    if calibrate is None:
        raise MappingError(
            f"network {network.name!r} has real activations, for which rates of spikes can stand: give samples that "
            "scale them (--calibrate or --input)"
        )
    samples = load_frames(calibrate, network.by_name[network.input].shape, bin_s=dt_s)
    if samples.min() < 0 or not samples.any():
        raise InputError(
            f"samples for rates go from {samples.min():g} to {samples.max():g}, but a rate is not negative: shift them "
            "to start at 0"
        )
    rates = Rates(steps, float(samples.max()))
    return rate_coded(network, samples, unit=rates.scale, last_fires=True), rates


def coded_streams(
    rates: Rates, network: Network, inputs: Frames, samples: int | None, dt_s: float | None
) -> list[EventStream] | None:
    """Streams of the frames of an input, in its order; None of an input that is events already.

    raises   InputError if it is neither, or there is no length of a timestep
    """
    shape = network.by_name[network.input].shape
    try:
        load_events(inputs, shape)
        return None
    except InputError:
        frames = load_frames(inputs, shape, samples, dt_s)
    if dt_s is None:
        raise InputError(
            f"frames of {network.name!r} become spikes over {counted(rates.steps, 'timestep')}: give the length of one "
            "(--dt 1e-3)"
        )
    return [rates.stream(frame, dt_s) for frame in frames]


def as_one(rates: Rates, streams: list[EventStream], dt_s: float) -> tuple[EventStream, float]:
    """All frames one after another, and how many seconds they last."""
    length_ps = rates.length_ps(dt_s)
    return joined(streams, [length_ps] * len(streams)), len(streams) * length_ps / PS_PER_SECOND
