"""What a run says to a person: its head lines on screen and page, its cautions; every sentence from numbers.

A line is state, cause, number, cure, in at most 25 words. The numbers are those of summary.json, three digits each. The
glossary has the one term for each thing; what else it could be called is not used.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nsim.report.units import amount, cycles, joules, percent, plural, rate, seconds, times, watts

Numbers = Mapping[str, Any]
VISIBLE = 0.005  # of a critical path
VISIBLE_GAIN = 0.98  # of what was before: less is no advice
LISTED = 3  # ports of a network that does not fit, on the screen

STAGES = {"memory": "synaptic operations", "compute": "neuron updates"}  # of the busiest core, by state
PLACING = {"index": "index", "annealed": "annealing"}
WORK = {
    "synapses": "synaptic operations",
    "send": "sending spikes",
    "link": "its input link",
    "sensor": "the sensor's port",
    "output": "the output port",
}


@dataclass(frozen=True)
class Line:
    """A head line: its name, what it says, remarks in brackets, whether it is an alarm; a command with which it begins.

    A command that does not fit beside the rest stands on lines of its own, broken as a shell allows: it can be pasted.
    """

    name: str
    said: str
    more: tuple[str, ...] = ()
    alarm: bool = False
    command: str = ""

    @property
    def remarks(self) -> str:
        return f"({'; '.join(self.more)})" if self.more else ""


@dataclass(frozen=True)
class Basis:
    """What the numbers of a run rest on.

    notes    on the network and its activity
    keys     of the chip's numbers by basis: assumed, fitted, ...
    source   the chip as `nsim chips` takes it: its name or path, as a shell reads it, and what was changed
    """

    notes: Sequence[str]
    keys: Mapping[str, Sequence[str]]
    source: str

    def caution(self, where: str) -> Line:
        """All notes, none left out: each may change what a number means. where: what names the constants."""
        constants = [f"{self._constants} ({where})"] if self._constants else []
        return Line("caution", "; ".join([*self.notes, *constants]))

    @property
    def _constants(self) -> str:
        counts = [f"{len(self.keys[basis])} {basis}" for basis in ("assumed", "fitted") if self.keys.get(basis)]
        return f"constants: {', '.join(counts)}" if counts else ""

    def names(self, facts: Numbers) -> list[Line]:
        """By name; facts: a summary."""
        unknown, missing = facts.get("actions_without_known_energy"), facts.get("missing_keys")
        lines = [Line(basis, ", ".join(self.keys[basis])) for basis in ("assumed", "fitted") if self.keys.get(basis)]
        if missing:
            lines.insert(0, Line("missing", f"not in the chip file: {', '.join(missing)}"))
        if unknown:
            lines.insert(0, Line("unknown", f"no known energy, so not in the sum: {', '.join(unknown)}"))
        return lines

    @property
    def lookup(self) -> str:
        """The command that shows every value with its source."""
        return f"nsim chips {self.source}"

    def all(self, facts: Numbers) -> list[str]:
        """All of it as sentences."""
        names = [f"{line.name}: {line.said}" for line in self.names(facts)]
        return [*self.notes, *names, f"every value with its source: {self.lookup}"]


@dataclass(frozen=True)
class Told:
    """What is known of a run, from a result or from its folder.

    title      of the chip
    summary    as in summary.json
    stations   on the critical path, largest first; empty if it was not recorded
    worst      row of the core with the highest load, on a chip that works on a stream
    what_if, command   as in report.json
    basis      what the numbers rest on
    """

    discipline: str
    title: str
    summary: Numbers
    stations: Sequence[Numbers]
    worst: Numbers | None
    what_if: Numbers | None
    command: str
    basis: Basis

    @property
    def size(self) -> str:
        """How large the run is: cores in use, spans."""
        return SIZES[self.discipline](self.summary)

    @property
    def lines(self) -> list[Line]:
        """The head: time, energy, limit, and what else a person must know at once."""
        found = [*HEADS[self.discipline](self), ranges_line(self.summary)]
        return [with_range(line, self.summary) for line in found if line is not None]

    @property
    def tiles(self) -> list[tuple[str, list[Line]]]:
        """The head of a page: four tiles, each of a title and lines."""
        found = {line.name: line for line in self.lines}
        do = [found[name] for name in ("try", "cure", "fits") if name in found] or [self._nothing_tried()]
        told = ("time", "energy", "limit", "try", "cure", "fits", "ranges")
        rest = [line for line in self.lines if line.name not in told]
        return [
            ("Time and energy", [found["time"], found["energy"]]),
            ("Size", [Line("", self.size), *(replace(line, said=f"{line.name}: {line.said}") for line in rest)]),
            ("Limit", [found["limit"]]),
            ("Do next", do),
        ]

    def _nothing_tried(self) -> Line:
        if self.discipline == "tick":
            return Line("", "nsim map --explain shows the ports that decide")
        tried = self.what_if
        if tried is None:
            return Line("", "no other mapping was simulated: nsim optimize searches for one")
        return Line("", f"{tried['words']} does not help: {_gain(tried)}")

    @property
    def ranges(self) -> str:
        """What the ranges of constants do, below the tiles of a page; empty if that was not asked for."""
        return next((f" Ranges: {line.said}." for line in self.lines if line.name == "ranges"), "")

    @property
    def limit(self) -> str:
        """What limits the run, in one sentence."""
        line = next(line for line in self.lines if line.name == "limit")
        return f"{line.said[:1].upper()}{line.said[1:]}."


def keys_by_basis(rows: Iterable[Numbers]) -> dict[str, list[str]]:
    """Keys of the numbers in a chip's provenance by basis; rows: of key, value and basis."""
    found: dict[str, list[str]] = {}
    for row in rows:
        if not isinstance(row["value"], bool | str):
            found.setdefault(row["basis"], []).append(row["key"])
    return found


