"""The method that a user chose, made from its settings."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

from nsim.errors import TrainingError
from nsim.training.routing.layout import Layout
from nsim.training.routing.links import Strength, Units, profile_connections
from nsim.training.routing.memory_aware import MemoryAware
from nsim.training.routing.methods import DeepRewiring, Method, ProfileRewiring, Rules, Weakest
from nsim.training.routing.options import METHODS, Choice

PUBLISHED_NEURONS = 2048  # of the network that hop-penalty was made for
L1_TOTAL = 5.0  # in learning rates, over all steps: assumed
L1_OF_A_STEP = 0.05  # of the published recipe, which has no l1 of its own: assumed
DEAD_STEPS = 1.5  # learning rates below which a weight of hop-penalty is 0: more than Adam's step; assumed


def check_name(name: str) -> None:
    if name not in METHODS:
        near = difflib.get_close_matches(name, METHODS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise TrainingError(f"no method {name!r}: {hint}there are {', '.join(METHODS)}")


def make_method(layout: Layout, choice: Choice, strength: Strength = Strength()) -> Method:  # noqa: B008  frozen
    """The method of this choice.

    raises   TrainingError for an unknown name, or without a profile or count where the method needs one
    """
    check_name(choice.name)
    given = {"l1_total": choice.l1, "noise": choice.noise}
    default = _default_rules(layout, choice)
    if choice.l1 is not None:
        default.pop("l1", None)
    rules = Rules(**default | {name: value for name, value in given.items() if value is not None})
    makers: dict[str, Callable[[], Method]] = {
        "deepr-profile": lambda: ProfileRewiring(layout, rules, strength, units=_profiled(layout, choice)),
        "memory-aware": lambda: MemoryAware(
            layout, rules, strength, units=Units(layout, "tile", ()), budget=_budget(choice)
        ),
        "dense": lambda: Method(layout, rules, strength),
        "hop-penalty": lambda: Method(layout, rules, strength),
        "l1": lambda: Weakest(layout, rules, strength, _count(layout, choice)),
        "deepr": lambda: DeepRewiring(layout, rules, strength, _count(layout, choice)),
        "deepr-global": lambda: DeepRewiring(layout, rules, strength, _count(layout, choice)),
    }
    return makers[choice.name]()


def _default_rules(layout: Layout, choice: Choice) -> dict[str, Any]:
    """Of the original DeepR, Bellec et al. 2018, and of the Mosaic's penalty: published; but for what the rest says."""
    published = choice.recipe == "published"
    if choice.name == "l1":
        return {"l1": L1_OF_A_STEP} if published else {"l1_total": L1_TOTAL}
    if choice.name == "deepr":
        return {"l1": 1e-5, "noise": 1e-5, "fixed_signs": True, "every_step": True}
    if choice.name != "hop-penalty":
        return {}
    penalty = {"hop_weight": choice.hop_weight, "weight_noise": 0.05, "zero_below": 5e-4, "clip_sigma": 2.5}
    if published:
        return penalty
    scaled = choice.hop_weight * (layout.neurons / PUBLISHED_NEURONS) ** 2
    return {**penalty, "hop_weight": scaled, "zero_steps": DEAD_STEPS, "clip_live": True}


def _profiled(layout: Layout, choice: Choice) -> Units:
    if not choice.profile:
        raise TrainingError("deepr-profile trains under a profile, and none is given: add --profile p1=0.95,p3=0.1")
    return Units(layout, choice.granularity, choice.profile)


def _budget(choice: Choice) -> int:
    if choice.memory is None:
        raise TrainingError("memory-aware trains under a budget, and none is given: add --memory ELEMENTS")
    return choice.memory


def _count(layout: Layout, choice: Choice) -> int:
    """Connections to keep, given as such or as many as the profile has."""
    every = int(layout.possible.sum())
    if choice.connections is None:
        if not choice.profile:
            raise TrainingError(
                f"{choice.name} needs a count: give --connections up to {every:,}, or --profile for as many as it has"
            )
        return profile_connections(layout, dict(choice.profile))
    if not 1 <= choice.connections <= every:
        raise TrainingError(f"{choice.connections:,} connections do not fit: give --connections 1 to {every:,}")
    return choice.connections
