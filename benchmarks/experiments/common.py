"""What the experiments share: the chips, networks of a given shape, and runs with their bounds.

A further chip is one entry in CHIPS.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np

from nsim.chip.chip import changed
from nsim.chip.timesteps import BarrierChip
from nsim.mapping.cores.mapping import Mapping
from nsim.network.builtin.weights import random_floats
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Lif, Relay
from nsim.network.synapses import Dense, Shape, Sparse, Synapses
from nsim.result.limits.bottleneck import Bottleneck
from nsim.result.limits.timesteps import STATES
from nsim.result.limits.timesteps_bottleneck import bottleneck_of
from nsim.result.run import simulate

CHIPS = ("loihi2", "loihi")
UNBOUNDED = 10**7  # places of a queue that is never full
BUFFERS = ("message_in", "message_out", "link")
SPIKING = Lif(leak=0.1, gain=1.0, threshold=1.0)  # binary, so that every chip carries its messages; never evaluated


def stack(widths: Sequence[int], density: float, rng: np.random.Generator, sparse: bool = False) -> Network:
    """Fully connected layers, one after another, all of them on the chip: layer0, the input, to the last.

    density   share of weights that are not zero
    sparse    keep only those, which takes the memory of this machine for those only: for very wide layers
    """
    layers = [Layer("layer0", (widths[0], 1, 1), Relay(binary=True))]
    connections = []
    for number, width in enumerate(widths[1:], 1):
        source = layers[-1]
        layers.append(Layer(f"layer{number}", (width, 1, 1), SPIKING))
        if sparse:
            synapses: Synapses = random_sparse(source.shape, layers[-1].shape, density, rng)
        else:
            matrix = random_floats(rng, (width, source.neurons), density)
            synapses = Dense(matrix, source.shape, layers[-1].shape)
        connections.append(Connection(source.name, layers[-1].name, synapses))
    return Network("stack", tuple(layers), tuple(connections), "layer0", layers[-1].name)


def random_sparse(source: Shape, target: Shape, density: float, rng: np.random.Generator) -> Sparse:
    """Synapses of weight 1 from each source neuron to a binomial number of different targets."""
    sources, targets = int(np.prod(source)), int(np.prod(target))
    counts = rng.binomial(targets, density, sources)
    reached = [np.sort(rng.choice(targets, count, replace=False, shuffle=False)) for count in counts]
    indptr = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    index = np.concatenate(reached).astype(np.int32)
    return Sparse(indptr, index, np.ones(index.size, np.int8), source, target)


def with_places(chip: BarrierChip, places: int) -> BarrierChip:
    """The chip with so many places in every queue."""
    return changed(chip, {f"buffers.{name}": places for name in BUFFERS})


def measure(mapping: Mapping, *, seed: int, **options: Any) -> Bottleneck:
    """Run a mapping: what the floorline predicts from its counts, and what the simulation shows.

    options   of nsim.simulate: activity or inputs, timesteps
    """
    result = simulate(mapping, seed=seed, critical_path=True, **options)
    return bottleneck_of(result)


def facts(found: Bottleneck) -> dict[str, Any]:
    """Columns that tables have in common; times and counts per timestep, frame or stream.

    The columns of the barrier hold what takes its place: programming, or the input. None where it makes no sense.
    """
    bounds = found.bounds
    terms = zip_longest(STATES, bounds.mean_ps.values())  # only timesteps have the last, management
    return {
        "time_us": found.time_ps / found.spans / 1e6,
        "bound_us": float(bounds.least_ps.mean()) / 1e6,
        **{f"{state}_bound_us": None if term is None else term / 1e6 for state, term in terms},
        **(_counts(found) if found.unit == "timestep" else dict.fromkeys(COUNTS)),
        "max_core_synops": float(bounds.max_synops.mean()),
        "cores": found.cores,
        "predicted_state": found.predicted,
        "simulated_state": found.simulated,
    }


COUNTS = ("receiving_us", "total_synops", "messages")


def _counts(found: Bottleneck) -> dict[str, float]:
    result = found.result
    received = float(result.counts.core_messages_in.max(axis=1).mean())
    values = (
        received * result.mapping.chip.actions.message_in.latency_ps / 1e6,  # inside the memory bound
        float(result.counts.core_synops.sum(axis=1).mean()),
        float(result.counts.core_messages_in.sum(axis=1).mean()),
    )
    return dict(zip(COUNTS, values, strict=True))


def percent(share: float) -> str:
    """0.123 as 12 %, 0.0123 as 1.2 %."""
    return f"{100 * share:.2g} %" if abs(share) < 0.995 else f"{100 * share:.0f} %"


def span(values: Iterable[float], form: str = ".2f") -> str:
    """Smallest to largest."""
    values = list(values)
    return f"{min(values):{form}} to {max(values):{form}}"
