"""The five microbenchmarks of the Loihi 2 runtime model in simulation: each returns one constant of the chip file.

Reproduces the method, not the values, of Timcheck, Pierro, Shrestha, arXiv:2601.10035, section 6: set-ups in which one
constant decides the time of a timestep, so that the slope of time over work is that constant. The values measured
there could not be read. Expected: the constant that the chip file holds, within 1 %. It comes out within 0.001 %; the
bandwidth of a link within 0.1 %, because the time of one message is rounded to whole picoseconds. They are printed by
benchmarks/validation/loihi2.py and loihi.py, and held by tests/machine/test_microbenchmarks.py.
"""

from __future__ import annotations

from collections.abc import Mapping as Table
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from nsim.chip.chip import Chip
from nsim.chip.timesteps import BarrierChip
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Lif
from nsim.network.synapses import Dense, Sparse
from nsim.result.run import simulate
from nsim.result.timesteps import TimestepResult

SPIKING = Lif(leak=0.1, gain=1.0, threshold=1.0)  # binary, so that every chip carries its messages; never evaluated


@dataclass(frozen=True)
class Point:
    """One set-up. work[0] is what the constant is multiplied with, the rest what else the time may depend on."""

    mapping: Mapping
    activity: dict[str, float]
    work: tuple[float, ...]


@dataclass(frozen=True)
class Microbenchmark:
    """Set-ups of growing size, the same but for the work.

    constant     key of the chip file
    expected_ps  what the file says it is: time for one unit of work[0]
    """

    name: str
    constant: str
    expected_ps: float
    points: tuple[Point, ...]


def run(point: Point, engine: str = "compiled") -> TimestepResult:
    """One timestep of a set-up, without a runtime above it."""
    bare = None if point.mapping.runtime is None else "bare"
    return simulate(point.mapping, activity=point.activity, timesteps=1, runtime=bare, engine=engine)


def measure_ps(benchmark: Microbenchmark, engine: str = "compiled") -> float:
    """The time that one unit of work[0] takes: its coefficient in a least-squares fit of time over work."""
    work = np.array([point.work for point in benchmark.points], float)
    times = np.array([run(point, engine).time_ps for point in benchmark.points], float)
    scale = work.max(axis=0)
    coefficients, _, rank, _ = np.linalg.lstsq(work / scale, times, rcond=None)
    assert rank == work.shape[1], f"{benchmark.name}: {len(times)} points do not tell the kinds of work apart"
    return float(coefficients[0] / scale[0])


AnyChip = TypeVar("AnyChip", bound=Chip)


def variant(chip: AnyChip, changes: Table[str, Any]) -> AnyChip:
    """The chip with other values, by key such as "actions.spike.latency_ps"; their plausible ranges are dropped."""
    data = chip.model_dump(exclude_unset=True)
    for key, value in changes.items():
        *path, name = key.split(".")
        table = data
        for part in path:
            table = table[part]
        table[name] = value
        table.pop(f"{name}_range", None)
    return type(chip).model_validate(data)


# --- set-ups ------------------------------------------------------------------------------------------------


def silent_cores(chip: BarrierChip, cores: int, neurons: int) -> Mapping:
    """`cores` cores with this many neurons each, which nothing connects."""
    layer = Layer("silent", (cores * neurons, 1, 1), SPIKING)
    return map_network(Network("silent", (layer,), (), "silent", "silent"), chip, cores)


def dense_pair(chip: BarrierChip, neurons: int) -> Mapping:
    """A core of senders, a core of as many receivers, a dense block of 8-bit weights between them."""
    shape = (neurons, 1, 1)
    layers = Layer("senders", shape, SPIKING), Layer("receivers", shape, SPIKING)
    matrix = np.ones((neurons, neurons), np.int64)
    connection = Connection("senders", "receivers", Dense(matrix, shape, shape), weight_bits=8)
    return map_network(
        Network("dense pair", layers, (connection,), "senders", "receivers"), chip, 1, weight_format="dense"
    )


def one_to_one(chip: BarrierChip, neurons: int, sending_cores: int, receiving_cores: int) -> Mapping:
    """Sender number k sends one message with one synapse to receiver k."""
    shape = (neurons, 1, 1)
    layers = Layer("senders", shape, SPIKING), Layer("receivers", shape, SPIKING)
    indptr, targets = np.arange(neurons + 1), np.arange(neurons, dtype=np.int32)
    synapses = Sparse(indptr, targets, np.ones(neurons, np.int64), shape, shape)
    network = Network("one to one", layers, (Connection("senders", "receivers", synapses),), "senders", "receivers")
    return map_network(network, chip, {"senders": sending_cores, "receivers": receiving_cores})


