"""A discipline of its own through every door: both engines, Python, the command line, files, schemas and sweeps.

Its machine, hooks and stations are in `tests/generators/toy.py`; the rest of what a discipline must give is here. A
network of it is the number of messages that every source sends, and a span of time is a salvo: all of them at once.
"""

import json
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import pandas as pd
import pytest
from pydantic import Field

from nsim import load_chip, map_network, simulate
from nsim.chip.chip import Chip
from nsim.chip.discipline import DISCIPLINES, Discipline
from nsim.chip.file import load_chip as read_chip
from nsim.errors import MappingError, NetworkError, SimulationError
from nsim.network.layers import Layer, Network
from nsim.network.neurons import Relay
from nsim.result.columns.column import COMMON, REPRODUCIBILITY, Declared, count, ps
from nsim.result.result import Limit, Result
from tests.generators.commands import nsim, refused
from tests.generators.toy import ToyMachine, run_compiled, run_simpy

FILE = """name = "toy"
title = "Toy"
discipline = "salvo"
relays = 3
service_ps = 5
[sources]
"""


class ToyChip(Chip):
    """Sources whose messages pass a row of relays."""

    discipline: Literal["salvo"] = Field(description="what ends a salvo: its last message")
    relays: int = Field(ge=1, description="relays in a row")
    service_ps: int = Field(ge=1, description="time of a message in a relay")


@dataclass(frozen=True)
class ToyMapping:
    network: Network
    chip: ToyChip
    messages: int


def load_toy(name, dt_s=None):
    """A network of N messages a source, from the name salvo:N."""
    kind, _, number = str(name).partition(":")
    if kind != "salvo" or not number.isdecimal():
        raise NetworkError(f"no network {name!r}: give salvo:N")
    layer = Layer("sources", (int(number), 1, 1), Relay())
    return Network(str(name), (layer,), (), "sources", "sources")


def map_toy(network, chip, place="index"):
    if place != "index":
        raise MappingError(f"no place {place!r}: there is index")
    return ToyMapping(network, chip, network.layers[0].neurons)


def machine_of(mapping, seed):
    relays = mapping.chip.relays
    after_ps = np.random.default_rng(seed).integers(1, 9, (2, mapping.messages))
    onward = np.repeat(np.append(np.arange(2, 2 + relays), -1)[[0, 0, *range(1, relays + 1)], None], 2, axis=1)
    service_ps = np.array([0, 0, *[mapping.chip.service_ps] * relays])
    same = {"capacity": np.ones(2 + relays, np.int64), "wire_ps": np.ones(2 + relays, np.int64)}
    first = np.array([0, 2, 2 + relays])
    return ToyMachine(first=first, service_ps=service_ps, after_ps=after_ps, onward=onward, **same)


def run_toy(mapping, inputs=None, *, samples=1, dt_s=None, seed=0, engine="compiled", progress=None):
    run = {"compiled": run_compiled, "simpy": run_simpy}[engine]
    machine = machine_of(mapping, seed)
    salvos = [run(machine, True) for _ in range(samples)]
    if progress:
        progress(samples, samples)
    return ToyResult(mapping, engine, seed, samples, tuple(salvos))


LAYERS = (count("relay", "number of the relay"), count("served", "messages"), ps("busy_ps", "time with a message"))


@dataclass(frozen=True, eq=False)
class ToyResult(Result):
    declared: ClassVar[Declared] = Declared("salvo", (*COMMON, REPRODUCIBILITY), {"layers": LAYERS}, frozenset())

    mapping: ToyMapping
    engine: str
    seed: int
    spans_planned: int
    salvos: tuple
    outputs = None

    spans = property(lambda self: len(self.salvos))
    time_ps = property(lambda self: sum(int(each.services["end_ps"].max(initial=0)) for each in self.salvos))
    actions = property(lambda self: {})
    path_ps = property(lambda self: {})

    def _layers(self):
        served, busy = (sum(getattr(each, name)[2:] for each in self.salvos) for name in ("served", "busy_ps"))
        return {"relay": np.arange(busy.size), "served": served, "busy_ps": busy}

    def _busiest(self):
        return Limit("relay", "busy time", max(self._layers()["busy_ps"]) / max(1, self.time_ps))

    def _own_summary(self):
        return {}


