"""The prompt of `nsim step`: commands from a person, a file or a pipe."""

from __future__ import annotations

import cmd
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nsim.errors import InputError, NsimError, counted, open_regular
from nsim.report.answer import answered, on_screen, say
from nsim.report.screen import Column, console, fitting
from nsim.report.stepping.page import MOST_SERVICES, SERVICES, write_steps
from nsim.report.stepping.session import Session
from nsim.report.stepping.words import State, chain, facts, states
from nsim.report.units import seconds

MAX_SCRIPT_BYTES = 1_000_000
SHORT = {"s": "step", "n": "next", "c": "continue", "b": "break", "q": "quit", "EOF": "quit"}


def lines_of(path: Path | None) -> list[str]:
    """The commands of a script; None or -: of standard input.

    raises   InputError if it cannot be read
    """
    if path is None or str(path) == "-":
        return sys.stdin.read().splitlines()
    try:
        with open_regular(path) as file:
            return file.read(MAX_SCRIPT_BYTES).decode("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "no UTF-8 text"
        raise InputError(f"cannot read commands {path} ({reason}): give a text file, one command a line") from None


class Prompt(cmd.Cmd):
    """One line at a time; `done` keeps what a script is told: command, where, what."""

    doc_header = "Commands (help COMMAND says more):"

    def __init__(self, session: Session, script: Sequence[str] | None) -> None:
        super().__init__()
        self.session, self.script = session, script
        self.done: list[dict[str, Any]] = []

    def run(self) -> None:
        """Until the end of the script, or quit."""
        if self.script is None:
            self._interactive()
            return
        for number, line in enumerate(self.script, 1):
            line = line.partition("#")[0].strip()
            if not line:
                continue
            say(f"{self.prompt}{line}")
            try:
                if self.onecmd(line):
                    break
            except NsimError as error:
                raise InputError(f"line {number} of the commands, {line!r}: {error}") from None
        answered(lambda: {"commands": self.done})

    def _interactive(self) -> None:
        say(f"{self.session.mapping.network.name} on {self.session.mapping.chip.title}: help lists the commands")
        while True:
            try:
                self.cmdloop()
                return
            except NsimError as error:
                say(f"error: {error}")
            except KeyboardInterrupt:
                say("stopped; quit ends")

    @property
    def prompt(self) -> str:  # type: ignore[override]
        return f"({self.session.where}) "

    def onecmd(self, line: str) -> bool:
        word, _, rest = line.strip().partition(" ")
        return bool(super().onecmd(f"{SHORT.get(word, word)} {rest}".strip()))

    def emptyline(self) -> bool:
        return False

    def default(self, line: str) -> None:
        names = [name.removeprefix("do_") for name in self.get_names() if name.startswith("do_")]
        raise InputError(f"no command {line.split()[0]!r}: there are {', '.join(sorted(names))}")

    def _tell(self, command: str, said: str | Sequence[str], **more: Any) -> None:
        lines = [said] if isinstance(said, str) else list(said)
        now = self.session.now
        place = {"span": now.span.number, "time_ps": now.now_ps, "services": now.services}
        self.done.append({"command": command, **place, "said": lines, **more})
        for line in lines:
            say(f"  {line}")

    def do_step(self, text: str) -> None:
        """step [N]: go on by N services."""
        if text and not (text.isdecimal() and int(text)):
            raise InputError(f"step {text!r}: give a number of services, at least 1")
        self._tell(f"step {text}".strip(), self.session.step(int(text or 1)))

    def do_next(self, _: str) -> None:
        """next: to the end of the timestep, tick or stream; or until a frame has left the chip."""
        self._tell("next", self.session.finish_span())

    def do_continue(self, _: str) -> None:
        """continue: to a breakpoint, or the end of the run."""
        self._tell("continue", self.session.go())

    def do_break(self, text: str) -> None:
        """break WHAT: stop there, such as neuron fc0:12; break alone says what there is on this chip."""
        self.session.add(text)
        self._tell(f"break {text}", f"breakpoint {len(self.session.breakpoints)}: {text}")

    def do_breaks(self, _: str) -> None:
        """breaks: list the breakpoints."""
        listed = [f"{number}: {each.words}" for number, each in enumerate(self.session.breakpoints, 1)]
        self._tell("breaks", listed or "none")

    def do_delete(self, text: str) -> None:
        """delete N: remove a breakpoint."""
        count = len(self.session.breakpoints)
        if not (text.isdecimal() and 1 <= int(text) <= count):
            raise InputError(
                f"delete {text!r}: there are breakpoints 1 to {count}" if count else "there is no breakpoint"
            )
        removed = self.session.breakpoints.pop(int(text) - 1)
        self._tell(f"delete {text}", f"removed: {removed.words}")

    def do_show(self, text: str) -> None:
        """show [STATION]: what stations hold; without a name those that hold something. core 3 shows all of core 3."""
        found = states(self.session.now, text)
        if on_screen() and found:
            console().print(fitting(columns(found, self.session.now.now_ps), console().width))
        self._tell(f"show {text}".strip(), [] if found else "no station holds anything", states=[*map(facts, found)])

    def do_why(self, text: str) -> None:
        """why STATION: what it waits for, and what that waits for."""
        self._tell(f"why {text}", chain(self.session.now, text))

    def do_page(self, text: str) -> None:
        """page FILE.html [N]: write the next N services as a page to step through offline, and go on behind them."""
        name, _, count = text.partition(" ")
        if not name or (count and not (count.isdecimal() and 1 <= int(count) <= MOST_SERVICES)):
            raise InputError(f"page {text!r}: give a .html file, and a number of services from 1 to {MOST_SERVICES:,}")
        written = write_steps(self.session, Path(name), int(count or SERVICES))
        self._tell(f"page {text}", f"{name}: {counted(written, 'service')}")

    def do_where(self, _: str) -> None:
        """where: timestep or tick, time, and the last service."""
        self._tell("where", [self.session.where, self.session.now.last()])

    def do_quit(self, _: str) -> bool:
        """quit: end."""
        return True


def columns(found: Sequence[State], now_ps: int) -> list[Column]:
    left = ["" if each.until_ps is None else seconds(each.until_ps - now_ps) for each in found]
    return [
        Column("station", [each.station for each in found], right=False),
        Column("does", [each.does for each in found], 2, right=False),
        Column("message", [each.message for each in found], 3, right=False),
        Column("done in", left, 4),
        Column("queue", [_room(each) for each in found], 5),
        Column("why", [each.why for each in found], 1, right=False),
    ]


def _room(state: State) -> str:
    if state.slots is None:
        return str(state.queued)
    return f"{state.queued} of {state.slots}" if state.slots else ""
