"""What a command answers with: words on the screen, one line of JSON for scripts, or nothing.

Every command takes `--json` and `--quiet` (nsim/cli/options.py); what shows something asks here first.
"""

from __future__ import annotations

import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum
from math import isfinite
from os import PathLike, fspath
from typing import Any


class Answer(Enum):
    SCREEN = "screen"
    VERBOSE = "verbose"
    JSON = "json"
    QUIET = "quiet"


ON_SCREEN = (Answer.SCREEN, Answer.VERBOSE)
_wanted: ContextVar[Answer] = ContextVar("wanted", default=Answer.SCREEN)


@contextmanager
def answering(wanted: Answer) -> Iterator[None]:
    """What is shown inside goes out this way; on the way to a script, warnings of libraries do not go out at all."""
    token, level = _wanted.set(wanted), logging.root.manager.disable
    with warnings.catch_warnings():
        if wanted not in ON_SCREEN:
            warnings.simplefilter("ignore")
            logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(level)
            _wanted.reset(token)


def quiet() -> bool:
    return _wanted.get() is Answer.QUIET


def on_screen() -> bool:
    """Whether a person reads what is shown."""
    return _wanted.get() in ON_SCREEN


def verbose() -> bool:
    """Whether a person wants the names of constants and what else is left out usually."""
    return _wanted.get() is Answer.VERBOSE


def answered(facts: Callable[[], Mapping[str, Any]]) -> bool:
    """Hand the facts to a script that asked for them; True if nothing is left to be shown.

    facts   found only if they are wanted; keys carry their units. A command asks once.
    """
    if _wanted.get() is Answer.JSON:
        sys.stdout.write(one_line(facts()) + "\n")
        sys.stdout.flush()
    return _wanted.get() not in ON_SCREEN


def say(line: str) -> None:
    """A line on the screen, if it is the screen that the command answers to."""
    if _wanted.get() in ON_SCREEN:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def one_line(facts: Any) -> str:
    """JSON without line breaks, readable by every parser: numbers that are not finite are null."""
    return json.dumps(finite(facts), allow_nan=False)


def finite(content: Any) -> Any:
    """The same without what JSON has no word for: null for infinite and missing numbers, text for paths."""
    if isinstance(content, Mapping):
        return {str(key): finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    if isinstance(content, PathLike):
        return fspath(content)
    if hasattr(content, "tolist"):  # arrays and numbers of numpy
        return finite(content.tolist())
    return None if isinstance(content, float) and not isfinite(content) else content