# What a run on each kind of chip says


def _timesteps_size(facts: Numbers) -> str:
    return f"{facts['cores_used']} of {plural(facts['cores_available'], 'core')}, {plural(facts['spans'], 'timestep')}"


def _timesteps(told: Told) -> list[Line | None]:
    facts = told.summary
    mean, longest = seconds(facts["time_per_timestep_ps"]), seconds(facts["longest_timestep_ps"])
    per_sample = f"{seconds(facts['time_per_sample_ps'])} per sample of {facts['spans'] // facts['samples']}"
    remarks = (f"longest {longest}", per_sample) if longest != mean else (per_sample,)
    static = facts["known_energy_per_timestep_fj"] - facts["known_dynamic_energy_per_timestep_fj"]
    energy = energy_line(
        facts, "per timestep", facts["known_dynamic_energy_per_timestep_fj"], static if static else None
    )
    return [
        Line("time", f"{mean} per timestep", remarks),
        energy,
        accuracy_line(facts, facts["samples"]),
        _timesteps_limit(facts, told.stations),
        _chips_line(facts),
        _sync_line(facts),
        _management_line(facts),
        try_line(told.what_if, told.command),
    ]


def accuracy_line(facts: Numbers, samples: int) -> Line | None:
    """How many samples were named right, if there were labels."""
    if "accuracy" not in facts:
        return None
    return Line("accuracy", f"{percent(facts['accuracy'])} of {plural(samples, 'sample')}", (facts["accuracy_by"],))


def _timesteps_limit(facts: Numbers, stations: Sequence[Numbers]) -> Line:
    busiest = f"core {facts['busiest_core']} ({facts['busiest_core_layers']})"
    works = f"{busiest} works {percent(facts['busiest_core_utilisation'])} of the time"
    state = facts["limit"]
    if not facts["critical_path_ps"]:
        return Line("limit", f"unknown: {works}", ("no critical path recorded: --critical-path",))
    on_path = f"{percent(_part(facts['critical_path_ps'], state))} of the critical path"
    if facts["busiest_core_stage"] == STAGES.get(state):
        mean = f", {times(facts['busiest_core_synops_over_mean'])} the mean synops" if state == "memory" else ""
        return Line("limit", f"{state}: {works}{mean}", (on_path,))
    if state == "barrier":
        return Line("limit", "barrier: no core or link works as long; fewer routers shorten it", (on_path,))
    if state == "management":
        runtime = "another --runtime or less code of your own shortens it"
        return Line("limit", f"management: no core or link works as long; {runtime}", (on_path,))
    return Line("limit", f"{state}: {_station(stations)}", (on_path,))