def show_toy(result, out, command, what_if=None):
    print(f"{result.spans} salvos of {result.network_name} take {result.time_ps} ps")


SALVO = Discipline(
    name="salvo",
    chips="chips of salvos",
    span="salvo",
    works_on="salvos",
    counted="salvos",
    map_options=frozenset({"place"}),
    run_options=frozenset({"samples"}),
    choice=None,
    usual="",
    costs={},
    traces=(),
    columns=ToyResult.declared,
    chip=ToyChip,
    load=load_toy,
    map=map_toy,
    run=run_toy,
    show=show_toy,
)


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """The path of its chip file, while the discipline is known."""
    monkeypatch.setitem(DISCIPLINES, "salvo", SALVO)
    (tmp_path / "toy.toml").write_text(FILE)
    return tmp_path / "toy.toml"


def test_both_engines_through_python(toy):
    mapping = map_network(load_toy("salvo:9"), load_chip(toy))
    compiled, simpy = (simulate(mapping, samples=2, seed=3, engine=engine) for engine in ("compiled", "simpy"))
    for one, other in zip(compiled.salvos, simpy.salvos, strict=True):
        assert one.services.tolist() == other.services.tolist()
    assert {**compiled.summary(), "engine": "simpy"} == simpy.summary()
    served = compiled.table("layers")["served"].tolist()
    assert served[0] == 2 * 2 * (9 + 4)  # two salvos, two sources; the messages of an odd number leave twice


def test_options_of_others_are_refused(toy):
    mapping = map_network(load_toy("salvo:2"), load_chip(toy))
    with pytest.raises(SimulationError, match="timesteps 3 is not for chip 'toy', which works on salvos"):
        simulate(mapping, timesteps=3)
    with pytest.raises(MappingError, match="mode 'minimal' is not for chip 'toy'"):
        map_network(load_toy("salvo:2"), load_chip(toy), mode="minimal")
    assert "partition 'even:2' is not for chip 'toy'" in refused(
        "run", "salvo:2", "--chip", toy, "--partition", "even:2"
    )


def test_the_command_line_runs_it_and_writes_its_files(toy, tmp_path):
    done = nsim("run", "salvo:9", "--chip", toy, "--samples", 2, "--seed", 3, "--out", tmp_path / "out", ranges=True)
    result = simulate(map_network(load_toy("salvo:9"), read_chip(toy)), samples=2, seed=3)
    assert done.returncode == 0 and f"2 salvos of salvo:9 take {result.time_ps} ps" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["span"], summary["spans"], summary["time_ps"]) == ("salvo", 2, result.time_ps)
    assert pd.read_csv(tmp_path / "out" / "layers.csv").equals(result.table("layers"))


def test_a_sweep_runs_it(toy, tmp_path):
    (tmp_path / "spec.toml").write_text(
        f'[[points]]\nnetworks = ["salvo:4", "salvo:9"]\nchips = ["{toy}"]\nseeds = [3, 4]\n'
        "[points.chip_parameters]\nservice_ps = [5, 6]\n"
    )
    done = nsim("sweep", "spec.toml", "--workers", 1, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    table = pd.read_parquet(tmp_path / "spec.parquet")
    row = table[(table["network"] == "salvo:9") & (table["seed"] == 3) & (table["chip.service_ps"] == 5)].iloc[0]
    assert row["time_ps"] == simulate(map_network(load_toy("salvo:9"), load_chip(toy)), seed=3).time_ps
    assert len(table) == 8 and (table["status"] == "done").all()


def test_its_chip_file_has_a_schema(toy):
    assert '"service_ps"' in nsim("schema", "chip").stdout
