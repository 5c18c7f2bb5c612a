"""Memory of long runs: what a timestep adds, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

RUN = """
from pathlib import Path
from nsim import load_chip, load_network, map_network, simulate

mapping = map_network(load_network("mlp:width=3,depth=1,inputs=3"), load_chip("loihi2"))
for timesteps in (30_000, 150_000):
    result = simulate(mapping, activity=0.2, timesteps=timesteps, critical_path=True)
    result.summary(), result.table("timesteps")
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(peak.split()[1])  # of this program; ru_maxrss would begin with that of the process that started it
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads /proc")
def test_a_million_timesteps_of_a_small_network_fit_in_a_gigabyte():
    """Two cores of 128 in use: counts of idle cores and links are not kept."""
    lines = subprocess.run([sys.executable, "-c", RUN], capture_output=True, text=True, check=True).stdout.split()
    before_kib, after_kib = map(int, lines)
    per_timestep = (after_kib - before_kib) / 120_000
    assert before_kib + per_timestep * 970_000 < 1e9 / 1024
