"""What the shell may offer for a value. Where nothing fits, the shell offers file names by itself.

Only names are read here, never a network or a chip: an answer has to come while the user still looks at the prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path


def words(*choices: str) -> Callable[[str], list[str]]:
    """Completion from a few words."""

    def complete(incomplete: str) -> list[str]:
        return [word for word in choices if word.startswith(incomplete)]

    return complete


def network_names(incomplete: str) -> list[str]:
    """Built-in networks, and files of networks."""
    from nsim.workloads import BUILTIN

    return [*(name for name in BUILTIN if name.startswith(incomplete)), *_files(incomplete, (".net", ".nir"))]


def chip_names(incomplete: str) -> list[str]:
    """Chips that come along, and chip files."""
    from nsim.chip_file import available_chips

    return [*(name for name in available_chips() if name.startswith(incomplete)), *_files(incomplete, (".toml",))]


def experiment_names(incomplete: str) -> list[str]:
    """Experiments of the clone, if this is one."""
    from nsim.errors import ExperimentError
    from nsim.reproduce import names, repository

    try:
        return [name for name in names(repository()) if name.startswith(incomplete)]
    except ExperimentError:
        return []


def _files(incomplete: str, endings: tuple[str, ...]) -> list[str]:
    """Files with one of these endings, and folders on the way to them, that begin as the text does."""
    head, slash, tail = incomplete.rpartition("/")
    folder = head + slash
    try:
        entries = sorted(Path(folder or ".").expanduser().iterdir())
    except OSError:
        return []
    named = [entry for entry in entries if entry.name.startswith(tail) and (tail or entry.name[0] != ".")]
    found = [folder + entry.name for entry in named if entry.name.endswith(endings)]
    return found + [f"{folder}{entry.name}/" for entry in named if tail and entry.is_dir()]
