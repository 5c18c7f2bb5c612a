"""Which networks fit which chips: by mapping them, not by a list."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nsim.chip.chip import Chip
from nsim.chip.discipline import DISCIPLINES, discipline_of
from nsim.chip.file import available_chips, load_chip
from nsim.errors import NsimError
from nsim.mapping.tiles.read import SUFFIXES
from nsim.network.builtin import BUILTIN
from nsim.report.units import plural


@dataclass(frozen=True)
class Fit:
    """A network on a chip: the mapping, or why there is none."""

    network: str
    chip: Chip
    mapping: Any = None
    why_not: str = ""

    @property
    def cores(self) -> int | None:
        """Cores (on tiles: tiles) in use; None if it does not fit."""
        return None if self.mapping is None else cores_of(self.mapping)


def cores_of(mapping: Any) -> int:
    """Cores that hold neurons, by kind of mapping."""
    if hasattr(mapping, "partition"):
        return len(mapping.partition)
    if hasattr(mapping, "by_core"):
        return len(mapping.by_core)
    if hasattr(mapping, "sequences"):
        return len({part.core for sequence in mapping.sequences for part in sequence.parts})
    return int(mapping.fabric.rows * mapping.fabric.columns)


def try_on(name: str, chip: Chip, dt_s: float | None = None, options: Mapping[str, Any] | None = None) -> Fit:
    """The network, by its name on the command line, on a chip with the chip's choices unless options say otherwise."""
    from nsim.mapping.network import map_network  # start-up: lists need no mapping

    try:
        mapping: Any = map_network(loaded(name, chip.discipline, dt_s), chip, **(options or {}))
    except NsimError as error:
        return Fit(name, chip, why_not=str(error))
    if not getattr(mapping, "mappable", True):
        narrow = plural(len(mapping.violations), "port")
        return Fit(name, chip, why_not=f"{narrow} too narrow: nsim map --explain names them")
    return Fit(name, chip, mapping)


def mapped(name: str, chip: Chip, inputs: Path | None, options: Mapping[str, Any]) -> Any:
    """The network on a chip, with these options of `nsim run`.

    raises   NetworkError, MappingError
    """
    from nsim.mapping.network import map_network  # start-up: lists need no mapping

    own = discipline_of(chip)
    return map_network(loaded(name, chip.discipline, options.get("dt_s")), chip, **own.mapping_options(options, inputs))


def loaded(name: str, discipline: str, dt_s: float | None) -> Any:
    """The network, the same object for all chips of a discipline."""
    file = Path(name)
    stat = file.stat() if file.is_file() else None
    return _loaded(name, discipline, dt_s, stat and (file.resolve(), stat.st_mtime_ns, stat.st_size))


@lru_cache(maxsize=len(DISCIPLINES))
def _loaded(name: str, discipline: str, dt_s: float | None, file: object) -> Any:
    """Read once, and again if its file has changed."""
    if discipline == "tick" and not name.startswith("random:") and not name.endswith(SUFFIXES):
        discipline = "barrier"  # no network of one layer: the mapping says what is wrong with the others
    return DISCIPLINES[discipline].part("load")(name, dt_s=dt_s)


def check_network(name: str, dt_s: float | None = None) -> None:
    """Refuse a network that neither chips with layers nor chips of tiles can read, with the error of the former.

    raises   NetworkError
    """
    if name.startswith("random:") or name.endswith(SUFFIXES):
        loaded(name, "tick" if not name.endswith(".nir") else "barrier", dt_s)
    else:
        loaded(name, "barrier", dt_s)


def built_in_fits(progress: Callable[[int, int], None]) -> list[Fit]:
    """Every built-in network on every shipped chip."""
    chips = sorted(map(load_chip, available_chips()), key=lambda chip: chip.discipline)
    found: list[Fit] = []
    for network in BUILTIN:
        for chip in chips:
            found.append(try_on(network, chip))
            progress(len(found), len(BUILTIN) * len(chips))
    return found
