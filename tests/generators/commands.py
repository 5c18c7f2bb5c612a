"""The command line in this process, and what a script reads of it."""

import io
import json
import re
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass

import pytest

from nsim.cli.main import main

NSIM = [sys.executable, "-c", "from nsim.cli.main import main; main()"]
SMALL = ("run", "mlp:width=8,depth=2,inputs=8", "--chip", "loihi2", "--timesteps", "2")


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


def nsim(*arguments, cwd=".", ranges=False):
    """The command line in this process: what it prints, and its exit code. Ranges take a second: only if asked for."""
    if arguments[:1] == ("run",) and not (ranges or {"--range", "--help"} & set(arguments)):
        arguments = (*arguments, "--no-range")
    out, error = io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(error):
        patch.setattr(sys, "argv", ["nsim", *map(str, arguments)])
        patch.chdir(cwd)
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
    return Done(code, out.getvalue(), error.getvalue())


def refused(*arguments, cwd="."):
    """Run it; it must fail with exit code 2 and exactly one line, which is returned."""
    done = nsim(*arguments, cwd=cwd)
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout
    return lines[0]


def the_line(done):
    """What a script reads: the only line on standard output, as every JSON parser must read it."""
    (line,) = done.stdout.splitlines()

    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    return json.loads(line, parse_constant=refuse)


def without_notes(error: str) -> str:
    """Standard error without the line that names a cluster's workers and dashboard."""
    return re.sub(r"^[\d,]+ workers? · (?:Dask|tcp).*\n", "", error, flags=re.MULTILINE)
