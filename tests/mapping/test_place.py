"""Greedy placement against a plain twin that counts hops router by router."""

import numpy as np
import pytest

from nsim.mapping.cores.place import place
from tests.generators.machines import shipped

CHIPS = ("loihi2", "loihi")


def router(chip, core):
    """(column, row) of a core's router; the host's for core number chip.cores."""
    row, column = divmod(chip.router_of(core), chip.mesh.columns)
    return column, row


def hops(chip, one, other):
    (x, y), (u, v) = router(chip, one), router(chip, other)
    return abs(x - u) + abs(y - v)


def naive(chip, traffic):
    """From the host on: who exchanges most with those placed, to the free core with the fewest message hops."""
    host, cores = chip.cores, len(traffic) - 1
    exchange = traffic + traffic.T
    placed, free = {}, list(range(chip.cores))
    for _ in range(cores):
        waiting = [core for core in range(cores) if core not in placed]
        core = max(waiting, key=lambda c: (sum(exchange[c][p] for p in placed) + exchange[c][cores], -c))

        def cost(at, core=core):
            to_host = exchange[core][cores] * hops(chip, at, host)
            return to_host + sum(exchange[core][p] * hops(chip, at, placed[p]) for p in placed)

        placed[core] = min(free, key=lambda at: (cost(at), at))
        free.remove(placed[core])
    return [placed[core] for core in range(cores)]


def total_hops(chip, traffic, location):
    """Message hops of a placement, the host's included."""
    at = [*location, chip.cores]
    return sum(
        int(traffic[a][b]) * hops(chip, at[a], at[b]) for a in range(len(at)) for b in range(len(at)) if traffic[a][b]
    )


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("seed", range(4))
def test_greedy_beats_row_major_in_hops(chip, seed):
    """Cores that exchange in pairs far apart in number: greedy brings them together, by rows and columns."""
    target, rng = shipped(chip), np.random.default_rng(seed)
    cores = 40
    traffic = np.zeros((cores + 1, cores + 1), np.int64)
    order = rng.permutation(cores)
    traffic[order[:-1], order[1:]] = rng.integers(1, 100, cores - 1)  # a chain
    traffic[cores, order[0]] = 50  # that the host feeds
    greedy = place(target, traffic, "greedy")
    assert len(set(greedy.tolist())) == cores
    assert total_hops(target, traffic, greedy) < 0.5 * total_hops(target, traffic, place(target, traffic, "row-major"))


@pytest.mark.parametrize("chip", CHIPS)
@pytest.mark.parametrize("seed", range(3))
def test_greedy_is_the_naive_search(chip, seed):
    rng = np.random.default_rng(seed)
    traffic = rng.integers(0, 30, (9, 9)) * (rng.random((9, 9)) < 0.4)
    assert place(shipped(chip), traffic, "greedy").tolist() == naive(shipped(chip), traffic)
