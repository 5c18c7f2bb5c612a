"""PilotNet on Loihi 2, as lava-dl's benchmark notebooks logged it, beside the same in simulation.

Two networks are simulated: the trained one that was measured (`pilotnet_lif_network.net` of lava-dl, BSD-3, which does
not come along: NSIM_PILOTNET says where it is), evaluated on the zero image; and the built-in one, with random weights
and the logged synops of every layer as its activity. Rows that both have are made by the same functions.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from collections.abc import Mapping as Table
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.validation import microbenchmarks
from benchmarks.validation.comparison import FITTED, INDEPENDENT, INPUT, PARTLY, Row, row
from nsim.chip.timesteps import BarrierChip
from nsim.formats.netx import read_netx
from nsim.machine.stations import build_machine
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.storage import stored_words
from nsim.mapping.network import map_network
from nsim.network.activity import prescribe
from nsim.network.builtin import build
from nsim.network.layers import Network
from nsim.network.synapses import Box
from nsim.result.counts import Counter, Counts
from nsim.result.run import simulate
from nsim.result.timesteps import TimestepResult

FILE = "pilotnet_lif_network.net"
TRAINED = Path(os.environ.get("NSIM_PILOTNET", Path(__file__).resolve().parents[3] / "shared" / "data" / FILE))
TRAINED_PART = "PilotNet LIF, the trained network"
TIMESTEPS = 64  # of the built-in network
COUNTED_STEPS = 64  # timesteps over which its counts are averaged; counting needs no engine
PERIOD = 16  # timesteps between the resets of the trained network, and of one picture

SNN = "lava-dl pilotnet_snn log"
SDNN = "lava-dl pilotnet_sdnn log"

# --- what was logged ------------------------------------------------------------------------------------------

STEP_US, FPS, STEPS_PER_SAMPLE = 152.8, 408.91, 16
STEP_PATTERN_US = (201, 107, 181, 125)
DYNAMIC_W, TOTAL_W = 0.447, 0.679
INFERENCE_MJ, DYNAMIC_INFERENCE_MJ = 1.661, 1.094
DYNAMIC_STEP_UJ = DYNAMIC_W * STEP_US

# Layer: cores, slice (W, H, C), neurons swept per core, axons in, columns in the last slice.
PARTITION = {
    "input": (13, (16, 66, 3), 3168, 1, 8),
    "conv0": (25, (4, 32, 24), 3072, 2, 3),
    "conv1": (13, (4, 15, 36), 2160, 2, 1),
    "conv2": (3, (8, 7, 48), 2688, 2, 8),
    "conv3": (3, (8, 4, 64), 2048, 1, 6),
    "conv4": (2, (16, 2, 64), 2048, 1, 4),
}
DENSE_CORES = {"fc0": 12, "fc1": 1, "fc2": 1, "fc3": 1}
DENSE_AXONS = {"fc0": 2560, "fc1": 100, "fc2": 50, "fc3": 10}
CORES = {"lif": 74, "sdnn": 61}
CONV_WORDS = {
    "sdnn": {"conv0": 81, "conv1": 864, "conv2": 1620, "conv3": 2592, "conv4": 2880},
    "lif": {"conv0": 81, "conv1": 864, "conv2": 1620, "conv3": 2160, "conv4": 2880},
}
# before the split, per core, and of the two layers that fit one core
DENSE_WORDS = {
    "sdnn": {"fc0 whole": 66_560, "fc0": 7253, "fc1": 1500, "fc2": 150},
    "lif": {"fc0 whole": 61_440, "fc0": 7253, "fc1": 1300, "fc2": 150},
}
# Synops per core and timestep, read off the plot (10,000 steps); all other cores about 0.
LIF_SYNOPS = {
    "conv1": [1.31e5] * 12 + [0.44e5],
    "conv2": [1.51e5] * 3,
    "conv3": [0.53e5, 0.53e5, 0.46e5],
    "conv4": [0.51e5, 0.16e5],
}
ORDER = ("conv2", "conv1 full", "conv3 full", "conv4 first", "conv3 last", "conv1 last", "conv4 last")
# Smallest and largest core, 2,000 steps.
SDNN_SYNOPS = {
    "conv0": (0.4e4, 1.3e4),
    "conv1": (0.8e4, 2.9e4),
    "conv2": (2.45e4, 5.1e4),
    "conv3": (2.0e4, 4.65e4),
    "conv4": (0.7e4, 3.65e4),
}
COUNTED_UPDATES = {"input": 6340, "conv0": 7300, "conv1": 4850, "conv2": 5660, "conv3": 4200, "conv4": 4200}  # a core
BUSIEST_SYNOPS = 1.51e5
# The log's names of the layers of the trained network
TRAINED_NAMES = {
    "input": "input",
    **{f"conv{n}": f"conv{n + 1}" for n in range(5)},
    **{f"fc{n}": f"dense{n + 7}" for n in range(4)},
}

# --- why a simulated number is what it is ---------------------------------------------------------------------

TIMES = """times of synop, update, sending and receiving: stated ratios to Loihi 1; the buffer before the synapses, and
that zeros take no time, were chosen with this row in sight"""
DRAWN_TIMES = f"{TIMES}; activity: synops of the same log"
UPDATE_FIT = """energy of an update: what the measured energy leaves when synops (Hala Point), cores, messages and hops
have theirs"""
COUNTERS = "that zeros of convolutions do not count was read off these counters; activity is evaluated"
TOTALS = "the sum over the layer is the activity's input, its spread over the cores is not"
BEYOND = """geometry and activity; that a partly filled slice is laid out in full, and its kernels go on there, was read
off these counters, and has no constant"""
COUNTS_TWICE = """the counter reads two for every neuron that is swept and one for every spike, whole numbers that were
read off it; spikes are evaluated"""
SLICES = "slices along the width by powers of two, their size limit fitted"


@dataclass(frozen=True)
class PilotNet:
    """A PilotNet on a chip with the default partition.

    kind    "lif" or "sdnn": what its log is compared with
    names   the layers' names by those of the log
    """

    kind: str
    network: Network
    chip: BarrierChip
    names: Table[str, str]

    @classmethod
    def built_in(cls, kind: str, chip: BarrierChip) -> PilotNet:
        network = build("pilotnet", neuron=kind)
        return cls(kind, network, chip, {name: name for name in network.by_name})

    @classmethod
    def trained(cls, chip: BarrierChip) -> PilotNet:
        """As in the notebook, which resets layer after layer every 16 timesteps."""
        return cls("lif", read_netx(TRAINED, reset_interval=PERIOD, reset_offset=3), chip, TRAINED_NAMES)

    @cached_property
    def mapping(self) -> Mapping:
        return map_network(self.network, self.chip)

    def run(self, timesteps: int, engine: str) -> TimestepResult:
        """With its own activity, or else on the zero image: the notebook's picture goes to a variable nobody reads."""
        if self.network.activity is not None:
            return simulate(self.mapping, timesteps=timesteps, engine=engine)
        silence = np.zeros((timesteps, *self.network.layers[0].shape), np.int8)
        return simulate(self.mapping, silence, timesteps=timesteps, engine=engine)

    @cached_property
    def drawn_synops(self) -> NDArray[np.float64]:
        """Per timestep, of every physical core."""
        return self.drawn.core_synops.mean(axis=0)

    @cached_property
    def drawn(self) -> Counts:
        """What the activity of the built-in network causes."""
        assert self.network.activity is not None
        drawn = prescribe(self.network, self.network.activity, COUNTED_STEPS, np.random.default_rng(0))
        counter = Counter(self.mapping, build_machine(self.chip))
        return Counts.joined([counter.count(chunk) for chunk in drawn])

    def slices(self, layer: str) -> list[int]:
        """Logical cores of a layer, named as in the log, from west to east."""
        own = self.names[layer]
        return [core for core, held in enumerate(self.mapping.partition) if held[0].layer == own]

    def of_layer(self, synops: NDArray[np.float64], layer: str) -> NDArray[np.float64]:
        """What its cores do, of all physical cores."""
        return synops[self.mapping.placement[self.slices(layer)]]

    def words(self, layer: str) -> float:
        """Mean words of weights on the cores of a layer."""
        return float(np.mean([self.mapping.demands[core].synapse_words for core in self.slices(layer)]))

    def changed(self, changes: Table[str, object]) -> PilotNet:
        """The same on a chip with other values."""
        return PilotNet(self.kind, self.network, microbenchmarks.variant(self.chip, changes), self.names)

    def at_range_end(self, end: int) -> PilotNet:
        """The same on a chip whose action times are all at the lower (0) or upper (1) end of their plausible range."""
        actions = ((name, action.latency_ps_range) for name, action in self.chip.actions)
        return self.changed({f"actions.{name}.latency_ps": limits[end] for name, limits in actions if limits})


