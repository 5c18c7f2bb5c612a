"""Both stages of the optimisation on Speck: sparsity-aware training, then which layers get the faster cores.

A spiking convolutional network of integrate-and-fire neurons, 8-bit weights, on Fashion-MNIST as events, five seeds:
each pixel sends Poisson distributed numbers of events, two on average at full brightness; convolutions of 8, 16 and 32
channels, fully connected to 10, whose spikes are counted. Trained in bins of events, run event by event, so that the
chip's answers are not quite those of training: accuracy is the chip's, and that of training is told beside it. Networks
  dense        trained plainly, with as many epochs as the others
  max-work     trained to lower the time of the busiest core under the default mapping
  total        trained to lower all synops together
  rate         trained to lower the mean number of spikes (the event-rate loss of lava-dl)
  stage 1      of all these the one with the least time of the busiest core
each the cheapest on validation data, by what it was trained to lower, that loses at most 0.5 points there. Mappings
  default      as `nsim run` does it: layers and cores are matched by memory, speed is not looked at
  optimised    stage 2: the best choice of layers for the faster cores of chips/speck.toml; all choices are tried, on
               validation samples
That is all that can be moved: a layer takes one core. Time is that of a sample whose events come as fast as the chip
takes them, until all that they bring about is over.
Expected (Yik et al., arXiv:2511.21549): on three chips up to 3.86 times faster with 3.38 times less energy.

Networks and results are kept in the folder nsim_two_stage of the system's folder for temporary files, and a run that
was stopped is taken up again; remove the folder to begin anew.

    python -m benchmarks.two_stage_events [--quick] [--seed N] [--out DIR]
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

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
    right,
)
from nsim.chip.events import StreamChip
from nsim.chip.file import load_chip
from nsim.cli.experiments import Outcome, script
from nsim.errors import SimulationError
from nsim.formats.network import load_network
from nsim.mapping.events.mapping import StreamMapping, map_stream
from nsim.network.inputs import EventStream
from nsim.network.layers import Network
from nsim.optimize.streams import optimize_stream
from nsim.result.events import StreamResult
from nsim.result.run_events import simulate_stream
from nsim.training.data.pictures import Data, Split, load_data
from nsim.training.sparsity.fitting import Masks
from nsim.training.sparsity.networks import Parameters
from nsim.training.sparsity.regularisers import Fanout
from nsim.training.sparsity.spiking import (
    SpikingArchitecture,
    fanout_of,
    initial,
    rate_coded,
    stored,
    streams,
    write_spiking,
)

EVENTS_PER_PIXEL = 2.0  # at full brightness
SEARCHED, SIMULATED = 8, 100
REGULARISERS = {
    "max-work": ("max-synops", (3.0, 10.0), True),
    "total": ("synops", (3.0, 10.0), False),
    "rate": ("rate", (0.1, 1.0), False),
}
RIVALS = (
    ("total", BASELINE, "total-sparsity training and the default mapping"),
    ("total", "optimised", "total-sparsity training and the same search"),
)
FULL = Workload(5, 4, (5000, 1000, 1000), tuple(REGULARISERS))
QUICK = Workload(2, 1, (300, 60, 60), ("max-work", "total"))


@dataclass(frozen=True)
class EventRun(Run):
    """trained_points: what training makes of the same events. events_per_s: that the busiest station keeps up with."""

    trained_points: float
    events_per_s: float
    spikes: float


def speck() -> StreamChip:
    chip = load_chip("speck")
    assert isinstance(chip, StreamChip)
    return chip


class EventTrainer(Trainer):
    """Spiking networks; their answers are the chip's, event by event."""

    regularisers = REGULARISERS

    def __init__(self, workload: Workload, loaded: Data, seed: int, kept: Path) -> None:
        self.made: SpikingArchitecture = SpikingArchitecture(loaded.train.inputs.shape[2:])
        self.seed = seed
        train, validation, test = (
            self._as_events(getattr(loaded, part).first(size), 10 + number)
            for number, (part, size) in enumerate(zip(("train", "validation", "test"), workload.sizes, strict=True))
        )
        self.seen, self.unseen = (
            list(streams(self.made, split.inputs, self.rng(20 + number)))
            for number, split in enumerate((validation, test))
        )
        super().__init__(workload, Data(loaded.name, train, validation, test, loaded.classes), seed, kept)

    def _as_events(self, split: Split, use: int) -> Split:
        return Split(rate_coded(split.inputs, EVENTS_PER_PIXEL, self.made.bins, self.rng(use)), split.targets)

    def initial(self) -> Parameters:
        return initial(self.made, self.data.train.inputs[:256], self.rng(0))

    def stored(self, name: str, parameters: Parameters, masks: Masks) -> Network:
        path = self.kept / f"speck_{self.seed}_{name}.net"
        write_spiking(path, self.made, stored(parameters, masks))
        return load_network(path)

    def fanouts_of(self, network: Network) -> dict[bool, Fanout]:
        mapping = map_stream(network, speck())
        return {work: fanout_of(mapping, work) for work in (False, True)}

    def validation_points(self, network: Network, parameters: Parameters, masks: Masks) -> float:
        return right(answers(map_stream(network, speck()), self.seen), self.data.validation.targets)

    def trained_points(self, found: Trained) -> float:
        """On test data, by the arithmetic of training."""
        inputs = self.data.test.inputs
        parts = [
            np.asarray(self.made.forward(found.parameters, found.masks, inputs[first : first + 250]).outputs)
            for first in range(0, len(inputs), 250)
        ]
        return right(np.concatenate(parts)[:, 0], self.data.test.targets)

    def measured(self, name: str, found: Trained) -> list[Run]:
        chip, network = speck(), found.network
        default = map_stream(network, chip)
        expected = answers(default, self.unseen)
        points, trained = right(expected, self.data.test.targets), self.trained_points(found)

        def run(label: str, mapping: StreamMapping) -> Run:
            results = [simulate_stream(mapping, stream) for stream in self.unseen[:SIMULATED]]
            if any((spikes_of(result) != counts).any() for result, counts in zip(results, expected, strict=False)):
                raise SimulationError(f"{name} answers otherwise on another mapping: the order of events has changed")
            samples = len(results)
            busy_ps = np.sum([result.times.busy_ps for result in results], axis=0)
            busy_ps[results[0].machine.number("clock")] = 0
            return EventRun(
                seed=self.seed,
                network=name,
                strength=found.strength,
                mapping=label,
                mapped=",".join(f"core.{layer.name}={layer.core}" for layer in mapping.layers),
                points=points,
                time_us=sum(result.times.end_ps for result in results) / samples / 1e6,
                energy_uj=sum(result.energy.known_fj for result in results) / samples / 1e9,
                synops=sum(int(result.times.synops.sum()) for result in results) / samples,
                slowest=results[0].path_station_name(int(busy_ps.argmax())),
                physical_limit_us=physical_limit_us(results),
                physical_limit="all work over all cores",
                trained_points=trained,
                events_per_s=sum(result.streamed for result in results) / float(busy_ps.max()) * 1e12,
                spikes=sum(int(result.times.spikes.sum()) for result in results) / samples,
            )

        best = optimize_stream(network, chip, self.seen[:SEARCHED]).best
        return [run(BASELINE, default), run("optimised", best.mapping)]


