"""Published measurements of SynSense Speck against the simulator, one row each.

Reproduces: the latency of one event through one and through nine layers (arXiv:2304.06793); power and latency of the
four networks of Nature Communications 15:4464, table 1, from their spike counts; the shortest and the longest event in
a layer; resting power, sizes of the memories. Two more networks of that table were not found.

Expects: both latencies exactly, since they are fitted so; power of the two vanilla networks exactly, to which the
energies of an event and of a synop are fitted, each with as many synops to a spike as its cores can do; of the two
dynamic networks within 10 % with the same; no core over its ceiling, since all four were measured with latencies below
0.1 ms. How spikes share out over the layers is not published: the least load that any share has is compared, and such a
share is simulated.
How near it comes: dynamic networks +7 and -6 %. Gait-day vanilla is only below the ceilings if some of its weights are
zero, which the chip skips. benchmarks/README.md says more.

    python -m benchmarks.validation.speck [--quick] [--csv FILE] [--engine NAME]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.validation.comparison import FITTED, INDEPENDENT, INPUT, PARTLY, Row, row, script
from nsim.chip.events import StreamChip
from nsim.mapping.events.mapping import StreamMapping, map_stream
from nsim.network.builtin import build
from nsim.network.inputs import EventStream
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf, Relay
from nsim.network.synapses import Convolution
from nsim.result.run_events import simulate_stream

RICHTER = "arXiv:2304.06793"
TABLE = "NCE 2024 and Nature Comms 2024, as quoted"
ACTIONS = ("event", "synop")
NATURE = "Nature Comms 15:4464, table 1"
SINABS = "sinabs, chip description"
NOTEBOOK = "sinabs, power notebook"
SIDE = 8
WINDOW_MS = 540  # of one sample
# task: total mW, million spikes per sample, of the vanilla and of the dynamic network
TASKS = {"Gesture": ((9.5, 1.0), (3.8, 0.4)), "Gait-day": ((16.1, 2.9), (7.3, 1.2))}
NETWORKS = ("vanilla", "dynamic")
LATENCY_MS = 0.1  # all four are below
REST_MW = 0.42
RAM_UW, LOGIC_UW = 51.7, 367.0  # Speck 2f devkit, idle
PEAK, PEAK_LAYERS = 200.0, 6  # M synops/s of DYNAP-CNN, layers of the network it was stated for
CORES = 5  # of the measured networks, one of them core 0
SHORTEST_US, LONGEST_US = 0.12, 7.0  # one event in a layer, by kernel
# Of one event inside a map: Input-32C3S1-32C3S2-32C3S1-AP4-32FC-Out
SYNOPS = {"conv1": 32 * 9, "conv2": 32 * 9 // 4, "conv3": 32 * 9, "fc": 32}
QUIET = 0.01  # spikes per event of the last two layers: they have 43 neurons
DENSITY = 0.25  # of the weights of the network that needs zeros, where it is simulated: chosen, not published
PROBE_RATE, PROBE_SECONDS = 2e4, 2.0  # input events, well below the ceilings: tell how many spikes they bring about


def chain(depth: int) -> Network:
    """Layers of 3 x 3, stride 1, padding 1, that repeat every event at its place."""
    kernel = np.zeros((1, 1, 3, 3), np.int64)
    kernel[0, 0, 1, 1] = 10
    shape = (1, SIDE, SIDE)
    layers = [Layer("input", shape, Relay(binary=True), on_chip=False)]
    connections = []
    for number in range(depth):
        layers.append(Layer(f"conv{number}", shape, FixedIf(10)))
        synapses = Convolution(kernel, shape, shape, padding=(1, 1))
        connections.append(Connection(layers[-2].name, layers[-1].name, synapses))
    return Network("chain", tuple(layers), tuple(connections), "input", layers[-1].name)


def latency_rows(chip: StreamChip, engine: str) -> Iterator[Row]:
    middle = SIDE * SIDE // 2 + SIDE // 2
    for depth, latency_us in ((1, 1.58), (9, 3.36)):
        stream = EventStream(np.zeros(1, np.int64), np.array([middle]), SIDE * SIDE)
        result = simulate_stream(map_stream(chain(depth), chip), stream, engine=engine)
        simulated = result.summary()["latency_median_ps"] / 1e6
        anchor = f"one event through {depth} layer{'s' * (depth > 1)}"
        why = "the sum of the parts is fitted to it"
        yield row("Latency", anchor, "us", latency_us, simulated, FITTED, why, RICHTER)


def event_rows(chip: StreamChip) -> Iterator[Row]:
    part = "An event in a layer, by its kernel"
    event, synop = chip.actions.event.latency_ps, chip.actions.synop.latency_ps
    why = "the time of an event is derived from it"
    yield row(part, "shortest: one weight", "us", SHORTEST_US, (event + synop) / 1e6, FITTED, why, TABLE)
    largest = chip.limits.kernel_side**2
    why = "which kernel was meant is not published: the largest, with one filter"
    us = (event + largest * synop) / 1e6
    yield row(part, f"longest: {largest} weights", "us", LONGEST_US, us, INDEPENDENT, why, TABLE, tolerance=0.25)


def ceiling(chip: StreamChip) -> float:
    """Synops/s, in millions, of the cores of one network, one of them the fast one."""
    return 1e6 / chip.actions.synop_parallel.latency_ps + (CORES - 1) * 1e6 / chip.actions.synop.latency_ps


def power_rows(chip: StreamChip) -> Iterator[Row]:
    """By hand, as the energies were fitted: no network with these spike counts was published."""
    part = "Power, from published spike counts, and at rest"
    event_fj, synop_fj = chip.actions.event.energy_fj, chip.actions.synop.energy_fj
    assert event_fj is not None
    assert synop_fj is not None
    assert chip.power.static_mw is not None
    for task, measured in TASKS.items():
        synops = ceiling(chip) * WINDOW_MS / 1000 / measured[0][1]
        for network, (total_mw, spikes) in zip(NETWORKS, measured, strict=True):
            fitted = network == "vanilla"
            why = f"energies are fitted to it, with {synops:.0f} synops to a spike, as many as its cores can do"
            if not fitted:
                why = "as many synops to a spike as the vanilla network of its task, to which the energies are fitted"
            power_mw = spikes * 1e6 * (event_fj + synops * synop_fj) / (WINDOW_MS * 1e9) + chip.power.static_mw
            yield row(
                part, f"{task}, {network}", "mW", total_mw, power_mw, FITTED if fitted else PARTLY,
                why, NATURE, "=", 0.001 if fitted else 0.1,
            )  # fmt: skip
    yield row(part, "at rest", "mW", REST_MW, chip.power.static_mw, INPUT, "resting power", NATURE)
    why = "resting power is that of the table; two measurements agree, which says nothing of the model"
    rails_mw = (RAM_UW + LOGIC_UW) / 1000
    idle = "RAM and logic of an idle Speck 2f"
    yield row(part, idle, "mW", rails_mw, chip.power.static_mw, INPUT, why, NOTEBOOK, tolerance=0.02)


@dataclass(frozen=True)
class Share:
    """How spikes share out over the layers so that the busiest core has least to do.

    fast    layer on the fast core
    rates   events/s that each layer takes if all cores are as busy as they can be
    """

    fast: str
    rates: dict[str, float]

    @property
    def spikes(self) -> float:
        """Of all layers in a second; the first takes the sensor's events. The last two layers are all but silent."""
        return sum(self.rates.values()) - self.rates["conv1"]


