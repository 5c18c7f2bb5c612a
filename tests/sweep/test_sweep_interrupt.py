"""Ctrl-C during a sweep in several processes: nothing finished is lost, and nobody is left behind."""

import os
import re
import signal
import time
from pathlib import Path

import pytest

from nsim.sweep.store import Store
from tests.generators.commands import nsim, without_notes
from tests.generators.sweeps import lines_in, locally, sweeping, wait_for

POINTS = 600
WORKERS = (("--workers", "2"), ("--cluster", "local:2"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc").is_dir(), reason="reads /proc"),
    pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors"),
]


def members(session: int) -> list[int]:
    """Living processes of a session: the sweep that leads it, its workers, and what these started."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state, _, _, own = (folder / "stat").read_text().rpartition(") ")[2].split()[:4]
        except OSError:  # it ended meanwhile
            continue
        if int(own) == session and state != "Z":
            found.append(int(folder.name))
    return found


def interrupted(running, whole_group: bool) -> str:
    """Send Ctrl-C as a terminal does, or to the one process; everyone has to end. Returns what it says."""
    if whole_group:
        os.killpg(running.pid, signal.SIGINT)
    else:
        running.send_signal(signal.SIGINT)
    out, error = running.communicate(timeout=60)
    assert running.returncode == 130, out + error
    deadline = time.monotonic() + 5
    while members(running.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert members(running.pid) == []
    error = without_notes(error)
    assert error.count("\n") == 1 and error.startswith("error: interrupted"), error
    return error


def check_resumed(folder: Path) -> None:
    """The same command goes on, and gives what an undisturbed sweep gives."""
    done = nsim("sweep", folder / "spec.toml", "--out", folder / "out.parquet", "--workers", 1)
    assert done.returncode == 0, done.stderr
    assert (folder / "out.parquet").read_bytes() == locally(folder, POINTS)


@pytest.mark.parametrize("where", WORKERS)
@pytest.mark.parametrize("whole_group", [True, False])
def test_ctrl_c_halfway_keeps_what_is_finished(tmp_path, where, whole_group):
    running = sweeping(tmp_path, POINTS, *where)
    store = tmp_path / "out.parquet.store"
    wait_for(lambda: lines_in(store) > POINTS // 4, running)
    assert len(members(running.pid)) >= 3
    error = interrupted(running, whole_group)
    kept = int(re.search(rf"interrupted with (\d+) of {POINTS:,} points done, kept", error)[1])
    with Store(store) as reopened:
        assert len(reopened) == kept >= POINTS // 4
    check_resumed(tmp_path)


@pytest.mark.parametrize("where", WORKERS)
@pytest.mark.parametrize("whole_group", [True, False])
@pytest.mark.parametrize("later_s", [0.0, 0.3, 1.0])
def test_ctrl_c_while_workers_start(tmp_path, where, whole_group, later_s):
    running = sweeping(tmp_path, POINTS, *where)
    wait_for(lambda: len(members(running.pid)) >= 3, running)
    time.sleep(later_s)
    interrupted(running, whole_group)
    assert not (tmp_path / "out.parquet").exists()


def test_a_sweep_that_was_stopped_as_it_began_can_be_gone_on_with(tmp_path):
    running = sweeping(tmp_path, POINTS, "--workers", "2")
    wait_for(lambda: len(members(running.pid)) >= 3, running)
    interrupted(running, whole_group=True)
    check_resumed(tmp_path)
