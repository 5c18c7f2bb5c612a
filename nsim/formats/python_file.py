"""A variable of a Python file as a network, as in model.py:net. The file is executed: it is the user's own."""

from __future__ import annotations

import importlib.util
import re
import sys
import traceback
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nsim.errors import NetworkError, open_regular
from nsim.formats.torch_modules import from_torch
from nsim.network.layers import Network

NAMED = re.compile(r"(?P<path>.+\.py)(?::(?P<variable>[A-Za-z_]\w*))?")
SAMPLE = "sample"


def read_python(base: str, dt_s: float | None, options: Mapping[str, object]) -> Network:
    """The network of a variable: a torch.nn.Module, a NIR graph, or a Network.

    base     "model.py:net"
    options  sample: the variable that holds an input for a torch.nn.Module, "sample" by default; others go with the
             network, see `nsim.formats.torch_modules.from_torch` and `nsim.formats.nir_graph.network_from_nir`
    raises   NetworkError, one line that names the file and, of what it raises itself, the line
    """
    found = NAMED.fullmatch(base)
    assert found is not None
    path, variable = Path(found["path"]), found["variable"]
    variables = _executed(path)
    if variable is None or variable not in variables:
        raise NetworkError(
            f"{path} has no variable {variable!r}: give one, as in {path.name}:net"
            if variable
            else f"{path} is a Python file: name the variable that holds the network, as in {path}:net"
        )
    value, given = variables[variable], dict(options)
    if isinstance(value, Network):
        if given or dt_s is not None:
            raise NetworkError(f"{base} is a Network, which takes no options: leave them out")
        return value
    if type(value).__module__.partition(".")[0] == "nir":
        from nsim.formats.nir_graph import network_from_nir  # nir is an extra

        return network_from_nir(value, name=variable, dt_s=dt_s, options=given)
    sample = str(given.pop("sample", SAMPLE))
    if sample not in variables:
        raise NetworkError(f"{path} has no variable {sample!r}: give an input with its batch, or {base}:sample=NAME")
    try:
        return from_torch(value, variables[sample], name=variable, dt_s=dt_s, **given)  # type: ignore[arg-type]
    except NetworkError as error:
        raise NetworkError(f"{base}: {error}") from None


def _executed(path: Path) -> dict[str, Any]:
    """The variables that a file leaves behind. Modules beside it are found, as if it were run by Python."""
    try:
        open_regular(path).close()
    except OSError as problem:
        raise NetworkError(f"{path} cannot be read: {problem.strerror}: check the path and its permissions") from None
    name = f"_nsim_file_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and torch.export look their code up there
    sys.path.insert(0, str(path.resolve().parent))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # an error says what matters of it, in one line
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as problem:  # whatever the file does
        raise NetworkError(f"{path} fails{_where(problem, path)}: mend it, python {path} shows the whole") from None
    finally:
        sys.path.remove(str(path.resolve().parent))
    return vars(module)


def _where(problem: BaseException, path: Path) -> str:
    lines = [frame.lineno for frame in traceback.extract_tb(problem.__traceback__) if Path(frame.filename) == path]
    line = getattr(problem, "lineno", None) if isinstance(problem, SyntaxError) else (lines or [None])[-1]
    reason = " ".join(str(problem).split())[:160]
    return f"{f' in line {line}' if line else ''} ({type(problem).__name__}{f': {reason}' if reason else ''})"