def share_of(chip: StreamChip, density: float = 1.0) -> Share:
    def rate(layer: str, fast: str) -> float:
        event, synop = (getattr(chip.actions, f"{name}_parallel" if layer == fast else name) for name in ACTIONS)
        return 1e12 / (event.latency_ps + density * SYNOPS[layer] * synop.latency_ps)

    shares = [Share(fast, {layer: rate(layer, fast) for layer in SYNOPS}) for fast in SYNOPS]
    return max(shares, key=lambda share: share.spikes)


def load_rows(chip: StreamChip) -> Iterator[Row]:
    part = "Load of the busiest core at the published spike counts, at least"
    share = share_of(chip)
    why = f"least over all shares of the layers and the layer on core 0 ({share.fast}); no weight is zero"
    for name, _, spikes in networks():
        load = 100 * spikes * 1e6 / (WINDOW_MS / 1000) / share.spikes
        yield row(part, name, "%", 100.0, load, INDEPENDENT, why, NATURE, "<=")
    most = max(spikes for *_, spikes in networks()) * 1e6 / (WINDOW_MS / 1000)
    zeros = next(percent for percent in range(100) if share_of(chip, 1 - percent / 100).spikes >= most)
    why = "shares of zeros are not published; fewer do where the ceilings are higher"
    yield row(part, "Gait-day, vanilla: zeros among its weights", "%", "not found", zeros, PARTLY, why, NATURE, "")


