"""Options of cores on the command line."""

from __future__ import annotations

from dataclasses import dataclass, field

from nsim.chip.chip import nearest
from nsim.errors import InputError
from nsim.network.assignments import parse_assignments
from nsim.network.layers import Network

KINDS = ("decimate", "balance", "core")
SWITCH = {"on": True, "off": False}


@dataclass(frozen=True)
class CoreOptions:
    """By layer: the decimator (pass one of so many spikes), the input congestion balancer, and the core.

    all_balanced  every core's balancer is on, but where `balance` says otherwise
    """

    decimate: dict[str, int] = field(default_factory=dict)
    balance: dict[str, bool] = field(default_factory=dict)
    core: dict[str, int] = field(default_factory=dict)
    all_balanced: bool = False

    def balanced(self, network: Network) -> tuple[str, ...]:
        """Layers whose cores have their balancer on, and any that were named wrongly: the mapping refuses them."""
        names = [layer.name for layer in network.layers if layer.name != network.input]
        names += [name for name in self.balance if name not in names]
        return tuple(name for name in names if self.balance.get(name, self.all_balanced))


def parse_core_options(text: str | None) -> CoreOptions:
    """Text such as decimate.conv1=4,balance=on,balance.fc=off,core.conv1=0.

    raises   InputError, one line with the item and what is expected
    """
    options = CoreOptions()
    try:
        given = parse_assignments(text) if text is not None else {}
    except ValueError as error:
        raise InputError(f"core options: {error}, as in decimate.conv1=4,balance.conv2=on") from None
    everywhere = _switch("balance", given.pop("balance", "off"))
    for key, value in given.items():
        kind, dot, layer = key.partition(".")
        if kind not in KINDS or not dot or not layer:
            raise InputError(
                f"no core option {key!r}{nearest(kind, KINDS)}: give decimate.LAYER, balance.LAYER, balance or "
                "core.LAYER"
            )
        if kind == "balance":
            options.balance[layer] = _switch(key, value)
        else:
            getattr(options, kind)[layer] = _number(key, value)
    return CoreOptions(options.decimate, options.balance, options.core, everywhere)


def _switch(key: str, value: str) -> bool:
    if value not in SWITCH:
        raise InputError(f"core option {key} is {value!r}: give on or off")
    return SWITCH[value]


def _number(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise InputError(f"core option {key} is {value!r}: give a whole number") from None
