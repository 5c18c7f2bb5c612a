"""For one network: on which chips it fits, what it takes there, what limits it, and what was simulated to be better."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from nsim.chip.board import BoardChip
from nsim.chip.chip import Chip
from nsim.chip.discipline import MAP_OPTIONS, RUN_OPTIONS, discipline_of
from nsim.chip.file import available_chips, load_chip
from nsim.errors import InputError, NsimError, counted
from nsim.mapping.events.rates import as_one
from nsim.network.inputs import EventStream, joined
from nsim.report.fit import Fit, check_network, loaded, try_on
from nsim.report.headline import Headline, headline_of, per_frame
from nsim.report.spikes_as_events import accuracy_of_streams, event_samples
from nsim.report.what_if.options import other_options
from nsim.report.words import VISIBLE_GAIN, Numbers, changed_command
from nsim.result.run import simulate

ALL_OPTIONS = MAP_OPTIONS | RUN_OPTIONS
REFERENCE = "loihi2"  # messages with values, and real numbers if they are asked for
TRIED = 2_000_000  # messages of a run that is short enough to be repeated with other mappings
Done = Callable[[int, int], None]


@dataclass(frozen=True)
class Better:
    """A change that was simulated on the same activity and gains; measure, before and after as in a what-if."""

    chip: str
    command: str
    words: str
    measure: str
    before: float
    after: float

    @property
    def gain(self) -> float:
        return self.before / self.after if self.after else float("inf")


@dataclass(frozen=True)
class Advice:
    """One chip.

    chip      as --chip takes it
    as_chip   a board of which one chip is enough: that chip, which says the rest
    headline  None where it does not fit, or is as on another chip
    better    largest gain first
    notes     what the numbers rest on
    how       what was made of the network for this chip
    accuracy  part of the samples that are named right, if there were labels
    """

    chip: str
    title: str
    cores: int | None
    available: int
    why_not: str = ""
    as_chip: str = ""
    headline: Headline | None = None
    better: tuple[Better, ...] = ()
    notes: tuple[str, ...] = ()
    how: str = ""
    accuracy: float | None = None

    @property
    def fits(self) -> bool:
        return not self.why_not

    def facts(self) -> dict[str, Any]:
        """For scripts; keys carry their units."""
        told = asdict(self.headline) if self.headline else {}
        better = [asdict(each) | {"gain": each.gain} for each in self.better]
        own = {"chip": self.chip, "fits": self.fits, "why_not": self.why_not or None, "as_chip": self.as_chip or None}
        made = {"how": self.how or None, "accuracy": self.accuracy}
        return own | {"cores_used": self.cores, "cores_available": self.available, **made, **told, "better": better}


def advise(
    network: str,
    chips: Sequence[str],
    inputs: Path | None,
    given: Mapping[str, Any],
    progress: Done,
    changes: bool = True,
) -> list[Advice]:
    """A network on each of these chips, in their order.

    changes  whether changes are simulated, too
    given    options of `nsim run` by name, dt_s and seed too; each counts on the chips that take it
    raises   NetworkError for a network that cannot be read, InputError if the same is wrong on all chips
    """
    check_network(network, given.get("dt_s"))
    found: dict[str, Advice] = {}
    files = {name: load_chip(name) for name in chips}
    for name in sorted(chips, key=lambda name: isinstance(files[name], BoardChip)):  # boards last
        chip = files[name]
        same = next((each for each in _consists_of(chip) if each in found and found[each].fits), None)
        if same is None:
            found[name] = _on(network, name, chip, inputs, given, changes)
        else:
            as_chip = found[same].as_chip or same
            found[name] = Advice(name, chip.title, found[same].cores, chip.cores, as_chip=as_chip)
        progress(len(found), len(chips))
    reasons = {each.why_not for each in found.values()}
    if len(reasons) == 1 and len(found) > 1 and (reason := reasons.pop()):
        raise InputError(reason)
    return [found[name] for name in chips]


def reference_accuracy(network: str, inputs: Path | None, given: Mapping[str, Any]) -> float | None:
    """Accuracy of the network as it was trained, in real numbers where it has them; None if it is not known.

    It is evaluated timestep by timestep, as on a chip with timesteps that rounds nothing.
    """
    chip = load_chip(REFERENCE)
    options = dict.fromkeys(ALL_OPTIONS) | dict(given)
    if options["labels"] is None or inputs is None:
        return None
    whole = loaded(network, chip.discipline, given.get("dt_s"))
    chosen = {} if whole.fixed_point else {"precision": "float"}
    fit = try_on(network, chip, given.get("dt_s"), chosen)
    if fit.why_not:
        return None
    own = discipline_of(chip)
    common: dict[str, Any] = {"inputs": inputs, "dt_s": options.get("dt_s"), "seed": options.get("seed") or 0}
    wanted: dict[str, Any] = common | own.running_options(options)
    found = simulate(fit.mapping, **wanted).summary().get("accuracy")
    return None if found is None else float(found)


def table_rows(found: Sequence[Advice]) -> list[dict[str, Any]]:
    """A row per chip, with the best command; empty where there is none."""
    heads = [field.name for field in fields(Headline)]
    rows = []
    for each in found:
        facts = each.facts()
        best = each.better[0] if each.better else None
        row = {key: value for key, value in facts.items() if key != "better"}
        row |= {name: facts.get(name) for name in heads}
        rows.append(row | {"command": best.command if best else None, "gain": best.gain if best else None})
    return rows


def _consists_of(chip: Chip) -> Iterator[str]:
    """The chip of a board, and if that is a board, too, its chip.

    What fits that alone takes the same there: cores are filled chip by chip, and only chips in use count.
    """
    while isinstance(chip, BoardChip) and not chip.changes and chip.chip in available_chips():
        yield chip.chip
        chip = load_chip(chip.chip)


def _on(network: str, name: str, chip: Chip, inputs: Path | None, given: Mapping[str, Any], changes: bool) -> Advice:
    own = discipline_of(chip)
    options = dict.fromkeys(ALL_OPTIONS) | dict(given)
    chosen = {key: value for key, value in own.mapping_options(options, inputs).items() if value is not None}
    fit = try_on(network, chip, given.get("dt_s"), chosen)
    if not fit.why_not:
        try:
            return _run(network, name, fit, inputs, options, changes)
        except NsimError as error:
            fit = Fit(network, chip, why_not=str(error))
    return Advice(name, chip.title, None, chip.cores, fit.why_not)


def _run(network: str, name: str, fit: Fit, inputs: Path | None, options: Mapping[str, Any], changes: bool) -> Advice:
    own, chip = discipline_of(fit.chip), fit.chip
    common: dict[str, Any] = {"inputs": inputs, "dt_s": options.get("dt_s"), "seed": options.get("seed") or 0}
    wanted: dict[str, Any] = common | own.running_options(options) | {"ranges": True}
    if own.path_by_default:
        wanted["critical_path"] = True
    streams = None
    if own.name == "stream" and inputs is not None:
        streams = event_samples(inputs, fit.mapping, options["samples"], options.get("dt_s"))
        if streams is not None:
            wanted |= _as_one(fit.mapping, streams, float(options["dt_s"]))
    result: Any = simulate(fit.mapping, **wanted)
    again = wanted | {"critical_path": None, "ranges": None}
    command = command_of(network, name, inputs, options)
    short = changes and result.actions["message_out"] <= TRIED
    facts = result.summary()
    return Advice(
        name,
        chip.title,
        fit.cores,
        chip.cores,
        headline=_headline(fit.mapping, facts, streams, options),
        better=tuple(_better(result, again, name, command) if short else ()),
        notes=tuple(result.provenance()["notes"]),
        how=_made(fit.mapping, loaded(network, own.name, options.get("dt_s"))),
        accuracy=facts.get("accuracy") if streams is None else _accuracy_of(fit.mapping, streams, options),
    )


def _headline(
    mapping: Any, facts: Numbers, streams: Sequence[EventStream] | None, options: Mapping[str, Any]
) -> Headline:
    """Of a run; of one whose frames are rates, of a frame."""
    head = headline_of(mapping.chip.discipline, facts)
    if streams is None or mapping.rates is None:
        return head
    return per_frame(head, facts, len(streams), mapping.rates.length_ps(options["dt_s"]))


def _as_one(mapping: Any, streams: list[EventStream], dt_s: float) -> dict[str, Any]:
    """All samples as one input, and how long that lasts if it is known."""
    if mapping.rates is not None:
        return dict(zip(("inputs", "seconds"), as_one(mapping.rates, streams, dt_s), strict=True))
    return {"inputs": joined(streams, _lengths_ps(streams, dt_s))}


def _lengths_ps(streams: Sequence[EventStream], dt_s: float) -> list[int]:
    """Of every sample, whole timesteps up to its last event."""
    step_ps = round(dt_s * 1e12)
    return [step_ps * (int(each.t_ps[-1]) // step_ps + 1 if len(each) else 1) for each in streams]


def _accuracy_of(mapping: Any, streams: Sequence[EventStream], options: Mapping[str, Any]) -> float | None:
    if options["labels"] is None:
        return None
    found = accuracy_of_streams(mapping, streams, options["labels"], dict(options))
    return found.right / found.samples


def _made(mapping: Any, network: Any) -> str:
    """What was made of the network for its chip."""
    if getattr(mapping, "real", None) is not None:
        return "quantised on the input"
    if getattr(mapping, "rates", None) is not None:
        return f"rates over {counted(mapping.rates.steps, 'timestep')}"
    if mapping.chip.discipline == "tick" or mapping.network is network:
        return "as it is"
    return "fixed point" if mapping.chip.discipline == "barrier" else "rounded to integers"


def _better(result: Any, wanted: Mapping[str, Any], name: str, command: str) -> list[Better]:
    own = discipline_of(result.mapping.chip)
    usual: dict[str, Any] = {
        key: value for key, value in wanted.items() if key in own.run_options or key not in ALL_OPTIONS
    }

    def again(mapping: Any, **extra: Any) -> Any:
        return simulate(mapping, **(usual | extra))

    tried: list[Numbers] = [] if own.what_if is None else [own.part("what_if")(result, again)]
    if own.name == "barrier":
        tried += other_options(result, again)
    gains = [each for each in tried if each and each["option"] and each["after"] <= VISIBLE_GAIN * each["before"]]
    found = [
        Better(
            name,
            changed_command(command, each["option"], each["value"]),
            each["words"],
            *(each[key] for key in ("measure", "before", "after")),
        )
        for each in gains
    ]
    return sorted(found, key=lambda each: -each.gain)


def command_of(network: str, chip: str, inputs: Path | None, options: Mapping[str, Any]) -> str:
    """The `nsim run` that gives the numbers of one chip, with the options that it takes."""
    own = discipline_of(load_chip(chip))
    words = ["nsim", "run", network, "--chip", chip]
    words += ["--input", str(inputs)] if inputs else []
    known = {"dt_s": "dt", "seed": "seed"} | {key: key.replace("_", "-") for key in sorted(own.options)}
    for key, flag in known.items():
        value = options.get(key)
        if value is not None and (key, value) != ("seed", 0) and not isinstance(value, bool):
            words += [f"--{flag}", str(value)]
    return shlex.join(words)