def networks() -> Iterator[tuple[str, float, float]]:
    """Name, total mW, million spikes."""
    for task, measured in TASKS.items():
        for network, (total_mw, spikes) in zip(NETWORKS, measured, strict=True):
            yield f"{task}, {network}", total_mw, spikes


def shared_out(chip: StreamChip, density: float, engine: str) -> StreamMapping:
    """The network of that shape with random weights, and thresholds that make its spikes share out in this way."""
    share = share_of(chip, density)
    wanted = [after / before for before, after in zip(share.rates.values(), [*share.rates.values()][1:], strict=False)]
    gains = dict(zip(("conv1", "conv2", "conv3", "fc", "out"), [*wanted, QUIET, QUIET], strict=True))
    network = build("speck-gesture", density=density)
    wider = dict.fromkeys(gains, 1.0)
    for _ in range(2):
        mapping = map_stream(with_thresholds(network, wider), chip, {share.fast: chip.parallel.cores[0]})
        probed = simulate_stream(mapping, f"edges:rate={PROBE_RATE},seconds={PROBE_SECONDS}", engine=engine)
        found = {entry["layer"]: entry["spikes_per_event"] for entry in probed.rows("layers")}
        wider = {layer: wider[layer] * (found[layer] or gain / 2) / gain for layer, gain in gains.items()}
    return map_stream(with_thresholds(network, wider), chip, {share.fast: chip.parallel.cores[0]})


def with_thresholds(network: Network, wider: dict[str, float]) -> Network:
    """The same with so many times the thresholds, and neurons anywhere below them at the start."""
    rng = np.random.default_rng(0)

    def changed(layer: Layer) -> Layer:
        neuron = layer.neuron
        if not isinstance(neuron, FixedIf):
            return layer
        threshold = int(np.clip(round(neuron.threshold * wider[layer.name]), 1, 2**15 - 1))
        return replace(
            layer, neuron=replace(neuron, threshold=threshold, initial=rng.integers(0, threshold, layer.neurons))
        )

    return replace(network, layers=tuple(changed(layer) for layer in network.layers))


def simulated_rows(chip: StreamChip, quick: bool, engine: str) -> Iterator[Row]:
    """The network of that shape, at input rates that bring about the published spike counts."""
    part = "Simulated at the published spike counts (random weights, moving edge)"
    window_s = WINDOW_MS / 1000
    seconds = window_s / 10 if quick else window_s
    mappings: dict[float, StreamMapping] = {}
    for name, total_mw, spikes in networks():
        density = 1.0 if spikes * 1e6 / window_s < share_of(chip).spikes else DENSITY
        if density not in mappings:
            mappings[density] = shared_out(chip, density, engine)
        mapping = mappings[density]
        rate, wanted = PROBE_RATE, spikes * 1e6 * seconds / window_s
        for _ in range(3):
            facts = simulate_stream(mapping, f"edges:rate={rate},seconds={seconds}", engine=engine).summary()
            rate *= wanted / facts["spikes"]
        busiest = facts["bottleneck"]
        zeros = "" if density == 1 else f", {1 - density:.0%} of the weights zero"
        why = "spikes share out so that the busiest core has least to do"
        load = f"{busiest['layer']} at {busiest['load']:.0%} of its ceiling{zeros}; {why}"
        million = facts["spikes"] / 1e6 * window_s / seconds
        yield row(
            part,
            f"{name}: spikes",
            "M",
            spikes,
            million,
            INPUT,
            "events come as fast as it takes",
            NATURE,
            relation="",
        )
        median_ms = facts["latency_median_ps"] / 1e9
        yield row(part, f"{name}: latency", "ms", LATENCY_MS, median_ms, PARTLY, load, NATURE, "<=")
        power_mw = facts["dynamic_energy_fj"] / facts["input_duration_ps"] + chip.power.static_mw
        per_spike = f"{facts['synops'] / facts['spikes']:.0f} synops to a spike{zeros}; {why}"
        yield row(part, f"{name}: power", "mW", total_mw, power_mw, PARTLY, per_spike, NATURE, relation="")