def _chips_line(facts: Numbers) -> Line | None:
    """On a board: chips in use, and what goes from chip to chip."""
    if "chips_used" not in facts:
        return None
    crossings = plural(round(facts["chip_crossings"] / facts["spans"]), "crossing")
    said = f"{facts['chips_used']} of {facts['chips_available']} in use, {crossings} per timestep from chip to chip"
    spent, whole = facts.get("critical_path_between_chips_ps"), sum(facts["critical_path_ps"].values())
    notes = () if spent is None else (f"{percent(spent / whole)} of the critical path",)
    if link := facts.get("busiest_chip_link"):
        notes = (f"{link} works {percent(facts['busiest_chip_link_utilisation'])} of the time", *notes)
    return Line("chips", said, notes)


def _sync_line(facts: Numbers) -> Line | None:
    """What the barrier costs, if the run was simulated without it."""
    if "local_time_ps" not in facts:
        return None
    without, cost = seconds(facts["local_time_ps"] / facts["spans"]), facts["barrier_cost"]
    effect = f"the barrier costs {percent(cost)} of the time" if cost > 0 else f"{percent(-cost)} slower"
    if facts["energy_fj"]:
        energy = 1 - facts["known_local_energy_fj"] / facts["energy_fj"]
        effect += f" and {percent(energy)} of the energy" if energy > 0 < cost else ""
    notes = ("neighbours wait for each other", "handshakes are free")
    return Line("sync", f"{without} per timestep without a global barrier: {effect}", notes)


def _management_line(facts: Numbers) -> Line | None:
    """What the management processors take of every timestep, if they do."""
    took = facts["management_per_timestep_ps"]
    if not took:
        return None
    runtime = (f"runtime {facts['runtime']}, see --runtime",) if facts["runtime"] else ()
    part = percent(took / facts["time_per_timestep_ps"])
    return Line("manage", f"{seconds(took)} of every timestep, {part}, on the management processors", runtime)


def try_line(what_if: Numbers | None, command: str) -> Line | None:
    """The better mapping that was simulated, as a command if one gives it; None if it gains less than can be seen."""
    if what_if is None or what_if["after"] > VISIBLE_GAIN * what_if["before"]:
        return None
    if command and what_if["option"]:
        changed = changed_command(command, what_if["option"], what_if["value"])
        return Line("try", f"{changed}   {_gain(what_if)}", (what_if["words"],), command=changed)
    return Line("try", f"{what_if['words']}: {_gain(what_if)}", ("simulated, same activity",))


def _gain(tried: Numbers) -> str:
    before, after = tried["before"], tried["after"]
    if tried["measure"] == "load":
        return f"load {percent(before)} -> {percent(after)}"
    return f"{before / after:.2f} x faster" if after < before else f"{after / before:.2f} x the time"


FILES = ("out", "report", "figures", "plot")  # options that change files, not results
TRACES = ("trace", "trace-window", "trace-layers", "trace-queues")
FLAGS = ("trace-queues",)  # options without a value
ANSWERS = ("-v", "--verbose", "--json", "--quiet", "--force")


def command_line(words: Sequence[str], left_out: Sequence[str] = FILES) -> str:
    """What was typed after `nsim`, as a shell reads it, without these options and how it was to answer."""
    kept, rest = ["nsim"], iter(words)
    for word in rest:
        name, equals, _ = word.removeprefix("--").partition("=")
        if word.startswith("--") and name in left_out:
            if not equals and name not in FLAGS:
                next(rest, None)
        elif word not in ANSWERS:
            kept.append(word)
    return shlex.join(kept)


