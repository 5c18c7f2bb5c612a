"""What is to be optimised: a network on a chip, the activity it is measured on, the objective and the limits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from nsim.chip.timesteps import BarrierChip, Management
from nsim.errors import MappingError, OptimizationError, counted
from nsim.mapping.cores.partition import Demand, Rules, Slice, check_axons_out, check_partition, on_chip_layers
from nsim.mapping.cores.place import place
from nsim.mapping.cores.route import distance
from nsim.mapping.cores.storage import FORMATS
from nsim.network.activity import Activity
from nsim.network.layers import Layer
from nsim.optimize.candidate import ROW_MAJOR, Candidate, Cores, Slices, difference, numbered, own_cores
from nsim.optimize.cuts import NO_LIMIT_PS, Cutter, whole
from nsim.optimize.evaluation import Copies, Evaluation, Simulator, Work
from nsim.optimize.history import Space

PLACINGS = (ROW_MAJOR, "near the host", "greedily")


@dataclass(frozen=True)
class Problem(Space):
    """Everything a search needs to know; small enough to be sent to other processes.

    activity    the timesteps that every evaluation simulates
    most_cores  that the mapping may take
    first       what a search begins with; None: as few cores as can be
    tiles       whether layers in space may be cut along several axes at once
    """

    rules: Rules
    activity: Activity
    objective: str
    most_cores: int
    first: Candidate | None
    tiles: bool = False

    @cached_property
    def simulator(self) -> Simulator:
        return Simulator(self.rules, self.activity)

    @cached_property
    def cutter(self) -> Cutter:
        return Cutter(self.simulator)

    @cached_property
    def layers(self) -> list[Layer]:
        """Layers on the chip, in the order of a candidate."""
        return on_chip_layers(self.rules.network)

    def difference(self, before: Candidate, after: Candidate) -> str:
        return difference(self.layers, before, after)

    def candidate(self, slices: Slices, cores: Cores | None = None, placing: str = ROW_MAJOR) -> Candidate:
        """Slices on these logical cores (one for each if None), placed by a rule; row by row by none of PLACINGS."""
        cores = cores or own_cores(slices)
        used = 1 + max(max(layer) for layer in cores)
        row_major = Candidate(slices, cores, tuple(range(used)), ROW_MAJOR)
        if placing not in PLACINGS[1:] or used > self.rules.chip.cores:
            return row_major
        if placing == "near the host":
            return Candidate(slices, cores, tuple(self.near_host[:used]), placing)
        traffic = self.simulator.traffic(row_major, Copies(self.simulator, row_major))
        location = place(self.rules.chip, traffic, "greedy")
        return Candidate(slices, cores, tuple(location.tolist()), placing)

    @cached_property
    def start(self) -> Candidate:
        """Where a search begins; it may take more cores than are allowed."""
        return self.first or self.fewest_cores()

    def beginning(self) -> tuple[Candidate, str]:
        if self.start.used > self.most_cores:
            return self.fewest_cores(), "as few cores as can be"
        return self.start, "the partition to begin with"

    def recut(
        self, before: Candidate, slices: Mapping[int, tuple[Slice, ...]], placing: str | None = None
    ) -> Candidate:
        """Other slices for some layers, each on a core of its own; the rest stays together as it was.

        slices   by number of the layer
        """
        cores: list[list[object]] = []
        for number, held in enumerate(before.cores):
            if number in slices:
                cores.append([(number, part) for part in range(len(slices[number]))])
            else:
                cores.append(list(held))
        every = tuple(slices.get(number, held) for number, held in enumerate(before.slices))
        return self.candidate(every, numbered(cores), placing or before.placing)

    @cached_property
    def near_host(self) -> list[int]:
        """Physical cores, those with the fewest hops to the host first; a whole chip before the next one."""
        chip = self.rules.chip
        hops = [distance(chip, chip.router_of(chip.cores), chip.router_of(core)) for core in range(chip.cores)]
        of = [chip.chip_of(core) for core in range(chip.cores)]
        nearest: dict[int, int] = {}
        for number, far in zip(of, hops, strict=True):
            nearest[number] = min(far, nearest.get(number, far))
        return sorted(range(chip.cores), key=lambda core: (nearest[of[core]], of[core], hops[core], core))

    def allows(self, candidate: Candidate) -> bool:
        """Whether all limits of the chip and of the search hold. Outgoing axons are looked at by `evaluate`."""
        chip = self.rules.chip
        if candidate.used > min(self.most_cores, chip.cores):
            return False
        for slices in candidate.partition:
            if len({piece.layer for piece in slices}) < len(slices):
                return False  # their neurons would take turns in the sweep: one slice of a layer per core is enough
            if not self.fits_together(slices):
                return False
        return True

    def fits_together(self, slices: Sequence[Slice]) -> bool:
        if len(slices) == 1:
            return self.simulator.fits(slices[0])
        demand = Demand(0, 0, 0)
        for piece in slices:
            demand += self.simulator.demand(piece)
        return demand.overload(self.rules.chip) <= 1

    def evaluate(self, candidate: Candidate, path: bool = False) -> Evaluation | None:
        """Simulate a candidate; None if it breaks a limit."""
        return self.simulated(candidate, path) if self.allows(candidate) else None

    def simulated(self, candidate: Candidate, path: bool = False, copies: Copies | None = None) -> Evaluation | None:
        """The same for a candidate that is allowed, and whose copies may be known."""
        copies = copies or Copies(self.simulator, candidate)
        limit = self.rules.chip.core.axons_out
        if limit is not None and self.simulator.axons_out(copies) > limit:
            return None
        return self.simulator.evaluate(candidate, copies, path)

    def has_path(self, found: Evaluation) -> bool:
        return found.path is not None

    def refuse(self, candidate: Candidate) -> None:
        """Name the limit of the chip or of the search that a candidate breaks."""
        for core, slices in enumerate(candidate.partition):
            names = [piece.layer for piece in slices]
            if len(set(names)) < len(names):
                twice = next(name for name in names if names.count(name) > 1)
                raise OptimizationError(f"core {core} holds two slices of layer {twice!r}: make them one, or move one")
        check_partition(self.rules, candidate.partition)
        copies = Copies(self.simulator, candidate)
        used = np.bincount(copies.core, np.diff(copies.indptr), minlength=self.rules.chip.cores + 1)
        check_axons_out(self.rules, candidate.partition, used[list(candidate.placement)].astype(int).tolist())
        raise MappingError(f"no partition of {self.rules.network.name!r} to begin with keeps all limits")

    def loads(self, candidate: Candidate) -> list[int]:
        """The longest time a core with a slice of each layer is busy, over all evaluated timesteps."""
        works = [[self.simulator.work(piece) for piece in slices] for slices in candidate.partition]
        core_ps = [max(sum(w.memory_ps for w in each), sum(w.compute_ps for w in each)) for each in works]
        return [max(core_ps[core] for core in cores) for cores in candidate.cores]

    def fewest_cores(self) -> Candidate:
        """As few cores as full slices, and the rests put together, can do with: a heuristic, not the least.

        raises   MappingError if even these are more than the limit
        """
        cuts = [self.cutter.filled(layer) for layer in self.layers]
        missing = [layer.name for layer, cut in zip(self.layers, cuts, strict=True) if cut is None]
        chip, network = self.rules.chip, self.rules.network
        if missing:
            raise MappingError(
                f"layer {missing[0]!r} does not fit chip {chip.name!r} however it is split along one axis: use a "
                "smaller network or another chip"
            )
        packed = self.packed(tuple(cut for cut in cuts if cut is not None), NO_LIMIT_PS)
        if packed.used > self.most_cores:
            cure = "allow more (--cores)" if packed.used <= chip.cores else "use a smaller network"
            raise MappingError(
                f"network {network.name!r} needs {counted(packed.used, 'core')} of chip {chip.name!r} with all light "
                f"slices put together, but {self.most_cores} are allowed, of {chip.cores}: {cure}"
            )
        return packed

    def packed(self, slices: Slices, limit_ps: int, placing: str = ROW_MAJOR) -> Candidate:
        """Light slices of different layers together on cores, none busy for longer: first fit, heaviest first."""
        parts = [(layer, part) for layer, held in enumerate(slices) for part in range(len(held))]
        work = {each: self.simulator.work(slices[each[0]][each[1]]) for each in parts}
        parts.sort(key=lambda each: -work[each].load_ps)
        cores: list[list[tuple[int, int]]] = []
        for each in parts:
            room = (core for core in cores if self._has_room(core, each, slices, work, limit_ps))
            core = next(room, None)
            if core is None:
                cores.append([each])
            else:
                core.append(each)
        named = {each: number for number, core in enumerate(cores) for each in core}
        own = [[named[layer, part] for part in range(len(held))] for layer, held in enumerate(slices)]
        return self.candidate(slices, numbered(own), placing)

    def _has_room(
        self,
        core: list[tuple[int, int]],
        part: tuple[int, int],
        slices: Slices,
        work: dict[tuple[int, int], Work],
        limit_ps: int,
    ) -> bool:
        """Whether a core can take one more (layer, part): one slice of each layer, no longer busy than the limit."""
        every = [*core, part]
        memory_ps, compute_ps = (
            sum(getattr(work[each], name) for each in every) for name in ("memory_ps", "compute_ps")
        )
        if any(layer == part[0] for layer, _ in core) or max(memory_ps, compute_ps) > limit_ps:
            return False
        return self.fits_together([slices[layer][number] for layer, number in every])


def check_chip(chip: object) -> BarrierChip:
    """Refuse chips on which nothing can be moved yet."""
    if not isinstance(chip, BarrierChip):
        name, discipline = getattr(chip, "name", chip), getattr(chip, "discipline", "other")
        raise OptimizationError(
            f"chip {name!r} (discipline {discipline!r}) has no partition that can be optimised: choose a chip with "
            "timesteps, such as loihi2"
        )
    return chip


def chosen_timesteps(activity: Sequence[Activity], number: int) -> Activity:
    """So many timesteps, evenly spread over all that were recorded."""
    steps = [chunk.firing(step) for chunk in activity for step in range(chunk.timesteps)]
    if number < 1:
        raise OptimizationError(f"every evaluation is to simulate {counted(number, 'timestep')}: give at least 1")
    chosen = np.unique(np.linspace(0, len(steps) - 1, min(number, len(steps))).round().astype(int))
    firing = [steps[step] for step in chosen]
    indptr = np.concatenate(([0], np.cumsum([each.size for each in firing]))).astype(np.int64)
    return Activity(indptr, np.concatenate(firing), None)


@dataclass(frozen=True)
class Limits:
    """The least time a timestep can take however the network is mapped, by what sets it, in ps (means).

    memory, compute   total work of synapses and of sweeps, each message received once, spread perfectly over all cores
    host              the host sends every message once, whatever it is sent to
    barrier           over one router, and management: the other three come before them
    """

    memory_ps: float
    compute_ps: float
    host_ps: float
    barrier_ps: float
    management_ps: float

    @property
    def binding(self) -> str:
        terms = {"memory": self.memory_ps, "compute": self.compute_ps, "the host's input": self.host_ps}
        return max(terms, key=terms.__getitem__)

    @property
    def least_ps(self) -> float:
        return max(self.memory_ps, self.compute_ps, self.host_ps) + self.barrier_ps + self.management_ps


def physical_limits(problem: Problem) -> Limits:
    """What no partition can beat: total work spread perfectly over the allowed cores.

    Of the synapses only receiving and adding counts: words are read beside that, and how many depends on the cut.
    """
    simulator, rules = problem.simulator, problem.rules
    chip, steps = rules.chip, problem.activity.timesteps
    wholes = [simulator.measure(whole(layer)) for layer in problem.layers]
    sources = np.unique(np.concatenate([work.source for work in wholes]))
    fired = simulator.times_fired[sources]
    synop_ps = np.array([getattr(chip.actions, f"synop_{form}").latency_ps for form in FORMATS])
    memory_ps = sum(int(work.synops @ synop_ps) for work in wholes) + fired.sum() * chip.actions.message_in.latency_ps
    compute_ps = sum(work.compute_ps for work in wholes)
    on_host = np.zeros(sources.size, bool)
    for layer in rules.network.layers:
        own = simulator.ranges[layer.name]
        on_host |= (sources >= own.start) & (sources < own.stop) & (not layer.on_chip)
    host_ps = fired[on_host].sum() * max(1, chip.host_message_ps)
    spread = steps * problem.most_cores
    end_ps = float(chip.barrier_ps(1)), float(chip.management_ps(Management()))
    return Limits(float(memory_ps) / spread, compute_ps / spread, float(host_ps) / steps, *end_ps)
