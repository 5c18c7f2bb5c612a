"""Random workloads of chips with frames and of chips without timesteps, for the experiments."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import numpy as np

from nsim.chip.chip import Chip, changed
from nsim.chip.file import load_chip
from nsim.errors import MappingError
from nsim.formats.streams import load_events
from nsim.mapping.events.mapping import map_stream
from nsim.mapping.network import map_network
from nsim.network.builtin.quantized import RandomQuantized
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf, Relay
from nsim.network.synapses import Convolution, convolved_shape
from nsim.result.limits.bottleneck import Bottleneck
from nsim.result.limits.events_bottleneck import bottleneck_of as stream_bottleneck_of
from nsim.result.limits.events_bottleneck import find_bottleneck as find_in_stream
from nsim.result.limits.frames_bottleneck import bottleneck_of as frame_bottleneck_of
from nsim.result.limits.frames_bottleneck import find_bottleneck as find_in_frames
from nsim.result.run_events import simulate_stream
from nsim.result.run_frames import simulate_frames

# Costs that a variant of a chip has up to so many times as high
SLOWER = {
    "akd1000": {"actions.neuron_update.clocks": 300.0, "actions.message_in.clocks": 300.0},
    "speck": {"actions.leak_update.latency_ps": 30.0, "links.sensor.bandwidth_gbps": 1 / 300},
}
FRAMES = 2
Found = tuple[str, Bottleneck]


def varied(chip: Chip, rng: np.random.Generator) -> Chip:
    """The chip with one of its costs higher."""
    costs = SLOWER[chip.name]
    key = str(rng.choice(list(costs)))
    table, name, field = key.split(".")
    value = getattr(getattr(getattr(chip, table), name), field) * costs[key] ** rng.random()
    other: Chip = changed(chip, {key: value if field in ("clocks", "bandwidth_gbps") else round(value)})
    return other


def workloads(name: str, vary: bool, sensitivity: bool, seed: int) -> Iterator[Found]:
    """Random workloads without end, on the chip as shipped or on variants; sensitivity: the third witness too."""
    rng = np.random.default_rng(seed)
    draw = {"akd1000": frames, "speck": stream}[name]
    while True:
        chip = load_chip(name)
        try:
            yield draw(varied(chip, rng) if vary else chip, sensitivity, rng)
        except MappingError:
            continue


def frames(chip: Chip, sensitivity: bool, rng: np.random.Generator) -> Found:
    """One to three convolutions and a classifier on a random image, in a random mode, with random activity."""
    side = int(rng.choice([16, 24, 32]))
    made = RandomQuantized((3, side, side), 0.3, rng, 1.0)
    made.convolution("conv0", int(8 * rng.integers(1, 5)), int(rng.choice([1, 2])))
    for number in range(1, int(rng.integers(1, 4))):
        layer = made.separable if rng.random() < 0.3 else made.convolution
        layer(f"conv{number}", int(8 * rng.integers(1, 9)), int(rng.choice([1, 2])))
    made.classifier("fc", 10)
    network = made.network("frames", 0)
    activity = {layer.name: float(10 ** rng.uniform(-2, 0)) for layer in network.layers}
    mapping = map_network(network, chip, mode=str(rng.choice(["minimal", "all-nps"])))
    run = partial(simulate_frames, activity=activity, samples=FRAMES, critical_path=True)
    if sensitivity:
        return "frames", find_in_frames(mapping, run)
    return "frames", frame_bottleneck_of(run(mapping))


def stream(chip: Chip, sensitivity: bool, rng: np.random.Generator) -> Found:
    """One to four convolutions on a moving edge; some with biases and a slow clock."""
    biased = bool(rng.random() < 0.4)
    mapping = map_stream(convolutions(rng, biased), chip)  # type: ignore[arg-type]
    rate = 10 ** rng.uniform(4, 6.5)
    events = load_events(f"edges:rate={rate},seconds={2e3 / rate},seed={rng.integers(1000)}", mapping.sensor_shape)
    tick_s = float(10 ** rng.uniform(-4, -2.5)) if biased else None

    run = partial(simulate_stream, inputs=events, dt_s=tick_s, critical_path=True)
    if sensitivity:
        return "stream", find_in_stream(mapping, run)
    return "stream", stream_bottleneck_of(run(mapping))


def convolutions(rng: np.random.Generator, biased: bool) -> Network:
    """Kernels 3 x 3 whose neurons start below threshold, and make about one spike of an event."""
    layers = [Layer("input", (2, 64, 64), Relay(binary=True), on_chip=False)]
    connections = []
    for number in range(int(rng.integers(1, 5))):
        source, channels = layers[-1], int(2 ** rng.integers(2, 6))
        pool = int(rng.choice([1, 2])) if source.shape[1] >= 16 else 1
        kernel = rng.integers(-20, 40, (channels, source.shape[0], 3, 3))
        pooled = source.shape[0], source.shape[1] // pool, source.shape[2] // pool
        target = convolved_shape(pooled, kernel, (1, 1), (1, 1), (1, 1))
        threshold = channels * 9 * 10
        start = rng.integers(0, threshold, int(np.prod(target)))
        neuron = FixedIf(threshold, bias=-1 if biased else 0, initial=start)
        layers.append(Layer(f"conv{number}", target, neuron))
        synapses = Convolution(kernel, source.shape, target, (1, 1), (1, 1), pool=(pool, pool))
        connections.append(Connection(source.name, layers[-1].name, synapses))
    return Network("stream", tuple(layers), tuple(connections), "input", layers[-1].name)
