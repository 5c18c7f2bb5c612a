"""One point of a sweep: load, map and simulate, sharing with earlier points of this process what is equal."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import nsim
from nsim.barrier_chip import BarrierChip
from nsim.chip import Chip, Table, nearest
from nsim.chip_file import describe, keys_at, load_chip
from nsim.errors import ChipError, InterruptedRunError, NsimError, SweepError
from nsim.formats import SUFFIXES, load_network
from nsim.frame.chip import FrameChip
from nsim.mapping import Mapping, map_network
from nsim.network import Network
from nsim.simulation import DEFAULT_TIMESTEPS, Sent, Simulator, sent_messages, simulate
from nsim.stream.options import parse_core_options
from nsim.sweep.points import Point
from nsim.sweep.schedules import densities
from nsim.sweep.table import MEASURES
from nsim.workloads.event_streams import is_event_name

CACHED_BYTES = 2**28  # of activity, for each process
# What a mapping depends on, of a point
MAPPED: tuple[str, ...] = (
    "network",
    "chip",
    "chip_parameters",
    "weight_sparsity",
    "partition",
    "placement",
    "weight_format",
)
MAPPED += ("mode", "clock_mode", "core_options", "dt_s")
# What the time of a point depends on most
KIND: tuple[str, ...] = ("network", "chip", "input", "timesteps", "samples", "critical_path")


@dataclass(frozen=True)
class Task:
    """A point to evaluate, and its key in the store."""

    key: str
    point: Point


@dataclass(frozen=True)
class Done:
    """What became of it: its measures, or what went wrong.

    passing   the error may not come again, so the point is tried again
    first     of its kind in its process: its time includes loading code and networks
    remapped  its mapping was made for it, not for an earlier point
    """

    key: str
    measures: dict[str, Any]
    error: str | None
    passing: bool
    seconds: float
    first: bool = False
    remapped: bool = False


def evaluate_chunk(tasks: list[Task], code: str, files: dict[str, str]) -> list[Done]:
    """Evaluate points, in their order, on this or another machine.

    code     version of the code that asks, files their digests by path: both have to be the same here
    raises   SweepError if they are not
    """
    check_same(code, tuple(files.items()))
    return [evaluate(task) for task in tasks]


def evaluate(task: Task) -> Done:
    begin, made = time.perf_counter(), mapped.cache_info().misses
    measures: dict[str, Any] = {}
    error, passing = None, False
    kind = kind_of(task.point)
    first = kind not in _seen
    _seen.add(kind)
    try:
        measures = measured(task.point)
    except InterruptedRunError:
        raise KeyboardInterrupt from None
    except NsimError as fault:
        error = str(fault)
    except Exception as fault:  # the other points go on whatever happens to this one
        error, passing = f"{type(fault).__name__}: {' '.join(str(fault).split())}", True
    remapped = mapped.cache_info().misses > made
    return Done(task.key, measures, error, passing, time.perf_counter() - begin, first, remapped)


_seen: set[tuple] = set()  # kinds of points that this process has evaluated


def kind_of(point: Point) -> tuple:
    return tuple(getattr(point, name) for name in KIND)


def mapping_key(point: Point) -> tuple:
    return tuple(getattr(point, name) for name in MAPPED)


def measured(point: Point) -> dict[str, Any]:
    """The columns of the result that this point's chip has.

    raises   NsimError; KeyboardInterrupt for a run that was stopped
    """
    mapping = mapped(*mapping_key(point))
    if isinstance(mapping, Mapping):
        sent = activity_of(point, mapping)
        result: Any = simulator_of(mapping_key(point), point.critical_path).run(sent, point.seed)
        planned, done = result.planned_timesteps, result.steps
    elif isinstance(mapping.chip, FrameChip):
        drawn: dict[str, Any] = {"activity": activity(point, mapping.network), "samples": point.samples}
        result = simulate(
            mapping, point.input, **drawn, dt_s=point.dt_s, seed=point.seed, critical_path=point.critical_path
        )
        planned, done = result.planned_frames, result.done_frames
    else:
        result = simulate(mapping, events(point), dt_s=point.dt_s, seed=point.seed)
        planned = done = 1
    if done < planned:
        raise KeyboardInterrupt
    facts = result.summary()
    found = {name: facts[name] for name in MEASURES[mapping.chip.discipline]}
    return found | {"energy_is_complete": not facts["actions_without_known_energy"]}


# --- what points share


@lru_cache(maxsize=8)
def network_of(name: str, weight_sparsity: float | None = None, dt_s: float | None = None) -> Network:
    options: dict[str, Any] = {} if weight_sparsity is None else {"density": 1 - weight_sparsity}
    return load_network(name, dt_s=dt_s, **options)


@lru_cache(maxsize=32)
def file_chip(name: str) -> Chip:
    return load_chip(name)


@lru_cache(maxsize=64)
def chip_of(name: str, parameters: tuple[tuple[str, Any], ...] = ()) -> Chip:
    """A chip with some values of its file replaced, and checked as the file is; a replaced value loses its range.

    raises   ChipError, one line with key, value and cure
    """
    chip = file_chip(name)
    if not parameters:
        return chip
    data = chip.model_dump(exclude_unset=True)
    for key, value in parameters:
        table, keys = data, key.split(".")
        for number, part in enumerate(keys):
            known = [
                name for name in keys_at(keys[:number], type(chip)) if name not in (*Table.model_fields, "sources")
            ]
            if part not in known or part not in table or (number < len(keys) - 1) != isinstance(table[part], dict):
                if part in table and number == len(keys) - 1:
                    named = [name for name in table[part] if name not in Table.model_fields]
                    raise ChipError(f"chip {name!r}: {key!r} is a table: name one of its values, {', '.join(named)}")
                hint = nearest(part, known) or f", the keys there are {', '.join(known)}"
                raise ChipError(f"chip {name!r} has no value {key!r}{hint}: nsim chips {name} shows all")
            if number < len(keys) - 1:
                table = table[part]
        table[keys[-1]] = value
        table.pop(f"{keys[-1]}_range", None)
    try:
        return type(chip).model_validate(data)
    except ValidationError as error:
        raise ChipError(f"chip {name!r} with other parameters: {describe(error, type(chip))}") from None


@lru_cache(maxsize=16)
def mapped(
    network: str,
    chip: str,
    chip_parameters: tuple[tuple[str, Any], ...],
    weight_sparsity: float | None,
    partition: str | None,
    placement: str | None,
    weight_format: str | None,
    mode: str | None,
    clock_mode: str | None,
    core_options: str | None,
    dt_s: float | None,
) -> Any:
    """The mapping of a point; options that its chip does not have are refused."""
    net, target = network_of(network, weight_sparsity, dt_s), chip_of(chip, chip_parameters)
    options: dict[str, Any] = {"partition": partition or "default", "dense_layers": weight_format}
    options |= {"mode": mode, "clock_mode": clock_mode, "placement": placement}
    chosen = parse_core_options(core_options)
    if target.discipline != "stream":
        return map_network(net, target, **options)
    mapping: Any = map_network(net, target, **(options | {"placement": placement or chosen.core}))
    return mapping.with_options(chosen.decimate, chosen.balanced(net))


@lru_cache(maxsize=2)
def simulator_of(key: tuple, critical_path: bool) -> Simulator:
    """The mapping of points on a chip with timesteps, ready to run; neighbours in a sweep share it."""
    return Simulator(mapped(*key), threads=1, critical_path=critical_path)


def activity(point: Point, network: Network) -> dict[str, float] | None:
    """Prescribed densities; None: what the network comes with, or the input."""
    if point.activation_sparsity is None:
        return None
    return densities(network, point.schedule or "even", 1 - point.activation_sparsity, point.seed)


def events(point: Point) -> str | None:
    """The input of a chip without timesteps: events that are made up get the point's seed."""
    text = point.input
    if text is None or not is_event_name(text) or "seed=" in text:
        return text
    return f"{text}{',' if ':' in text else ':'}seed={point.seed}"


