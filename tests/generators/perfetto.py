"""What tests ask of a trace for Perfetto."""

from pathlib import Path

import pytest
from hypothesis import settings

few = settings(max_examples=20)  # each is written to disk and checked event by event


FULL = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")


def station_tracks(machine):
    """The name of every station's track, written down a second time."""
    chip = machine.chip
    where = [chip.router_of(core) for core in range(machine.cores)]
    places = [f"({router % chip.columns},{router // chip.columns})" for router in where]
    owners = [*(f"core {core}" for core in range(chip.cores)), "host"]
    names = [f"{owner}/neurons" for owner in owners] + [f"{owner}/send" for owner in owners]
    names += [f"network on chip/{owner}->{place}" for owner, place in zip(owners, places, strict=True)]
    for source, target in machine.hops:
        ends = (f"({router % chip.columns},{router // chip.columns})" for router in (source, target))
        names.append(f"network on chip/{'->'.join(ends)}")
    names += [f"network on chip/{place}->{owner}" for owner, place in zip(owners, places, strict=True)]
    return names + [f"{owner}/synapses" for owner in owners]