def changed_command(command: str, option: str, value: str) -> str:
    """The same command with another value of an option, for the same results without traces."""
    words = shlex.split(command)[1:]
    return f"{command_line(words, (option, *TRACES, 'engine', 'threads'))} --{option} {shlex.quote(value)}"


def _frames_size(facts: Numbers) -> str:
    cores = f"{facts['cores_used']} of {plural(facts['cores_available'], 'core')}"
    return f"{cores}, {facts['mapping_mode']}, {facts['clock_mhz']:g} MHz, {plural(facts['spans'], 'frame')}"


def _frames(told: Told) -> list[Line | None]:
    facts = told.summary
    every = f"one every {seconds(facts['interval_ps'])}"
    if len(facts["sequences"]) > 1:
        flight = "one at a time"
    elif facts["spans"] == 1:
        flight = "simulate more to see them overlap"
    else:
        flight = f"up to {facts['frames_in_flight']} in flight"
    energy = energy_line(
        facts, "per frame", facts["known_dynamic_energy_per_frame_fj"], facts["static_energy_per_frame_fj"]
    )
    return [
        Line(
            "time",
            f"{seconds(facts['latency_ps'])} for one frame alone, {amount(facts['frames_per_s'])} frames/s",
            (every, flight),
        ),
        energy,
        accuracy_line(facts, facts["spans"]),
        Line("limit", frames_limit(facts["bottleneck"]), _pair_names(facts["bottleneck"])),
        _path_line(facts, told.stations, " of one frame alone"),
        try_line(told.what_if, told.command),
    ]


def frames_limit(found: Numbers) -> str:
    """What limits the rate of frames, from the facts of the bottleneck."""
    names = [f"{core['layer']} ({core['name']})" for core in found["cores"]]
    work = f"{cycles(found['cycles_per_frame'])} per frame, {percent(found['share'])} of the time"
    if found["kind"] == "programming":
        cure = "fewer filters or a smaller image would fit in one"
        return f"programming: {percent(found['share'])} of the time in {plural(found['sequences'], 'sequence')}; {cure}"
    if found["kind"] == "pair":
        buffers = plural(found["input_buffers"], "input buffer")
        first, second = (core["layer"] for core in found["cores"])
        return f"{first} and {second} take turns with {buffers} between them: {work}"
    return f"{names[0]} works {work}"


def _pair_names(found: Numbers) -> tuple[str, ...]:
    return tuple(core["name"] for core in found["cores"]) if found["kind"] == "pair" else ()


def _stream_size(facts: Numbers) -> str:
    cores = f"{facts['cores_used']} of {plural(facts['cores_available'], 'core')}"
    return f"{cores}, {plural(facts['input_events'], 'event')} in {seconds(facts['input_duration_ps'])}"


def _stream(told: Told) -> list[Line | None]:
    facts = told.summary
    return [
        _stream_time(facts),
        _stream_energy(facts),
        _stream_limit(facts, told.worst),
        _late_line(facts),
        _lost_line(facts),
        _fitting_line(facts),
        try_line(told.what_if, told.command) or _cure_line(facts),
        _path_line(facts, told.stations, ""),
    ]


def _stream_time(facts: Numbers) -> Line:
    drained = f"all done {seconds(facts['drain_ps'])} after the last event"
    if facts["latency_median_ps"] is None:
        return Line("time", "no output event was caused by a sensor event", (drained,))
    tail = f"99 % within {seconds(facts['latency_p99_ps'])}"
    return Line("time", f"{seconds(facts['latency_median_ps'])} median latency", (tail, drained))


def _stream_energy(facts: Numbers) -> Line:
    if facts["mean_power_mw"] is None:
        return Line("energy", "none: no time passed")
    dynamic = facts["dynamic_energy_fj"]
    known = joules(facts["energy_fj"])
    parts = _energy_parts(facts, dynamic, facts["energy_fj"] - dynamic)
    return Line("energy", f"{known}, {watts(facts['mean_power_mw'])} mean power", parts)