# --- time and energy ------------------------------------------------------------------------------------------


def trained_rows(net: PilotNet, engine: str) -> Iterator[Row]:
    """The run that was measured. Its activity repeats after 16 timesteps, so the second 16 stand for all."""
    first, both = net.run(PERIOD, engine), net.run(2 * PERIOD, engine)
    step_us = both.step_ps[PERIOD:].mean() / 1e6
    dynamic_uj = (both.energy.dynamic_fj - first.energy.dynamic_fj) / PERIOD / 1e9
    yield from time_and_energy(TRAINED_PART, net.chip, step_us, dynamic_uj, TIMES)
    pattern = both.step_ps[PERIOD:].reshape(-1, 4).mean(axis=0) / 1e6
    own = "evaluated; the log has no activity by timestep to compare with"
    yield row(
        TRAINED_PART, "timesteps repeat with period 4", "us", listed(STEP_PATTERN_US), listed(pattern), INDEPENDENT,
        own, SNN, relation="",
    )  # fmt: skip
    spread = max(STEP_PATTERN_US) / min(STEP_PATTERN_US)
    found = float(pattern.max() / pattern.min())
    anchor = "longest of the four over the shortest"
    yield row(TRAINED_PART, anchor, "x", spread, found, INDEPENDENT, own, SNN, tolerance=0.2)
    cores = len(net.mapping.partition)
    yield row(TRAINED_PART, "cores", "", CORES["lif"], cores, PARTLY, SLICES, SNN)
    done, spikes = (table[PERIOD:].mean(axis=0) for table in (both.counts.core_synops, both.counts.core_spikes))
    yield from load(f"{TRAINED_PART}, synops per core and step", net, done, COUNTERS)
    yield from updates(net, spikes)
    yield from trained_memory(net)


