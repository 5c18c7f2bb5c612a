"""Timesteps that are stepped through: each is a simulation of its own."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from nsim.machine.simpy import timesteps
from nsim.machine.simpy.simulation import Message
from nsim.machine.stations import build_machine
from nsim.report.stepping.breakpoints import CORE_SENDS, OUTPUTS, Form
from nsim.report.stepping.span import Fired, Span, asked, steps_of
from nsim.result.run_timesteps import sent_messages


class MeshSpan(Span):
    """What timesteps and frames share: sweeps, in which neurons fire."""

    forms: ClassVar[tuple[Form, ...]] = (*Span.forms, CORE_SENDS)
    unqueued: ClassVar[tuple[str, ...]] = ("neurons",)

    def source(self, station: int, message: Message) -> str:
        if message.spike < 0:
            return "the silent rest of the sweep"
        layer, index = self.neuron(message.spike)
        return f"{layer}:{index}"

    def served(self, station: int, message: Message) -> Fired:
        return [self.neuron(message.spike)] if self.kind(station) == "neurons" and message.spike >= 0 else []


class Timestep(MeshSpan):
    """One timestep."""

    what = "timestep"
    forms: ClassVar[tuple[Form, ...]] = (*MeshSpan.forms, OUTPUTS)


def spans(mapping: Any, inputs: Path | None, options: Mapping[str, Any]) -> Iterator[Span]:
    """One timestep after another."""
    sent = sent_messages(mapping.network, mapping.chip, inputs, *asked(options))
    machine = build_machine(mapping.chip)
    for number, chunk, place, outputs in steps_of(sent.runs):
        step = timesteps.Step(mapping, machine, record=True)
        firing = chunk.firing(place)
        step.plan = step.sweeps(firing)
        step.open(set(range(machine.cores)) | step.numbers(firing))
        yield Timestep(number, step, mapping, outputs)