def _stream_limit(facts: Numbers, worst_core: Numbers | None) -> Line:
    worst = facts["bottleneck"]
    if not facts["input_events"]:
        return Line("limit", "no events came in", alarm=True)
    if not facts["input_duration_ps"]:
        return Line("limit", "all events came at one time: there is no rate, and no load", alarm=True)
    name = f"core {worst['core']} ({worst['layer']})" if worst["core"] is not None else WORK[worst["station"]]
    needs = f"{name} needs {percent(worst['load'])} of its capacity{_rates(worst, worst_core)}"
    if worst["load"] > 1:
        others = [str(core) for core in facts["overloaded_cores"] if core != worst["core"]]
        return Line("limit", f"overloaded: {needs}", (f"and core {', '.join(others)}",) if others else (), alarm=True)
    word = "drops events" if facts["lost_events"] else "keeps up"
    return Line("limit", f"{word}: {needs}", alarm=bool(facts["lost_events"]))


def _rates(worst: Numbers, core: Numbers | None) -> str:
    """What the worst core is busy with, in numbers if these are synaptic operations."""
    if core is None or worst["core"] is None:
        return ""
    if worst["station"] != "synapses":
        return f" for {WORK[worst['station']]}"
    asked, ceiling = core["synops_per_s_asked_for"], core["synops_per_s_ceiling"]
    if not asked or not ceiling:
        return " for sweeps of the slow clock" if core["sweeps"] else ""
    return f" ({rate(asked)} of {rate(ceiling)} synops/s{', and sweeps' if core['sweeps'] else ''})"


def _late_line(facts: Numbers) -> Line | None:
    if not facts["late_events"]:
        return None
    late = f"{amount(facts['late_events'])} of {plural(facts['input_events'], 'event')}, by up to"
    first = f"first: event {facts['first_late_event']:,} at {seconds(facts['first_late_event_ps'])}"
    blocked = f"sensor waits {percent(facts['sensor_blocked_share'])} of the time"
    bursts = ("the mean rate fits: bursts wait",) if facts["bottleneck"]["load"] <= 1 else ()
    return Line("late", f"{late} {seconds(facts['longest_delay_ps'])}", (first, blocked, *bursts))


def _lost_line(facts: Numbers) -> Line | None:
    parts, first = [], facts["first_lost_event"]
    if facts["lost_events"]:
        cause = "" if first is None else f", first caused by event {first:,}"
        where = f"before core {facts['first_lost_event_core']}"
        parts.append(f"balancers dropped {plural(facts['lost_events'], 'event')} {where}{cause}")
    if facts["lost_ticks"]:
        parts.append(f"{plural(facts['lost_ticks'], 'tick')} of the slow clock found a sweep still waiting")
    return Line("lost", "; ".join(parts), alarm=True) if parts else None


def _fitting_line(facts: Numbers) -> Line | None:
    factor, now = facts["fitting_input_factor"], facts["input_events_per_s"]
    if factor is None or now is None:
        return None
    if factor == 0:
        return Line("fits", "no event rate: the sweeps of the slow clock alone are too long")
    return Line("fits", f"{rate(facts['fitting_input_events_per_s'])} events/s, {times(factor)} the {rate(now)} now")


def _cure_line(facts: Numbers) -> Line | None:
    worst = facts["bottleneck"]
    if worst["load"] <= 1 or worst["core"] is None:
        return None
    return Line("cure", cures(worst["layer"]))


def cures(layer: str) -> str:
    """What helps a core that its events keep busy: changes of the network, which no option makes."""
    return f"fewer channels, a smaller kernel or more zero weights in {layer}, pooling before it, or fewer events"


def _ticks_size(facts: Numbers) -> str:
    tiles = f"{facts['rows']}x{facts['columns']} tiles of {facts['neurons_per_tile']}"
    return f"{plural(facts['neurons'], 'neuron')} on {tiles}, {plural(facts['spans'], 'tick')}"


