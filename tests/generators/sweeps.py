"""Sweep files, and sweeps that run beside the tests."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from tests.generators.commands import NSIM, nsim

SMALL = """
[[points]]
networks = ["mlp:width=8,depth=2,inputs=8"]
chips = ["loihi", "loihi2"]
activation_sparsity = [0.5, 0.9]
seeds = [0, 1, 2]
timesteps = 2
"""


def written(folder: Path, text: str = SMALL) -> Path:
    file = folder / "spec.toml"
    file.write_text(text)
    return file


POINTS = """
[[points]]
networks = ["mlp:width=64,depth=2,inputs=64"]
chips = ["loihi2"]
seeds = SEEDS
timesteps = 20
"""


def sweeping(folder: Path, points: int, *where: str) -> subprocess.Popen:
    """`nsim sweep` of so many points into `folder`, as a user starts it."""
    file = written(folder, POINTS.replace("SEEDS", str(list(range(points)))))
    command = [*NSIM, "sweep", str(file), "--out", str(folder / "out.parquet"), *where]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def lines_in(store: Path) -> int:
    return store.read_bytes().count(b"\n") if store.exists() else 0


def wait_for(what: Callable[[], bool], running: subprocess.Popen) -> None:
    """Until this holds, while the sweep runs."""
    deadline = time.monotonic() + 120
    while not what():
        assert running.poll() is None and time.monotonic() < deadline, running.communicate()
        time.sleep(0.01)


def locally(folder: Path, points: int) -> bytes:
    """The table of the same sweep, in this process."""
    (folder / "here").mkdir()
    file = written(folder / "here", POINTS.replace("SEEDS", str(list(range(points)))))
    out = folder / "here" / "out.parquet"
    assert nsim("sweep", file, "--out", out, "--workers", 1).returncode == 0
    return out.read_bytes()