SENDING = {"senders": 1.0, "receivers": 0.0}

# --- the five -----------------------------------------------------------------------------------------------


def barrier(chip: BarrierChip, routers: int = 1) -> Microbenchmark:
    """A silent network over so many routers (one: on two cores); what is left when it has no neurons is the barrier."""
    cores = 2 if routers == 1 else (routers - 1) * chip.mesh.cores_per_router + 1
    points = [Point(silent_cores(chip, cores, n), {"silent": 0.0}, (1.0, n)) for n in (1, 10, 100)]
    name = f"barrier over {routers} router{'s' * (routers > 1)}"
    return Microbenchmark(name, "barrier.latency_ps", chip.barrier_ps(routers), tuple(points))


def neuron_update(chip: BarrierChip) -> Microbenchmark:
    """DendOp: one core of N neurons that never send."""
    sizes = [chip.core.neurons // part for part in (8, 4, 2, 1)]
    points = [Point(silent_cores(chip, 1, n), {"silent": 0.0}, (n, 1.0)) for n in sizes]
    key = "actions.neuron_update.latency_ps"
    return Microbenchmark("neuron update", key, chip.actions.neuron_update.latency_ps, tuple(points))


def synop(chip: BarrierChip) -> Microbenchmark:
    """SynOp: N senders to N receivers, dense; N * N synops in N messages."""
    sizes = (64, 128, 192, 256)  # the largest still fits the weight memory of a core
    points = [Point(dense_pair(chip, n), SENDING, (n * n, n, 1.0)) for n in sizes]
    key = "actions.synop_dense.latency_ps"
    return Microbenchmark("synop, dense format", key, chip.actions.synop_dense.latency_ps, tuple(points))


def word_read(chip: BarrierChip) -> Microbenchmark:
    """SynMem: the same on a chip where all but reading the words of a row takes next to nothing.

    The file of Loihi has no time for a word alone: there it is given one of 500 ps.
    """
    latency_ps = chip.actions.word_read.latency_ps or 500
    changes = {f"actions.{name}.latency_ps": 1 for name in ("neuron_update", "spike", "message_out", "synop_dense")}
    fast = variant(chip, changes | {"actions.word_read.latency_ps": latency_ps})
    header, width = chip.formats.dense.header_bits, chip.core.word_bits
    row_words = {n: -(-(8 * n + header) // width) for n in (64, 128, 192, 256)}
    points = [Point(dense_pair(fast, n), SENDING, (n * words, n, 1.0)) for n, words in row_words.items()]
    return Microbenchmark("memory word", "actions.word_read.latency_ps", latency_ps, tuple(points))


LINKS = {  # cores that send, cores that receive, columns of the mesh (None: the chip's); all share one such link
    "core_to_router": (1, 3, None),
    "router_to_core": (3, 1, None),
    "east_west": (4, 4, None),
    "north_south": (4, 4, 1),
}


def link(chip: BarrierChip, kind: str = "east_west") -> Microbenchmark:
    """Bandwidth: all messages cross one link of this kind, on a chip where everything else takes next to nothing."""
    senders, receivers, columns = LINKS[kind]
    actions = ("neuron_update", "spike", "message_out", "message_in", "synop_sparse", "word_read")
    changes: dict[str, Any] = {f"actions.{action}.latency_ps": 1 for action in actions}
    if columns is not None:
        changes |= {"mesh.columns": columns, "mesh.rows": chip.routers // columns}
    fast = variant(chip, changes)
    bits = chip.messages.bits
    sizes = (120, 240, 480, 960)
    points = [Point(one_to_one(fast, n, senders, receivers), SENDING, (n * bits, 1.0)) for n in sizes]
    bit_ps = 1000 / getattr(chip.links, kind).bandwidth_gbps
    name = f"bit on a link {kind.replace('_', ' ')}"
    return Microbenchmark(name, f"links.{kind}.bandwidth_gbps", bit_ps, tuple(points))


def all_five(chip: BarrierChip) -> list[Microbenchmark]:
    """The five, barrier and link in several forms; those of memory words and links run on variants of the chip."""
    return [
        *(barrier(chip, routers) for routers in chip.barrier.routers),
        neuron_update(chip),
        synop(chip),
        word_read(chip),
        *(link(chip, kind) for kind in LINKS),
    ]
