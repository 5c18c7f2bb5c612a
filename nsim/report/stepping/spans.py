"""The simulations that a run consists of: one for every timestep, one for all frames, or one for a stream of events."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from nsim.chip.chip import Chip
from nsim.chip.discipline import discipline_of
from nsim.errors import InputError
from nsim.machine.frames import build_frame_machine
from nsim.machine.simpy import events, frames, timesteps
from nsim.machine.simpy.simulation import Simulation
from nsim.machine.stations import build_machine
from nsim.mapping.frames.calibrate import frames_for
from nsim.result.run_events import machine_and_events
from nsim.result.run_frames import sent_frames
from nsim.result.run_timesteps import sent_messages

STEPPED = ("barrier", "frame", "stream")


@dataclass(frozen=True, eq=False)
class Span:
    """A simulation, ready to begin.

    number   of the timestep, or of the hardware sequence that frames pass; 0 of a stream
    what     "timestep", "frames" or "stream"
    mapping  whose neurons and cores it has
    outputs  of the network in this timestep; None if activity is drawn, or comes event by event
    """

    number: int
    what: str
    simulation: Simulation
    mapping: Any
    outputs: NDArray | None = None


def spans_of(mapping: Any, inputs: Path | None, options: Mapping[str, Any]) -> Iterator[Span]:
    """The spans of a run with these options of `nsim run`, one after another.

    raises   InputError for chips whose runs cannot be stepped through, and as `simulate` does
    """
    check_stepped(mapping.chip)
    by_discipline = {"barrier": _timesteps, "frame": _frames, "stream": _stream}
    return by_discipline[mapping.chip.discipline](mapping, inputs, options)


def check_stepped(chip: Chip) -> None:
    """Refuse chips whose runs cannot be stepped through."""
    if chip.discipline not in STEPPED:
        works_on = discipline_of(chip).works_on
        raise InputError(
            f"chip {chip.name!r} works on {works_on}, which cannot be stepped through: give a chip with timesteps, "
            "frames or events"
        )


def _timesteps(mapping: Any, inputs: Path | None, options: Mapping[str, Any]) -> Iterator[Span]:
    sent = sent_messages(
        mapping.network,
        mapping.chip,
        inputs,
        options.get("activity"),
        options.get("timesteps"),
        options.get("samples"),
        options.get("dt_s"),
        options.get("seed") or 0,
    )
    machine, number = build_machine(mapping.chip), 0
    for run in sent.runs:
        for chunk in run:
            for place in range(chunk.timesteps):
                step = timesteps.Step(mapping, machine, record=True)
                firing = chunk.firing(place)
                step.plan = step.sweeps(firing)
                step.open(set(range(machine.cores)) | step.numbers(firing))
                yield Span(number, "timestep", step, mapping, None if chunk.outputs is None else chunk.outputs[place])
                number += 1


def _frames(mapping: Any, inputs: Path | None, options: Mapping[str, Any]) -> Iterator[Span]:
    samples, dt_s = options.get("samples"), options.get("dt_s") or mapping.network.dt_s
    given = None if inputs is None else frames_for(mapping, inputs, samples, dt_s)
    whole = sent_frames(mapping, given, options.get("activity"), samples, options.get("seed") or 0)
    for number, sequence in enumerate(mapping.sequences):
        machine = build_frame_machine(mapping.chip)
        simulation = frames.FrameSimulation(sequence, machine, sequence.activity(whole), record=True)
        simulation.follow()
        yield Span(number, "frames", simulation, sequence)


def _stream(mapping: Any, inputs: Path | None, options: Mapping[str, Any]) -> Iterator[Span]:
    seed = options.get("seed") or 0
    found = machine_and_events(mapping, inputs, options.get("dt_s"), options.get("seconds"), seed)
    yield Span(0, "stream", events.Run(*found, record=True), mapping)
