"""What tests ask of a trace for Perfetto."""

from pathlib import Path

import pytest
from hypothesis import settings

few = settings(max_examples=20)  # each is written to disk and checked event by event


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")


def _joined(columns, routers):
    """Columns and rows of routers that share a port."""
    places = [sorted({router % columns for router in routers}), sorted({router // columns for router in routers})]
    return f"({','.join(str(each[0]) if len(each) == 1 else f'{each[0]}..{each[-1]}' for each in places)})"


def station_tracks(machine):
    """The name of every station's track, written down a second time."""
    chip = machine.chip
    where = [chip.router_of(core) for core in range(machine.cores)]
    places = [f"({router % chip.columns},{router // chip.columns})" for router in where]
    owners = [*(f"core {core}" for core in range(chip.cores)), "host"]
    names = [f"{owner}/neurons" for owner in owners] + [f"{owner}/send" for owner in owners]
    names += [f"network on chip/{owner}->{place}" for owner, place in zip(owners, places, strict=True)]
    for link in range(len(machine.hops)):
        sharing = [hop for hop, stands in zip(machine.hops, machine.ports, strict=True) if stands == link]
        ends = [_joined(chip.columns, routers) for routers in zip(*(sharing or [machine.hops[link]]), strict=True)]
        names.append(f"network on chip/{'port ' if len(sharing) > 1 else ''}{'->'.join(ends)}")
    names += [f"network on chip/{place}->{owner}" for owner, place in zip(owners, places, strict=True)]
    return names + [f"{owner}/synapses" for owner in owners]
