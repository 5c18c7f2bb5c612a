"""Hardware sequences for the tests of frames: made by hand, or drawn at random."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from nsim.chip.chip import MeshChip
from nsim.machine.frames import FrameMachine
from nsim.machine.stations import station_fields
from nsim.mapping.frames.mapping import Sequence as FrameSequence
from nsim.network.activity import Activity
from tests.generators.machines import Cell, described, hand_mapped, random_chip, with_random_queues


def sequence(
    chip: Any,
    cells: Sequence[Cell],
    *,
    buffers: int | NDArray[np.int64] = 2,
    frame_ps: MappingABC[int, int] | None = None,
    in_flight: int = 16,
    allocated: MappingABC[int, int] | None = None,
) -> FrameSequence:
    """A sequence of these neurons; the synapse times of the cells are the work of a message."""
    fixed = np.zeros(chip.cores + 1, np.int64)
    for core, time_ps in (frame_ps or {}).items():
        fixed[core] = time_ps
    held = np.broadcast_to(np.asarray(buffers, np.int64), fixed.shape).copy()
    mapping = hand_mapped(chip, cells, allocated)
    return FrameSequence(
        **vars(mapping),
        parts=(),
        input_buffers=held,
        frame_ps=fixed,
        in_flight=in_flight,
        program_bytes=0,
        program_ps=0,
        reload_ps=0,
        first_neuron=0,
    )


def frame_machine(chip: MeshChip, receive_ps: int = 1, update_ps: int = 1, spike_ps: int = 0) -> FrameMachine:
    inside = {"receive": (chip.buffers.message_in, receive_ps), "synapses": (0, 0)}
    return FrameMachine(**station_fields(chip, inside), update_ps=update_ps, spike_ps=spike_ps)


def frames_of(firing: Sequence[Sequence[int] | NDArray[np.int64]]) -> Activity:
    """Activity with these neurons firing, by frame."""
    indptr = np.concatenate(([0], np.cumsum([len(neurons) for neurons in firing]))).astype(np.int64)
    neurons = np.concatenate([np.zeros(0, np.int64), *(np.sort(np.asarray(f, np.int64)) for f in firing)])
    return Activity(indptr, neurons, None)


@dataclass(frozen=True, eq=False)
class Case:
    """What an engine is given. The repr is what hypothesis prints."""

    mapping: FrameSequence
    machine: FrameMachine
    activity: Activity

    def __repr__(self) -> str:
        mapping, machine = self.mapping, self.machine
        own = {name: getattr(mapping, name).tolist() for name in ("input_buffers", "frame_ps")}
        firing = [self.activity.firing(frame).tolist() for frame in range(self.activity.timesteps)]
        return (
            f"{described(mapping, machine)}, {own}, update {machine.update_ps}, spike {machine.spike_ps}, in flight "
            f"{mapping.in_flight}, firing {firing}"
        )


def random_layers(rng: np.random.Generator, cores: int, most_layers: int) -> list[list[int]]:
    """Cores in layers, the host sometimes in the first; cores are left over."""
    order = rng.permutation(cores).tolist()
    layers = [[order.pop() for _ in range(min(len(order), int(rng.integers(1, 4))))] for _ in range(most_layers)]
    if rng.random() < 0.5:
        layers[0] = [*layers[0], cores] if rng.random() < 0.3 else [cores]
    return [layer for layer in layers if layer]


def random_cells(
    rng: np.random.Generator, layers: list[list[int]], host: int, longest_ps: int, neurons: int
) -> list[Cell]:
    """Neurons that send to cores of later layers, and results to the host from the last."""
    cells = []
    for number, layer in enumerate(layers):
        later = [core for following in layers[number + 1 :] for core in following if core != host]
        if number == len(layers) - 1 and layer != [host] and rng.random() < 0.5:
            later = [host]
        for core in layer:
            slot = 0
            for _ in range(int(rng.integers(0, neurons + 1))):
                slot += int(rng.random() < 0.2 and core != host)
                chosen = rng.choice(later, int(rng.integers(0, min(len(later), 4) + 1)), replace=False) if later else []
                cells.append(Cell(core, slot, {int(t): int(rng.integers(1, longest_ps + 1)) for t in chosen}))
                slot += 1
    return cells or [Cell(layers[0][0], 0, {})]


def random_case(
    rng: np.random.Generator,
    columns: int = 3,
    rows: int = 2,
    cores_per_router: int = 2,
    *,
    longest_ps: int = 2,
    places: int = 1,
    layers: int = 4,
    neurons: int = 6,
    frames: int = 4,
    own_links: bool = True,
) -> Case:
    """Random frames on a random machine.

    longest_ps  services last 1 to so many picoseconds, wires 0 to so many; few make many ties
    places      of every queue, or drawn from 1..4 for each of them if 0
    layers      of cores, at most; connections may skip some
    neurons     of a core, at most
    own_links   every link has its own service and wire time, else those of its kind
    """
    chip = random_chip(rng, columns, rows, cores_per_router, longest_ps)
    costs = chip.actions.neuron_update.latency_ps, chip.actions.spike.latency_ps
    machine = frame_machine(chip, int(rng.integers(1, longest_ps + 1)), *costs)
    machine = with_random_queues(rng, machine, longest_ps, places, own_links)
    chosen = random_layers(rng, chip.cores, layers)
    cells = random_cells(rng, chosen, chip.cores, longest_ps, neurons)
    on_chip = [core for layer in chosen for core in layer if core != chip.cores]
    fullest = {core: max([c.slot + 1 for c in cells if c.core == core], default=0) for core in on_chip}
    mapping = sequence(
        chip,
        cells,
        buffers=rng.integers(1, 3, chip.cores + 1),
        frame_ps={core: int(rng.integers(longest_ps + 1)) for core in on_chip if rng.random() < 0.5},
        in_flight=int(rng.integers(1, 5)),
        allocated={core: used + int(rng.integers(3)) for core, used in fullest.items()},
    )
    densities = rng.choice([0.0, 0.3, 1.0], frames)
    return Case(mapping, machine, frames_of([np.flatnonzero(rng.random(len(cells)) < d) for d in densities]))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Meshes of 1-4 x 1-3 routers with 1-3 cores, 1-6 frames, times of 1..1000 ps and often 1..2."""
    return random_case(
        np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed")),
        draw(st.integers(1, 4), label="columns"),
        draw(st.integers(1, 3), label="rows"),
        draw(st.integers(1, 3), label="cores per router"),
        longest_ps=draw(st.sampled_from([1, 2, 2, 5, 1000]), label="longest time"),
        places=draw(st.sampled_from([0, 1, 1, 2, 4]), label="places"),
        layers=draw(st.integers(1, 5), label="layers"),
        neurons=draw(st.integers(0, 8), label="neurons of a core"),
        frames=draw(st.integers(1, 6), label="frames"),
        own_links=draw(st.booleans(), label="own links"),
    )