def _ticks(told: Told) -> list[Line | None]:
    facts = told.summary
    return [
        _ticks_time(facts),
        _deadline_line(facts),
        _ticks_energy(facts),
        _ticks_limit(facts),
        _ports_line(facts),
        _spikes_line(facts),
        _setup_line(facts),
    ]


def _ticks_time(facts: Numbers) -> Line:
    if facts["engine"] is None:
        return Line("time", "unknown", ("no latencies in the chip file: counts only",))
    mean, longest = seconds(facts["time_per_timestep_ps"]), seconds(facts["longest_timestep_ps"])
    remarks: tuple[str, ...] = () if mean == longest else (f"longest {longest}",)
    return Line("time", f"{mean} per tick, to the last row read", remarks)


def _deadline_line(facts: Numbers) -> Line | None:
    """Whether ticks are over before the next one, if it is known how long one is."""
    if facts["engine"] is None or facts["tick_ps"] is None:
        return None
    over = facts["timesteps_over_tick"]
    fits = "all within" if not over else f"{over} of {facts['spans']} longer than"
    return Line("tick", f"{fits} the tick of {seconds(facts['tick_ps'])}", alarm=bool(over))


def _ticks_energy(facts: Numbers) -> Line:
    by_action, steps = facts["energy_by_action_fj"], facts["spans"]
    known = {name: energy for name, energy in by_action.items() if energy is not None}
    if not known:
        return Line("energy", "unknown", ("no energies in the chip file: counts only",))
    parts = tuple(f"{name} {joules(energy / steps)}" for name, energy in known.items())
    return Line(
        "energy", f"{joules(facts['known_energy_per_timestep_fj'])} per tick", (*parts, *_unknown_actions(facts))
    )


def _ticks_limit(facts: Numbers) -> Line:
    if not facts["mappable"]:
        how = "spikes wait for those there are" if facts["lines"] == "shared" else "simulated as if they were there"
        narrow = plural(facts["violated_ports"], "port")
        lack = f"{narrow} lack {plural(facts['excess_lines'], 'line')}"
        return Line("limit", f"not mappable: {lack}, {how}", _most_waited(facts), alarm=True)
    if facts["engine"] is None:
        return Line("limit", "unknown: the network fits its tiles, and the chip file has no latencies")
    if not facts["waited_ps"]:
        return Line("limit", "routes: no spike waits for a line")
    waits = f"{seconds(facts['waited_ps'] / facts['spans'])} per tick, summed over spikes"
    return Line("limit", f"lines: spikes wait {waits}", _most_waited(facts))


def _most_waited(facts: Numbers) -> tuple[str, ...]:
    if not facts["waited_ps"]:
        return ()
    return (f"{percent(facts['most_waited_ps'] / facts['waited_ps'])} of all waiting at {facts['most_waited_port']}",)


def _ports_line(facts: Numbers) -> Line | None:
    """The ports that are too narrow."""
    if facts["mappable"]:
        return None
    ports = "; ".join(f"{each['port']} {each['used']} of {each['lines']}" for each in facts["violations"][:LISTED])
    more = facts["violated_ports"] - LISTED
    return Line("ports", f"lines needed: {ports}", (f"and {more} more",) if more > 0 else ())


def _spikes_line(facts: Numbers) -> Line:
    steps = facts["spans"]
    fired = facts["spikes"] / (steps * facts["neurons"])
    crossings = (facts["r1_crossings"] + facts["r0_crossings"]) / steps
    said = f"{amount(facts['spikes'] / steps)} per tick ({percent(fired)} of neurons)"
    rows = f"read {plural(facts['row_reads'] / steps, 'row')}, cross {plural(crossings, 'router')}"
    return Line("spikes", f"{said} {rows}")


def _setup_line(facts: Numbers) -> Line:
    placed = f"neurons placed by {PLACING[facts['place']]}"
    if facts["kept_index"]:
        placed = "annealing found no better place for neurons than by index"
    return Line("setup", f"{placed}, {facts['routes']} routes, {facts['lines']} lines")


