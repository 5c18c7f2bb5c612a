"""Damaged files and extreme options: every answer is a result, or one line; none hangs or takes all memory.

By hand, for as long as wanted: `python -m tests.test_fuzz SECONDS [SEED [CASES]]`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import count
from pathlib import Path

import numpy as np
import pytest

from tests.generators.commands import nsim
from tests.generators.fuzz import READERS, draw, verdict, write_all

ROOT = Path(__file__).parents[1]
CASES = 200  # a minute and a half
SECONDS = 60.0  # of a case, on a busy machine


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good")
    write_all(folder)
    return folder


def failures(good, seed, numbers, seconds=SECONDS):
    """(number, case, what is wrong) of the cases of a seed that are answered badly."""
    for number in numbers:
        with tempfile.TemporaryDirectory() as top:
            folder = Path(top) / "case"
            case = draw(np.random.default_rng([seed, number]), good, folder)
            if wrong := verdict(case, folder, seconds):
                yield number, case, wrong


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_damaged_files_and_extreme_options_are_answered():
    """In a process of its own: children of one whose other tests have left threads behind may wait for these."""
    command = [sys.executable, "-m", "tests.test_fuzz", "900", "0", str(CASES)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=1_000, cwd=ROOT)
    assert done.returncode == 0 and done.stdout == f"{{'tried': {CASES}}}\n", done.stdout + done.stderr


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.parametrize("name", READERS)
def test_files_that_are_good_are_read(good, name, tmp_path):
    """What is damaged is what the command reads."""
    folder = tmp_path / "case"
    shutil.copytree(good, folder)
    done = nsim(*READERS[name], cwd=folder)
    assert done.returncode in (0, 1), done.stderr
    (folder / name).unlink()
    assert nsim(*READERS[name], cwd=folder).returncode == 2


def by_hand(seconds, seed, cases=None):
    """Cases until the time or they are over; prints those that are answered badly, and how many there were."""
    found, until = Counter(), time.monotonic() + seconds
    with tempfile.TemporaryDirectory() as top:
        good = Path(top) / "good"
        good.mkdir()
        write_all(good)
        for number in count() if cases is None else range(cases):
            if time.monotonic() > until:
                break
            found["tried"] += 1
            for _, case, wrong in failures(good, seed, [number]):
                found["answered badly"] += 1
                print(
                    f"{number}: nsim {' '.join(word[:60] for word in case.words)} ({case.damage})\n    {wrong}",
                    flush=True,
                )
    print(dict(found))


if __name__ == "__main__":
    by_hand(float(sys.argv[1]), *map(int, sys.argv[2:] or ["0"]))
