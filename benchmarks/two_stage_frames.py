"""Both stages of the optimisation on AKD1000: sparsity-aware training, then the limits of a processor.

A quantised convolutional network on Fashion-MNIST, five seeds: input block of 16 filters, convolutions of 32 and 64,
fully connected to 10; 4-bit weights and activations. The simulator's integer kernels evaluate it. Networks compared
  dense        trained plainly, with as many epochs as the others
  max-work     trained to lower the clocks of the busiest processor under the default mapping
  max-synops   the same for its synops: a message costs 24 clocks here beside its synops, so the two differ
  total        trained to lower all synops together
  rate         trained to lower the mean values sent (the event-rate loss of lava-dl)
  stage 1      of all these the one with the fewest clocks of the busiest processor
each the cheapest on validation data, by what it was trained to lower, that loses at most 0.5 points there. Mappings
  minimal      the vendor's mapper with as few processors as fit
  default      the vendor's default, all-nps: as many processors as are useful. The baseline here
  optimised    stage 2: the best of all limits of columns, rows and filters of a processor that the vendor's mapper
               takes, for the time between frames; chosen on validation samples
That is all that can be moved: limits hold for all layers alike, and a fully connected layer takes one processor.
Time is the time between two frames of a row (its inverse is the rate); the latency of one alone is told beside it.
Energy is per frame at that rate, most of it the floor of the board (907 mW); what is above it is told, too.
Expected (Yik et al., arXiv:2511.21549): on three chips up to 3.86 times faster with 3.38 times less energy.

Networks and results are kept in the folder nsim_two_stage of the system's folder for temporary files, and a run that
was stopped is taken up again; remove the folder to begin anew.

    python -m benchmarks.two_stage_frames [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from benchmarks.two_stage_common import (
    BASELINE,
    WAYS,
    Run,
    Trained,
    Trainer,
    Workload,
    all_runs,
    find,
    mean,
    outcome,
    ratio,
    right,
)
from nsim.chip.file import load_chip
from nsim.chip.frames import FrameChip
from nsim.cli.experiments import Outcome, script
from nsim.errors import TrainingError
from nsim.formats.network import load_network
from nsim.mapping.frames.mapping import FrameMapping, map_frames
from nsim.network.layers import Network
from nsim.optimize.frames import optimize_frames
from nsim.result.frames import FrameResult
from nsim.result.run_frames import simulate_frames
from nsim.training.data.pictures import Data, load_data
from nsim.training.sparsity.fitting import Masks
from nsim.training.sparsity.networks import Parameters
from nsim.training.sparsity.quantized import (
    QuantizedArchitecture,
    exact_outputs,
    fanout_of,
    initial,
    simulated_outputs,
    stored,
    write_quantized,
)
from nsim.training.sparsity.regularisers import Fanout

SEARCHED, SIMULATED = 8, 64
DEFAULT_MODE = "all-nps"
STRENGTHS = (2.0, 5.0)
REGULARISERS = {
    "max-work": ("max-synops", STRENGTHS, True),
    "max-synops": ("max-synops", STRENGTHS, False),
    "total": ("synops", STRENGTHS, False),
    "rate": ("rate", (0.5, 1.0), False),
}
RIVALS = (
    ("total", BASELINE, "total-sparsity training and the default mapping"),
    ("total", "optimised", "total-sparsity training and the same search"),
    ("max-work", "optimised", "training for the work of the busiest processor and the same search"),
)
FULL = Workload(5, 6, (6000, 3000, 2000), tuple(REGULARISERS))
QUICK = Workload(2, 1, (600, 200, 100), ("max-work", "total"))


@dataclass(frozen=True)
class FrameRun(Run):
    """Time: between frames. latency_us: of one frame alone. dynamic_energy_uj: above the floor of the board."""

    latency_us: float
    dynamic_energy_uj: float
    processors: int
    messages: float


def akd1000() -> FrameChip:
    chip = load_chip("akd1000")
    assert isinstance(chip, FrameChip)
    return chip


class FrameTrainer(Trainer):
    """Quantised networks, whose outputs are exactly those of training."""

    regularisers = REGULARISERS

    def __init__(self, workload: Workload, data: Data, seed: int, kept: Path) -> None:
        self.made: QuantizedArchitecture = QuantizedArchitecture(data.train.inputs.shape[2:])
        super().__init__(workload, data, seed, kept)

    def initial(self) -> Parameters:
        return initial(self.made, self.data.train.inputs[:256], self.rng(0))

    def stored(self, name: str, parameters: Parameters, masks: Masks) -> Network:
        path = self.kept / f"akd1000_{self.seed}_{name}.net"
        write_quantized(path, self.made, stored(self.made, parameters, masks))
        return load_network(path)

    def fanouts_of(self, network: Network) -> dict[bool, Fanout]:
        mapping = map_frames(network, akd1000(), DEFAULT_MODE)
        return {work: fanout_of(mapping, work) for work in (False, True)}

    def validation_points(self, network: Network, parameters: Parameters, masks: Masks) -> float:
        validation = self.data.validation
        return right(
            exact_outputs(self.made, stored(self.made, parameters, masks), validation.inputs), validation.targets
        )

    def test_points(self, name: str, found: Trained) -> float:
        """By the simulator's kernels. raises TrainingError if any output is not as trained"""
        test = self.data.test
        promised = exact_outputs(self.made, stored(self.made, found.parameters, found.masks), test.inputs)
        simulated = simulated_outputs(found.network, test.inputs)
        wrong = int((promised != simulated).any(axis=1).sum())
        if wrong:
            raise TrainingError(f"{name} gives other outputs than were trained for {wrong} of {len(test)} test samples")
        return right(simulated, test.targets)

    def measured(self, name: str, found: Trained) -> list[Run]:
        chip, network, points = akd1000(), found.network, self.test_points(name, found)
        frames = self.data.test.inputs[:SIMULATED]
        best = optimize_frames(network, chip, self.data.validation.inputs[:SEARCHED]).best

        def run(label: str, mapping: FrameMapping) -> FrameRun:
            result = simulate_frames(mapping, frames)
            facts = result.summary()
            limit, by = physical_limit_us(result)
            return FrameRun(
                seed=self.seed,
                network=name,
                strength=found.strength,
                mapping=label,
                mapped=mapping.mode,
                points=points,
                time_us=result.interval_ps / 1e6,
                energy_uj=facts["known_energy_per_frame_fj"] / 1e9,
                synops=facts["synops"] / len(frames),
                slowest=result.slowest_core["layer"],
                physical_limit_us=limit,
                physical_limit=by,
                latency_us=result.latency_ps / 1e6,
                dynamic_energy_uj=facts["known_dynamic_energy_per_frame_fj"] / 1e9,
                processors=mapping.processors,
                messages=facts["messages"] / len(frames),
            )

        modes = {"minimal": "minimal", BASELINE: DEFAULT_MODE, "optimised": best.mapping.mode}
        runs = [run(label, map_frames(network, chip, mode)) for label, mode in modes.items()]
        limit, by = runs[0].physical_limit_us, runs[0].physical_limit  # as few processors as fit do the least work
        return [replace(each, physical_limit_us=limit, physical_limit=by) for each in runs]