def busiest_core_rate(mapping: StreamMapping, engine: str) -> float:
    """Synops/s, in millions, of the busiest ordinary core while it works, far over its ceiling."""
    result = simulate_stream(mapping, "edges:rate=1e6,seconds=0.005", engine=engine)
    core = result.summary()["bottleneck"]["core"]
    return next(entry["synops_per_s_ceiling"] for entry in result.rows("cores") if entry["core"] == core) / 1e6


def size_rows(chip: StreamChip, mapping: StreamMapping, engine: str) -> Iterator[Row]:
    part = "Sizes"
    why = "entries of each core"
    yield row(part, "cores", "", 9, chip.cores, INPUT, "cores", SINABS)
    yield row(part, "neurons", "", 327_680, sum(chip.memories.neuron_entries), INPUT, why, RICHTER)
    yield row(part, "weights", "", 272 * 1024, sum(chip.memories.kernel_entries), INPUT, why, RICHTER)
    used = len(mapping.layers)
    why = "one layer takes one core, by the memories"
    yield row(part, "cores of the Gesture network", "", 5, used, INPUT, why, NATURE)
    why = "ceilings are published of Speck; the peak is the predecessor's"
    six = 1e6 / chip.actions.synop_parallel.latency_ps + (PEAK_LAYERS - 1) * 1e6 / chip.actions.synop.latency_ps
    yield row(part, "synops of six cores together", "M/s", PEAK, six, INDEPENDENT, why, "CVPRW 2019 demo", ">=")
    why = "ceilings are published; receiving the events takes the rest"
    rate = busiest_core_rate(mapping, engine)
    yield row(part, "synops of an ordinary core, saturated", "M/s", 30.0, rate, INPUT, why, TABLE, tolerance=0.05)


NOT_COMPARABLE = (
    ("two more networks of the table", NATURE, "2.9 to 7.6 nJ per spike over all six; the rows were not found"),
    ("eight N-MNIST networks on a Speck 2f", "inNuCE BRANDY", "weights not read; all spikes left the chip, see README"),
    ("accuracy of the four networks", NATURE, "weights not published with it"),
    ("lowest real-time power 0.70 mW", "Nature Comms 15:4464", "network and activity not found"),
    ("typical power about 1 mW", "samna, Speck 2e page", "network and activity not found"),
    ("pupil tracking: 100 Hz, < 5 mW per eye", "arXiv:2511.20175", "layers and activity not found"),
    ("face detection: 20 mW", "arXiv:2312.14261", "layers and activity not found"),
    ("velocity decoding: 2.7 uJ and 1.3 ms per sample", "spike_bmi README", "host loop inside; spike counts not found"),
    ("MNIST on DYNAP-CNN: 41.3 and 294.9 ms, 144.5 uJ", "River Publishers", "another chip; energy estimated"),
    ("ball detection beside Akida and Loihi 2", "arXiv:2403.10677", "numbers not found; host delay dominates"),
    ("drone tripwire, 4 convolutions + 4 dense layers", "arXiv:2509.12997", "layer sizes and power not found"),
    ("power by supply rail", NOTEBOOK, "how actions divide over the rails not found"),
    ("input/output and sensor rails, 751.5 uW idle", NOTEBOOK, "the model's resting power is the processor's alone"),
    ("CIFAR10-DVS; time or energy of one layer", "-", "no published measurement found"),
    ("sparsity curves", "arXiv:2511.21549", "body of the paper not available"),
)


def all_rows(chip: StreamChip, quick: bool, engine: str) -> Iterator[Row]:
    yield from latency_rows(chip, engine)
    yield from event_rows(chip)
    yield from power_rows(chip)
    yield from load_rows(chip)
    yield from simulated_rows(chip, quick, engine)
    yield from size_rows(chip, map_stream(build("speck-gesture"), chip), engine)


if __name__ == "__main__":
    script("speck", all_rows, NOT_COMPARABLE)