def listed(values: Iterator[float] | tuple[int, ...] | NDArray[np.float64]) -> str:
    return ", ".join(f"{value:.0f}" for value in values)


def trained_memory(net: PilotNet) -> Iterator[Row]:
    part = f"{TRAINED_PART}, weight memory per core"
    why = "formula made with this log, and as many bits as the largest weight of a layer needs"
    for layer, logged in (CONV_WORDS["lif"] | DENSE_WORDS["lif"]).items():
        if layer in net.names:
            yield row(part, layer, "words", logged, round(net.words(layer)), PARTLY, why, SNN, tolerance=0.15)


def time_and_energy(part: str, chip: BarrierChip, step_us: float, dynamic_uj: float, times: str) -> Iterator[Row]:
    """The measured time and power of a timestep, in the ways they were published."""
    static_mw = chip.power.static_mw
    total_uj = dynamic_uj + static_mw * step_us / 1000
    both = f"{UPDATE_FIT}; divided by the simulated time"
    static = f"{UPDATE_FIT}; static power, 0.232 W, is the measured one"
    yield row(part, "mean timestep", "us", STEP_US, step_us, PARTLY, times, SNN, tolerance=0.2)
    fps = 1e6 / (STEPS_PER_SAMPLE * step_us)
    yield row(part, "throughput, 16 steps per sample", "fps", FPS, fps, PARTLY, times, SNN, tolerance=0.2)
    yield row(
        part, "dynamic energy per timestep", "uJ", DYNAMIC_STEP_UJ, dynamic_uj, FITTED, UPDATE_FIT, SNN, tolerance=0.05
    )
    yield row(part, "dynamic power", "W", DYNAMIC_W, dynamic_uj / step_us, PARTLY, both, SNN, tolerance=0.2)
    yield row(part, "total power", "W", TOTAL_W, total_uj / step_us, PARTLY, static, SNN, tolerance=0.2)
    inference_mj = total_uj * STEPS_PER_SAMPLE / 1000
    yield row(part, "energy per inference", "mJ", INFERENCE_MJ, inference_mj, PARTLY, static, SNN, tolerance=0.1)
    dynamic_mj = dynamic_uj * STEPS_PER_SAMPLE / 1000
    anchor = "dynamic energy per inference"
    yield row(part, anchor, "mJ", DYNAMIC_INFERENCE_MJ, dynamic_mj, FITTED, UPDATE_FIT, SNN, tolerance=0.05)


