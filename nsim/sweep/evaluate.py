"""One point of a sweep: load, map and simulate, sharing with earlier points of this process what is equal."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from pydantic import ValidationError

import nsim
from nsim.chip.chip import Chip, Table, nearest
from nsim.chip.discipline import DISCIPLINES, RUN_OPTIONS, discipline_of
from nsim.chip.file import describe, keys_at, load_chip, own_files
from nsim.chip.timesteps import BarrierChip
from nsim.errors import ChipError, InterruptedRunError, NsimError, SweepError, open_regular, version_of
from nsim.formats.made_events import is_event_name
from nsim.formats.network import network_file
from nsim.mapping.cores.mapping import Mapping
from nsim.mapping.network import map_network
from nsim.mapping.tiles.read import SUFFIXES as MATRICES
from nsim.network.layers import Network
from nsim.result.run import simulate
from nsim.result.run_timesteps import DEFAULT_TIMESTEPS, Sent, Simulator, sent_messages
from nsim.sweep.points import Point
from nsim.sweep.schedules import densities
from nsim.sweep.shipped import moved, unpacked
from nsim.sweep.table import measures_of

CACHED_BYTES = 2**28  # of activity, for each process
MANAGED = ("runtime", "embedded_us", "per_sample_us")  # options of a run that its simulator is made with


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


def evaluate_chunk(
    tasks: list[Task], code: str, files: dict[str, str], contents: dict[str, bytes] | None = None
) -> list[Done]:
    """Evaluate points, in their order, on this or another machine.

    code       version of the code that asks: it has to be the same here
    files      digests of the files that points are read from, by path
    contents   of these files, for a machine that may not have them; None: they have to be here, and the same
    raises     SweepError if they are not
    """
    check_code(code)
    if contents is None:
        check_files(tuple(files.items()))
        return [evaluate(task) for task in tasks]
    places = unpacked(tuple(files.items()), contents)
    return [evaluate(Task(task.key, moved(task.point, places))) for task in tasks]


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
    except NsimError as fault:  # a file that is not there may be there the next time
        error, passing = str(fault), not all(Path(path).is_file() for path in files_of(task.point))
    except Exception as fault:  # the other points go on whatever happens to this one
        error, passing = f"{type(fault).__name__}: {' '.join(str(fault).split())}", True
    remapped = mapped.cache_info().misses > made
    return Done(task.key, measures, error, passing, time.perf_counter() - begin, first, remapped)


_seen: set[tuple] = set()  # kinds of points that this process has evaluated


def kind_of(point: Point) -> tuple:
    """What the time of a point depends on most."""
    return point.network, point.chip, point.input, *(pair for pair in point.options if pair[0] in RUN_OPTIONS)


def mapping_key(point: Point) -> tuple:
    """What a mapping depends on: the arguments of `mapped`."""
    own = discipline_of(file_chip(point.chip))
    options = {**dict(point.options), "dt_s": point.dt_s, "seed": point.seed}
    given = own.mapping_options(options, point.input)
    chosen = tuple(sorted((name, value) for name, value in given.items() if value is not None))
    return point.network, point.chip, point.chip_parameters, point.weight_sparsity, point.dt_s, chosen


def measured(point: Point) -> dict[str, Any]:
    """The columns of the result that this point's chip has.

    raises   NsimError; KeyboardInterrupt for a run that was stopped
    """
    mapping = mapped(*mapping_key(point))
    own = discipline_of(mapping.chip)
    if isinstance(mapping, Mapping):  # much faster: neighbours share activity and tables
        sought = bool(point.option("critical_path")), bool(point.option("ranges"))
        managed = tuple((name, value) for name, value in point.options if name in MANAGED)
        result: Any = simulator_of(mapping_key(point), *sought, managed).run(activity_of(point, mapping), point.seed)
    else:
        drawn = {"activity": activity(point, mapping.network)} if "activity" in own.run_options else {}
        options = {**own.running_options(dict(point.options)), **drawn}
        result = simulate(mapping, inputs(point), dt_s=point.dt_s, seed=point.seed, **options)
    if result.spans < result.spans_planned:
        raise KeyboardInterrupt
    facts = result.summary()
    found = {key.name: facts[key.name] for key in measures_of(own)}
    return found | {"energy_is_complete": not facts["actions_without_known_energy"]}


@lru_cache(maxsize=8)
def network_of(
    name: str, weight_sparsity: float | None = None, dt_s: float | None = None, discipline: str = "barrier"
) -> Any:
    """A network as a discipline's mapping takes it."""
    options: dict[str, Any] = {} if weight_sparsity is None else {"density": 1 - weight_sparsity}
    return DISCIPLINES[discipline].part("load")(name, dt_s=dt_s, **options)


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
    dt_s: float | None,
    options: tuple[tuple[str, Any], ...],
) -> Any:
    """The mapping of a point; options that its chip does not have are refused."""
    target = chip_of(chip, chip_parameters)
    loaded = network_of(network, weight_sparsity, dt_s, target.discipline)
    found: Any = map_network(loaded, target, **dict(options))
    return found