class Cache:
    """What was used last, up to a number of bytes."""

    def __init__(self, most_bytes: int) -> None:
        self.most_bytes, self.held_bytes = most_bytes, 0
        self.held: OrderedDict[Any, tuple[int, Any]] = OrderedDict()

    def get(self, key: Any, make: Callable[[], tuple[int, Any]]) -> Any:
        """What is kept under this key, or what `make` gives, with its size in bytes."""
        if key not in self.held:
            size, made = make()
            self.held[key] = (size, made)
            self.held_bytes += size
        self.held.move_to_end(key)
        found = self.held[key][1]
        while self.held_bytes > self.most_bytes:
            _, (size, _) = self.held.popitem(last=False)
            self.held_bytes -= size
        return found


_activity = Cache(CACHED_BYTES)


def activity_of(point: Point, mapping: Mapping) -> Sent:
    """What the network sends on a chip with timesteps, whatever it is mapped to; kept unless it may be very large."""
    network, chip = mapping.network, mapping.chip
    assert isinstance(chip, BarrierChip)
    dt_s = point.dt_s or network.dt_s

    def sent() -> Sent:
        prescribed = activity(point, network)
        return sent_messages(network, chip, point.input, prescribed, point.timesteps, point.samples, dt_s, point.seed)

    def kept() -> tuple[int, Sent]:
        made = sent()
        runs = [list(run) for run in made.runs]
        size = sum(chunk.neurons.nbytes + chunk.indptr.nbytes for run in runs for chunk in run)
        return size, Sent(runs, made.lengths, made.binary)

    steps = (point.timesteps or DEFAULT_TIMESTEPS) * (point.samples or 1)
    if 8 * steps * sum(layer.neurons for layer in network.layers) > CACHED_BYTES:
        return sent()
    own = (point.network, point.weight_sparsity, point.input, point.activation_sparsity, point.schedule, point.seed)
    return _activity.get((*own, point.timesteps, point.samples, dt_s, chip.messages.graded), kept)


