"""Mosaic: memory against profile, as figure 2d of Weber, Ballet, Payvand 2024, arXiv:2412.01575.

    python -m benchmarks.mosaic_memory              # figure, CSV, verdicts; draws mosaic_memory.png beside this file
    python -m benchmarks.mosaic_memory --options    # what placement and a choice of routes save
    python -m benchmarks.mosaic_memory --fit        # the constants of nsim/mapping/tiles/predictor.py, and how they
    hold

Expected: every mean of the published profile-memory table within two standard errors (theirs over 10 networks and ours
over 30), and about the same spread within one profile: a relative standard deviation of the total of 5.5 % in the
median of 120 profiles, 10.3 % in the worst. That is the evidence for "profile predicts memory".
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from nsim.chip.file import load_chip
from nsim.chip.tiles import MosaicChip
from nsim.cli.experiments import Verdict
from nsim.mapping.tiles.balance import balance_routes
from nsim.mapping.tiles.connectivity import Connectivity
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import mosaic
from nsim.mapping.tiles.memory import TileSizes, provisioned, tile_sizes, worst_ports
from nsim.mapping.tiles.place import anneal_placement
from nsim.mapping.tiles.predictor import CALIBRATION, SIZES, Calibration, independent_sizes, predict
from nsim.mapping.tiles.profile import Profile, link_profile, random_network
from nsim.mapping.tiles.routing import home_tiles, route_network

HERE = Path(__file__).parent
FABRIC = Fabric(5, 5, 32)
QUANTITIES = ("nt_lines", "r0_side", "r1_side", "total")
PUBLISHED_NETWORKS = 10
# p1, p3: mean and standard deviation over 10 networks of the published study, by quantity; of the total relative
PUBLISHED: dict[tuple[float, float], dict[str, tuple[float, float]]] = {
    (p1, p3): {"nt_lines": nt, "r0_side": r0, "r1_side": r1, "total": (total, relative * total)}
    for p1, p3, nt, r0, r1, total, relative in (
        (0.95, 0.00, (127.8, 0.4), (0.0, 0.0), (64.0, 0.0), 373_600, 0.001),
        (0.95, 0.05, (136.5, 1.3), (25.2, 2.6), (85.2, 2.2), 593_738, 0.047),
        (0.95, 0.10, (144.4, 1.2), (43.2, 3.9), (102.4, 2.9), 838_522, 0.053),
        (0.95, 0.20, (159.1, 2.1), (75.2, 3.9), (133.8, 2.9), 1_431_662, 0.039),
        (0.95, 0.29, (172.6, 2.7), (101.2, 7.2), (162.2, 7.2), 2_115_893, 0.091),
    )
}
# relative standard deviation within one profile: median and worst of 120 profiles
PUBLISHED_SPREAD = {
    "nt_lines": (0.014, 0.030),
    "r1_elements": (0.059, 0.114),
    "r0_elements": (0.143, 0.53),
    "total": (0.055, 0.103),
}
console = Console(width=150)


@dataclass(frozen=True)
class Row:
    """One quantity of one profile beside its published value; `errors` is their distance in joint standard errors."""

    p1: float
    p3: float
    quantity: str
    published: float
    simulated: float
    standard_error: float

    @property
    def errors(self) -> float:
        gap = abs(self.published - self.simulated)
        return gap / self.standard_error if gap else 0.0


def sizes_of(fabric: Fabric, network: Connectivity) -> TileSizes:
    return tile_sizes(worst_ports(route_network(fabric, network)))


def drawn(profile: Profile, networks: int, seed: int) -> dict[str, np.ndarray]:
    """Sizes and elements of so many networks of a profile, by quantity."""
    rng = np.random.default_rng(seed)
    sizes = [sizes_of(FABRIC, random_network(FABRIC, profile, rng)) for _ in range(networks)]
    memories = [provisioned(FABRIC, each) for each in sizes]
    return {name: np.array([getattr(each, name) for each in sizes], float) for name in QUANTITIES[:3]} | {
        "r1_elements": np.array([each.r1 for each in memories], float),
        "r0_elements": np.array([each.r0 for each in memories], float),
        "total": np.array([each.total for each in memories], float),
    }


def compare_table(networks: int = 30, seed: int = 0) -> list[Row]:
    """Every mean of the published table beside ours."""
    rows = []
    for (p1, p3), published in PUBLISHED.items():
        ours = drawn({1: p1, 3: p3}, networks, seed)
        for name, (mean, std) in published.items():
            error = float(np.hypot(std / np.sqrt(PUBLISHED_NETWORKS), ours[name].std(ddof=1) / np.sqrt(networks)))
            rows.append(Row(p1, p3, name, mean, float(ours[name].mean()), error))
    return rows


def verdict_of_means(rows: list[Row]) -> Verdict:
    within, furthest = sum(row.errors <= 2 for row in rows), max(row.errors for row in rows)
    claim = "published means are within two standard errors of ours"
    return Verdict(claim, within == len(rows), f"{within} of {len(rows)}, most {furthest:.1f}")


def verdict_of_spread(rows: list[dict[str, float]]) -> Verdict:
    """Of the total, over profiles; chance alone moves such a median by 0.2 points."""
    spread = [row["total_std"] / row["total_mean"] for row in rows]
    median, published = float(np.median(spread)), PUBLISHED_SPREAD["total"][0]
    claim = f"networks of one profile spread by {published:.1%} in the median, to within 0.5 points"
    return Verdict(claim, abs(median - published) <= 0.005, f"{median:.1%}, worst {max(spread):.1%}")


def show_table(rows: list[Row]) -> None:
    table = Table("p1", "p3", "quantity", "published", "simulated", "distance in standard errors", "within two")
    for row in rows:
        verdict = "[green]yes" if row.errors <= 2 else "[red]no"
        numbers = f"{row.published:,.1f}", f"{row.simulated:,.1f}", f"{row.errors:.1f}"
        table.add_row(f"{row.p1}", f"{row.p3}", row.quantity, *numbers, verdict)
    console.print(table)


def sweep(networks: int) -> list[dict[str, float]]:
    """The published sweep: 120 profiles, mean and standard deviation of every quantity."""
    rows = []
    for p1 in (0.80, 0.85, 0.90, 0.95):
        for step in range(30):
            p3 = step / 100
            found = drawn({1: p1, 3: p3}, networks, seed=1_000 * step + round(100 * p1))
            row = {"p1": p1, "p3": p3}
            for name, values in found.items():
                row |= {f"{name}_mean": float(values.mean()), f"{name}_std": float(values.std(ddof=1))}
            rows.append(row)
    return rows


def show_spread(rows: list[dict[str, float]]) -> None:
    """Relative standard deviation within one profile beside the published one."""
    table = Table("relative std within a profile", "published median", "simulated", "published worst", "simulated")
    for name, (median, worst) in PUBLISHED_SPREAD.items():
        spread = [row[f"{name}_std"] / row[f"{name}_mean"] for row in rows if row[f"{name}_mean"]]
        ours = f"{np.median(spread):.1%}", f"{max(spread):.1%}"
        table.add_row(name, f"{median:.1%}", ours[0], f"{worst:.1%}", ours[1])
    console.print(table)


def draw(rows: list[dict[str, float]], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.6), layout="constrained")
    axes = figure.subplots()
    colours = {0.80: "#0072B2", 0.85: "#E69F00", 0.90: "#009E73", 0.95: "#D55E00"}
    for p1, colour in colours.items():
        own = [row for row in rows if row["p1"] == p1]
        p3 = np.array([row["p3"] for row in own])
        mean, std = (np.array([row[f"total_{kind}"] for row in own]) / 1e6 for kind in ("mean", "std"))
        axes.plot(p3, mean, color=colour, lw=1.2, label=f"p1 = {p1:.2f}, mean of {PUBLISHED_NETWORKS} and one std")
        axes.fill_between(p3, mean - std, mean + std, color=colour, alpha=0.15, lw=0)
        if p1 == 0.95:
            proxy = [predict(FABRIC, {1: p1, 3: float(x)}).total.value / 1e6 for x in p3]
            axes.plot(p3, proxy, color="black", lw=1, ls=":", label="proxy, p1 = 0.95")
    points = [(p3, *quantities["total"]) for (_, p3), quantities in PUBLISHED.items()]
    x, y, error = (np.array(column) for column in zip(*points, strict=True))
    style = {"fmt": "o", "color": "black", "ms": 5, "capsize": 3}
    axes.errorbar(x, y / 1e6, error / 1e6, label="published, p1 = 0.95, one std", **style)
    axes.axhline(271_360 / 1e6, color="grey", lw=0.8, ls="--")
    axes.annotate("floor: no links between tiles", (0.29, 271_360 / 1e6), (0, 3), ha="right", **_small())
    axes.set(
        xlabel="p3, share of the links at 3 hops", ylabel="memory elements, provisioned (millions)", ylim=(0, None)
    )
    axes.set_title("Mosaic, 5x5 tiles of 32 neurons: memory against profile", fontsize=10)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)


def _small() -> dict[str, Any]:
    return {"textcoords": "offset points", "fontsize": 8}


# --- what placement and a choice of routes save -----------------------------------------------------------------


def shuffled(network: Connectivity, rng: np.random.Generator, group: int) -> Connectivity:
    """The same network with its neurons in another order, in groups of so many."""
    order = rng.permutation(np.arange(network.neurons).reshape(-1, group)).ravel()
    place = np.argsort(order)
    name = f"{network.name}, {'tiles' if group > 1 else 'neurons'} shuffled"
    return Connectivity.from_pairs(place[network.sources], place[network.targets], network.neurons, name)


def geometric(rng: np.random.Generator, reach: float, density: float) -> Connectivity:
    """Neurons at random in a square, connected with a probability that falls with their distance; in no order."""
    place = rng.random((FABRIC.capacity, 2))
    distance = np.linalg.norm(place[:, None] - place[None], axis=2)
    matrix = rng.random(distance.shape) < density * np.exp(-((distance / reach) ** 2))
    return Connectivity.from_matrix(matrix, f"geometric, {matrix.sum() / len(matrix):.1f} targets per neuron")


def option_networks(seed: int) -> Iterator[Connectivity]:
    rng = np.random.default_rng(seed)
    for p1, p3, far in ((0.95, 0.05, {}), (0.95, 0.1, {}), (0.95, 0.29, {}), (0.5, 0.1, {}), (0.2, 0.1, {5: 0.02})):
        yield random_network(FABRIC, {1: p1, 3: p3} | far, rng)
    for profile in ({1: 0.95, 3: 0.1}, {1: 0.2, 3: 0.1, 5: 0.02}):
        network = random_network(FABRIC, profile, rng)
        yield shuffled(network, rng, FABRIC.neurons)
        yield shuffled(network, rng, 1)
    yield geometric(rng, 0.06, 0.6)
    yield geometric(rng, 0.12, 0.3)
    yield Connectivity.from_matrix(rng.random((800, 800)) < 0.005, "uniform, 4 targets per neuron")


def compare_options(networks: int) -> None:
    """Means over networks of each kind of elements, violated ports and lines too many, for every pair of options."""
    chip = mosaic(load_chip("mosaic"))
    pairs = [(place, routes) for place in ("index", "annealed") for routes in ("published", "balanced", "fitting")]
    found: dict[int, tuple[str, list[list[tuple[int, int, int]]], list[float]]] = {}
    for seed in range(networks):
        for kind, network in enumerate(option_networks(seed)):
            begin = time.perf_counter()
            placed = {
                "index": home_tiles(FABRIC, network.neurons, network.name),
                "annealed": anneal_placement(FABRIC, network, np.random.default_rng(seed)),
            }
            _, rows, seconds = found.setdefault(kind, (network.name, [], []))
            seconds.append(time.perf_counter() - begin)
            rows.append([option_cost(chip, network, placed[place], routes, seed) for place, routes in pairs])
    table = Table("network", "place", *(routes for _, routes in pairs[:3]), "saved by both", "annealing")
    for name, rows, seconds in found.values():
        means = np.array(rows).mean(axis=0)
        cells = [f"{total / 1e3:,.0f} k, {ports:.0f}, {lines:.0f}" for total, ports, lines in means]
        table.add_row(name, "index", *cells[:3])
        table.add_row("", "annealed", *cells[3:], f"{1 - means[4, 0] / means[0, 0]:.0%}", f"{np.mean(seconds):.1f} s")
    console.print(
        f"Means over {networks} networks of each kind, 5x5 tiles of 32, shipped chip: "
        "elements, ports too narrow, lines too many"
    )
    console.print(table)


def option_cost(
    chip: MosaicChip, network: Connectivity, tile_of: np.ndarray, routes: str, seed: int
) -> tuple[int, int, int]:
    """Elements, ports too narrow and lines too many of one pair of options."""
    capacities = FABRIC.capacities(chip)
    routing = route_network(FABRIC, network, tile_of)
    if routes != "published":
        limit = capacities if routes == "fitting" else None
        routing = balance_routes(routing, np.random.default_rng(seed), limit)
    violations = routing.violations(capacities)
    total = provisioned(FABRIC, tile_sizes(worst_ports(routing))).total
    return total, len(violations), sum(each.used - each.capacity for each in violations)


# --- the proxy --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Sample:
    """A network of the fit: its fabric, the profile it has, and what it takes."""

    fabric: Fabric
    profile: Profile
    sizes: TileSizes
    total: int


def draw_samples(count: int, seed: int) -> list[Sample]:
    """One network each of a random fabric and profile in the ranges of the fit, see nsim/mapping/tiles/predictor.py."""
    rng = np.random.default_rng(seed)
    samples = []
    for number in range(count):
        fabric = Fabric(int(rng.integers(3, 9)), int(rng.integers(3, 9)), int(rng.choice([16, 32, 64])))
        profile = {1: rng.uniform(0.3, 1.0), 3: rng.uniform(0.0, 0.3)}
        if number % 2:
            far = {5: rng.uniform(0.0, 0.1), 7: rng.uniform(0.0, 0.05)}
            profile |= {d: share for d, share in far.items() if d in fabric.distances}
        network = random_network(fabric, profile, rng)
        routing = route_network(fabric, network)
        sizes = tile_sizes(worst_ports(routing))
        found = link_profile(fabric, network, routing.tile_of)  # what rounding made of it
        samples.append(Sample(fabric, found, sizes, provisioned(fabric, sizes).total))
    return samples


def fit(samples: list[Sample]) -> Calibration:
    """Scale by least squares in units of the expected spread, spread by the spread that is left."""
    independent = [independent_sizes(sample.fabric, sample.profile) for sample in samples]
    scale, spread = {}, {"total": 1.0}
    for name in SIZES:
        values = [
            (sizes[name].value, sizes[name].std, getattr(s.sizes, name))
            for sizes, s in zip(independent, samples, strict=True)
        ]
        mean, std, found = np.array([row for row in values if row[1]]).T
        scale[name] = round(float((mean * found / std**2).sum() / (mean**2 / std**2).sum()), 4)
        spread[name] = round(float(np.sqrt((((found - scale[name] * mean) / std) ** 2).mean())), 3)
    scores = [score(sample, Calibration(scale, spread), "total") for sample in samples]
    return Calibration(scale, spread | {"total": round(float(np.sqrt(np.square(scores).mean())), 3)})


def score(sample: Sample, calibration: Calibration, name: str) -> float:
    """How many predicted standard deviations the network lies above the prediction."""
    estimate = getattr(predict(sample.fabric, sample.profile, calibration), name)
    found = sample.total if name == "total" else getattr(sample.sizes, name)
    return (found - estimate.value) / estimate.std if estimate.std else 0.0


def show_fit() -> None:
    calibration = fit(draw_samples(600, seed=2024))
    console.print(f"fitted:  {calibration}\nshipped: {CALIBRATION}")
    others = draw_samples(300, seed=7)
    table = Table(
        "on 300 other networks", "within one std", "within two", "mean distance in std", "std of relative error"
    )
    for name in (*SIZES, "total"):
        scores = np.array([score(sample, CALIBRATION, name) for sample in others])
        errors = [error for sample in others if (error := _relative(sample, name)) is not None]
        inside = [f"{(np.abs(scores) <= k).mean():.0%}" for k in (1, 2)]
        table.add_row(name, *inside, f"{scores.mean():+.2f}", f"{np.std(errors):.1%}")
    console.print(table)


def _relative(sample: Sample, name: str) -> float | None:
    found = sample.total if name == "total" else getattr(sample.sizes, name)
    return getattr(predict(sample.fabric, sample.profile), name).value / found - 1 if found else None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--options", action="store_true")
    parser.add_argument("--fit", action="store_true")
    parser.add_argument("--networks", type=int, default=3, help="networks of each kind for --options")
    arguments = parser.parse_args()
    if arguments.options:
        compare_options(arguments.networks)
    if arguments.fit:
        show_fit()
    if arguments.options or arguments.fit:
        return
    table = compare_table()
    show_table(table)
    rows = sweep(PUBLISHED_NETWORKS)
    show_spread(rows)
    for verdict in (verdict_of_means(table), verdict_of_spread(rows)):
        console.print(str(verdict), highlight=False)
    with (HERE / "mosaic_memory.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows({key: round(value, 4) for key, value in row.items()} for row in rows)
    draw(rows, HERE / "mosaic_memory.png")
    console.print("mosaic_memory.csv and mosaic_memory.png are beside this script")


if __name__ == "__main__":
    main()
