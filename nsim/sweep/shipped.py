"""Files of a sweep on machines that do not have them: sent by content, kept in a folder of the worker."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from nsim.sweep.points import Point


@cache
def _folder() -> Path:
    """Of this process, until it ends."""
    folder = Path(tempfile.mkdtemp(prefix="nsim-sweep-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


_written: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}


def unpacked(files: tuple[tuple[str, str], ...], contents: dict[str, bytes]) -> dict[str, str]:
    """Where the files are now, by the path that they had: written once in a process.

    files      path and digest of each
    """
    if files not in _written:
        places = {}
        for path, digest in files:
            place = _folder() / digest[:16] / Path(path).name
            place.parent.mkdir(exist_ok=True)
            place.write_bytes(contents[path])
            places[path] = str(place)
        _written[files] = places
    return _written[files]


def moved(point: Point, places: dict[str, str]) -> Point:
    """The point with the paths of its files replaced; options behind a colon stay."""

    def at(value: Any) -> Any:
        if isinstance(value, str):
            for path, place in places.items():
                if value == path or value.startswith(f"{path}:"):
                    return place + value[len(path) :]
        return value

    options = tuple((name, at(value)) for name, value in point.options)
    return replace(point, network=at(point.network), chip=at(point.chip), input=at(point.input), options=options)
