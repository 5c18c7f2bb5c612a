"""Greedy search that reads the floorline: find what limits, split or merge it, keep what helps, stop when nothing does.

Each round takes the state with the largest share of the critical path and tries its moves, all at once:
  memory, compute   cut every layer whose busiest core is above a fraction of the busiest core's time into fewer,
                    evener or more slices, so that none is above it; or the layers of the cores that bind, together and
                    one by one, to a fraction of their own time
  traffic           fewer copies: put the layers that receive from the sender that binds on fewer cores, or cut them
                    along another axis; other places
  barrier           put light slices together, and everything near the host: fewer routers
  none of these, if cores are what is to be saved: light shares together, and cores as full as can be
If none of them helps, the next state is looked at. Where cores have run out, layers with time to spare give some back.
After the stand-in for the floorline-informed partitioning of Yik et al., arXiv:2511.21549, whose step list was not
available: greedy, one binding state at a time.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from nsim.mapping.cores.partition import Slice
from nsim.optimize.candidate import Candidate
from nsim.optimize.cuts import NO_LIMIT_PS
from nsim.optimize.history import History, Move
from nsim.optimize.problem import PLACINGS, Problem

FRACTIONS = (0.5, 0.65, 0.8, 0.9, 0.97)  # of the time of a core, that is left to it
SLACK = (1.0, 0.9, 0.75)  # of the timestep, that a layer on fewer cores may take
WIDER = (1.0, 1.5, 2.0, 4.0, 16.0)  # the same if cores are to be saved
BINDING = 3  # stations with most of the critical path that are looked at


def search(history: History, rng: np.random.Generator) -> None:
    """Begin with what was kept last; uses no chance, so `rng` is not drawn from."""
    while history.left and _step(history):
        pass


def _step(history: History) -> bool:
    """Try the moves of one state after another; whether one was kept."""
    problem, now = history.problem, history.last
    slices = sorted(now.found.states.items(), key=lambda item: -item[1])
    tried: set[Candidate] = {now.candidate}
    for state, _ in slices:
        moves = [each for each in dict.fromkeys(_moves(problem, now, state)) if each not in tried]
        tried.update(moves)
        history.evaluate(moves, path=True)
        if history.keep_best(moves):
            return True
    return False


def _moves(problem: Problem, now: Move, state: str) -> Iterator[Candidate]:
    if problem.objective == "cores":
        yield from together(problem, now, WIDER)
        yield from full(problem, now.candidate)
    elif state == "traffic":
        yield from thinned(problem, now)
        yield from placed(problem, now.candidate)
    elif state == "barrier":
        yield from together(problem, now, SLACK)
        yield from placed(problem, now.candidate)
    elif state != "management":  # which no mapping shortens
        yield from relieved(problem, now)


def relieved(problem: Problem, now: Move) -> Iterator[Candidate]:
    """Less work for the busiest cores, at several fractions of theirs.

    Loads are summed over timesteps, while every timestep waits for its own busiest core: a layer that works while the
    others rest binds although its sum is small. So the layers on the critical path are held to their own loads.
    """
    loads = dict(enumerate(problem.loads(now.candidate)))
    bound = binding_layers(problem, now)
    for fraction in FRACTIONS:
        limit_ps = int(fraction * max(loads.values()))
        own = {number: int(fraction * loads[number]) for number in bound}
        over = {number: limit_ps for number, load_ps in loads.items() if load_ps > limit_ps}
        for limits in (over, own, *({number: own[number]} for number in own)):
            cuts = {number: cut for number, most in limits.items() for cut in _under(problem, {number}, most).values()}
            if cuts:
                yield _with_room(problem, now.candidate, cuts, max(limits.values()))


def _with_room(problem: Problem, now: Candidate, cuts: dict[int, tuple[Slice, ...]], limit_ps: int) -> Candidate:
    """The cuts, and if cores run out, other layers on fewer where none is busy for longer than the limit."""
    split = problem.recut(now, cuts)
    if split.used <= problem.most_cores:
        return split
    others = _under(problem, set(range(len(problem.layers))) - set(cuts), limit_ps)
    spared = {number: cut for number, cut in others.items() if len(cut) < now.parts(number)}
    slices = tuple((spared | cuts).get(number, held) for number, held in enumerate(now.slices))
    split = problem.candidate(slices, placing=now.placing)
    return split if split.used <= problem.most_cores else problem.packed(slices, limit_ps, now.placing)


def thinned(problem: Problem, now: Move) -> Iterator[Candidate]:
    """Fewer copies from the sender that binds: its targets on fewer cores, or cut along another axis."""
    candidate = now.candidate
    receivers = _receivers(problem, now)
    limits = [int(piece * now.found.time_ps) for piece in SLACK]
    for limit_ps in limits:
        for chosen in (receivers, *({number} for number in receivers)):
            yield problem.recut(candidate, _under(problem, set(chosen), limit_ps))
    for number in receivers:
        layer = problem.layers[number]
        for axis in problem.cutter.axes(layer):
            parts = min(candidate.parts(number), problem.cutter.granules(layer, axis))
            cut = problem.cutter.into(layer, axis, parts)
            if cut is not None:
                yield problem.recut(candidate, {number: cut})


def together(problem: Problem, now: Move, slack: tuple[float, ...]) -> Iterator[Candidate]:
    """Slices with time to spare on fewer cores, alone and together."""
    candidate = now.candidate
    for piece in slack:
        limit_ps = int(piece * now.found.time_ps)
        yield problem.packed(candidate.slices, limit_ps, candidate.placing)
        cuts = _under(problem, set(range(len(problem.layers))), limit_ps)
        slices = tuple(cuts.get(number, held) for number, held in enumerate(candidate.slices))
        yield problem.packed(slices, limit_ps, candidate.placing)


def full(problem: Problem, candidate: Candidate) -> Iterator[Candidate]:
    """Cores as full as can be: all of them, or those of one layer, and the rests put together."""
    cuts = [problem.cutter.filled(layer) for layer in problem.layers]
    for chosen in ({*range(len(cuts))}, *({number} for number in range(len(cuts)))):
        held = zip(cuts, candidate.slices, strict=True)
        slices = tuple(cut if cut and number in chosen else own for number, (cut, own) in enumerate(held))
        yield problem.packed(slices, NO_LIMIT_PS, candidate.placing)


def placed(problem: Problem, candidate: Candidate) -> Iterator[Candidate]:
    """The same cores at other places."""
    for placing in PLACINGS:
        yield problem.candidate(candidate.slices, candidate.cores, placing)


def binding_layers(problem: Problem, now: Move) -> set[int]:
    """Numbers of the layers on the cores with most of the critical path."""
    return {number for station in _binding(now) for number in _layers_on(problem, now.candidate, station)}


def _binding(now: Move) -> list[int]:
    assert now.found.path is not None
    spent = now.found.path.service_ps + now.found.path.wire_ps
    return [station for station in np.argsort(-spent, kind="stable")[:BINDING].tolist() if spent[station]]


def _layers_on(problem: Problem, candidate: Candidate, station: int) -> list[int]:
    """Layers of the core that a station belongs to; none for mesh links and for the host."""
    machine = problem.simulator.machine
    core = station - machine.number(machine.kind(station), 0)
    if machine.kind(station) == "mesh" or core not in candidate.placement:
        return []
    names = {piece.layer for piece in candidate.partition[candidate.placement.index(core)]}
    return [number for number, layer in enumerate(problem.layers) if layer.name in names]


def _receivers(problem: Problem, now: Move) -> list[int]:
    """Layers that receive from the cores, or from the host, with most of the critical path's traffic."""
    machine, network = problem.simulator.machine, problem.rules.network
    senders: set[str] = set()
    for station in _binding(now):
        kind = machine.kind(station)
        if kind in ("send", "core_to_router", "neurons"):
            on_core = _layers_on(problem, now.candidate, station)
            host = station - machine.number(kind, 0) == problem.rules.chip.cores
            senders |= {layer.name for layer in network.layers if host and not layer.on_chip}
            senders |= {problem.layers[number].name for number in on_core}
        elif kind == "mesh":
            senders |= set(network.by_name)
    targets = {connection.target for connection in network.connections if connection.source in senders}
    return [number for number, layer in enumerate(problem.layers) if layer.name in targets]


def _under(problem: Problem, numbers: set[int], limit_ps: int) -> dict[int, tuple[Slice, ...]]:
    """Cuts of these layers with no slice above the limit, where there are such cuts."""
    cuts = {number: problem.cutter.under(problem.layers[number], limit_ps) for number in sorted(numbers)}
    return {number: cut for number, cut in cuts.items() if cut is not None}
