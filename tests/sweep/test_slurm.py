"""Workers as jobs of SLURM: the job script, what is refused, and a run over jobs that a stand-in for SLURM starts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nsim.errors import SweepError
from nsim.sweep.executors import ONE_THREAD, parse_cluster
from nsim.sweep.slurm import _dask_jobqueue, slurm_cluster
from tests.generators.commands import nsim, refused

SBATCH = """#!{shell}
echo "$@" >> {folder}/submitted
if [ "$1" = --test-only ]; then cp "$2" {folder}/tested; exit 0; fi
script={folder}/job$$.sh; cp "$1" $script
setsid {shell} $script > {folder}/job$$.out 2>&1 < /dev/null &
echo $!
"""
SCANCEL = """#!{shell}
for job in "$@"; do echo $job >> {folder}/cancelled; kill -- -$job; done
"""


def commands(folder: Path, monkeypatch: pytest.MonkeyPatch, **scripts: str) -> Path:
    """A folder of commands at the head of PATH."""
    for name, text in scripts.items():
        path = folder / name
        path.write_text(text.format(shell="/bin/bash", folder=folder), encoding="utf-8")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # workers have this code
    return folder


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """It starts every job at once, on this machine."""
    _dask_jobqueue()  # whose settings would go with those that a test puts over them, if these came first
    return commands(tmp_path, monkeypatch, sbatch=SBATCH, scancel=SCANCEL)


def test_a_job_is_one_process_of_one_thread(slurm):
    before = signal.getsignal(signal.SIGINT)
    cluster = slurm_cluster(2, ONE_THREAD, scheduler_options={"dashboard_address": ":0"})
    assert signal.getsignal(signal.SIGINT) is before  # importing dask-jobqueue changes it
    try:
        script = cluster.job_script()
    finally:
        cluster.close(timeout=30)
    assert "#SBATCH --cpus-per-task=1\n" in script and "#SBATCH -n 1\n" in script
    assert "#SBATCH --mem=4G\n" in script and "--memory-limit 3.73GiB" in script  # 4e9 / 2**30, and SLURM's next step
    assert re.search(rf"^{re.escape(sys.executable)} -m \S+worker tcp://\S+ .*--nthreads 1 ", script, re.MULTILINE)
    for name in ONE_THREAD:
        assert f"\nexport {name}=1\n" in script
    assert (slurm / "tested").read_text(encoding="utf-8") == script  # what SLURM was asked for is what it gets


def test_the_users_own_file_decides(slurm):
    from dask import config

    wanted = {"cores": 4, "processes": 4, "memory": "8GB", "queue": "short", "job-script-prologue": ["module load x"]}
    with config.set({f"jobqueue.slurm.{name}": value for name, value in wanted.items()}):
        cluster = slurm_cluster(4, {"A": "1"}, scheduler_options={"dashboard_address": ":0"})
        script = cluster.job_script()
        cluster.close(timeout=30)
    assert "#SBATCH -p short\n" in script and "#SBATCH --cpus-per-task=4\n" in script
    assert "\nmodule load x\nexport A=1\n" in script
    assert "--nworkers 4" in script and "--nthreads 1 " in script


@pytest.mark.slow
def test_a_run_over_jobs_gives_the_same_bytes(slurm):
    """Jobs are cancelled at the end; the dashboard is named on standard error, and nothing there without a cluster."""
    options = ("run", "pilotnet", "--chip", "loihi2", "--timesteps", "40", "--no-range")
    spread = nsim(*options, "--cluster", "slurm:2", "--out", slurm / "spread", cwd=slurm)
    alone = nsim(*options, "--out", slurm / "alone", cwd=slurm)
    assert spread.returncode == alone.returncode == 0, spread.stderr
    assert "waiting for the first of 2 workers from SLURM's queue" in spread.stderr
    assert re.search(r"2 workers · Dask dashboard: http://\S+/status\n", spread.stderr)
    assert "Dask" not in alone.stderr
    for path in (slurm / "alone").iterdir():
        if path.suffix == ".csv":
            assert path.read_bytes() == (slurm / "spread" / path.name).read_bytes()
    jobs = (slurm / "cancelled").read_text(encoding="utf-8").split()
    assert len(jobs) == 2
    deadline = time.monotonic() + 60
    for job in jobs:
        while not subprocess.run(["/bin/kill", "-0", "--", f"-{job}"], capture_output=True, check=False).returncode:
            assert time.monotonic() < deadline, f"job {job} still runs"
            time.sleep(0.1)


def test_what_slurm_refuses_is_one_line(tmp_path, monkeypatch):
    commands(tmp_path, monkeypatch, sbatch="#!{shell}\necho invalid partition >&2\nexit 1\n", scancel=SCANCEL)
    told = refused("run", "mlp", "--chip", "loihi2", "--cluster", "slurm:2", cwd=tmp_path)
    assert "SLURM does not take the jobs of slurm:2 (invalid partition): say what it wants in ~/.config/dask" in told


def test_without_slurm_or_its_package(tmp_path, monkeypatch):
    monkeypatch.setattr("nsim.sweep.slurm.which", lambda name: None)
    with pytest.raises(SweepError, match="no command sbatch here, which slurm:3 submits its workers with: run this"):
        slurm_cluster(3, {})
    monkeypatch.setattr("nsim.sweep.executors.find_spec", lambda name: None if name == "dask_jobqueue" else True)
    from nsim.sweep.executors import check_workers

    with pytest.raises(SweepError, match=r"slurm:N needs dask-jobqueue: pip install 'nsim-neuromorphic\[slurm\]'"):
        check_workers(None, "slurm:3")


@pytest.mark.parametrize("text", ["slurm", "slurm:0", "slurm:x", "slurm:2:3"])
def test_a_number_of_workers_is_needed(text):
    with pytest.raises(SweepError, match=f"no cluster '{text}': give .* local:4 or slurm:4"):
        parse_cluster(text)
