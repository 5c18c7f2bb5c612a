"""The floorline of every combination of cuts, from tables: a hundred thousand bounds in a second, none above a run.

A timestep takes at least as long as its busiest slice, or the busiest sender of copies, the host among them; the run,
as long as the sum of these maxima, barriers and management. Every slice has a core of its own. Placement is left out:
mesh links count nothing, and the cores take the fewest routers that can hold them. So no bound is too high.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from nsim.chip.timesteps import Management
from nsim.mapping.cores.storage import FORMATS
from nsim.optimize.candidate import Candidate
from nsim.optimize.cuts import whole
from nsim.optimize.kernels import most_sent, raised, summed_maxima
from nsim.optimize.menu import Cut, Firing, Menu, menu_of
from nsim.optimize.objectives import Floor, Taken
from nsim.optimize.problem import Problem
from nsim.result.energy import known_cost_fj, running_fj

State = tuple[int, ...]  # number of a cut, by layer on the chip
KNOWN = 256  # tables of copies that are kept
UNIT_PS = 1e6  # powers of times are of microseconds
SOFT = (8, 24)  # powers that stand for a maximum: a lower term then helps although another is as long


@dataclass(frozen=True)
class Sender:
    """A layer whose messages are copied: its number, or -1 on the host; layers that receive; time of one copy."""

    name: str
    number: int
    targets: tuple[int, ...]
    copy_ps: int


class Bound:
    """Bounds for one problem and cuts for each of its layers.

    known      bounds for the same problem and fewer cuts, which come first
    multicast  what if a neuron sent one message, whatever the cores that it reaches: of times alone, and no bound of a
               run, since no chip here is known to do so
    """

    def __init__(
        self,
        problem: Problem,
        cuts: Sequence[Sequence[Cut]],
        known: Bound | None = None,
        multicast: bool = False,
    ) -> None:
        self.multicast = multicast
        self.problem, simulator, network = problem, problem.simulator, problem.rules.network
        chip = problem.rules.chip
        self.firing = {layer.name: Firing.of(simulator, layer) for layer in network.layers}
        self.menus: list[Menu] = [] if known is None else list(known.menus)
        for number, (layer, held) in enumerate(zip(problem.layers, cuts, strict=True)):
            if known is None:
                self.menus.append(menu_of(simulator, layer, held, self.firing))
            elif held:
                self.menus[number] += menu_of(simulator, layer, held, self.firing)
        self.senders = self._senders()
        self.own = {sender.number: sender for sender in self.senders if sender.number >= 0}
        self.steps, self.static_mw, self.core_mw = simulator.steps, chip.power.static_mw or 0, chip.power.core_mw or 0
        most = 1 + sum(int(menu.cores.max()) for menu in self.menus)
        per_router = chip.mesh.cores_per_router
        used = np.ceil(np.arange(most) / per_router).clip(1, chip.routers)
        management_ps = chip.management_ps(Management())
        chips = np.ceil(np.arange(most) / chip.cores_per_chip).clip(1, chip.chips).astype(int)  # at least so many
        ends_ps = [chip.barrier_ps(int(each), int(of)) + management_ps for each, of in zip(used, chips, strict=True)]
        self.ends_ps = np.array(ends_ps) * self.steps
        self.fixed_fj = self._fixed_fj()
        self.bounds = 0  # how many were made
        self.sent = lru_cache(KNOWN)(self._sent)
        self.sent_into = lru_cache(KNOWN)(self._sent_into)
        self.sent_by_cut = lru_cache(KNOWN)(self._sent_by_cut)
        self.owner = lru_cache(KNOWN)(self._owner)

    def _senders(self) -> list[Sender]:
        problem = self.problem
        network, chip = problem.rules.network, problem.rules.chip
        numbers = {layer.name: number for number, layer in enumerate(problem.layers)}
        found = []
        for layer in network.layers:
            targets = {numbers[c.target] for c in network.outgoing(layer.name) if c.target in numbers}
            send_ps = chip.send_ps if layer.on_chip else chip.host_message_ps
            copy_ps = max(1, send_ps, chip.link_service_ps("core_to_router"))
            if targets and self.firing[layer.name].count:
                found.append(Sender(layer.name, numbers.get(layer.name, -1), tuple(sorted(targets)), copy_ps))
        return found

    def _fixed_fj(self) -> float:
        """Energy that no cut changes: synops, spikes and management."""
        problem, chip = self.problem, self.problem.rules.chip
        wholes = [problem.simulator.measure(whole(layer)) for layer in problem.layers]
        synops = np.sum([work.synops for work in wholes], axis=0) @ [
            known_cost_fj(chip, f"synop_{form}") for form in FORMATS
        ]
        running = running_fj(chip, Management(), self.steps, samples=1, cores=0, time_ps=0)
        spikes = problem.simulator.spikes * known_cost_fj(chip, "spike")
        return float(synops) + spikes + sum(each or 0 for each in running.values())

    def state_of(self, candidate: Candidate) -> State | None:
        """The state with the slices of a candidate; None if a menu lacks them."""
        numbers = [menu.number.get(cut) for menu, cut in zip(self.menus, candidate.slices, strict=True)]
        return None if None in numbers else tuple(numbers)  # type: ignore[arg-type]

    def with_cuts_of(self, candidate: Candidate) -> Bound:
        """The same with the cuts of a candidate, where a menu lacks them."""
        missing = [[] if cut in menu.number else [cut] for menu, cut in zip(self.menus, candidate.slices, strict=True)]
        return Bound(self.problem, missing, self, self.multicast) if any(missing) else self

    def fewest(self) -> State:
        """The fewest cores for every layer; of equal cuts the one with the least work."""
        return tuple(int(np.lexsort((menu.busy_ps.sum(axis=1), menu.cores))[0]) for menu in self.menus)

    def candidate(self, state: State) -> Candidate:
        return self.problem.candidate(tuple(menu.cuts[k] for menu, k in zip(self.menus, state, strict=True)))

    def of(self, state: State) -> Taken:
        """The bounds of one state. Neither a run nor its energy is below them."""
        self.bounds += 1
        return self._bounds(float(np.max(list(self.terms(state).values()), axis=0).sum()), state)

    def terms(self, state: State) -> dict[str, NDArray[np.float64]]:
        """What a timestep waits for, float64[timesteps] each: slices of every layer, and senders."""
        names = [layer.name for layer in self.problem.layers]
        busy = {name: menu.busy_ps[k] for name, menu, k in zip(names, self.menus, state, strict=True)}
        copies = {f"copies of {each.name}": self._sent_ps(k, state) for k, each in enumerate(self.senders)}
        return busy | copies

    def _bounds(self, waited_ps: float, state: State) -> Taken:
        cores = sum(int(menu.cores[k]) for menu, k in zip(self.menus, state, strict=True))
        energy = sum(float(menu.energy_fj[k]) for menu, k in zip(self.menus, state, strict=True))
        time_ps = waited_ps + int(self.ends_ps[cores])
        return Taken(time_ps, self.fixed_fj + energy + (self.static_mw + self.core_mw * cores) * time_ps, cores)

    def floor(self, states: Iterable[State]) -> Floor | None:
        """The state with the least time, and what it waits for; None without states."""
        least = min(states, key=lambda state: self.of(state).time_ps, default=None)
        if least is None:
            return None
        terms, time_ps = self.terms(least), self.of(least).time_ps
        names, times = list(terms), np.array(list(terms.values()))
        waits = dict.fromkeys(names, 0.0)
        for step, longest in enumerate(times.argmax(axis=0)):
            waits[names[longest]] += float(times[longest, step]) / time_ps
        waits["barrier and management"] = 1 - sum(waits.values())
        return Floor(time_ps / self.steps, {name: piece for name, piece in waits.items() if piece}, self.bounds)

    def line(self, state: State, layer: int, power: int = 0) -> tuple[NDArray, NDArray, NDArray]:
        """Time, energy and cores for all cuts of one layer, the others as they are; float64[cuts] each.

        power   0 for bounds; one of SOFT for soft maxima, which are longer
        A layer that sends to itself is taken to send as many copies as now.
        """
        menu = self.menus[layer]
        self.bounds += len(menu.cuts)
        into = [k for k, sender in enumerate(self.senders) if layer in sender.targets and sender.number != layer]
        terms = [menu.busy_ps, *(self._sent_into_ps(k, state, layer) for k in into)]
        if layer in self.own:
            terms.append(self._sent_by_cut_ps(layer, state))
        others = [other.busy_ps[k] for n, (other, k) in enumerate(zip(self.menus, state, strict=True)) if n != layer]
        others += [
            self._sent_ps(k, state) for k, each in enumerate(self.senders) if k not in into and each.number != layer
        ]
        rest = np.array(others).reshape(-1, self.steps) / UNIT_PS
        rest = raised(rest, power).sum(axis=0) if power else rest.max(axis=0, initial=0)
        time_ps = summed_maxima(np.array(terms) / UNIT_PS, rest, power) * UNIT_PS
        fixed = [(int(m.cores[k]), float(m.energy_fj[k])) for m, k in zip(self.menus, state, strict=True)]
        cores = menu.cores + sum(each for n, (each, _) in enumerate(fixed) if n != layer)
        energy = menu.energy_fj + sum(each for n, (_, each) in enumerate(fixed) if n != layer)
        time_ps += self.ends_ps[cores]
        return time_ps, self.fixed_fj + energy + (self.static_mw + self.core_mw * cores) * time_ps, cores

    # Copies, by state: the tables depend on few of its numbers, and are kept by them

    def _of_targets(self, sender: Sender, state: State, but: int | None = None) -> tuple[tuple[int, int], ...]:
        return tuple((target, state[target]) for target in sender.targets if target != but)

    def _sent_ps(self, k: int, state: State) -> NDArray[np.float64]:
        sender = self.senders[k]
        return self.sent(k, state[sender.number] if sender.number >= 0 else 0, self._of_targets(sender, state))

    def _sent_into_ps(self, k: int, state: State, layer: int) -> NDArray[np.float64]:
        sender = self.senders[k]
        own = state[sender.number] if sender.number >= 0 else 0
        return self.sent_into(k, own, layer, self._of_targets(sender, state, layer))

    def _sent_by_cut_ps(self, layer: int, state: State) -> NDArray[np.float64]:
        return self.sent_by_cut(layer, self._of_targets(self.own[layer], state))

    def _copies(self, sender: Sender, targets: tuple[tuple[int, int], ...]) -> NDArray[np.int64]:
        """Copies that each neuron of a layer sends to these cuts of other layers."""
        copies = np.zeros(self.firing[sender.name].count, np.int64)
        for target, cut in targets:
            copies += self.menus[target].reached[sender.name][:, cut]
        return np.minimum(copies, 1) if self.multicast else copies

    def _sent(self, k: int, own: int, targets: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
        """Time that the busiest slice of a sender takes for its copies: float64[timesteps]."""
        sender = self.senders[k]
        firing, (owner, slices) = self.firing[sender.name], self.owner(k, own)
        cell = firing.step * slices + owner[firing.neurons]
        copies = self._copies(sender, targets)[firing.neurons]
        sent = np.bincount(cell, copies, minlength=self.steps * slices).reshape(self.steps, slices)
        return sent.max(axis=1) * sender.copy_ps

    def _sent_into(self, k: int, own: int, layer: int, others: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
        """The same for every cut of one of its targets: float64[cuts, timesteps]."""
        sender = self.senders[k]
        firing, (owner, slices) = self.firing[sender.name], self.owner(k, own)
        copies, reached = self._copies(sender, others), self.menus[layer].reached[sender.name]
        if self.multicast:  # one message for all: those that are sent anyway need no other
            reached = np.minimum(reached, 1) * (copies == 0)[:, None].astype(reached.dtype)
        return most_sent(owner, slices, copies, reached, firing.indptr, firing.neurons) * float(sender.copy_ps)

    def _sent_by_cut(self, layer: int, targets: tuple[tuple[int, int], ...]) -> NDArray[np.float64]:
        """The same for every cut of the sender itself."""
        sender, menu = self.own[layer], self.menus[layer]
        sent = self.firing[sender.name].in_boxes(self._copies(sender, targets), menu.slices)
        return np.maximum.reduceat(sent, menu.first, axis=0) * float(sender.copy_ps)

    def _owner(self, k: int, own: int) -> tuple[NDArray[np.int64], int]:
        """Slice of every neuron of a sender that fires, and how many slices there are; the host is one."""
        sender = self.senders[k]
        firing = self.firing[sender.name]
        if sender.number < 0:
            return np.zeros(firing.count, np.int64), 1
        cut = self.menus[sender.number].cuts[own]
        slices = np.zeros(firing.shape, np.int64)
        for number, piece in enumerate(cut):
            slices[tuple(slice(*ends) for ends in (piece.box.channels, piece.box.rows, piece.box.columns))] = number
        return slices[tuple(firing.position)], len(cut)
