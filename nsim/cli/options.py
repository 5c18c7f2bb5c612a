"""Options that several commands take, and the refusal of those that make no sense on a chip."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from nsim.chip.discipline import MAP_OPTIONS, RUN_OPTIONS, Option, refuse_options, refuse_traces, takers
from nsim.chip.name import join_name
from nsim.cli.completion import chip_names, network_names, words
from nsim.errors import InputError, InterruptedRunError, counted
from nsim.report.answer import Answer, answering

if TYPE_CHECKING:
    from nsim.chip.chip import Chip


Command = Callable[..., None]
ALL_OPTIONS = MAP_OPTIONS | RUN_OPTIONS
NetworkName = Annotated[
    str,
    typer.Argument(
        help="Built-in name (options: mlp:width=512,depth=4), .net, .nir, .s5, .onnx, .pt2 or .npz file, model.py:net.",
        autocompletion=network_names,
    ),
]
ChipName = Annotated[str, typer.Option(help="Chip name, or path of a chip file.", autocompletion=chip_names)]
Input = Annotated[
    Path | None,
    typer.Option(
        help="Frames or events: .npy, .npz, SHD .h5, N-MNIST .bin, v2e .txt, .aedat4, .raw, .dat, or edges:rate=1e5."
    ),
]
Engine = Annotated[
    str,
    typer.Option(
        help="compiled, or simpy: the same times from the readable reference.",
        autocompletion=words("compiled", "simpy"),
    ),
]
Seed = Annotated[int, typer.Option(help="Seed of drawn activity, or of events that are made up.")]
Dt = Annotated[
    float | None,
    typer.Option(help="Seconds per timestep, for NIR graphs and event input; without timesteps, per slow-clock tick."),
]
Force = Annotated[
    bool, typer.Option("--force", help="Write into folders that hold other files, and replace files of others.")
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Nothing on the screen but errors.")]
Json = Annotated[bool, typer.Option("--json", help="One line of JSON on standard output, and nothing else.")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Names of the constants, and of traffic and use.")]
ANSWERS = {"quiet": (Quiet, Answer.QUIET), "json": (Json, Answer.JSON), "verbose": (Verbose, Answer.VERBOSE)}


def for_people(command: Command) -> Command:
    """The command with --quiet and --json, and with -v too: for those that rest on a chip's constants."""
    return _answering(command, ("verbose", "quiet", "json"))


# What part of a recording is taken, folded into the name of the input: see nsim/formats/window.py
RECORDING = {
    "start": Annotated[str | None, typer.Option(help="First moment of a recording in seconds, or first.")],
    "stop": Annotated[str | None, typer.Option(help="End of a recording in seconds.")],
    "crop": Annotated[str | None, typer.Option(help="Pixels of a recording: WIDTHxHEIGHT+X+Y.")],
    "downsample": Annotated[str | None, typer.Option(help="Pixels a side that become one.")],
    "clip": Annotated[bool, typer.Option("--clip", help="Several events of a pixel in one timestep count once.")],
    "bin": Annotated[str | None, typer.Option(help="Seconds of events per timestep. [default: --dt]")],
}


def for_recordings(command: Command) -> Command:
    """The command with the options of RECORDING behind its --input."""

    @functools.wraps(command)
    def recorded(*args: Any, input: Path | None = None, **options: Any) -> None:
        chosen = {key: options.pop(key, None) for key in RECORDING}
        given = [f"{key}={'on' if value is True else value}" for key, value in chosen.items() if value]
        if given and input is None:
            raise InputError(f"--{given[0].partition('=')[0]} is for a recording: give one by --input FILE")
        if given:
            joint = "," if "=" in str(input).rpartition(":")[2] and ":" in str(input) else ":"
            input = Path(f"{input}{joint}{','.join(given)}")
        command(*args, input=input, **options)

    return _with_options(recorded, command, RECORDING)


Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Another value of the chip: actions.synop_dense.latency_ps=500."),
]


def takes_chip(command: Command) -> bool:
    """Whether a command has --chip."""
    return "chip" in inspect.signature(command).parameters


