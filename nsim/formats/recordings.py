"""Recordings of event cameras: AEDAT 4 (.aedat4), and Prophesee's RAW (.raw: EVT 2 and EVT 3) and DAT (.dat).

They are decoded by `faery`, of the extra `events`. faery and aedat were tried with recordings of 400
events cut at about 430 places, and with bytes changed at about 600.

- faery 0.7.1: September 2026, LGPL-3.0, wheels for Python 3.11 to 3.13, reads and writes all four formats. Every cut
  recording gave an error or the events before the cut; none hung. Damaged headers of AEDAT 4 can make it panic, or
  abort the whole process.
- aedat 2.3.0: September 2026, MIT, wheels for 3.11 to 3.13. It reads AEDAT 4 only, with the same failures.
- expelliarmus 1.1.12: February 2023, GPL-2.0, no wheel after Python 3.11, no AEDAT 4, and open reports of wrong
  times in EVT 2 and EVT 3 (numbers 6 and 19 of open-neuromorphic/expelliarmus).

So faery it is, in a process of its own: whatever happens there becomes one line here. What it passes over in silence is
checked before: it takes EVT 3 for granted where the header names no encoding, drops a last record that is cut short,
and, in DAT, moves times that go back to the latest so far and takes every polarity above 1 for 1. In RAW it moves times
that go back as well, which is not noticed here: most of a RAW time is state of the decoder, not part of the event.

Formats: docs.inivation.com, AEDAT 4.0; docs.prophesee.ai, RAW, DAT, EVT 2.0 and EVT 3.0 formats.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, available_bytes
from nsim.formats import decode_recording
from nsim.formats.numpy_files import read_npy

SUFFIXES = (".aedat4", ".raw", ".dat")
AEDAT_MAGIC = b"#!AER-DAT4.0\r\n"
SECONDS_PER_MEGABYTE = 2.0  # faery takes about 0.07; a decoder still at work after that is going round in circles
START_SECONDS = 20.0
LONGEST_LINE = 4096  # bytes of a header
_EVT_WORD_BYTES = {"2": 4, "2.0": 4, "EVT2": 4, "3": 2, "3.0": 2, "EVT3": 2}
_DAT_POLARITY_BIT = {"1": 17, "2": 28}  # of the second word of an event; four bits
_DAT_CD = bytes((12, 8))  # after the header of a DAT file: type of its events, bytes each


def read_recording(path: Path) -> dict[str, NDArray[Any]]:
    """The events of a recording in its order: t in microseconds, uint64[events]; x, y, uint16[events]; p, bool[events].

    Times are as recorded, but those of AEDAT 4, which count from 1970, are counted from the first event of the file. Of
    several tracks of events in AEDAT 4 the first is read.
    raises  InputError if faery is missing, or for a file of another kind, cut short, damaged or out of order
    """
    if find_spec("faery") is None:
        raise InputError(f"{path} needs the package faery to be read: pip install 'nsim-neuromorphic[events]'")
    suffix = path.suffix.lower()
    try:
        kind = {".aedat4": _check_aedat, ".raw": _check_raw, ".dat": _check_dat}[suffix](path)
    except OSError as fault:
        raise InputError(f"{path} cannot be read: {fault.strerror}: check its permissions") from fault
    events = _decode(path, kind)
    if suffix == ".aedat4" and len(events):
        events["t"] -= events["t"].min()
    return {field: events[field] for field in ("t", "x", "y", "p")}


# What is wrong with a file and faery would not say


def _check_aedat(path: Path) -> str:
    with path.open("rb") as stream:
        magic = stream.read(len(AEDAT_MAGIC))
    if magic != AEDAT_MAGIC:
        raise InputError(f"{path} starts with {magic!r}, not with {AEDAT_MAGIC!r} as AEDAT 4.0 does: check the file")
    return "aedat"


def _check_raw(path: Path) -> str:
    header, start = _header(path)
    encoding = header.get("format", header.get("evt"))
    if encoding not in _EVT_WORD_BYTES:
        raise InputError(f"{path} has the encoding {encoding!r} in its header: convert it to EVT 2 or EVT 3")
    _check_whole(path, start, _EVT_WORD_BYTES[encoding])
    return "evt"


def _check_dat(path: Path) -> str:
    header, start = _header(path)
    version = header.get("Version")
    if version not in _DAT_POLARITY_BIT:
        raise InputError(f"{path} has the DAT version {version!r} in its header: convert it to version 2")
    with path.open("rb") as stream:
        stream.seek(start)
        head = stream.read(len(_DAT_CD))
    if len(head) < len(_DAT_CD):
        raise InputError(f"{path} ends at byte {start + len(head)}, within its header: fetch it again")
    if head != _DAT_CD:
        raise InputError(
            f"{path} holds events of type {head[0]} with {head[1]} bytes: expected CD events, 12 with 8 bytes"
        )
    _check_whole(path, start + 2, 8)
    words = np.fromfile(path, "<u4", offset=start + 2).reshape(-1, 2)
    step = np.diff(words[:, 0].astype(np.int64))
    back = (step < 0) & (step > -(1 << 31))  # a larger jump back is the overflow of the 32 bits
    if back.any():
        first = int(back.argmax()) + 1
        raise InputError(
            f"{path} has event {first} at {words[first, 0]} us after event {first - 1} at {words[first - 1, 0]} us: "
            "sort the events by time"
        )
    polarity = words[:, 1] >> _DAT_POLARITY_BIT[version] & 0xF
    if (polarity > 1).any():
        first = int((polarity > 1).argmax())
        raise InputError(f"{path} has p = {polarity[first]} in event {first}: expected polarity 0 or 1")
    return "dat"


def _header(path: Path) -> tuple[dict[str, str], int]:
    """Keywords of a Prophesee header with the first word of their values, and where the data start."""
    keywords = {}
    start = 0
    with path.open("rb") as stream:
        while (line := stream.readline(LONGEST_LINE)).startswith(b"% ") and line.endswith(b"\n"):
            start += len(line)
            key, _, value = line[2:].decode("latin-1").strip().partition(" ")
            keywords[key] = value.split(";")[0].strip()
            if key == "end":
                break
    if start and line.startswith(b"% ") and not line.endswith(b"\n") and len(line) < LONGEST_LINE:
        raise InputError(f"{path} ends at byte {start + len(line)}, within its header: fetch it again")
    if not start:
        raise InputError(f"{path} starts with {line[:12]!r}, not with '% ' as Prophesee's files do: check the file")
    return keywords, start


def _check_whole(path: Path, start: int, record_bytes: int) -> None:
    held = path.stat().st_size - start
    if held % record_bytes:
        raise InputError(
            f"{path} is cut short: {held} bytes of events are {held // record_bytes} records of {record_bytes} bytes "
            f"and {held % record_bytes} more: fetch it again"
        )


# The decoder's own process


def _decode(path: Path, kind: str) -> NDArray[Any]:
    seconds = START_SECONDS + SECONDS_PER_MEGABYTE * path.stat().st_size / 1e6
    with TemporaryDirectory() as folder:
        result = Path(folder) / "events.npy"
        program = [sys.executable, "-P", decode_recording.__file__]
        free = available_bytes()
        arguments = [str(path.absolute()), kind, str(result), str(free)]
        try:
            run = subprocess.run([*program, *arguments], capture_output=True, timeout=seconds, check=False)
        except subprocess.TimeoutExpired:
            raise InputError(f"{path} is damaged: no end of it in {seconds:.0f} s: fetch it again") from None
        said = run.stderr.decode(errors="replace")
        if run.returncode == 5:
            raise InputError(f"{path}: faery cannot be imported ({said}): pip install --force-reinstall faery")
        if run.returncode == 3:
            raise InputError(f"{path} cannot be decoded: {said}: fetch it again")
        if run.returncode:
            raise InputError(
                f"{path} is damaged, or takes more than the {free} bytes of memory that are free (its decoder ended "
                f"with code {run.returncode}): fetch it again, or give a part of it"
            )
        return read_npy(result)
