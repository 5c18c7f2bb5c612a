"""8. The max-affine lower bound of Loihi 2.

How well does a maximum of a few linear terms, counts times costs, tell the simulated time of linear layers and of a
recurrent optimiser?

Linear layers of many sizes, message densities, weight densities and formats, split over 1 to 16 cores and placed row
by row, greedily and at random. QUBO (quadratic unconstrained binary optimisation): one recurrent layer of binary
neurons, a random sparse symmetric matrix of couplings between them and none to itself; the share of variables that
change, and so send, falls from a half to 2 % as in annealing. No problem is solved here: couplings and activity are
drawn.
Expected: Pearson r of at least 0.97, published for Loihi 2 hardware on a linear layer and a QUBO solver (abstract of
Timcheck et al., arXiv:2601.10035, primary), and no time below the bound, which must hold exactly. Two forms:
  published   max(updates, synops, word reads, heaviest link, barrier), each by its cost (form from secondary sources)
  floorline   nsim/result/limits/timesteps.py: receiving, firing and sending cost time as well, and the barrier comes
after the rest The costs of receiving and sending a message, which the published form does not have, are assumed for
Loihi 2: the runs are repeated with both at the lower ends of their ranges. As r over sizes that differ by powers of
ten is high for any bound of the right order, r of the logarithms and the ratio of time to bound are given too.

    python -m benchmarks.experiments.max_affine_bound [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import pearsonr

from benchmarks.experiments.common import CHIPS, SPIKING, facts, measure, span, stack
from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.errors import MappingError
from nsim.machine.stations import build_machine
from nsim.mapping.cores.mapping import Mapping, Recosting
from nsim.mapping.cores.storage import FORMATS
from nsim.mapping.network import map_network
from nsim.network.layers import Connection, Layer, Network
from nsim.network.synapses import Sparse
from nsim.result.limits.bottleneck import Bottleneck

PUBLISHED_R = 0.97
COLOURS = {"linear layer": "#0072B2", "QUBO": "#D55E00"}
FORMS = ("published", "floorline")


def qubo(variables: int, neighbours: int, rng: np.random.Generator) -> Network:
    """Binary neurons that all feed each other: x_i sums its couplings to the variables that changed.

    neighbours   mean number of couplings of a variable
    """
    ends = rng.integers(0, variables, (2, variables * neighbours // 2))
    pairs = np.unique(np.sort(ends[:, ends[0] != ends[1]], axis=0), axis=1)  # each coupling once, none to itself
    source, target = np.concatenate((pairs, pairs[::-1]), axis=1)
    values = np.tile(rng.choice((-1, 1), pairs.shape[1]) * rng.integers(1, 128, pairs.shape[1]), 2)
    order = np.lexsort((target, source))
    indptr = np.concatenate(([0], np.cumsum(np.bincount(source, minlength=variables)))).astype(np.int64)
    shape = (variables, 1, 1)
    synapses = Sparse(indptr, target[order].astype(np.int32), values[order], shape, shape)
    layer = Layer("variables", shape, SPIKING)
    return Network("qubo", (layer,), (Connection("variables", "variables", synapses),), "variables", "variables")


def linear_layers(chip_name: str, points: int, rng: np.random.Generator) -> Iterator[tuple[dict, Mapping, Any]]:
    """Random linear layers that fit the chip: description, mapping, activity."""
    while points:
        sources, targets = (2 ** rng.uniform(5, 11, 2)).astype(int).tolist()
        density, messages = float(rng.choice([1.0, 0.5, 0.1, 0.02])), float(10 ** rng.uniform(-2, 0))
        cores = {"layer0": int(rng.choice([1, 2, 4, 8, 16])), "layer1": int(rng.choice([1, 2, 4, 8, 16]))}
        form, placement = str(rng.choice(["dense", "sparse"])), placement_of(rng)
        network = stack((sources, targets), density, rng)
        try:
            mapping = map_network(network, load_chip(chip_name), cores, placement, weight_format=form)
        except MappingError:
            continue
        points -= 1
        about = {"workload": "linear layer", "neurons": targets, "placement": placement, "message_density": messages}
        yield about, mapping, {"layer0": messages, "layer1": 0.0}


def qubos(chip_name: str, points: int, rng: np.random.Generator) -> Iterator[tuple[dict, Mapping, Any]]:
    """Random QUBO networks that fit the chip: description, mapping, activity."""
    while points:
        variables, neighbours = int(2 ** rng.uniform(7, 12.5)), int(2 ** rng.uniform(2, 7))
        cores, placement = int(2 ** rng.integers(0, 7)), placement_of(rng)
        try:
            mapping = map_network(qubo(variables, neighbours, rng), load_chip(chip_name), cores, placement)
        except MappingError:
            continue
        points -= 1
        changing = np.geomspace(0.5, 0.02, 8).tolist()
        about = {
            "workload": "QUBO",
            "neurons": variables,
            "placement": placement,
            "message_density": float(np.mean(changing)),
        }
        yield about, mapping, {"variables": changing}


def placement_of(rng: np.random.Generator) -> str:
    return str(rng.choice(["row-major", "greedy", f"random:{rng.integers(1000)}"]))


def published_bound_ps(found: Bottleneck) -> NDArray[np.int64]:
    """max(updates, synops, word reads, heaviest link, barrier) of every timestep: int64[timesteps]."""
    counts, mapping, actions = found.result.counts, found.result.mapping, found.result.mapping.chip.actions
    machine = build_machine(mapping.chip)
    synop_ps = np.array([getattr(actions, f"synop_{form}").latency_ps for form in FORMATS])
    terms = (
        np.full(found.result.spans, mapping.allocated.max() * actions.neuron_update.latency_ps),
        (counts.format_synops[:] @ synop_ps).max(axis=1),
        counts.core_words.max(axis=1) * actions.word_read.latency_ps,
        (counts.link_messages[:] * machine.service_ps[machine.first[2] : machine.first[5]]).max(axis=1),
        found.bounds.terms_ps["barrier"],
    )
    return np.max(terms, axis=0)


def run(quick: bool, seed: int) -> Outcome:
    rows = []
    for chip in CHIPS:
        rng = np.random.default_rng(seed)
        for draw_some in (linear_layers, qubos):
            for about, mapping, activity in draw_some(chip, 6 if quick else 120, rng):
                for costs, other in variants(mapping).items():
                    found = measure(other, activity=activity, timesteps=8, seed=seed)
                    rows.append({"chip": chip, "costs": costs} | about | facts(found) | bounds_of(found))
    groups: dict[tuple[str, str, str], list[dict]] = {}
    for row in rows:
        groups.setdefault((row["chip"], row["costs"], row["workload"]), []).append(row)
    verdicts = [judge(*group, form, own) for group, own in groups.items() for form in FORMS]
    plotted = [row for row in rows if row["costs"] == "file"]
    return Outcome(rows, verdicts, lambda figure: draw(figure, plotted), (10, 4.4 * len(CHIPS)))


def variants(mapping: Mapping) -> dict[str, Mapping]:
    """The mapping with the costs of the chip file, and with its cheapest messages if it gives ranges."""
    actions = mapping.chip.actions
    received, sent = actions.message_in.latency_ps_range, actions.message_out.latency_ps_range
    if not received or not sent:
        return {"file": mapping}
    cheap = {"actions.message_in.latency_ps": received[0], "actions.message_out.latency_ps": sent[0]}
    return {"file": mapping, "cheapest messages": Recosting(mapping).at(changed(mapping.chip, cheap))}


def bounds_of(found: Bottleneck) -> dict[str, Any]:
    """Both forms of the bound, and how many timesteps are below them."""
    columns: dict[str, Any] = {}
    for form, bound_ps in (("published", published_bound_ps(found)), ("floorline", found.bounds.least_ps)):
        columns[f"{form}_us"] = float(bound_ps.mean()) / 1e6
        columns[f"timesteps_below_{form}"] = int((found.result.step_ps < bound_ps).sum())
    return columns


def judge(chip: str, costs: str, workload: str, form: str, rows: list[dict]) -> Verdict:
    time_us, bound = (np.array([row[key] for row in rows]) for key in ("time_us", f"{form}_us"))
    below = sum(row[f"timesteps_below_{form}"] for row in rows)
    r, r_log = pearsonr(time_us, bound).statistic, pearsonr(np.log(time_us), np.log(bound)).statistic
    over = time_us / bound
    where = chip if costs == "file" else f"{chip} with {costs}"
    return Verdict(
        f"{where}, {workload}, {form} form: r of time and bound is at least {PUBLISHED_R}, and no time is below it",
        bool(r >= PUBLISHED_R and below == 0),
        f"{len(rows)} points: r = {r:.3f} ({r_log:.3f} of the logarithms), {below} timesteps below; time over bound "
        f"{span(over)}, median {np.median(over):.2f}",
    )


def draw(figure: Any, rows: list[dict]) -> None:
    grid = figure.subplots(len(CHIPS), 2, squeeze=False)
    for axes, chip in zip(grid, CHIPS, strict=True):
        for axis, form in zip(axes, FORMS, strict=True):
            for workload, colour in COLOURS.items():
                own = [row for row in rows if row["chip"] == chip and row["workload"] == workload]
                x, y = [row[f"{form}_us"] for row in own], [row["time_us"] for row in own]
                label = f"{workload}: r = {pearsonr(x, y).statistic:.3f}"
                axis.plot(x, y, "o" if workload == "QUBO" else "x", color=colour, ms=5, alpha=0.7, label=label)
            ends = [min(min(r[f"{form}_us"], r["time_us"]) for r in rows if r["chip"] == chip) / 1.3]
            ends.append(max(r["time_us"] for r in rows if r["chip"] == chip) * 1.3)
            axis.plot(ends, ends, "k", lw=1, label="time = bound")
            axis.fill_between(ends, ends, ends[0], color="black", alpha=0.06, lw=0)
            axis.set(xscale="log", yscale="log", xlim=ends, ylim=ends, xlabel=f"bound, {form} form (us)")
            axis.set_title(f"{load_chip(chip).title}")
            axis.legend(fontsize=8, loc="upper left")
        axes[0].set_ylabel("simulated time per timestep (us)")


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