SIZES: dict[str, Callable[[Numbers], str]] = {
    "barrier": _timesteps_size,
    "frame": _frames_size,
    "stream": _stream_size,
    "tick": _ticks_size,
}
HEADS: dict[str, Callable[[Told], list[Line | None]]] = {
    "barrier": _timesteps,
    "frame": _frames,
    "stream": _stream,
    "tick": _ticks,
}


# What they share


WITHIN, SHORTER = " within the chip file's ranges", " by ranges"
PARTS = (" dynamic", " static", "static unknown")  # ends of the remarks that say what an energy consists of
SHORTENED = ("time", "energy", "limit", "path", "try")  # lines that lose remarks without -v
MANAGED = 0.1  # part of a timestep from which on management is told
RANGED: dict[str, tuple[str, Callable[[float], str]]] = {"time": ("ps", seconds), "energy": ("fj", joules)}


def with_range(line: Line, facts: Numbers) -> Line:
    """The line of time or energy with what the ranges of constants make of it, if they make anything."""
    if line.name not in RANGED or (spread := _spread(line.name, facts)) is None:
        return line
    return replace(line, more=(f"{spread}{WITHIN}", *line.more))


def _spread(name: str, facts: Numbers) -> str | None:
    unit, shown = RANGED[name]
    ends = facts[f"{name}_low_{unit}"], facts[f"{name}_high_{unit}"]
    if None in ends or shown(ends[0]) == shown(ends[1]):
        return None
    return between(*map(shown, ends))


def between(low: str, high: str) -> str:
    """From a value to another: "69 to 118 us", the unit once if it is the same."""
    number, _, unit = low.partition(" ")
    return f"{number if high.endswith(f' {unit}') else low} to {high}"


def brief(lines: Iterable[Line], facts: Numbers, letters: int) -> list[Line]:
    """The head as it is read in ten seconds, each line as far as there is room for it in so many letters.

    Left out are the constants that matter, what management takes if that is little, and remarks on time, energy, limit
    and path, the last ones first; of the energy its parts go before what is not known of it. -v says all.
    """
    seldom = {"ranges"} | ({"manage"} if _managed(facts) < MANAGED and facts["limit"] != "management" else set())
    return [
        _fitting(line, letters) if line.name in SHORTENED and not line.alarm else line
        for line in lines
        if line.name not in seldom
    ]


def _managed(facts: Numbers) -> float:
    """Part of a timestep that management takes."""
    return facts.get("management_per_timestep_ps", 0) / (facts.get("time_per_timestep_ps") or 1)


def _fitting(line: Line, letters: int) -> Line:
    """The line with as many of its remarks as fit."""
    forms = [line]
    if line.name == "energy":
        whole = tuple(remark.removesuffix(WITHIN) for remark in line.more)
        fewer = [re.sub(r" actions? unknown$", " unknown", remark) for remark in whole]
        known = [remark for remark in whole if not remark.endswith(PARTS)]
        forms = [replace(line, more=tuple(more)) for more in (whole, fewer, known)]
    while forms[-1].more:
        *kept, last = forms[-1].more
        kept += [last.replace(WITHIN, SHORTER)] if WITHIN in last else []
        forms.append(replace(line, more=tuple(kept)))
    return next((form for form in forms if len(f"{form.said}   {form.remarks}") <= letters), forms[-1])


def ranges_line(facts: Numbers) -> Line | None:
    """The constants that matter most, the first with what it does alone; None if ranges were not sought."""
    if facts["time_low_ps"] is None and facts["energy_low_fj"] is None:
        return None
    parts = []
    for name, (_, shown) in RANGED.items():
        effects = [each for each in facts["range_constants"] if each["of"] == name]
        if effects:
            first, *others = (each["key"] for each in effects)
            alone = between(shown(effects[0]["low"]), shown(effects[0]["high"]))
            parts.append(f"{name} moves most with {', '.join([f'{first} ({alone})', *others])}")
    return Line("ranges", "; ".join(parts) or "none in the chip file that move time or energy")


