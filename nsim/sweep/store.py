"""What is finished: a file that points are added to, one line each, found again by their keys."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import zlib
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from nsim.errors import OutputError, SweepError, counted, held_interrupts
from nsim.sweep.evaluate import Done

FIRST_LINE = b"nsim sweep store 1\n"
LOCKED_BYTE = 2**31 - 2  # on Windows, where a byte that is locked cannot be read: beyond those of a store


def _lock(file: BinaryIO) -> None:
    """Keep other programs out until the file is closed; BlockingIOError if one has it."""
    if sys.platform != "win32":
        import fcntl  # each system has one of the two

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return
    import msvcrt

    file.seek(LOCKED_BYTE)
    try:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    except OSError:
        raise BlockingIOError from None
    finally:
        file.seek(0)


class Store:
    """Finished points by key, on disk as they come. Only the place of each is held in memory.

    A line is a checksum (CRC-32 of the rest, 8 hex digits), a blank, and a JSON object. A last line that is cut short
    (the machine stopped) is dropped; any other damage is an error. One program at a time may have it open.
    raises   OutputError if it cannot be read or written, SweepError if it is damaged or in use
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.places: dict[bytes, tuple[int, int]] = {}  # offset and length of the line, by key
        self.retry: set[bytes] = set()

    def __enter__(self) -> Store:
        try:
            self.file = self.path.open("r+b" if self.path.exists() else "w+b")
        except OSError as error:
            raise OutputError(f"cannot open the store {self.path} ({error.strerror}): give another --out") from None
        try:
            _lock(self.file)
            self._read()
        except BlockingIOError:
            self.file.close()
            raise SweepError(
                f"the store {self.path} is in use by another sweep: wait for it, or give another --out"
            ) from None
        except BaseException:
            self.file.close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.file.close()
        except OSError:
            if kind is None:
                raise self._full("its last bytes") from None

    def __contains__(self, key: str) -> bool:
        """Whether a point is finished for good; errors that may pass are tried again."""
        digest = bytes.fromhex(key)
        return digest in self.places and digest not in self.retry

    def __len__(self) -> int:
        return len(self.places) - len(self.retry)

    def add(self, done: list[Done]) -> None:
        """Keep finished points; one that is there already is left as it is."""
        with held_interrupts():  # what is written is counted
            self._append({each.key: each for each in done if each.key not in self})

    def _append(self, new: dict[str, Done]) -> None:
        lines = {key: line_of(each) for key, each in new.items()}
        try:
            begin = offset = self.file.seek(0, os.SEEK_END)
            self.file.write(b"".join(lines.values()))
            self.file.flush()
        except OSError as error:
            self._undo(begin)
            raise self._full(error.strerror or str(error)) from None
        for key, line in lines.items():
            self._place(bytes.fromhex(key), offset, len(line), new[key].passing)
            offset += len(line)

    def get(self, key: str) -> dict[str, Any]:
        """Measures and error of a point."""
        offset, length = self.places[bytes.fromhex(key)]
        self.file.seek(offset)
        return json.loads(self.file.read(length)[9:])

    def _undo(self, size: int) -> None:
        """Cut off what was written of lines that found no room."""
        with contextlib.suppress(OSError):  # a cut last line is dropped when the store is read again
            os.ftruncate(self.file.fileno(), size)

    def _full(self, reason: str) -> OutputError:
        return OutputError(
            f"cannot write the store {self.path} ({reason}): {counted(len(self), 'point')} kept; free some space "
            "and run the same command again"
        )

    def _place(self, digest: bytes, offset: int, length: int, passing: bool) -> None:
        self.places[digest] = (offset, length)
        (self.retry.add if passing else self.retry.discard)(digest)

    def _read(self) -> None:
        first = self.file.read(len(FIRST_LINE))
        if first != FIRST_LINE:
            if not FIRST_LINE.startswith(first):
                raise SweepError(f"{self.path} is not the store of a sweep: move it, or give another --out")
            self.file.seek(0)
            self.file.truncate()
            self._begin()
            return
        offset = len(FIRST_LINE)
        for number, line in enumerate(self.file, 2):
            content = content_of(line)
            if content is None and not line.endswith(b"\n"):
                self.file.truncate(offset)
                return
            if content is None:
                size = counted(len(line), "byte")
                raise SweepError(
                    f"the store {self.path} is damaged at line {number} (of {size}): delete that line, and its "
                    "point is computed again, or delete the file"
                )
            self._place(bytes.fromhex(content["key"]), offset, len(line), content["passing"])
            offset += len(line)

    def _begin(self) -> None:
        try:
            self.file.write(FIRST_LINE)
            self.file.flush()
        except OSError as error:
            raise self._full(error.strerror or str(error)) from None


def line_of(done: Done) -> bytes:
    content: dict[str, Any] = {"key": done.key, "measures": done.measures, "error": done.error}
    content |= {"passing": done.passing, "seconds": round(done.seconds, 6)}
    text = json.dumps(content, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def content_of(line: bytes) -> dict[str, Any] | None:
    """What a line says; None if it is damaged."""
    checksum, _, text = line.removesuffix(b"\n").partition(b" ")
    if not line.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(text):
        return None
    return json.loads(text)