def built_in_rows(lif: PilotNet, engine: str) -> Iterator[Row]:
    part = "PilotNet LIF, built-in network with the logged activity"
    result = lif.run(TIMESTEPS, engine)
    step_us, dynamic_uj = result.time_ps / result.spans / 1e6, result.energy.dynamic_fj / result.spans / 1e9
    yield from time_and_energy(part, lif.chip, step_us, dynamic_uj, DRAWN_TIMES)
    low, high = (lif.at_range_end(end).run(1, engine).time_ps / 1e6 for end in (0, 1))
    inside = "inside" if low <= STEP_US <= high else "outside"
    yield row(
        part, "timestep, all action times at the ends of their ranges", "us", STEP_US, f"{low:.0f} to {high:.0f}",
        PARTLY, f"the measured time lies {inside}; the upper end of synops is from this log", SNN, relation="",
    )  # fmt: skip
    slots = (16, 256, 1024, 4096)
    found = [lif.changed({"buffers.message_in": number}).run(4, engine).time_ps / 4e6 for number in slots]
    yield row(
        part, f"timestep with {', '.join(map(str, slots))} slots for incoming messages", "us", STEP_US,
        listed(np.array(found)), PARTLY, "the chip file has 1,024; the real number was not found", SNN, relation="",
    )  # fmt: skip
    yield from bounds(lif, result)


def bounds(lif: PilotNet, result: TimestepResult) -> Iterator[Row]:
    """Upper bounds that follow from the log: arithmetic on the mean step time, the power and the counted synops."""
    part, steps, cores = "Bounds from it", result.spans, result.table("cores")
    busiest = cores.loc[cores["synops"].idxmax()]
    busy_ns = busiest["synapses_busy_ps"] / 1000 / busiest["synops"]
    ratio = "synop and receiving a message: ratio to Loihi 1"
    for anchor, factor in (("", 1e3), (", if the counter of synops doubles", 2e3)):
        yield row(
            part, f"time per synop on the busiest core, messages included{anchor}", "ns",
            factor * STEP_US / BUSIEST_SYNOPS, busy_ns, INDEPENDENT, ratio, SNN, "<=",
        )  # fmt: skip
    yield row(
        part, "synapse stage of the busiest core, per step", "us", STEP_US, busiest["synapses_busy_ps"] / 1e6 / steps,
        INDEPENDENT, f"{ratio}; 0.70 ns x 1.51e5 synops alone are 106 us", SNN, "<=",
    )  # fmt: skip
    total = result.counts.core_synops.sum()
    yield row(
        part, "dynamic energy per synop, everything charged to synops", "pJ", 30.0,
        result.energy.dynamic_fj / 1e3 / total, FITTED, UPDATE_FIT, SNN, "<=",
    )  # fmt: skip
    shown = result.energy.by_action_fj["synop_conv"] / 1e3 / total
    yield row(
        part, "energy of one synop, if synops and updates, 1 to 10, took all of it", "pJ", 11.0, shown, INDEPENDENT,
        "energy of a synop is what Hala Point leaves for one; cores and messages take a part here", SNN, "<=",
    )  # fmt: skip


# --- work of the cores ----------------------------------------------------------------------------------------


def by_group(synops: Table[str, list[float]]) -> dict[str, float]:
    """Mean synops of the full slices of a layer and of its last one, named as in ORDER."""
    groups = {}
    for layer, cores in synops.items():
        if layer == "conv2":
            groups["conv2"] = float(np.mean(cores))
            continue
        groups[f"{layer} {'first' if layer == 'conv4' else 'full'}"] = float(np.mean(cores[:-1]))
        groups[f"{layer} last"] = float(cores[-1])
    return groups