def answers(mapping: StreamMapping, events: Sequence[EventStream]) -> NDArray[np.int64]:
    """Spikes of every class by sample, each from rest."""
    return np.array([spikes_of(simulate_stream(mapping, stream)) for stream in events])


def spikes_of(result: StreamResult) -> NDArray[np.int64]:
    return np.bincount(result.outputs["channel"], minlength=result.mapping.layers[-1].layer.neurons)


def physical_limit_us(results: Sequence[StreamResult]) -> float:
    """All work of a sample spread perfectly over all cores, the faster ones at their own speed."""
    chip = results[0].mapping.chip
    actions, faster = chip.actions, len(chip.parallel.cores)
    events, synops = (sum(int(getattr(each.times, of).sum()) for each in results) for of in ("events", "synops"))
    ordinary_ps = events * actions.event.latency_ps + synops * actions.synop.latency_ps
    faster_ps = events * actions.event_parallel.latency_ps + synops * actions.synop_parallel.latency_ps
    rate = (chip.cores - faster) / ordinary_ps + faster / faster_ps
    return 1 / rate / len(results) / 1e6


def compared(workload: Workload, seed: int, kept: Path) -> list[Run]:
    return EventTrainer(workload, load_data("fashion-mnist", np.random.default_rng(seed)), seed, kept).runs()


def run(quick: bool, seed: int) -> Outcome:
    workload = QUICK if quick else FULL
    runs = all_runs(workload, seed, "speck", EventRun, compared)
    both = WAYS["both"]
    said = (
        f"In training dense has {mean(runs, 'dense', BASELINE, 'trained_points'):.2f} % and stage 1 "
        f"{mean(runs, *both, 'trained_points'):.2f} %. Both take {mean(runs, *both, 'time_us'):.0f} us per sample, "
        f"{find(runs, *both)[0].slowest} the busiest, and serve {mean(runs, *both, 'events_per_s'):,.0f} events/s "
        f"instead of {mean(runs, 'dense', BASELINE, 'events_per_s'):,.0f}; all work spread perfectly over all cores "
        f"takes {mean(runs, *both, 'physical_limit_us'):.0f} us, but a layer takes one core"
    )
    return outcome(
        runs, workload.networks, {"time_us": "times faster", "energy_uj": "less energy"}, said, RIVALS, "Speck"
    )


if __name__ == "__main__":
    for verdict in script(run, __file__, __doc__):
        print(verdict)
