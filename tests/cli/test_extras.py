"""Packages that extras install: without them everything else works, and what needs one says which extra to install."""

import json
import os
import subprocess
import sys
import tomllib
import zlib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from nsim.errors import EXTRA_OF, InputError
from nsim.training.data import spoken
from tests.generators.commands import SMALL

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
SMALL_RUN = " ".join(SMALL)
WITHOUT = (  # none of the extras' packages is imported by these
    SMALL_RUN,
    f"{SMALL_RUN} --out out --trace perfetto",
    "run random:p1=0.9,p3=0.1 --chip mosaic --grid 3x3 --activity 0.1 --timesteps 2",
    "run speck-gesture --chip speck --input edges:rate=1e4,seconds=0.001",
    "run cnn --chip akd1000 --samples 1 --activity 0.002",
    "compare out out",
    "floorline mlp:width=8,depth=2,inputs=8 --chip loihi2",
    "chips",
    "networks",
)
NEEDING = {
    "jinja2": {
        f"{SMALL_RUN} --report page.html": "report page.html",
        "report out": "report out/report.html",
    },
    "matplotlib": {
        f"{SMALL_RUN} --out drawn --figures pdf": "--figures pdf",
        f"{SMALL_RUN} --report page.html": "report page.html",
        "floorline mlp:width=8,depth=2,inputs=8 --chip loihi2 --plot line.png": "figure line.png",
        "map random:p1=0.9 --chip mosaic --grid 3x3 --plot grid.png": "figure grid.png",
        "optimize mlp --chip loihi2 --plot way.png": "figure way.png",
        "compare-chips mlp --chips loihi,loihi2 --plot both.png": "figure both.png",
        "reproduce 1": "an experiment draws a figure, which",
    },
    "h5py": {
        "run net.net --chip loihi2": "net.net",
        f"{SMALL_RUN} --input words.h5 --dt 1e-3": "words.h5",
        f"{SMALL_RUN} --input frames.npy --labels words.h5": "words.h5",
        "data spoken-digits digits.h5": "digits.h5",
        "data recordings . digits.h5 --names {label}.wav --test takes:0": "digits.h5",
    },
    "nir": {
        "run net.nir --chip loihi2": "net.nir",
        "run net.nir --chip mosaic": "net.nir",
        "import sanafe a.yaml b.yaml --out there": "a SANA-FE network becomes a NIR graph, which",
    },
}
SCRIPT = """
import json, shlex, sys
for name in json.loads(sys.argv[1]):
    sys.modules[name] = None  # as if it were not there
from tests.generators.commands import nsim
done = [nsim(*shlex.split(each)) for each in json.loads(sys.argv[2])]
print(json.dumps([[each.returncode, each.stdout, each.stderr] for each in done]))
"""


def without(packages, commands, folder):
    """What commands print in a process that cannot import some packages: exit code, output and errors of each."""
    for name in ("net.nir", "words.h5"):
        (folder / name).write_bytes(b"\x89HDF\r\n\x1a\n")
    np.save(folder / "frames.npy", np.ones((1, 2, 8), np.int8))
    arguments = [sys.executable, "-c", SCRIPT, json.dumps(list(packages)), json.dumps(list(commands))]
    there = {"cwd": folder, "env": {**os.environ, "PYTHONPATH": str(ROOT)}}
    done = subprocess.run(arguments, **there, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_everything_else_works_without_them(tmp_path):
    for command, (code, _, error) in zip(WITHOUT, without(EXTRA_OF, WITHOUT, tmp_path), strict=True):
        assert (code, error) == (0, ""), f"{command}: {error}"


@pytest.mark.parametrize("package", NEEDING)
def test_what_needs_one_says_which_extra_to_install(tmp_path, package):
    """Before it simulates or writes anything: the folder is as it was."""
    found = without([package], [f"{SMALL_RUN} --out out", *NEEDING[package]], tmp_path)
    assert found[0][0] == 0
    for (command, subject), (code, said, error) in zip(NEEDING[package].items(), found[1:], strict=True):
        cure = f"pip install 'nsim-neuromorphic[{EXTRA_OF[package]}]'"
        assert (code, said) == (2, ""), command
        assert error == f"error: {subject} needs the package {package}: {cure}\n"
    assert {path.name for path in tmp_path.iterdir()} == {"out", "net.nir", "words.h5", "frames.npy"}


def test_the_extras_install_what_is_said():
    needed = {Requirement(each).name for each in PROJECT["dependencies"]}
    extras = {
        name: {Requirement(each).name for each in wanted} for name, wanted in PROJECT["optional-dependencies"].items()
    }
    assert set(EXTRA_OF) == set(NEEDING)
    for package, extra in EXTRA_OF.items():
        assert package in extras[extra] and package not in needed


def test_spoken_digits_that_are_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(spoken, "READY_SET", tmp_path / "spoken_digits.h5.gz")
    with pytest.raises(InputError, match=r"the spoken digits are not installed: pip install \./spoken-digits"):
        spoken.load_split("spoken-digits")


def test_the_wheel_stays_small():
    """Packed as a wheel packs it: what is left out is a distribution of its own."""
    files = [*(ROOT / "nsim").rglob("*"), *(ROOT / "chips").rglob("*")]
    kept = [p for p in files if p.is_file() and "__pycache__" not in p.parts and not p.name.endswith(".h5.gz")]
    assert sum(len(zlib.compress(path.read_bytes())) for path in kept) < 1_000_000
