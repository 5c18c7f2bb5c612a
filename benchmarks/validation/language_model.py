"""The MatMul-free language model on 24 Loihi 2, one block a chip: what is printed, and a run with the rest assumed.

Reproduces: 41.5 tokens/s on 24 chips, 71.3 estimated from one, about 20 % of the throughput lost to traffic between
chips (arXiv:2503.18002, as quoted by a third party). A token is known before the next one begins: it passes all blocks
alone. How near it comes: 80.4, 95.4, and 15.7 %.
Expects no agreement: partition, activity and timesteps of a block were not found. Assumed are
- the width: 370 M parameters are 24 blocks of 4 x 1,024 x 1,024 and 3 x 1,024 x 2,816 weights, as the published models
  of this kind have, and embeddings, which are left out here;
- six timesteps a block: three projections side by side, the recurrence, its projection, the two that are gated, their
  product, and the last projection; residual sums and norms are left out;
- all neurons send (activations are dense), 8-bit weights of which a third are zero, as of three values, in the dense
  format; 128 KB of synapses a core, as in Intel's brief, since 96,000 B on 128 cores do not hold a block;
- cores by the weights of a layer, blocks along the rows of a board of 6 x 4 chips, to and fro.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from benchmarks.validation.comparison import INDEPENDENT, Row, row
from nsim.chip.board import BoardChip
from nsim.chip.file import load_chip
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import SigmaDelta
from nsim.network.synapses import Dense, Sparse, Synapses
from nsim.result.run import simulate
from nsim.result.timesteps import TimestepResult

SOURCE = "arXiv:2503.18002"
BLOCKS, WIDTH, INNER = 24, 1_024, 2_816
TOKENS_S, ONE_CHIP_TOKENS_S, LOST = 41.5, 71.3, 0.2
LAYERS = {  # of a block: neurons and cores; "state" and "product" multiply their inputs and have no weights to speak of
    "mix": (3 * WIDTH, 28),
    "state": (WIDTH, 2),
    "out": (WIDTH, 10),
    "gate": (2 * INNER, 54),
    "product": (INNER, 4),
    "down": (WIDTH, 28),
}
SYNAPSE_WORDS = 128 * 1024 // 8


def board(columns: int, rows: int) -> BoardChip:
    """So many of the chips of Kapoho Point."""
    values = {"board.columns": columns, "board.rows": rows, "core.synapse_words": SYNAPSE_WORDS}
    found = load_chip("kapoho-point", values)
    assert isinstance(found, BoardChip)
    return found


def between(source: int, target: int, rng: np.random.Generator) -> Synapses:
    """All weights, a third of them 0; or between a layer and one that multiplies its parts, one to one."""
    shapes = (source, 1, 1), (target, 1, 1)
    if source % target == 0 and source > target:
        indptr, index = np.arange(source + 1), np.arange(source, dtype=np.int32) % target
        return Sparse(indptr, index, np.ones(source, np.int8), *shapes)
    return Dense(rng.integers(-1, 2, (target, source), np.int8), *shapes)


def language_model(blocks: int) -> Network:
    """So many blocks, one after the other, which share their weights; activity: a token that passes them alone."""
    rng = np.random.default_rng(0)
    sizes = [("token", WIDTH)] + [
        (f"{name}{k}", neurons) for k in range(blocks) for name, (neurons, _) in LAYERS.items()
    ]
    layers = [Layer(name, (size, 1, 1), SigmaDelta("hidden" if k else "input")) for k, (name, size) in enumerate(sizes)]
    known: dict[tuple[int, int], Synapses] = {}
    connections = []
    for (source, size), (target, next_size) in pairwise(sizes):
        key = size, next_size
        if key not in known:
            known[key] = between(size, next_size, rng)
        connections.append(Connection(source, target, known[key]))
    steps = len(sizes)
    activity = {name: [float(step == k) for step in range(steps)] for k, (name, _) in enumerate(sizes)}
    return Network("language model", tuple(layers), tuple(connections), "token", sizes[-1][0], activity=activity)


def mapped(blocks: int, columns: int, rows: int) -> Mapping:
    """So many blocks on as many chips, the chips of every second row from east to west."""
    chip, network = board(columns, rows), language_model(blocks)
    cores = {"token": 1} | {f"{name}{k}": count for k in range(blocks) for name, (_, count) in LAYERS.items()}
    order = np.arange(columns * rows).reshape(rows, columns)
    order[1::2] = order[1::2, ::-1]
    block = sum(count for _, count in LAYERS.values())
    first = order.ravel()[:blocks, None] * chip.cores_per_chip
    places = [int(first[0, 0]), *(first + 1 + np.arange(block)).ravel().tolist()]
    return map_network(network, chip, cores, places, weight_format="dense")


def one_token(mapping: Mapping, engine: str) -> TimestepResult:
    """A token that passes all blocks: in every timestep one layer sends, with all its neurons."""
    return simulate(mapping, timesteps=len(mapping.network.layers), engine=engine)


def tokens_per_second(blocks: int, columns: int, rows: int, engine: str) -> float:
    return 1e12 / one_token(mapped(blocks, columns, rows), engine).time_ps


def all_rows(engine: str) -> Iterator[Row]:
    part = "MatMul-free language model, 370 M parameters, 24 chips"
    why = (
        "activity, partition, timesteps of a block and links between chips are assumed, see language_model.py beside "
        "this page; embeddings, norms and what the runtime does between tokens are left out"
    )
    several, one = tokens_per_second(BLOCKS, 6, 4, engine), tokens_per_second(1, 1, 1, engine) / BLOCKS
    yield row(part, "tokens on 24 chips", "1/s", TOKENS_S, several, INDEPENDENT, why, SOURCE, relation="")
    yield row(
        part,
        "the same from one block on one chip",
        "1/s",
        ONE_CHIP_TOKENS_S,
        one,
        INDEPENDENT,
        why,
        SOURCE,
        relation="",
    )
    lost = 1 - several / one
    yield row(
        part,
        "throughput lost to several chips, about",
        "%",
        100 * LOST,
        100 * lost,
        INDEPENDENT,
        why,
        SOURCE,
        relation="",
    )
