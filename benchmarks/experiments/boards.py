"""11. Boards: time and energy of networks on one to sixteen chips.

What do time and energy do when a network is spread over more chips, voluntarily and because it must?

PilotNet and S5 as built in, and a perceptron of four layers of 1,024 neurons with all their weights, on boards of
1 to 16 Loihi 2:
  forced      the same cores, in order and in equal parts on all chips, as if each chip had only so few free
  voluntary   every layer on as many times the cores as there are chips, or as many as it can be cut for; likewise
  wider       two layers of the perceptron so wide that their weights need that many chips, filled one after the other;
              dense format
Expected: forced time never falls, since nothing is won, and its energy grows at least like the static power of the
chips that are on. Voluntary time first falls and then rises, as on one chip (experiment 6): the barrier and the links
between chips cost more with each chip. Splits that save time cost energy. Wider, x times: cores ~ x^2, synops per core
~ x^0, messages ~ x^3 (the table of experiment 6); no exponent is published for chips and for traffic between them. A
language model on 24 chips lost about 20 % of its throughput to such traffic (arXiv:2503.18002, as quoted by a third
party): no verdict, since its mapping and activity were not found.
Links between chips and the barrier over them are assumed (chips/kapoho-point.toml). Every time is also found with both
at the best and at the worst ends of their ranges, and verdicts on time must hold there too. Energies are those of
actions with a known cost: of links between chips there is none.

    python -m benchmarks.experiments.boards [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from itertools import pairwise
from math import isqrt
from typing import Any

import numpy as np
from scipy.stats import linregress

from benchmarks.experiments.common import SPIKING, facts, measure
from nsim.chip.board import BoardChip
from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.chip.ranges import corner, ranges_of
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.errors import MappingError
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.cores.partition import Rules, even_slices
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Relay
from nsim.network.synapses import Dense
from nsim.report.plots import COLOURS, MARKERS
from nsim.result.run import simulate

BOARD = "kapoho-point"
CHIPS = (1, 2, 4, 8, 16)
NETWORKS = {"pilotnet": "PilotNet", "s5": "S5", "mlp": "perceptron, 4 x 1,024"}
WAYS = {
    "forced": "same cores on more chips",
    "voluntary": "more cores on more chips",
    "wider": "wider layers that need the chips",
}
WIDEST = 2_160  # neurons of layers two of which take nearly a chip
FACTORS = tuple(2 ** (step / 4) for step in range(7))  # of that width
ACTIVE = 0.1  # share of the neurons of a perceptron that send
SEVERAL = ("links.chip_to_chip", "board_barrier")  # tables of what is assumed of several chips
EXPONENTS = {"cores": 2.0, "synops_per_core": 0.0, "messages": 3.0}  # over the width
NEAR = 0.1  # of an exponent, as in experiment 6


def board(chips: int) -> BoardChip:
    """So many chips at least, near to a square."""
    rows = isqrt(chips)
    found = load_chip(BOARD, {"board.columns": -(-chips // rows), "board.rows": rows})
    assert isinstance(found, BoardChip)
    return found


def perceptron(width: int, layers: int, seed: int) -> Network:
    """Fully connected layers of one width, with the same random 8-bit weights between each two."""
    shape = (width, 1, 1)
    weights = Dense(np.random.default_rng(seed).integers(-127, 128, (width, width), np.int8), shape, shape)
    names = [f"layer{number}" for number in range(layers)]
    made = [Layer(name, shape, SPIKING if number else Relay(binary=True)) for number, name in enumerate(names)]
    joined = [Connection(source, target, weights) for source, target in pairwise(names)]
    activity: dict[str, float | list[float]] = dict.fromkeys(names, ACTIVE)
    return Network("perceptron", tuple(made), tuple(joined), names[0], names[-1], activity=activity)


@cache
def network_of(name: str, seed: int) -> Network:
    return perceptron(1_024, 4, seed) if name == "mlp" else build(name, seed=seed)


def dealt(mapping: Mapping) -> list[int]:
    """Physical cores for the logical ones: in order, in parts that differ by one at most, a part on every chip."""
    chip, logical = mapping.chip, np.arange(mapping.placement.size)
    on_chip = logical * chip.chips // logical.size
    first = np.searchsorted(on_chip, on_chip)
    return (on_chip * chip.cores_per_chip + logical - first).tolist()


def spread(network: Network, chips: int, times: int) -> Mapping:
    """On so many chips, every layer on `times` as many cores as it needs, or as many as it can be cut for."""
    alone = map_network(network, board(1))
    if times == 1:
        return map_network(network, board(chips), alone.partition, dealt(replace(alone, chip=board(chips))))
    cores: dict[str, int] = {}
    for (piece,) in alone.partition:
        cores[piece.layer] = cores.get(piece.layer, 0) + 1
    wanted = {name: _cut(network.by_name[name], times * count) for name, count in cores.items()}
    cut = map_network(network, board(chips), wanted)
    return map_network(network, board(chips), cut.partition, dealt(cut))


def _cut(layer: Layer, cores: int) -> int:
    """At most so many cores, and no more than the longest side of the layer can be cut for."""
    return min(cores, max(layer.shape) // layer.neuron.granule)


def cases(network: Network, seed: int, quick: bool) -> list[tuple[str, int, Mapping]]:
    """Way, chips and mapping; a split that breaks a limit of the chip is left out."""
    found = []
    for chips in CHIPS[: 3 if quick else None]:
        for way, times in (("forced", 1), ("voluntary", chips)):
            try:
                found.append((way, chips, spread(network, chips, times)))
            except MappingError:
                continue
    return found


def wider(seed: int, quick: bool) -> list[tuple[str, int, Mapping]]:
    """Two layers of the perceptron so wide that their weights, in the dense format, need more and more chips."""
    found = []
    for factor in FACTORS[: 3 if quick else None]:
        network = perceptron(int(WIDEST * factor), 3, seed)
        rules = Rules(network, board(1), "dense")
        cores = {layer.name: fewest(rules, layer) for layer in network.layers}
        chips = -(-sum(cores.values()) // rules.chip.cores_per_chip)
        found.append(("wider", chips, map_network(network, board(chips), cores, weight_format="dense")))
    return found


def fewest(rules: Rules, layer: Layer) -> int:
    """Cores that a layer needs, in even slices; the first one is the largest."""
    low, high = 0, layer.neurons
    while high - low > 1:
        middle = (low + high) // 2
        fits = rules.fits(even_slices(layer, middle, "channels")[:1])
        low, high = (low, middle) if fits else (middle, high)
    return high


def row_of(name: str, way: str, chips: int, mapping: Mapping, timesteps: int, seed: int) -> dict[str, Any]:
    found = measure(mapping, timesteps=timesteps, seed=seed)
    several = [each for each in ranges_of(mapping.chip) if each.key.startswith(SEVERAL)]
    ends = [replace(mapping, chip=changed(mapping.chip, corner(several, dear))) for dear in (False, True)]
    best, worst = (simulate(end, timesteps=timesteps, seed=seed).time_ps / timesteps / 1e6 for end in ends)
    summary, energy = found.result.summary(), found.result.energy.by_action_fj
    return {
        "network": name,
        "way": way,
        "chips": chips,
        "neurons": sum(layer.neurons for layer in mapping.network.layers),
        **facts(found),
        "time_best_us": best,
        "time_worst_us": worst,
        "chips_used": mapping.chips_used,
        "synops_per_core": float(found.bounds.max_synops.mean()),
        "chip_crossings": summary.get("chip_crossings", 0) / timesteps,
        "between_chips_share": summary.get("critical_path_between_chips_ps", 0) / found.time_ps,
        "energy_uj": found.energy_fj / 1e9,
        "static_uj": (energy["static"] or 0.0) / timesteps / 1e9,
    }


def run(quick: bool, seed: int) -> Outcome:
    timesteps = 2 if quick else 8
    rows = []
    for name in NETWORKS:
        for way, chips, mapping in cases(network_of(name, seed), seed, quick):
            rows.append(row_of(name, way, chips, mapping, timesteps, seed))
    rows += [row_of("mlp", way, chips, mapping, 2, seed) for way, chips, mapping in wider(seed, quick)]
    verdicts = [
        verdict for name in NETWORKS for verdict in judge(name, [row for row in rows if row["network"] == name])
    ]
    return Outcome(rows, verdicts, lambda figure: draw(figure, rows), (12, 7))


def judge(name: str, rows: list[dict[str, Any]]) -> list[Verdict]:
    lines = {way: [row for row in rows if row["way"] == way] for way in WAYS}
    title = NETWORKS[name]
    found = [*forced(title, lines["forced"]), *voluntary(title, lines["voluntary"])]
    return found + ([exponents(lines["wider"])] if lines["wider"] else [])


def forced(title: str, rows: list[dict[str, Any]]) -> list[Verdict]:
    first, last = rows[0], rows[-1]
    keys = ("time_us", "time_best_us", "time_worst_us")
    slowest = max(rows, key=lambda row: row["time_us"])
    static = last["static_uj"] / last["energy_uj"]
    return [
        Verdict(
            f"{title}, same cores: no number of chips is faster than one",
            all(row[key] >= first[key] for row in rows for key in keys),
            f"{first['time_us']:.4g} us on 1, {last['time_us']:.4g} on {last['chips']} ({last['time_best_us']:.4g} to "
            f"{last['time_worst_us']:.4g} over the ranges), most on {slowest['chips']}; "
            f"{last['between_chips_share']:.0%} of the critical path between {last['chips']} chips",
        ),
        Verdict(
            f"{title}, same cores: every further chip costs at least its static power",
            all(row["energy_uj"] >= first["energy_uj"] + (row["chips"] - 1) * first["static_uj"] for row in rows),
            f"{first['energy_uj']:.4g} uJ on 1, {last['energy_uj']:.4g} on {last['chips']}, "
            f"{last['energy_uj'] / first['energy_uj']:.3g} times; static {static:.0%} of it",
        ),
    ]


def voluntary(title: str, rows: list[dict[str, Any]]) -> list[Verdict]:
    fastest, last = min(rows, key=lambda row: row["time_us"]), rows[-1]
    least = min(rows, key=lambda row: row["energy_uj"])
    inside = [
        rows[0][key] > min(row[key] for row in rows) < last[key] for key in ("time_us", "time_best_us", "time_worst_us")
    ]
    return [
        Verdict(
            f"{title}, more cores: time falls, then rises, with the number of chips",
            all(inside),
            f"{_times(rows, 'time_us')} us on {_chips(rows)} chips; at the best ends of the ranges "
            f"{_times(rows, 'time_best_us')}, at the worst {_times(rows, 'time_worst_us')}",
        ),
        Verdict(
            f"{title}, more cores: least energy on one chip",
            least["chips"] == 1,
            f"{_times(rows, 'energy_uj')} uJ on {_chips(rows)} chips; fastest on {fastest['chips']}, with "
            f"{fastest['energy_uj'] / rows[0]['energy_uj']:.3g} times the energy of one",
        ),
    ]


def _times(rows: list[dict[str, Any]], key: str) -> str:
    return ", ".join(f"{row[key]:.4g}" for row in rows)


def _chips(rows: list[dict[str, Any]]) -> str:
    return ", ".join(str(row["chips"]) for row in rows)


def slope(rows: list[dict[str, Any]], key: str) -> float:
    """Exponent over the width, of rows that have any."""
    own = [row for row in rows if row[key]]
    return float(linregress(np.log([row["neurons"] for row in own]), np.log([row[key] for row in own])).slope)


def exponents(rows: list[dict[str, Any]]) -> Verdict:
    fits = {key: slope(rows, key) for key in EXPONENTS}
    more = ", ".join(
        f"{key.removesuffix('_us').removesuffix('_uj').replace('_', ' ')} {slope(rows, key):.2f}"
        for key in ("chips", "chip_crossings", "time_us", "energy_uj")
    )
    return Verdict(
        "perceptron, wider layers: exponents over the width are those of the table",
        all(abs(fits[key] - expected) <= NEAR for key, expected in EXPONENTS.items()),
        ", ".join(
            f"{key.replace('_', ' ')} {fits[key]:.2f} (table {expected:g})" for key, expected in EXPONENTS.items()
        )
        + f", from {len(rows)} points; without a table {more}",
    )


def draw(figure: Any, rows: list[dict[str, Any]]) -> None:
    styles = {"forced": "-", "voluntary": "--", "wider": ":"}
    grid = figure.subplots(2, len(NETWORKS), sharex=True)
    for column, (name, title) in enumerate(NETWORKS.items()):
        times, energies = grid[0, column], grid[1, column]
        for way, label in WAYS.items():
            own = [row for row in rows if (row["network"], row["way"]) == (name, way)]
            if not own:
                continue
            x = [row["chips"] for row in own]
            times.plot(x, [row["time_us"] for row in own], styles[way], color="black", label=label, zorder=1)
            ends = ([row[f"time_{end}_us"] for row in own] for end in ("best", "worst"))
            times.fill_between(x, *ends, color="black", alpha=0.08, lw=0)
            for row in own:
                state = row["simulated_state"]
                times.plot(row["chips"], row["time_us"], MARKERS[state], color=COLOURS[state], ms=7)
            energies.plot(x, [row["energy_uj"] for row in own], styles[way], color="black", label=label)
            energies.plot(x, [row["static_uj"] for row in own], styles[way], color="#999999", lw=1)
        times.set(xscale="log", yscale="log", title=title)
        energies.set(xscale="log", yscale="log", xlabel="chips")
        for axes in (times, energies):
            axes.tick_params(axis="y", which="minor", labelleft=False)
        energies.set_xticks(CHIPS, [str(chips) for chips in CHIPS])
        energies.set_xticks([], minor=True)
    grid[0, 0].set_ylabel("time per timestep (us)")
    grid[1, 0].set_ylabel("energy per timestep (uJ)\ngrey: of it static")
    handles, labels = grid[0, -1].get_legend_handles_labels()
    for state in dict.fromkeys(row["simulated_state"] for row in rows):
        handles += grid[0, 0].plot([], [], MARKERS[state], color=COLOURS[state], ms=7)
        labels.append(f"{state}-bound")
    figure.legend(handles, labels, loc="outside lower center", ncols=7, fontsize=8)


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