def load(part: str, net: PilotNet, core_synops: NDArray[np.float64], why: str) -> Iterator[Row]:
    """Synops per timestep of every physical core against the counters."""
    synops = {layer: net.of_layer(core_synops, layer).tolist() for layer in LIF_SYNOPS}
    measured, simulated = by_group(LIF_SYNOPS), by_group(synops)
    for group in ORDER:
        yield row(part, group, "1e5", measured[group] / 1e5, simulated[group] / 1e5, PARTLY, why, SNN, tolerance=0.1)
    for layer in ("conv1", "conv4"):
        logged, found = LIF_SYNOPS[layer], synops[layer]
        yield row(
            part, f"{layer}, last slice over a full one", "", logged[-1] / logged[0], found[-1] / np.mean(found[:-1]),
            PARTLY, BEYOND, SNN, tolerance=0.1,
        )  # fmt: skip
    flat = [np.concatenate([np.array(table[layer]) for layer in LIF_SYNOPS]) for table in (LIF_SYNOPS, synops)]
    correlation = float(spearmanr(*flat).statistic)
    yield row(part, "rank correlation over the 21 loaded cores", "", 1.0, correlation, PARTLY, why, SNN, tolerance=0.1)
    ranking = " > ".join(sorted(simulated, key=lambda group: -simulated[group]))
    yield row(part, "order of the slices", "", " > ".join(ORDER), ranking, PARTLY, why, SNN)


def updates(net: PilotNet, core_spikes: NDArray[np.float64]) -> Iterator[Row]:
    """The log's counter of updates, of a core and a timestep. core_spikes: of every physical core."""
    for layer, counted in COUNTED_UPDATES.items():
        swept, spikes = (net.of_layer(table, layer).mean() for table in (net.mapping.allocated, core_spikes))
        yield row(
            f"{TRAINED_PART}, updates per core and step, as counted", layer, "", float(counted), 2 * swept + spikes,
            PARTLY, COUNTS_TWICE, SNN, tolerance=0.05,
        )  # fmt: skip


def sdnn_rows(sdnn: PilotNet) -> Iterator[Row]:
    part = "PilotNet SDNN, synops per core and step"
    drawn = "activity: events per frame of another log (training, smaller image), drawn evenly over each layer"
    synops = {layer: sdnn.of_layer(sdnn.drawn_synops, layer) for layer in SDNN_SYNOPS}
    for layer, (low, high) in SDNN_SYNOPS.items():
        least, most = synops[layer].min() / 1e4, synops[layer].max() / 1e4
        yield row(
            part, layer, "1e4", f"{low / 1e4:.2f} to {high / 1e4:.2f}", f"{least:.2f} to {most:.2f}", INDEPENDENT,
            drawn, SDNN, relation="",
        )  # fmt: skip
    conv0, top = synops["conv0"], max(synops, key=lambda layer: synops[layer].max())
    yield row(part, "layer of the busiest core", "", "conv2", top, INDEPENDENT, drawn, SDNN)
    for name, layer in (("busiest core", top), ("busiest conv2 core", "conv2")):
        ratio = synops[layer].max() / conv0.mean()
        yield row(part, f"{name} over a conv0 core", "", (4.0, 13.0), ratio, INDEPENDENT, drawn, SDNN, "in")
    spread = synops["conv2"]
    yield row(
        part, "conv2, busiest core over least busy", "", 2.1, spread.max() / spread.min(), INDEPENDENT,
        "not reproducible: the image's uneven activity is not in the built-in one", SDNN, relation="",
    )  # fmt: skip
    yield from sdnn_sparsity(part, sdnn)


def sdnn_sparsity(part: str, sdnn: PilotNet) -> Iterator[Row]:
    counts, network, source = sdnn.drawn, sdnn.network, "arXiv:2310.03251"
    neurons = sum(layer.neurons for layer in network.layers)
    dense = sum(c.synapses.fan_out(Box.whole(network.by_name[c.target].shape)).sum() for c in network.connections)
    why = "densities: lava-dl's training log of a smaller PilotNet (11.6 and 12.2 there); conv2's is assumed"
    fewer = neurons / (counts.spikes.sum() / COUNTED_STEPS)
    yield row(part, "activations, times fewer than dense", "x", 11.0, fewer, PARTLY, why, source, tolerance=0.25)
    fewer = dense / (counts.connection_synops.sum() / COUNTED_STEPS)
    yield row(part, "synops, times fewer than dense", "x", 12.0, fewer, PARTLY, why, source, tolerance=0.25)


# --- partition and memory -------------------------------------------------------------------------------------


