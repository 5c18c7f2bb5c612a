"""The rooms of the house and the directions between them, read from the imports of every module."""

import ast
from functools import cache
from pathlib import Path

import numpy as np
from scipy.sparse import csgraph

import nsim

PACKAGE = Path(nsim.__file__).parent
# A room may import the rooms of lower rank, and itself. `nsim/__init__.py` names the doors and is not a room, and
# `nsim/__main__.py` is the door for `python -m nsim`
RANK = {
    "errors": 0,
    "__main__": 9,
    **{"chip": 1, "network": 1},
    **{"formats": 2, "mapping": 3, "machine": 4, "result": 5, "report": 6},
    **{"optimize": 7, "sweep": 7, "training": 7, "cli": 8},
}


def module_name(path: Path) -> str:
    parts = ("nsim", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
DRIVERS = (
    ".timesteps",
    ".frames",
    ".events",
    ".ticks",
    ".local",
)  # of the compiled engine; all beside them is compiled
LOOPS = [name for name in MODULES if name.startswith("nsim.machine.compiled.") and not name.endswith(DRIVERS)]


@cache
def imported(path: Path) -> set[str]:
    """All that a module imports, anywhere in it and under TYPE_CHECKING too."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@cache
def modules_of(path: Path) -> set[str]:
    """The modules of nsim among them."""
    found = set()
    for name in imported(path):
        while name not in MODULES and "." in name:
            name = name.rpartition(".")[0]
        if name in MODULES:
            found.add(name)
    return found - {"nsim"}


def room(module: str) -> str:
    return module.split(".")[1]


def test_the_house_has_these_rooms_and_no_others():
    entries = {path.stem for path in PACKAGE.iterdir() if path.name not in ("__pycache__", "py.typed")}
    assert entries == {"__init__", *RANK}


def test_imports_go_down_the_dataflow():
    upwards = [
        (module, other)
        for module, path in MODULES.items()
        if module != "nsim"
        for other in modules_of(path)
        if room(other) != room(module) and RANK[room(other)] >= RANK[room(module)]
    ]
    assert not upwards


def test_no_module_imports_itself_by_way_of_others():
    names = list(MODULES)
    arrows = np.array([[other in modules_of(MODULES[module]) for other in names] for module in names])
    count, circle = csgraph.connected_components(arrows, connection="strong")
    in_circle = [[name for name, at in zip(names, circle, strict=True) if at == one] for one in range(count)]
    assert not [circle for circle in in_circle if len(circle) > 1]


def test_kernels_know_only_numpy_and_numba():
    kernels = [module for module in MODULES if module.endswith("kernels") or ".machine.compiled.queues" in module]
    assert len(kernels) >= 4
    allowed = {"__future__", "math", "numpy", "numba"}
    for module in kernels:
        assert {name.split(".")[0] for name in imported(MODULES[module])} <= allowed, module


def test_the_compiled_loops_know_arrays_only():
    """Not a machine, a mapping or a chip: their arrays are handed to them."""
    allowed = {*LOOPS, "nsim.machine.services", "nsim.machine.path", "nsim.mapping.events.kernels"}
    for module in LOOPS:
        assert modules_of(MODULES[module]) - {"nsim.machine.compiled"} <= allowed, module


def test_limits_import_no_engine():
    engines = ("nsim.machine.compiled", "nsim.machine.simpy")
    limits = [module for module in MODULES if module.startswith("nsim.result.limits")]
    assert not [(module, name) for module in limits for name in imported(MODULES[module]) if name.startswith(engines)]


def test_only_the_command_line_prints():
    printing = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Name) and node.id == "print"
    }
    assert printing <= {"nsim.cli.main"}


def test_no_test_module_imports_another():
    tests = Path(__file__).parent
    for path in tests.rglob("*.py"):
        assert not [name for name in imported(path) if name.startswith("tests.") and ".test_" in name], path