def changing(command: Command, chip: str = "chip") -> Command:
    """The command with --set, which may be given several times, behind its chip; folded into the name of that.

    chip   name of the parameter that names the chip
    """

    @functools.wraps(command)
    def changed(*args: Any, set: list[str] | None = None, **options: Any) -> None:
        if set:
            if options[chip] is None:
                raise InputError(f"--set {set[0]} is for a chip: name one")
            for given in set:
                if "=" not in given:
                    raise InputError(f"--set {given}: write KEY=VALUE, such as mesh.columns=4")
            options[chip] = join_name(options[chip], set)
        command(*args, **options)

    own = inspect.signature(command, eval_str=True).parameters
    note = inspect.Parameter("set", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=Set)
    added: list[inspect.Parameter] = []
    for name, parameter in own.items():
        added += [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY), *([note] if name == chip else [])]
    changed.__signature__ = inspect.Signature(added)  # type: ignore[attr-defined]
    changed.__annotations__ = {each.name: each.annotation for each in added}
    return changed


def _with_options(wrapped: Command, command: Command, added: Mapping[str, Any]) -> Command:
    """The signature that typer reads: the command's, and options that default to None, or to False for flags."""
    own = inspect.signature(command, eval_str=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    more = [
        inspect.Parameter(name, kind, default=False if get_args(note)[0] is bool else None, annotation=note)
        for name, note in added.items()
    ]
    wrapped.__signature__ = own.replace(parameters=[*own.parameters.values(), *more])  # type: ignore[attr-defined]
    wrapped.__annotations__ = {**command.__annotations__, **added}
    return wrapped


def for_scripts(command: Command) -> Command:
    """The command with --quiet and --json; what it shows goes through nsim/report/answer.py."""
    return _answering(command, ("quiet", "json"))


def _answering(command: Command, names: Sequence[str]) -> Command:
    @functools.wraps(command)
    def answered(*args: Any, **options: Any) -> None:
        wanted = [name for name in names if options.pop(name, False)]
        if len(wanted) > 1:
            raise InputError(f"--{wanted[0]} and --{wanted[1]} ask for different answers: give one of the two")
        with answering(ANSWERS[wanted[0]][1] if wanted else Answer.SCREEN):
            command(*args, **options)

    return _with_options(answered, command, {name: ANSWERS[name][0] for name in names})


def taking(*names: str, several: Iterable[str] = ()) -> Callable[[Command], Command]:
    """A command with these options of nsim/chip/discipline.py; they come as **options, None where left out.

    names     options in the order of the help
    several   those that may be given several times, which come as lists
    """

    def add(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True)
        kept = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
        added = [_parameter(ALL_OPTIONS[name], name in several) for name in names]
        parameters = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in kept]
        command.__signature__ = own.replace(parameters=parameters + added)  # type: ignore[attr-defined]
        command.__annotations__ = {each.name: each.annotation for each in parameters + added}
        return command

    return add


def _parameter(option: Option, several: bool) -> inspect.Parameter:
    """An option as typer reads it from a signature."""
    text = f"{_chips_of(option.name)}{option.help}"
    if several:
        text = f"{text.partition(' [default')[0]} Several give several points."
    complete = words(*option.choices) if option.choices else None
    flags = (option.flags,) if option.flags else ()
    annotation: Any = Annotated[
        (list[str] if several else option.kind) | None, typer.Option(*flags, help=text, autocompletion=complete)
    ]
    return inspect.Parameter(option.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)


def _chips_of(name: str) -> str:
    """What stands before the help of an option that only some chips take."""
    own = takers(name)
    return f"On {own[0].chips}: " if len(own) == 1 else ""


def refuse_other_options(chip: Chip, options: Mapping[str, Any], traces: Sequence[str] = ()) -> None:
    """Refuse options and traces that make no sense on a chip, before anything is loaded."""
    refuse_options(chip, options, InputError)
    refuse_traces(chip, traces, InputError)


def say_if_interrupted(done: int, planned: int, unit: str) -> None:
    if done < planned:
        whole = counted(planned, unit.removesuffix("s"))
        raise InterruptedRunError(f"interrupted after {done:,} of {whole}: the results cover these")
