"""Events per second of the compiled engine for chips without timesteps.

    python benchmarks/speed/stream.py [--quick]

Expected: at least 1.5 million served events (an event evaluated at a core) a second on one thread, for nets of nine
convolutions of 3 x 3 on Speck, whether the chip keeps up or is overloaded; that is three completions and some 210 to
290 synops each. Beside it stands what evaluation alone would take: a plain loop that adds rows of weights, 16 bits into
16 bits, as long as those of the net, with nothing else, in the same run. The loop spends most of its time on events and
not on synops, so it reaches 5 to 10 % of the synops per second of plain rows.

Each figure is the best of several runs, in processor time of the thread; the first run, which compiles or loads the
code, is left out.
"""

from __future__ import annotations

import argparse
import time

import machine
import numpy as np
from numba import njit
from rich.console import Console
from rich.table import Table

from nsim.chip.events import StreamChip
from nsim.chip.file import load_chip
from nsim.machine.compiled.events import run_stream
from nsim.machine.events import StreamMachine, addresses, build_stream_machine
from nsim.machine.events_times import SensorEvents
from nsim.mapping.events.mapping import map_stream
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedIf, Relay
from nsim.network.synapses import Convolution

REQUIRED_PER_S = 1.5e6
SENSOR = (2, 128, 128)
NETS = {  # channels, and pooling before each layer
    "16-16-16-32x6, pooled 5 times": ((16, 16, 16, 32, 32, 32, 32, 32, 32), (2, 2, 1, 2, 1, 2, 1, 1, 2)),
    "32x9, pooled twice": ((32,) * 9, (4, 1, 1, 1, 1, 2, 1, 1, 1)),
}
GAPS_PS = {"keeps up": 20_000_000, "overloaded": 20_000}  # between sensor events
console = Console(width=120)


@njit(nogil=True)
def add_rows(state, weights, firsts):
    """The plain loop: one row of weights added to one run of states, again and again."""
    for k in range(firsts.size):
        run = state[firsts[k] : firsts[k] + weights.size]
        for i in range(weights.size):
            run[i] += weights[i]


def nine_layers(channels: tuple[int, ...], pools: tuple[int, ...], rng: np.random.Generator) -> Network:
    """Nine convolutions whose thresholds make about one spike of an event; neurons start evenly below threshold."""
    layers = [Layer("input", SENSOR, Relay(binary=True), on_chip=False)]
    connections = []
    for number, (out, pool) in enumerate(zip(channels, pools, strict=True)):
        source = layers[-1].shape
        kernel = np.clip(np.rint(rng.normal(8, 24, (out, source[0], 3, 3))), -127, 127).astype(np.int64)
        target = (out, source[1] // pool, source[2] // pool)
        synapses = Convolution(kernel, source, target, (1, 1), (1, 1), pool=(pool, pool))
        threshold = out * 9 * 8
        neuron = FixedIf(threshold, initial=rng.integers(0, threshold, synapses.targets))
        layers.append(Layer(f"conv{number}", target, neuron))
        connections.append(Connection(layers[-2].name, layers[-1].name, synapses))
    return Network("nine", tuple(layers), tuple(connections), "input", layers[-1].name)


def best_seconds(call, repeats: int) -> float:
    """Processor time of the shortest of several calls, after one that is not counted."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.thread_time()
        call()
        times.append(time.thread_time() - begin)
    return min(times)


def plain_synops_per_s(row: int, repeats: int, rng: np.random.Generator) -> float:
    state, weights = np.zeros(65_536, np.int16), rng.integers(-9, 9, row).astype(np.int16)
    firsts = rng.integers(0, state.size - row, 1_000_000)
    return firsts.size * row / best_seconds(lambda: add_rows(state, weights, firsts), repeats)


def sensor_events(count: int, gap_ps: int, rng: np.random.Generator) -> SensorEvents:
    t_ps = np.cumsum(rng.integers(1, 2 * gap_ps, count))
    return SensorEvents(t_ps, addresses(rng.integers(0, int(np.prod(SENSOR)), count), SENSOR), int(t_ps[-1]))


def measure(net: StreamMachine, events: SensorEvents, repeats: int) -> dict[str, float]:
    seconds = best_seconds(lambda: run_stream(net, events), repeats)
    times = run_stream(net, events)
    counts = {"events": times.events.sum(), "completions": times.served.sum(), "synops": times.synops.sum()}
    return {name: float(count) / seconds for name, count in counts.items()} | {"served": float(counts["events"])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer events and repetitions")
    quick = parser.parse_args().quick
    count, repeats = (20_000, 2) if quick else (100_000, 5)
    chip = load_chip("speck")
    assert isinstance(chip, StreamChip)
    console.print(machine.headline(machine.describe("numba", "numpy")))
    table = Table(box=None, padding=(0, 2, 0, 0))
    table.add_column("net")
    table.add_column("input")
    for heading in ("events served", "M events/s", "M completions/s", "G synops/s", "plain rows", "ratio"):
        table.add_column(heading, justify="right")
    slowest = np.inf
    for name, (channels, pools) in NETS.items():
        rng = np.random.default_rng(0)
        net = build_stream_machine(map_stream(nine_layers(channels, pools, rng), chip))
        plain = plain_synops_per_s(3 * channels[-1], repeats, rng)
        for load, gap_ps in GAPS_PS.items():
            rates = measure(net, sensor_events(count, gap_ps, rng), repeats)
            slowest = min(slowest, rates["events"])
            shown = (rates["events"] / 1e6, rates["completions"] / 1e6, rates["synops"] / 1e9, plain / 1e9)
            cells = [f"{value:.2f}" for value in (*shown, rates["synops"] / plain)]
            table.add_row(name, load, f"{rates['served']:,.0f}", *cells)
    console.print(table)
    verdict = "reached" if slowest >= REQUIRED_PER_S else "MISSED"
    console.print(f"Slowest {slowest / 1e6:.2f} M events/s; required {REQUIRED_PER_S / 1e6}: {verdict}")


if __name__ == "__main__":
    main()
