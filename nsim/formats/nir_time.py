"""How long a timestep of a NIR graph is: given, told by its fields, or usual for the framework that wrote it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from nsim.errors import NetworkError
from nsim.formats.nir_rules import PRESET_DT_S, TIMED, Chosen, told_dt

COARSE = 0.5  # dt / tau from which on Euler steps are far from the differential equation


@dataclass(frozen=True)
class Timestep:
    """The timestep of a graph.

    dt       in the unit of the graph's time constants; None if nothing needs it
    dt_s     in seconds; None if unknown
    words    where it comes from, for the note of a run
    told     whether the fields or the framework say so, and not the user
    own      whether it comes from the file: then a neuron may forget all in a step
    missing  the error of a run that needs it, if it is unknown; dt is then a stand-in for looking at the structure
    """

    dt: float | None
    dt_s: float | None
    words: str
    told: bool = True
    own: bool = True
    missing: str | None = None


def timestep(nodes: Mapping[str, nir.NIRNode], choice: Chosen, metadata: Mapping[str, Any], dt_s: object) -> Timestep:
    """The timestep: the caller's, else "dt" of the metadata, else what the fields tell, else the framework's default.

    raises  NetworkError for one that is no positive number, or unknown where a Delay needs it
    """
    where, value = ("the timestep given", dt_s) if dt_s is not None else ("'dt' in the metadata", metadata.get("dt"))
    given = None if value is None else _seconds(where, value)
    if choice.framework == "sinabs":
        return Timestep(1.0, given, "time constants count timesteps")
    told = told_dt(nodes.values(), choice.framework)
    usual = PRESET_DT_S.get(choice.framework or "")
    if given is not None:
        other = f" (its fields tell {told:g} s: another network)" if told and not _near(told, given) else ""
        fits = told is not None and _near(told, given)
        words = f"dt {given:g} s as given{other}"
        return Timestep(_scaled(given, nodes, choice), given, words, told=fits, own=fits or dt_s is None)
    if told is not None:
        return Timestep(_scaled(told, nodes, choice), told, f"dt {told:g} s as its fields tell")
    if usual is not None:
        return Timestep(_scaled(usual, nodes, choice), usual, f"dt {usual:g} s, the default of {choice.framework}")
    return _unknown(nodes, choice)


def leak_note(dt: float, nodes: Mapping[str, nir.NIRNode]) -> str | None:
    """A warning about coarse Euler steps."""
    shortest = _shortest(nodes)
    if shortest is None or dt / shortest < COARSE:
        return None
    return f"dt / tau is {dt / shortest:.3g}: Euler steps this coarse are far from the equation, check --dt"


def _unknown(nodes: Mapping[str, nir.NIRNode], choice: Chosen) -> Timestep:
    timed = [*TIMED, nir.Delay, *((nir.IF, nir.I) if choice.rules.charge == "current" else ())]
    needing = [(name, node) for name, node in nodes.items() if isinstance(node, tuple(timed))]
    if not needing:
        return Timestep(None, None, "no time constants")
    name, node = next(((n, x) for n, x in needing if isinstance(x, nir.Delay)), needing[0])
    error = (
        f"node {name!r} ({type(node).__name__}) has times in seconds, but the graph tells no timestep: give the one "
        f"that it was trained with by --dt SECONDS, or its framework as in NETWORK.nir:from=norse"
    )
    if isinstance(node, nir.Delay):
        raise NetworkError(error)
    return Timestep((_shortest(nodes) or 1.0) / 10, None, "no timestep", missing=error)


def _seconds(where: str, value: object) -> float:
    try:
        raw = np.asarray(value)
        dt = float(raw.astype(np.float64).reshape(())) if raw.dtype.kind in "fiuUSO" else math.nan
    except (TypeError, ValueError):
        dt = math.nan
    if not (math.isfinite(dt) and dt > 0):
        raise NetworkError(f"{where} is {str(value)[:40]!r}, not a positive number of seconds: give --dt SECONDS")
    return dt


def _scaled(dt_s: float, nodes: Mapping[str, nir.NIRNode], choice: Chosen) -> float:
    """The timestep in the unit of the time constants: norse writes dt * tau for tau, its older files tau itself."""
    shortest = _shortest(nodes)
    written_times_dt = choice.framework == "norse" and shortest is not None and shortest < dt_s
    return dt_s * dt_s if written_times_dt else dt_s


def _shortest(nodes: Mapping[str, nir.NIRNode]) -> float | None:
    """The shortest time constant above 0."""
    fields = [
        np.asarray(getattr(node, field))
        for node in nodes.values()
        if isinstance(node, TIMED)
        for field in ("tau", "tau_mem", "tau_syn")
        if hasattr(node, field)
    ]
    values = [field[field > 0].min() for field in fields if field.dtype.kind in "fiu" and (field > 0).any()]
    return float(min(values)) if values else None


def _near(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=1e-3)