def physical_limit_us(result: FrameResult) -> tuple[float, str]:
    """Least time between frames: all work spread perfectly over all processors, or what the chip does not spread."""
    chip = result.chip
    rows = {row["layer"]: 0.0 for row in result.rows("cores")}
    for row in result.rows("cores"):
        rows[row["layer"]] += (row["work_ps"] + row["sweep_ps"]) / result.spans / 1e6
    kinds = {part.layer: part.kind for run in result.runs for part in run.mapping.parts}
    spread = sum(time for layer, time in rows.items() if kinds[layer] != "input") / len(chip.processors)
    terms = {"all work over all processors": spread}
    terms |= {f"{layer}, on one processor": rows[layer] for layer in rows if kinds[layer] == "fully_connected"}
    terms["the input block"] = sum(rows[layer] for layer in rows if kinds[layer] == "input")
    by = max(terms, key=terms.__getitem__)
    return terms[by], by


def compared(workload: Workload, seed: int, kept: Path) -> list[Run]:
    loaded = load_data("fashion-mnist", np.random.default_rng(seed))
    train, validation, test = (
        getattr(loaded, part).first(size)
        for part, size in zip(("train", "validation", "test"), workload.sizes, strict=True)
    )
    return FrameTrainer(workload, Data(loaded.name, train, validation, test, loaded.classes), seed, kept).runs()


def run(quick: bool, seed: int) -> Outcome:
    workload = QUICK if quick else FULL
    runs = all_runs(workload, seed, "akd1000", FrameRun, compared)
    measures = {"time_us": "times faster", "latency_us": "in latency", "energy_uj": "less energy"}
    measures["dynamic_energy_uj"] = "less above the floor"
    both = WAYS["both"]
    said = (
        f"The vendor's mode minimal {ratio(runs, 'dense', 'minimal'):.2f} times. Both take "
        f"{mean(runs, *both, 'time_us'):.1f} us between frames; no mapping can be below "
        f"{mean(runs, *both, 'physical_limit_us'):.1f} us, set by {find(runs, *both)[0].physical_limit}"
    )
    return outcome(runs, workload.networks, measures, said, RIVALS, "AKD1000")


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
