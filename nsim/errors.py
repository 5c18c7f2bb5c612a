"""Errors a user can cause and cure (one line: the thing, the numbers, the cure), and this computer's own limits.

Memory, processors, files and Ctrl-C stand here because refusing in time, and ending in order, is what they are asked
about.
"""

from __future__ import annotations

import errno
import os
import signal
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any

DISTRIBUTION = "nsim-neuromorphic"  # the name to install; `nsim` on PyPI is another package
EXTRA_OF = {"h5py": "hdf5", "nir": "hdf5", "jinja2": "report", "matplotlib": "report"}  # that installs a package
_LFS = b"version https://git-lfs.github.com/spec/"
MAX_TEXT_BYTES = 10_000_000  # of a TOML file; this stops at a wrong file


def counted(number: int, noun: str) -> str:
    """A count with its noun: "1 frame", "1,000 frames"."""
    return f"{number:,} {noun if number == 1 else plural_of(noun)}"


def plural_of(noun: str) -> str:
    return f"{noun}{'es' if noun.endswith('s') else 's'}"


class NsimError(Exception):
    """Base of all errors that the command line shows as one line."""

    exit_code = 2


class ChipError(NsimError):
    """A chip file that cannot be read, or says something impossible."""


class NetworkError(NsimError):
    """A network that cannot be read, or that the model does not cover."""


class InputError(NsimError):
    """Input data or prescribed activity that does not fit the network."""


class MappingError(NsimError):
    """A network that does not fit the chip, or a partition or placement that breaks a limit."""


class SimulationError(NsimError):
    """A simulation that stopped with work left."""


class ExperimentError(NsimError):
    """An experiment that does not exist, or is not here."""


class OptimizationError(NsimError):
    """An optimisation that is asked for what it does not know, or cannot do."""


class SweepError(NsimError):
    """A sweep that asks for what does not exist, or cannot go on."""


class OutputError(NsimError):
    """A result that cannot be written."""


class InterruptedRunError(NsimError):
    """A run that the user stopped; what was done until then has been shown and written."""

    exit_code = 130  # 128 + SIGINT, as shells have it


class TrainingError(NsimError):
    """A training that is asked for what it does not know, cannot do, or cannot go on with."""


def require(package: str, what: str, error: type[NsimError]) -> None:
    """Refuse what needs a package that is not here, with the extra that installs it; imports nothing.

    what     needs it, the subject of the sentence
    """
    from importlib.util import find_spec  # start-up

    if find_spec(package) is None:
        extra = f"{DISTRIBUTION}[{EXTRA_OF[package]}]"
        raise error(f"{what} needs the package {package}: pip install '{extra}'")


def version_of(package: str) -> str:
    """Of an installed package, by the name that it is imported by."""
    from importlib import metadata  # start-up

    return metadata.version(DISTRIBUTION if package == "nsim" else package)


def available_bytes() -> int:
    """Memory that can still be taken, in bytes; where the system does not tell, half of all, or else no limit."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):  # unlike SC_AVPHYS_PAGES it counts the file cache as free
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    for pages, share in (("SC_AVPHYS_PAGES", 1.0), ("SC_PHYS_PAGES", 0.5)):
        try:
            return int(os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") * share)
        except (AttributeError, ValueError, OSError):
            continue
    return 1 << 62


def check_fits(needed_bytes: int, what: str, cure: str, error: type[NsimError]) -> None:
    """Refuse with this error what takes more memory than there is: "WHAT take ... bytes, but ...: CURE"."""
    free = available_bytes()
    if needed_bytes > free:
        raise error(f"{what} take {needed_bytes:,} bytes, but {free:,} bytes of memory are free: {cure}")


def visible(text: str) -> str:
    """Without characters that a terminal does not show, or obeys: they are escaped, but for ends of lines."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in text)


def open_regular(path: Path) -> BufferedReader:
    """Open a file to read.

    raises  OSError also for a pipe, a device or a file of the kernel, all of which a read may wait for without end
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "is a directory")
    if not stat.S_ISREG(mode) or path.resolve().parts[:2] in (("/", "proc"), ("/", "sys")):
        raise OSError(errno.EINVAL, "is no regular file")
    return path.open("rb")


def check_no_pointer(path: Path, error: type[NsimError]) -> None:
    """Refuse what Git LFS leaves in the place of a file that was not fetched."""
    with open_regular(path) as file:
        if file.read(len(_LFS)) == _LFS:
            raise error(f"{path} is a Git LFS pointer, not the file that it stands for: fetch that by git lfs pull")


def read_toml(path: Path, what: str, cure: str, error: type[NsimError]) -> dict[str, Any]:
    """The tables of a TOML file; raises `error`, one line "cannot read WHAT PATH (...): CURE", for all that is none."""
    import tomllib  # start-up: the help reads no file

    try:
        with open_regular(path) as file:
            content = file.read(MAX_TEXT_BYTES + 1)
        if len(content) > MAX_TEXT_BYTES:
            raise ValueError(f"more than {MAX_TEXT_BYTES:,} bytes")
        return tomllib.loads(content.decode("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as problem:  # ValueError: of UTF-8, of TOML, of 4,300 digits
        reason = getattr(problem, "strerror", None) or " ".join(str(problem).split())[:200]
        raise error(f"cannot read {what} {path} ({reason}): {cure}") from None


def available_threads() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def held_interrupts() -> Iterator[None]:
    """Hold Ctrl-C back until the block has ended, then let it do what it would have done.

    Does nothing outside the main thread, which is the only one that hears Ctrl-C, and where a program has switched it
    off.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    caught: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: caught.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if caught:
        before(*caught[-1])