@lru_cache(maxsize=2)
def simulator_of(key: tuple, critical_path: bool, ranges: bool, managed: tuple[tuple[str, Any], ...]) -> Simulator:
    """The mapping of points on a chip with timesteps, ready to run; neighbours in a sweep share it."""
    mapping = mapped(*key).managed(**dict(managed)) if managed else mapped(*key)
    return Simulator(mapping, threads=1, critical_path=critical_path, ranges=ranges)


def activity(point: Point, network: Network) -> dict[str, float] | None:
    """Prescribed densities; None: what the network comes with, or the input."""
    if point.activation_sparsity is None:
        return None
    return densities(network, point.schedule or "even", 1 - point.activation_sparsity, point.seed)


def inputs(point: Point) -> str | None:
    """The input of a run: events that are made up get the point's seed."""
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
    chosen: list[Any] = [point.option(name) for name in ("timesteps", "samples", "drain", "warm_up")]
    timesteps, samples, drain, warm_up = chosen

    def sent() -> Sent:
        prescribed = activity(point, network)
        return sent_messages(
            network, chip, point.input, prescribed, timesteps, samples, dt_s, point.seed, drain, warm_up
        )

    def kept() -> tuple[int, Sent]:
        made = sent()
        runs = [list(run) for run in made.runs]
        size = sum(chunk.neurons.nbytes + chunk.indptr.nbytes for run in runs for chunk in run)
        return size, replace(made, runs=runs)

    steps = (timesteps or DEFAULT_TIMESTEPS) * (samples or 1)
    if 8 * steps * sum(layer.neurons for layer in network.layers) > CACHED_BYTES:
        return sent()
    own = (point.network, point.weight_sparsity, point.input, point.activation_sparsity, point.schedule, point.seed)
    return _activity.get((*own, *chosen, dt_s, chip.messages.graded, network.fixed_point), kept)


@cache
def code_version() -> str:
    """Digest of the code and of the libraries that compute: other code may give other results."""
    digest = hashlib.sha256()
    folder = Path(nsim.__file__).parent
    for file in sorted(folder.rglob("*.py")):
        if file.relative_to(folder).parts[0] != "cli":
            digest.update(f"{file.relative_to(folder).as_posix()}\0".encode() + file.read_bytes())
    for package in ("numpy", "numba", "scipy"):
        digest.update(f"{package} {version_of(package)}".encode())
    return digest.hexdigest()


@cache
def file_digest(path: str) -> str:
    """SHA-256 of a file.

    raises   SweepError if it cannot be read
    """
    try:
        with open_regular(Path(path)) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SweepError(f"{path}: cannot be read ({reason}): give the path of a readable file") from None


def files_of(point: Point) -> list[str]:
    """Paths of the files that a point is read from."""
    found = point.network if point.network.endswith(MATRICES) else network_file(point.network)
    names = [found] if found else []
    partition = str(point.option("partition") or "")
    names += [partition] if partition.endswith(".toml") else []
    names += own_files(point.chip)
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


def check_code(code: str) -> None:
    """Refuse to compute with other code than that which asks."""
    if code != code_version():
        raise SweepError(
            f"a worker has another version of nsim or of its libraries (code {code_version()[:12]}, wanted "
            f"{code[:12]}): install the same on all machines"
        )


@lru_cache(maxsize=4)
def check_files(files: tuple[tuple[str, str], ...]) -> None:
    """Refuse to compute from other files than those that were asked for."""
    for path, digest in files:
        if file_digest(path) != digest:
            raise SweepError(f"{path} has another content for a worker: give all machines the same file")
