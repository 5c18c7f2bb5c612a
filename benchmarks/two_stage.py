"""Both stages of the optimisation: sparsity-aware training, then partitioning. What is each worth, and both?

Networks trained here. On Loihi 2, of sigma-delta neurons: a multi-layer perceptron and two convolutional networks on
Fashion-MNIST, three seeds each, and PilotNet in lava-dl's training shape on a drawn road video, one seed. In floating
point: S5 at half its published width on the generated spoken digits, one seed; its sparser networks also lose a slice
of their weights, since its states always send. `CNN wide` has twice the channels and four times the hidden neurons of
`CNN`, so that cores have more to do for every pixel that the host sends; it was chosen for that, before any result of
it was seen. Networks compared
  dense        trained plainly, with as many epochs as the others
  max-synops   stage 1: trained to lower the synops of the busiest core under the default partition
  total        the rival: trained to lower all synops together
each the cheapest on validation data that loses at most 0.5 points there. Mappings compared
  default      as the vendor's compiler does it
  even         hand-made: equal neurons per core, on as many cores as `optimised` takes for the same network
  optimised    stage 2: the search `floorline` of `nsim optimize` on four validation samples
All are run on test samples that neither training nor search saw; time and energy are per sample, of all its timesteps.
Expected (Yik et al., arXiv:2511.21549): up to 3.86 times faster with 3.38 times less energy than hand-tuned
configurations of unknown networks.

Networks and results are kept in the folder nsim_two_stage of the system's folder for temporary files, and a run that
was stopped is taken up again; remove the folder to begin anew.

    python -m benchmarks.two_stage [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, gettempdir
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ttest_rel

from nsim.chip.file import load_chip
from nsim.cli.experiments import Outcome, Verdict, script
from nsim.errors import MappingError
from nsim.formats.network import load_network
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.network.layers import Network
from nsim.optimize.problem import Limits
from nsim.optimize.search import mapping_of, optimize
from nsim.result.run import simulate
from nsim.training.data.pictures import Data, load_data
from nsim.training.sparsity.front import Front, Settings, train_front

SPEEDUP, ENERGY = 3.86, 3.38  # of both stages, in the paper
SEARCHED, BUDGET, SIMULATED = 4, 100, 32  # samples that a search sees, its evaluations, test samples to compare on
RIVALS = (
    ("total", "default", "total-sparsity training and the default partition"),
    ("dense", "even", "dense training and even neurons"),
    ("total", "optimised", "total-sparsity training and the same search"),
)


@dataclass(frozen=True)
class Workload:
    """epochs: of the plain training, and again of every point. sizes: samples for training, validation, test.

    sparsity   share of weights that every point but the dense one is pruned of
    """

    label: str
    network: str
    data: str
    seeds: int
    epochs: int
    strengths: tuple[float, ...]
    sizes: tuple[int, int, int] = (8000, 3000, 2000)
    sparsity: float = 0.0


WORKLOADS = (
    Workload("MLP", "mlp", "fashion-mnist", 3, 3, (3.0, 10.0, 30.0)),
    Workload("CNN", "cnn", "fashion-mnist", 3, 2, (3.0, 10.0, 30.0)),
    Workload("CNN wide", "cnn-wide", "fashion-mnist", 3, 2, (3.0, 10.0, 30.0)),
    Workload("PilotNet SDNN", "pilotnet", "road-video", 1, 4, (1.0, 10.0), (320, 40, 40)),
    Workload("S5", "s5-half", "spoken-digits", 1, 12, (1.0, 10.0), (1560, 360, 480), sparsity=0.25),
)
QUICK = Workload("MLP", "mlp", "fashion-mnist", 2, 1, (3.0,), (600, 200, 100))


@dataclass(frozen=True)
class Run:
    """One network on one mapping; time and energy per sample.

    points             of the network on test data, as the simulator's integer kernels give them
    physical_limit_us  the network's total work spread perfectly; None where it was not asked for
    """

    workload: str
    seed: int
    network: str
    mapping: str
    points: float
    time_us: float
    energy_uj: float
    cores: int
    physical_limit_us: float | None = None
    physical_limit: str | None = None


def held(inputs: NDArray, timesteps: int) -> NDArray:
    """The last frame held, until what it causes has come through all layers."""
    rest = np.repeat(inputs[:, -1:], timesteps - inputs.shape[1], axis=1)
    return np.concatenate((inputs, rest), axis=1)


def measured(workload: str, front: Front, data: Data, folder: Path, name: str) -> list[Run]:
    """The network that a front chose, or its reference, on default, even and optimised mappings."""
    point, kind = (front.dense, "dense") if name == "dense" else (front.chosen, "chosen")
    network, chip, seed = load_network(folder / point.file), load_chip("loihi2"), front.settings.seed
    timesteps = data.test.inputs.shape[1] + len(network.layers) - 1
    shape = network.by_name[network.input].shape
    test, seen = (
        held(part.inputs[:number].reshape(min(number, len(part)), -1, *shape), timesteps)
        for part, number in ((data.test, SIMULATED), (data.validation, SEARCHED))
    )

    def run(label: str, mapping: Mapping, limits: Limits | None = None) -> Run:
        result, samples = simulate(mapping, test), len(test)
        return Run(
            workload,
            seed,
            name,
            label,
            front.test[kind][1],
            result.time_ps / samples / 1e6,
            result.energy.known_fj / samples / 1e9,
            int(mapping.used_cores.size),
            None if limits is None else limits.least_ps * result.spans / samples / 1e6,
            None if limits is None else limits.binding,
        )

    default = map_network(network, chip)
    best = optimize(network, chip, seen, evaluated=len(seen) * timesteps, budget=BUDGET, seed=seed, processes=1)
    optimised = run("optimised", mapping_of(best.history.problem, best.history.last), best.limits)
    return [run("default", default), run("even", even(network, default, optimised.cores)), optimised]


def even(network: Network, default: Mapping, cores: int) -> Mapping:
    """Equal numbers of neurons per core on at most so many cores, but no layer on fewer than by default.

    The default itself, if it takes more cores than that.
    """
    given = Counter(slices[0].layer for slices in default.partition)
    layers = {layer: network.by_name[layer] for layer in given}
    per_core = -(-sum(layer.neurons for layer in layers.values()) // cores)
    while per_core <= max(layer.neurons for layer in layers.values()):
        counts = {
            name: min(max(-(-layer.neurons // per_core), given[name]), max(layer.shape))
            for name, layer in layers.items()
        }
        if sum(counts.values()) <= cores:
            try:
                return map_network(network, default.chip, counts)
            except MappingError:  # parts of equal size that a core cannot hold
                pass
        per_core += max(1, per_core // 50)
    return default


def compared(workload: Workload, seed: int, kept: Path) -> list[Run]:
    """All networks of a seed on all mappings; kept in a folder, and read from there if they are."""
    file = kept / f"{workload.network}_{seed}.json"
    if file.is_file():
        return [Run(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
    loaded = load_data(workload.data, np.random.default_rng(seed))
    parts = zip(("train", "validation", "test"), workload.sizes, strict=True)
    data = Data(loaded.name, *(getattr(loaded, part).first(size) for part, size in parts), loaded.classes)
    runs: list[Run] = []
    for name, regulariser in (("max-synops", "max-synops"), ("total", "synops")):
        out = kept / f"{workload.network}_{seed}_{name}"
        settings = Settings(
            workload.data,
            workload.network,
            regulariser,
            strengths=workload.strengths,
            sparsity=workload.sparsity,
            epochs=workload.epochs,
            seed=seed,
        )
        front = train_front(settings, data, load_chip("loihi2"), out)
        for each in (name,) if runs else ("dense", name):
            runs += measured(workload.label, front, data, out, each)
    file.write_text(json.dumps([asdict(run) for run in runs]), encoding="utf-8")
    return runs


def find(runs: list[Run], network: str, mapping: str) -> list[Run]:
    """By seed."""
    return [each for each in runs if (each.network, each.mapping) == (network, mapping)]


def ratio(runs: list[Run], network: str, mapping: str, of: str) -> float:
    """Dense and default over this, mean over seeds."""
    before, after = find(runs, "dense", "default"), find(runs, network, mapping)
    return float(np.mean([getattr(b, of) / getattr(a, of) for b, a in zip(before, after, strict=True)]))


def run(quick: bool, seed: int) -> Outcome:
    if quick:
        with TemporaryDirectory() as folder:
            return outcome(loihi2_runs([QUICK], seed, Path(folder)))
    kept = Path(gettempdir()) / "nsim_two_stage"
    kept.mkdir(exist_ok=True)
    return outcome(loihi2_runs(WORKLOADS, seed, kept))


def loihi2_runs(workloads: Sequence[Workload], seed: int, kept: Path) -> dict[str, list[Run]]:
    return {
        workload.label: [each for one in range(seed, seed + workload.seeds) for each in compared(workload, one, kept)]
        for workload in workloads
    }


def outcome(every: dict[str, list[Run]]) -> Outcome:
    rows = [row(each, runs) for runs in every.values() for each in runs]
    verdicts = [worth(label, runs) for label, runs in every.items()]
    for rival in RIVALS:
        several = {label: runs for label, runs in every.items() if len(find(runs, "dense", "default")) > 1}
        verdicts += [against(label, runs, *rival) for label, runs in several.items()]
    verdicts.append(headline(every))
    return Outcome(rows, verdicts, lambda figure: draw(figure, every), (4.5 * len(every), 7))


def row(each: Run, runs: list[Run]) -> dict[str, Any]:
    base = next(b for b in find(runs, "dense", "default") if b.seed == each.seed)
    gains = {"speedup": base.time_us / each.time_us, "energy_ratio": base.energy_uj / each.energy_uj}
    return {**asdict(each), **gains}


def worth(label: str, runs: list[Run]) -> Verdict:
    ways = {
        "stage 1": ("max-synops", "default"),
        "stage 2": ("dense", "optimised"),
        "both": ("max-synops", "optimised"),
    }
    time, energy = ({way: ratio(runs, *pair, of) for way, pair in ways.items()} for of in ("time_us", "energy_uj"))
    both = find(runs, "max-synops", "optimised")
    limit = float(np.mean([each.physical_limit_us or 0 for each in both]))
    points = [float(np.mean([e.points for e in find(runs, n, "default")])) for n in ("dense", "max-synops", "total")]
    hand = ratio(runs, "dense", "even", "time_us")
    told = ", ".join(f"{way} {time[way]:.2f} times faster with {energy[way]:.2f} times less energy" for way in ways)
    return Verdict(
        f"{label}: both stages together are faster than each alone",
        time["both"] > max(time["stage 1"], time["stage 2"]),
        f"{told} than dense by default; dense and even {hand:.2f} times faster. Test: "
        f"dense {points[0]:.2f} %, max-synops {points[1]:.2f} %, total {points[2]:.2f} %. Both take "
        f"{np.mean([e.time_us for e in both]):.2f} us per sample; the total work spread perfectly over all cores takes "
        f"{limit:.2f} us, set by {Counter(each.physical_limit for each in both).most_common(1)[0][0]}",
    )


def against(label: str, runs: list[Run], network: str, mapping: str, named: str) -> Verdict:
    """Both stages against another network and mapping, seed by seed."""
    rival, both = find(runs, network, mapping), find(runs, "max-synops", "optimised")
    gains = [r.time_us / b.time_us for r, b in zip(rival, both, strict=True)]
    test = ttest_rel(np.log([r.time_us for r in rival]), np.log([b.time_us for b in both]), alternative="greater")
    return Verdict(
        f"{label}: both stages beat {named}, p < 0.05 over {len(rival)} seeds",
        bool(test.pvalue < 0.05),
        f"{np.mean(gains):.2f} times faster ({min(gains):.2f} to {max(gains):.2f}), paired t-test of the logarithms "
        f"p = {test.pvalue:.2g}",
    )


def headline(every: dict[str, list[Run]]) -> Verdict:
    time = {label: ratio(runs, "max-synops", "optimised", "time_us") for label, runs in every.items()}
    energy = {label: ratio(runs, "max-synops", "optimised", "energy_uj") for label, runs in every.items()}
    label = max(time, key=time.__getitem__)
    most = max(energy, key=energy.__getitem__)
    return Verdict(
        f"the best workload is {SPEEDUP} times faster with {ENERGY} times less energy than dense by default",
        any(time[name] >= SPEEDUP and energy[name] >= ENERGY for name in every),
        f"{label}: {time[label]:.2f} times faster with {energy[label]:.2f} times less energy; most energy is saved by "
        f"{most}, {energy[most]:.2f} times",
    )


def draw(figure: Any, every: dict[str, list[Run]]) -> None:
    grid = figure.subplots(2, len(every), squeeze=False)
    ways = (
        *(("dense", "default"), ("dense", "even"), ("total", "default")),
        *(("max-synops", "default"), ("dense", "optimised"), ("max-synops", "optimised")),
    )
    colours = ("#999999", "#cccccc", "#e69f00", "#56b4e9", "#009e73", "#0072b2")
    for column, (label, runs) in enumerate(every.items()):
        for axis, of, unit in (
            (grid[0, column], "time_us", "time (us)"),
            (grid[1, column], "energy_uj", "energy (uJ)"),
        ):
            values = [[getattr(each, of) for each in find(runs, *way)] for way in ways]
            axis.bar(range(len(ways)), [np.mean(each) for each in values], color=colours)
            for place, each in enumerate(values):
                axis.plot([place] * len(each), each, "k.", ms=4)
            axis.set_xticks(range(len(ways)), [f"{network}\n{mapping}" for network, mapping in ways], fontsize=6.5)
            axis.set_ylabel(f"{unit} per sample")
        limit = np.mean([each.physical_limit_us or 0 for each in find(runs, "max-synops", "optimised")])
        grid[0, column].axhline(limit, color="black", ls="--", lw=1)
        grid[0, column].set_title(f"{label}\n- - physical limit of max-synops {limit:.3g} us", fontsize=9)


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
