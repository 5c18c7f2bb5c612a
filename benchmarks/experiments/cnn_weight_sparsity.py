"""1. Weight sparsity of a convolutional network.

Which chips and formats gain from zero weights in a CNN, and where does the gain stop?

A CNN of three convolutions and a dense layer with random weights and an assumed message density of 10 %, stored two
ways: one kernel shared by all positions, and every synapse of its own in the sparse format. Both have the same cores
at all sparsities: those that hold either way without sparsity, and no more than 256 neurons each.
Expected: weight sparsity of CNNs against performance is a figure of arXiv:2511.21549 (caption, secondary); networks,
values and chips of its panels were not found. Counters of Loihi 2 leave the zeros of a shared kernel out; whether they
take time is not proven, so that both are asked: as the chip file has it (no time: its words are still read), and with
as much time as a synop each, where nothing is gained outside the dense layer. So it is on Loihi, whose counters are not
known. Unrolled synapses gain until receiving, updates or the barrier take over.
AKD1000 stores zeros like other weights (measured on the vendor's virtual device; that they cost as much time is
assumed): its built-in `cnn`, with the activity that it comes with, one frame alone, gains nothing. Speck skips zeros at
the read (stated): `speck-gesture` with a moving edge gains until what is left is receiving the event. Speck has no
timesteps: compared is the time its first layer, which gets the same events whatever the weights, takes for one; its
states are those of the whole stream. A further chip is an entry in CASES or WHOLE.

    python -m benchmarks.experiments.cnn_weight_sparsity [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from benchmarks.experiments.common import CHIPS, SPIKING, facts, measure, percent
from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.chip.timesteps import BarrierChip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.mapping.cores.partition import Rules, smallest_split
from nsim.mapping.events.mapping import map_stream
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.network.builtin.weights import random_floats
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Relay
from nsim.network.synapses import Convolution, Dense, Sparse, convolved_shape
from nsim.report.plots import COLOURS, MARKERS
from nsim.result.limits.events_bottleneck import bottleneck_of as stream_bottleneck_of
from nsim.result.limits.frames_bottleneck import bottleneck_of as frame_bottleneck_of
from nsim.result.run_events import simulate_stream
from nsim.result.run_frames import simulate_frames

STORAGE = {
    "shared": "shared kernels",
    "timed": "shared kernels whose zeros take time",
    "unrolled": "unrolled, sparse format",
}
CASES = tuple((chip, way) for chip in CHIPS for way in STORAGE if way != "timed" or chip == "loihi2")
WHOLE = ("akd1000", "speck")  # chips with one way to store a kernel
PER = {"akd1000": "time of one frame alone (us)", "speck": "time per event in the first layer (us)"}
SPARSITIES = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 0.98, 0.99)
INPUT = (2, 32, 32)
CONVOLUTIONS = ((16, 2), (32, 2), (32, 1))  # channels and stride, kernels 3 x 3
OUTPUTS = 10
MESSAGE_DENSITY = 0.1
NEURONS_PER_CORE = 256


def cnn(density: float, rng: np.random.Generator) -> Network:
    """Three convolutions and a dense layer; the input is on the chip. density: share of weights that are not zero."""
    layers = [Layer("input", INPUT, Relay(binary=True))]
    connections = []
    for number, (channels, stride) in enumerate(CONVOLUTIONS):
        source = layers[-1]
        shape = channels, source.shape[0], 3, 3
        kernel = np.where(rng.random(shape) < density, rng.normal(0, 1, shape), 0).astype(np.float32)
        geometry = (stride, stride), (1, 1)
        layers.append(Layer(f"conv{number}", convolved_shape(source.shape, kernel, *geometry, (1, 1)), SPIKING))
        synapses = Convolution(kernel, source.shape, layers[-1].shape, *geometry)
        connections.append(Connection(source.name, layers[-1].name, synapses))
    source = layers[-1]
    layers.append(Layer("fc", (OUTPUTS, 1, 1), SPIKING))
    matrix = random_floats(rng, (OUTPUTS, source.neurons), density)
    connections.append(Connection(source.name, "fc", Dense(matrix, source.shape, layers[-1].shape)))
    return Network("cnn", tuple(layers), tuple(connections), "input", "fc")


def unrolled(network: Network) -> Network:
    """The same network with every synapse of its convolutions stored, zeros left out."""
    connections = [
        replace(c, synapses=_unrolled(c.synapses)) if isinstance(c.synapses, Convolution) else c
        for c in network.connections
    ]
    return replace(network, connections=tuple(connections))


def _unrolled(synapses: Convolution) -> Sparse:
    """What a message of 1 from each source neuron adds are its weights."""
    indptr, targets, values = [0], [], []
    for source in range(synapses.sources):
        sums = np.zeros(synapses.targets, np.float32)
        synapses.add(np.array([source]), np.ones(1, np.float32), sums)
        reached = np.flatnonzero(sums)
        targets.append(reached)
        values.append(sums[reached])
        indptr.append(indptr[-1] + reached.size)
    return Sparse(
        np.array(indptr, np.int64),
        np.concatenate(targets).astype(np.int32),
        np.concatenate(values),
        synapses.source_shape,
        synapses.target_shape,
    )


def cores_for(networks: Iterable[Network], chip: BarrierChip) -> dict[str, int]:
    """Cores per layer that hold each of these networks, with few neurons per core."""
    cores: dict[str, int] = {}
    for network in networks:
        for layer in network.layers:
            parts = smallest_split(Rules(network, chip, "sparse"), layer) or 1
            cores[layer.name] = max(cores.get(layer.name, 1), parts, -(-layer.neurons // NEURONS_PER_CORE))
    return cores


def whole(name: str, sparsity: float, quick: bool, seed: int) -> dict[str, Any]:
    """Time and least time of a frame on AKD1000, of an event of the first layer on Speck; and states."""
    if name == "akd1000":
        mapping = map_network(build("cnn", density=1 - sparsity, seed=seed), load_chip(name))
        frame = frame_bottleneck_of(simulate_frames(mapping, samples=1, seed=seed, critical_path=True))
        states = {"predicted_state": frame.predicted, "simulated_state": frame.simulated}
        return {"time_us": frame.time_ps / 1e6, "bound_us": int(frame.bounds.least_ps[0]) / 1e6, **states}
    mapping = map_stream(build("speck-gesture", density=1 - sparsity, seed=seed), load_chip(name))
    events = f"edges:rate=2e5,seconds={0.01 if quick else 0.1},seed={seed}"
    result = simulate_stream(mapping, events, critical_path=True)
    stream = stream_bottleneck_of(result)
    first = next(core for core in result.rows("cores") if core["layer"] == "conv1")
    event_us = first["synapses_busy_ps"] / first["events_served"] / 1e6
    states = {"predicted_state": stream.predicted, "simulated_state": stream.simulated}
    return {"time_us": event_us, "bound_us": event_us, **states}


def run(quick: bool, seed: int) -> Outcome:
    rows = []
    sparsities = SPARSITIES[::8] if quick else SPARSITIES
    cores: dict[str, dict[str, int]] = {}
    for sparsity in sparsities:
        kernels = cnn(1 - sparsity, np.random.default_rng(seed))
        networks = {"shared": kernels, "timed": kernels, "unrolled": unrolled(kernels)}
        for name, way in CASES:
            network, chip = networks[way], load_chip(name)
            if name not in cores:  # the first networks are those without sparsity
                cores[name] = cores_for(networks.values(), chip)
            if way == "timed":
                chip = changed(chip, {"zeros.time_share": 1.0})
            mapping = map_network(network, chip, cores[name], weight_format="sparse")
            activity = dict.fromkeys(network.by_name, MESSAGE_DENSITY) | {"fc": 0.0}
            found = measure(mapping, activity=activity, timesteps=1 if quick else 8, seed=seed)
            rows.append({"chip": name, "storage": way, "sparsity": sparsity} | facts(found))
        for name in WHOLE:
            known = {"chip": name, "storage": "shared", "sparsity": sparsity}
            rows.append(dict.fromkeys(rows[0]) | known | whole(name, sparsity, quick, seed))
    verdicts = [
        judge(name, way, [row for row in rows if (row["chip"], row["storage"]) == (name, way)]) for name, way in CASES
    ]
    verdicts += [judge(name, "shared", [row for row in rows if row["chip"] == name]) for name in WHOLE]
    return Outcome(rows, verdicts, lambda figure: draw(figure, rows), (10, 8.4))


def judge(name: str, way: str, rows: list[dict]) -> Verdict:
    first, last = rows[0], rows[-1]
    gain = first["time_us"] / last["time_us"]
    if name == "speck":
        return Verdict(
            f"{name}, {STORAGE[way]}: zero weights shorten an event",
            bool(gain > 10),
            f"{first['time_us']:.2f} us to {last['time_us']:.2f} us at {last['sparsity']:.0%}: {gain:.1f} times less",
        )
    if way == "timed" or (way == "shared" and name != "loihi2"):
        spread = max(row["time_us"] for row in rows) / min(row["time_us"] for row in rows) - 1
        claim = f"{name}, {STORAGE[way]}: zero weights gain nothing"
        where = f" on {first['cores']} cores" if first["cores"] else ""
        states = " or ".join(dict.fromkeys(f"{row['simulated_state']}-bound" for row in rows))
        return Verdict(claim, bool(spread < 0.01), f"time varies by {percent(spread)}{where}; {states}")
    other = next((row for row in rows if row["simulated_state"] != first["simulated_state"]), None)
    stop = (
        f"{other['simulated_state']}-bound from {other['sparsity']:.0%} on"
        if other
        else f"{last['simulated_state']}-bound to the end, where receiving messages is "
        f"{last['receiving_us'] / last['memory_bound_us']:.0%} of the memory bound"
    )
    return Verdict(
        f"{name}, {STORAGE[way]}: zero weights shorten a timestep until another bound takes over",
        bool(gain > 1.1 and other),
        f"{first['time_us']:.1f} us become {last['time_us']:.2f} us at {last['sparsity']:.0%} ({gain:.1f} times less) "
        f"on {first['cores']} cores; {stop}",
    )


def draw(figure: Any, rows: list[dict]) -> None:
    names = list(dict.fromkeys(name for name, _ in CASES))
    axes = figure.subplots(2, 2)
    for axis, name in zip(axes[1], WHOLE, strict=True):
        own = [row for row in rows if row["chip"] == name]
        axis.plot([100 * row["sparsity"] for row in own], [row["time_us"] for row in own], color="black", lw=1.2)
        draw_states(axis, own)
        axis.set(xlabel="weight sparsity (%)", ylim=(0, None), title=load_chip(name).title, ylabel=PER[name])
        axis.legend(fontsize=8)
    for axis, name in zip(axes[0], names, strict=True):
        own = [row for row in rows if row["chip"] == name]
        for way, style in zip(STORAGE, ("-", ":", "--"), strict=True):
            line = [row for row in own if row["storage"] == way]
            if not line:
                continue
            label = STORAGE[way]
            x, y = [100 * row["sparsity"] for row in line], [row["time_us"] for row in line]
            axis.plot(x, y, style, color="black", lw=1.2, zorder=1, label=label)
        draw_states(axis, own)
        axis.set(
            xlabel="weight sparsity (%)", ylim=(0, None), title=f"{load_chip(name).title}, {own[0]['cores']} cores"
        )
        axis.set_ylabel("time per timestep (us)")
        axis.legend(fontsize=8)


def draw_states(axis: Any, rows: list[dict]) -> None:
    """The points of a line, by what limits them."""
    for state in dict.fromkeys(row["simulated_state"] for row in rows):
        points = [(100 * row["sparsity"], row["time_us"]) for row in rows if row["simulated_state"] == state]
        axis.plot(*zip(*points, strict=True), MARKERS[state], color=COLOURS[state], ms=7, label=f"{state}-bound")


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
