"""Built-in networks: shapes from the literature with seeded random weights, for studies of time and energy.

Each builder's parameters are the options a user may set, as in `pilotnet:neuron=lif,seed=3`.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from nsim.errors import NetworkError
from nsim.network.assignments import typed
from nsim.network.builtin.akida_zoo import ds_cnn_kws, gxnor_mnist, vgg_utk
from nsim.network.builtin.akidanet import akidanet, plantvillage, vww, yolov2
from nsim.network.builtin.cnn import cnn
from nsim.network.builtin.mlp import mlp
from nsim.network.builtin.ndns import ndns_sdnn
from nsim.network.builtin.pilotnet import pilotnet
from nsim.network.builtin.s5 import s5
from nsim.network.builtin.speck_gesture import speck_gesture
from nsim.network.layers import Network

BUILTIN: dict[str, Callable[..., Network]] = {
    "pilotnet": pilotnet,
    "mlp": mlp,
    "s5": s5,
    "ndns-sdnn": ndns_sdnn,
    "cnn": cnn,
    "akidanet": akidanet,
    "vww": vww,
    "plantvillage": plantvillage,
    "yolov2": yolov2,
    "ds-cnn-kws": ds_cnn_kws,
    "vgg-utk": vgg_utk,
    "gxnor-mnist": gxnor_mnist,
    "speck-gesture": speck_gesture,
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