def energy_line(facts: Numbers, per: str, dynamic_fj: float, static_fj: float | None) -> Line:
    """The known energy of a span, its parts, and how many actions it leaves out."""
    known = dynamic_fj + (static_fj or 0)
    if not known:
        return Line("energy", "unknown", ("no action has a known energy",))
    return Line("energy", f"{joules(known)} {per}", _energy_parts(facts, dynamic_fj, static_fj))


def _energy_parts(facts: Numbers, dynamic_fj: float, static_fj: float | None) -> tuple[str, ...]:
    static = "static unknown" if static_fj is None else f"{joules(static_fj)} static"
    return (f"{joules(dynamic_fj)} dynamic", static, *_unknown_actions(facts))


def _unknown_actions(facts: Numbers) -> tuple[str, ...]:
    unknown = [name for name in facts["actions_without_known_energy"] if name != "static"]
    return (f"{plural(len(unknown), 'action')} unknown",) if unknown else ()


def _path_line(facts: Numbers, stations: Sequence[Numbers], of: str) -> Line | None:
    """What the critical path consists of, if it was recorded and time passed."""
    path_ps = facts["critical_path_ps"]
    if not path_ps or not any(path_ps.values()):
        return None
    remarks = (_station(stations),) if stations and stations[0]["share"] >= VISIBLE else ()
    return Line("path", f"{path(path_ps)}{of}", remarks)


def path(path_ps: Mapping[str, float]) -> str:
    """A critical path by state, largest first."""
    ordered = sorted(path_ps, key=lambda state: -path_ps[state])
    return ", ".join(f"{percent(part)} {state}" for state in ordered if (part := _part(path_ps, state)) >= VISIBLE)


def _part(path_ps: Mapping[str, float], state: str) -> float:
    return path_ps[state] / (sum(path_ps.values()) or 1)


def _station(stations: Sequence[Numbers]) -> str:
    if not stations:
        return "no station works long"
    return f"{stations[0]['station']}, {percent(stations[0]['share'])}"


# What is said with -v only


def use_line(facts: Numbers) -> Line:
    memory = f"{percent(facts['mean_memory_utilisation'])} of its weight memory"
    return Line("use", f"the mean core works {percent(facts['mean_core_utilisation'])} of the time", (memory,))


def traffic_line(messages: float, span: str, fullest: tuple[str, float] | None) -> Line:
    """Messages of a span, and the link that works longest, with its part of the time."""
    link = () if fullest is None else (f"fullest link: {fullest[0]}, {percent(fullest[1])} of the time",)
    return Line("traffic", f"{plural(messages, 'message')} per {span}", link)


def program_line(facts: Numbers) -> Line:
    """What programming a chip with frames takes, once or in every frame."""
    sequences = facts["sequences"]
    size = plural(sum(each["program_bytes"] for each in sequences), "byte")
    when = "once" if len(sequences) == 1 else f"in every frame, {plural(len(sequences), 'sequence')}"
    return Line("program", f"{seconds(facts['program_time_ps'])} {when}", (size,))


def events_line(facts: Numbers) -> Line:
    unused = facts["input_events_unused"]
    outside = (f"{amount(unused)} beyond the last whole pooling window",) if unused else ()
    served = f"{amount(facts['events'])} served by cores, {plural(facts['synops'], 'synop')}"
    return Line("events", f"{served}, {amount(facts['output_events'])} left the chip", outside)


def rows_line(facts: Numbers) -> Line:
    steps, own = facts["spans"], facts["own_row_reads"]
    others = f"{amount((facts['row_reads'] - own) / steps)} over routers"
    routers = f"{amount(facts['r1_crossings'] / steps)} R1, {amount(facts['r0_crossings'] / steps)} R0 crossed per tick"
    fullest = f"at most {facts['most_row_reads_of_a_tile']} of one tile"
    return Line("rows", f"{amount(own / steps)} per tick in the spikes' own tiles, {others}", (fullest, routers))
