"""The walls between modules, read from the imports."""

import ast
from pathlib import Path

import pytest

import nsim

PACKAGE = Path(nsim.__file__).parent


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module or "")
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", ["kernels.py", "stream/kernels.py"])
def test_kernels_know_only_numpy_and_numba(path):
    assert {name.split(".")[0] for name in imported(PACKAGE / path)} <= {"numpy", "numba"}


@pytest.mark.parametrize("module", ["counts", "energy", "activity", "network", "synapses", "neurons", "stations"])
def test_what_happens_is_found_without_times(module):
    """Counts and activity come from the mapping alone, never from an engine or its results."""
    forbidden = ("nsim.engine", "nsim.simulation", "nsim.result")
    assert not [name for name in imported(PACKAGE / f"{module}.py") if name.startswith(forbidden)]


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_only_the_screen_and_the_command_line_print(path):
    names = {node.id for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Name)}
    assert "print" not in names or path.name == "cli.py"