def partition_rows(nets: Table[str, PilotNet]) -> Iterator[Row]:
    part, lif = "PilotNet, default partition", nets["lif"]
    for kind, source in (("sdnn", SDNN), ("lif", SNN)):
        found = len(nets[kind].mapping.partition)
        yield row(part, f"cores, {kind.upper()}", "", CORES[kind], found, PARTLY, SLICES, source)
    for layer, (cores, (width, height, channels), swept, axons, last) in PARTITION.items():
        logged = partition_text(cores, (channels, height, width), last, swept, axons)
        yield row(part, layer, "", logged, found_partition(lif, layer), PARTLY, SLICES, SNN)
    for layer, cores in DENSE_CORES.items():
        held = lif.slices(layer)
        logged = f"{cores} cores, {DENSE_AXONS[layer]} axons"
        simulated = f"{len(held)} cores, {lif.mapping.demands[held[0]].axons_in} axons"
        why = "split by the ratio of need to limit; index width fitted"
        yield row(part, layer, "", logged, simulated, PARTLY, why, SNN)
    sizes = sorted({lif.mapping.partition[core][0].allocated for core in lif.slices("fc0")})
    yield row(
        part, "neurons per core of fc0", "", "8", " or ".join(map(str, sizes)), INDEPENDENT,
        "12 x 8 are 96 of 100: the log does not say where the other 4 are", SDNN, relation="",
    )  # fmt: skip
    allocated = {layer: [lif.mapping.partition[c][0].allocated for c in lif.slices(layer)] for layer in PARTITION}
    same = "yes" if all(len(set(updates)) == 1 for updates in allocated.values()) else "no"
    anchor = "last slice: updates as many as a full one"
    yield row(part, anchor, "", "yes", same, INPUT, "rule taken from this log", SNN)


def partition_text(cores: int, extent: tuple[int, int, int], last: int, swept: int, axons: int) -> str:
    channels, height, width = extent
    return f"{cores} x ({width},{height},{channels}), last {last}; {swept} swept, {axons} axons"


def found_partition(net: PilotNet, layer: str) -> str:
    held = net.slices(layer)
    first, last = net.mapping.partition[held[0]][0], net.mapping.partition[held[-1]][0]
    axons = max(1, net.mapping.demands[held[0]].axons_in)  # an input layer is logged with one
    return partition_text(len(held), first.box.extent, last.box.extent[2], first.allocated, axons)


def memory_rows(nets: Table[str, PilotNet]) -> Iterator[Row]:
    part = "PilotNet, weight memory per core"
    for kind, source in (("sdnn", SDNN), ("lif", SNN)):
        net, logged = nets[kind], DENSE_WORDS[kind]
        for layer, words in CONV_WORDS[kind].items():
            if kind == "lif" and layer != "conv3":
                continue  # the same as in the other network
            bits = "formula and weight widths are those that make the log exact"
            found = net.mapping.demands[net.slices(layer)[0]].synapse_words
            yield row(part, f"{layer}, {kind.upper()}", "words", words, found, FITTED, bits, source)
        whole = next(c for c in net.network.connections if c.target == "fc0")
        found = stored_words(whole, Box.whole((100, 1, 1)), net.chip)
        index = "index width fitted to fc0 and fc1 (LIF); weights of the built-in network are random"
        name = f"fc0 before the split, {kind.upper()}"
        yield row(part, name, "words", logged["fc0 whole"], found, PARTLY, index, source, tolerance=0.1)
        for layer in ("fc0", "fc1", "fc2"):
            name, words = f"{layer}, {kind.upper()}", net.words(layer)
            yield row(part, name, "words", logged[layer], words, PARTLY, index, source, tolerance=0.15)


def all_rows(chip: BarrierChip, quick: bool, engine: str) -> Iterator[Row]:
    """quick: what needs no engine."""
    nets = {kind: PilotNet.built_in(kind, chip) for kind in ("lif", "sdnn")}
    if not quick:
        if TRAINED.exists():
            yield from trained_rows(PilotNet.trained(chip), engine)
        yield from built_in_rows(nets["lif"], engine)
    yield from load(
        "PilotNet LIF, built-in network, synops per core and step", nets["lif"], nets["lif"].drawn_synops, TOTALS
    )
    yield from partition_rows(nets)
    yield from memory_rows(nets)
    yield from sdnn_rows(nets["sdnn"])