# --- what makes two points equal


@cache
def code_version() -> str:
    """Digest of the code and of the libraries that compute: other code may give other results."""
    digest = hashlib.sha256()
    folder = Path(nsim.__file__).parent
    for file in sorted(folder.rglob("*.py")):
        if file.relative_to(folder).parts[0] != "commands":
            digest.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes())
    for package in ("numpy", "numba", "scipy"):
        digest.update(f"{package} {metadata.version(package)}".encode())
    return digest.hexdigest()


@cache
def file_digest(path: str) -> str:
    """SHA-256 of a file.

    raises   SweepError if it cannot be read
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SweepError(f"{path}: cannot be read ({reason}): give the path of a readable file") from None


def files_of(point: Point) -> list[str]:
    """Paths of the files that a point is read from, chip files aside."""
    base = point.network.rpartition(":")[0] or point.network
    names = [name for name in (point.network, base) if name.endswith(SUFFIXES)][:1]
    names += [point.partition] if point.partition and point.partition.endswith(".toml") else []
    return names + ([point.input] if point.input and not is_event_name(point.input) else [])


def key_of(point: Point, files: dict[str, str]) -> str:
    """Name of a point by its content: chip, network, parameters, files and code, 64 hex digits.

    files   digests by path, filled with those that are missing
    """
    own = files_of(point)
    for path in own:
        files.setdefault(path, file_digest(path))
    values = [(field.name, getattr(point, field.name)) for field in fields(point) if field.name != "chip"]
    content = (values, file_chip(point.chip).sha256, [files[path] for path in own], code_version())
    return hashlib.sha256(repr(content).encode()).hexdigest()


@lru_cache(maxsize=4)
def check_same(code: str, files: tuple[tuple[str, str], ...]) -> None:
    """Refuse to compute with other code or other files than those that were asked for."""
    if code != code_version():
        raise SweepError(
            f"a worker has another version of nsim or of its libraries (code {code_version()[:12]}, wanted "
            f"{code[:12]}): install the same on all machines"
        )
    for path, digest in files:
        if file_digest(path) != digest:
            raise SweepError(f"{path} has another content for a worker: give all machines the same file")
