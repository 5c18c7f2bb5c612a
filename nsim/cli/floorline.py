"""`nsim floorline`: what limits a network on a chip, in three ways."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from nsim.chip.discipline import DISCIPLINES
from nsim.cli.options import (
    ALL_OPTIONS,
    ChipName,
    Dt,
    Engine,
    Force,
    Input,
    NetworkName,
    Seed,
    for_recordings,
    refuse_other_options,
    taking,
)

if TYPE_CHECKING:
    from nsim.chip.chip import Chip
    from nsim.result.limits.bottleneck import Bottleneck
    from nsim.result.limits.targets import Target

WITH_LIMITS = [own for own in DISCIPLINES.values() if own.limits]
FOUND = ("critical_path", "ranges", "sync", "cluster")  # the first always, the others never
TAKEN = [name for name in ALL_OPTIONS if any(name in own.options for own in WITH_LIMITS) and name not in FOUND]


@for_recordings
@taking(*TAKEN, several=[own.choice for own in WITH_LIMITS if own.choice])
def floorline(
    network: NetworkName,
    chip: ChipName,
    input: Input = None,
    engine: Engine = "compiled",
    seed: Seed = 0,
    dt: Dt = None,
    plot: Annotated[Path | None, typer.Option(help="Also draw the floorline: .png, .pdf or .svg.")] = None,
    target: Annotated[
        str | None,
        typer.Option(help="On chips with timesteps: also the sparsity that makes it so many times faster, as in 3x."),
    ] = None,
    force: Force = False,
    **options: Any,
) -> None:
    """Say what limits a network on a chip, in three ways, and what to change; --plot draws the floorline.

    --target says it before any training: by layer, the density of messages at which another bound takes over.
    """
    from nsim.chip.discipline import discipline_of
    from nsim.chip.file import load_chip
    from nsim.chip.timesteps import BarrierChip
    from nsim.errors import InputError
    from nsim.report.plots import check_figure, draw_floorline
    from nsim.report.screen.floorline import show_floorline
    from nsim.report.words import command_line
    from nsim.result.run_timesteps import check_run

    check_run(options["timesteps"], options["samples"], engine, dt, options["threads"], seed)
    if plot:
        check_figure(plot, force)
    times = None if target is None else _times(target)
    loaded: Any = load_chip(chip)
    own = discipline_of(loaded)
    refuse_other_options(loaded, options)
    if own.limits is None or own.choice is None:
        known = ", ".join(each.chips for each in WITH_LIMITS)
        raise InputError(f"chip {loaded.name!r} works on {own.works_on}, which has no floorline: give {known}")
    if times and not isinstance(loaded, BarrierChip):
        raise InputError(
            f"--target is for chips with timesteps, and {loaded.name!r} works on {own.works_on}: leave it out"
        )
    name, found, tried = _bottlenecks(network, loaded, input, {"dt_s": dt, "seed": seed, "engine": engine, **options})
    if plot:
        points = [each.workload(label) for label, each in found.items()]
        unit = next(iter(found.values())).unit
        draw_floorline(points, plot, f"{name} on {loaded.title}", loaded.static_mw, unit)
    targets = _targets(found, times) if times else {}
    show_floorline(found, plot, own.choice.replace("_", " "), tried, command_line(sys.argv[1:]), targets)


def _times(text: str) -> float:
    """Of "3x" or "3". raises InputError for anything else, or not above 1"""
    from nsim.errors import InputError

    try:
        times = float(text.removesuffix("x"))
    except ValueError:
        times = 0.0
    if not 1 < times < float("inf"):
        raise InputError(f"--target is {text!r}: say how many times faster, above 1, as in 3x")
    return times


def _targets(found: dict[str, Bottleneck], times: float) -> dict[str, Target]:
    from nsim.result.limits.targets import target_of_run

    return {label: target_of_run(each.result, times) for label, each in found.items()}


def _bottlenecks(
    name: str, chip: Chip, inputs: Path | None, options: dict[str, Any]
) -> tuple[str, dict[str, Bottleneck], dict[str, Any]]:
    """The network's name; by the value of the option that its chip lets one choose, what limits it and a what-if."""
    from nsim.chip.discipline import discipline_of
    from nsim.mapping.network import map_network
    from nsim.report import screen
    from nsim.result.run import simulate

    own = discipline_of(chip)
    assert own.choice is not None
    network = own.part("load")(name, dt_s=options["dt_s"])
    common = {key: options[key] for key in ("dt_s", "seed", "engine")}
    wanted = {"inputs": inputs, **common, **own.running_options(options), "critical_path": True}
    found, tried = {}, {}
    for value in options[own.choice] or [own.usual]:
        chosen = {**own.mapping_options(options, inputs), own.choice: None if value == "none" else value}
        mapping: Any = map_network(network, chip, **chosen)
        with screen.progress(own.counted) as progress:
            found[value] = own.part("limits")(mapping, partial(simulate, **wanted, progress=progress))
        tried[value] = own.part("what_if")(found[value].result, partial(simulate, **{**wanted, "engine": "compiled"}))
    return network.name, found, tried
