"""Profiles of hypothesis, and tests without oracles.

The ordinary profile draws the same examples in every run, so that a change is judged by what it changes;
`pytest --hypothesis-profile nightly` draws many more, others each time.
"""

import os
import tomllib
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from packaging.requirements import Requirement

NOISY = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}  # shared machines
settings.register_profile("ordinary", max_examples=30, derandomize=True, **NOISY)
settings.register_profile("nightly", max_examples=2_000, **NOISY)
settings.load_profile("ordinary")

PYPROJECT = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
ORACLES = {wanted.name: wanted for wanted in map(Requirement, PYPROJECT["project"]["optional-dependencies"]["oracle"])}


def pytest_runtest_setup(item):
    """Skip a test without its oracles; under NSIM_ORACLES=required fail it, unless the platform has none."""
    for wanted in (ORACLES[name] for mark in item.iter_markers("oracle") for name in mark.args):
        if find_spec(wanted.name) is None:
            if wanted.marker is not None and not wanted.marker.evaluate():
                pytest.skip(f"{wanted.name} cannot be installed here, only where {wanted.marker}")
            stop = pytest.fail if os.environ.get("NSIM_ORACLES") == "required" else pytest.skip
            stop(f"needs {wanted.name}: pip install '.[oracle]'")
