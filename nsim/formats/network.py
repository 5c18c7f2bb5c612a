"""Networks by name or file; one reader module per file format."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from nsim.errors import NetworkError, require
from nsim.network import builtin as workloads
from nsim.network.assignments import parse_assignments
from nsim.network.layers import Network

NETX_OPTIONS = ("reset_interval", "reset_offset", "num_layers", "skip_layers")
SUFFIXES = (".net", ".nir", ".s5", ".onnx", ".pt2", ".npz", ".py")
PYTHON = re.compile(r"(?P<path>.+\.py)(?::[A-Za-z_]\w*)?")
PICKLES = (".pt", ".pth", ".ckpt", ".bin", ".pkl", ".pickle")


def load_network(name: str | Path, *, dt_s: float | None = None, **options: object) -> Network:
    """A built-in network or one from a file.

    name     "pilotnet", "mlp:width=512,depth=4", a lava-dl `.net` file, a `.nir` graph, an S5 network as `.s5`
             archive, an `.onnx` file, a `.pt2` of torch.export, an `.npz` of a connectome, or a variable of a Python
             file, "model.py:net", which is executed; options may follow a colon
    dt_s     seconds per timestep, for NIR graphs whose time constants are in seconds
    options  the same options as keywords: those of the built-in network; of a `.net`, see `nsim.formats.netx`; of a
             `.nir`, see `nsim.formats.nir_rules`; of `.onnx` and `.pt2`, see `nsim.formats.coding`; of a Python file,
             see `nsim.formats.python_file`
    raises   NetworkError
    """
    base, given = _split(str(name))
    given |= options
    if base in workloads.BUILTIN:
        return workloads.build(base, **given)
    path = Path(base)
    if path.suffix == ".net":
        return _load_netx(path, given)
    if path.suffix == ".nir":
        require("nir", str(path), NetworkError)
        from nsim.formats.nir_graph import read_nir

        return read_nir(path, dt_s=dt_s, options=given)
    if path.suffix == ".s5":
        from nsim.formats.s5_arrays import read_s5

        if given:
            raise NetworkError(f"an S5 archive takes no options, but {path} was given {', '.join(given)}")
        return read_s5(path)
    if path.suffix == ".npz":
        from nsim.formats.connectome import read_connectome

        if given:
            raise NetworkError(f"a connectome takes no options, but {path} was given {', '.join(given)}")
        return read_connectome(path)
    if path.suffix in (".onnx", ".pt2"):
        return _load_row(path, given)
    if PYTHON.fullmatch(base):
        from nsim.formats.python_file import read_python

        return read_python(base, dt_s, given)
    if path.suffix.lower() in PICKLES:
        raise NetworkError(
            f"{path} is a pickle, which can run any code and is never loaded: export the module "
            "(torch.export.save(torch.export.export(net.eval(), (sample,)), 'net.pt2')), or give it as model.py:net"
        )
    near = difflib.get_close_matches(base, workloads.BUILTIN, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    raise NetworkError(
        f"no network {base!r}: {hint}give a built-in name ({', '.join(workloads.BUILTIN)}) or a file ending in "
        f"{', '.join(SUFFIXES[:-1])}, or model{SUFFIXES[-1]}:VARIABLE"
    )


def network_file(name: str) -> str | None:
    """The path of the file that a network is read from; None for a built-in one."""
    for base in (name, _split(name)[0]):
        found = PYTHON.fullmatch(base)
        if found or base.endswith(SUFFIXES):
            return found["path"] if found else base
    return None


def _split(name: str) -> tuple[str, dict[str, object]]:
    """ "name:key=value,..." in its parts; a colon that is no list of options belongs to the name."""
    base, colon, tail = name.rpartition(":")
    if not colon or "=" not in tail:
        return name, {}
    try:
        return base, dict(parse_assignments(tail))
    except ValueError as error:
        raise NetworkError(f"options of network {base!r}: {error}, as in mlp:width=512,depth=4") from None


def _load_row(path: Path, given: dict[str, object]) -> Network:
    from nsim.formats.coding import coded
    from nsim.formats.onnx_file import read_onnx
    from nsim.formats.pt2 import read_pt2

    network = read_onnx(path) if path.suffix == ".onnx" else read_pt2(path)
    try:
        return coded(network, given)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None


def _load_netx(path: Path, given: dict[str, object]) -> Network:
    require("h5py", str(path), NetworkError)
    from nsim.formats.netx import read_netx

    numbers = {}
    for key, value in given.items():
        if key not in NETX_OPTIONS:
            raise NetworkError(f"a .net file has no option {key!r}: its options are {', '.join(NETX_OPTIONS)}")
        try:
            numbers[key] = int(str(value))
        except ValueError:
            raise NetworkError(f"option {key} of {path} is {value!r}: expected a whole number") from None
    return read_netx(path, **numbers)
