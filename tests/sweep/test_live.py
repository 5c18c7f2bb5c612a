"""`nsim sweep --live`: the refreshed table tells what the one at the end does, and only a terminal sees it."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import pytest

from nsim.sweep import live
from nsim.sweep.effects import kinds_of, read_sweep
from nsim.sweep.page import best_columns, ends
from nsim.sweep.run import prepare
from nsim.sweep.spec import load_spec
from nsim.sweep.store import Store
from tests.generators.commands import NSIM, nsim
from tests.generators.sweeps import POINTS, SMALL, written

FRAMES = """
[[points]]
networks = ["cnn"]
chips = ["akd1000"]
seeds = [0, 1]
samples = 1
activation_sparsity = [0.99, 0.999]
"""


def cells(columns):
    return {column.heading: list(column.cells) for column in columns}


def test_the_live_table_is_that_of_the_end(tmp_path, monkeypatch):
    """Whatever the order in which points end, and although most rows are forgotten on the way."""
    monkeypatch.setattr(live, "EVERY_S", 0.0)
    spec = written(tmp_path, SMALL + FRAMES)
    assert nsim("sweep", spec, "--out", tmp_path / "out.csv", "--workers", 1).returncode == 0
    planned = prepare(load_spec(spec), "spec.toml")
    with Store(tmp_path / "out.csv.store") as store:
        keys = list(planned.keys)
        random.Random(3).shuffle(keys)
        best = live.Best(planned, store)
        best = live.Best(planned, _Empty(store))
        for first in range(0, len(keys), 3):
            best.add(keys[first : first + 3])
    expected = [cells(best_columns(kind, ends(kind))) for kind in kinds_of(read_sweep(tmp_path / "out.csv"))]
    found = [cells(each) for each in best.drawn if isinstance(each, list)]
    assert len(expected) == 2 and found == expected
    assert f"{len(keys)} points finished, 0 failed" in str(best.drawn[0])
    assert len(best.rows) < len(keys)


class _Empty:
    """A store that says it holds nothing, so that all points come by `add`."""

    def __init__(self, store):
        self.get = store.get

    def __contains__(self, key):
        return False


def on_a_terminal(folder, *options, interrupt_at=None):
    """Return code and what a terminal got on standard error, without colours; standard output goes to a pipe."""
    mine, its = os.openpty()
    file = written(folder, POINTS.replace("SEEDS", str(list(range(3_000)))))
    command = [*NSIM, "sweep", str(file), "--out", str(folder / "out.csv"), "--workers", "1", *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm", "COLUMNS": "100"}
    running = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=its, text=True, start_new_session=True
    )
    os.close(its)
    said = []

    def read():
        while True:
            try:
                part = os.read(mine, 65_536)
            except OSError:  # the other end is closed
                return
            if not part:
                return
            said.append(part.decode(errors="replace"))

    reader = threading.Thread(target=read)
    reader.start()
    deadline = time.monotonic() + 120
    while interrupt_at and interrupt_at not in "".join(said):
        assert running.poll() is None and time.monotonic() < deadline, "".join(said)
        time.sleep(0.02)
    if interrupt_at:
        running.send_signal(signal.SIGINT)
    out, _ = running.communicate(timeout=120)
    reader.join(10)
    os.close(mine)
    return running.returncode, out, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", "".join(said))


@pytest.mark.slow
def test_a_terminal_sees_it_refreshed_and_a_pipe_does_not(tmp_path):
    code, out, said = on_a_terminal(tmp_path, "--live")
    assert code == 0 and "the best so far" not in out
    told = [int(number) for number in re.findall(r"the best so far.*; (\d+) points finished, 0 failed", said)]
    assert len(set(told)) >= 2 and told == sorted(told) and "left" in said
    done = nsim("sweep", tmp_path / "spec.toml", "--out", tmp_path / "piped.csv", "--live", "--workers", 1)
    assert done.returncode == 0 and "best so far" not in done.stdout + done.stderr
    assert (tmp_path / "piped.csv").read_bytes() == (tmp_path / "out.csv").read_bytes()


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_finished(tmp_path):
    code, _, said = on_a_terminal(tmp_path, "--live", interrupt_at="the best so far")
    assert code == 130
    found = re.search(r"interrupted with ([\d,]+) of 3,000 points done, kept", said)
    assert found, said[-2000:]
    kept = int(found[1].replace(",", ""))
    with Store(tmp_path / "out.csv.store") as store:
        assert len(store) == kept > 0
