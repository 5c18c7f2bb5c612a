"""Results of every discipline, shared by the tests of a module."""

import pytest

from tests.generators.results import RUNS


@pytest.fixture(scope="module")
def results():
    """Runs by name, each made when it is first asked for."""
    made = {}

    def result(name):
        if name not in made:
            made[name] = RUNS[name]()
        return made[name]

    return result
