"""Built-in networks: shapes from the literature with seeded random weights, for studies of time and energy.

Each builder's parameters are the options a user may set, as in `pilotnet:neuron=lif,seed=3`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nsim.assignments import typed
from nsim.errors import NetworkError
from nsim.network import Network
from nsim.workloads.akidanet import akidanet
from nsim.workloads.cnn import cnn
from nsim.workloads.mlp import mlp
from nsim.workloads.ndns import ndns_sdnn
from nsim.workloads.pilotnet import pilotnet
from nsim.workloads.s5 import s5

BUILTIN: dict[str, Callable[..., Network]] = {
    "pilotnet": pilotnet,
    "mlp": mlp,
    "s5": s5,
    "ndns-sdnn": ndns_sdnn,
    "cnn": cnn,
    "akidanet": akidanet,
}


def summary(name: str) -> str:
    """First line of a builder's docstring."""
    return (inspect.getdoc(BUILTIN[name]) or "").splitlines()[0]


def options(name: str) -> dict[str, Any]:
    """A builder's options and their defaults."""
    return {p.name: p.default for p in inspect.signature(BUILTIN[name]).parameters.values()}


def build(name: str, **given: Any) -> Network:
    """The built-in network `name`; option values may be text, as they come from the command line."""
    return BUILTIN[name](**typed(given, options(name), f"network {name!r}", NetworkError))
