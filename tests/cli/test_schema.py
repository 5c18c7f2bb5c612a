"""JSON schemas of chip and sweep files: what is shipped is valid, what is misspelt is not."""

import copy
import json
import tomllib
from pathlib import Path

import jsonschema
import pytest

from nsim.chip.file import available_chips
from nsim.cli.schemas import chip_schema, summary_schema, sweep_schema
from tests.generators.commands import nsim

SWEEPS = sorted((Path(__file__).parents[2] / "benchmarks" / "sweeps").glob("*.toml"))


def validator(schema):
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def read(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", available_chips().values(), ids=lambda path: path.stem)
def test_shipped_chips_are_valid_and_typos_are_not(path):
    chips, data = validator(chip_schema()), read(path)
    assert chips.is_valid(data), next(chips.iter_errors(data)).message
    for table in (key for key, value in data.items() if isinstance(value, dict) and key != "sources"):
        wrong = copy.deepcopy(data)
        wrong[table]["a_typo"] = 1
        assert not chips.is_valid(wrong), table
    assert not chips.is_valid(data | {"discipline": "bariier"})
    needed = "name" if "chip" in data else "sources"  # those of a board's chip are in its own file
    assert not chips.is_valid({key: value for key, value in data.items() if key != needed})


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_shipped_sweeps_are_valid_and_typos_are_not(path):
    sweeps, data = validator(sweep_schema()), read(path)
    assert sweeps.is_valid(data), next(sweeps.iter_errors(data)).message
    for change in ({"seed": [1]}, {"kind": "gird"}, {"seeds": [-1]}, {"chips": "loihi2"}, {"timesteps": 0}):
        assert not sweeps.is_valid(data | {"points": [data["points"][0] | change]}), change


def test_fields_have_descriptions_with_units():
    definitions = chip_schema()["$defs"]
    assert "picoseconds" in definitions["Action"]["properties"]["latency_ps"]["description"]
    for name in ("Action", "Link", "Core", "Mesh"):
        assert all("description" in field for field in definitions[name]["properties"].values()), name


def test_the_command_writes_them(tmp_path):
    for kind, schema in (("chip", chip_schema()), ("sweep", sweep_schema()), ("summary", summary_schema())):
        assert json.loads(nsim("schema", kind).stdout) == schema
        assert nsim("schema", kind, "--out", tmp_path / "s.json").returncode == 0
        assert json.loads((tmp_path / "s.json").read_text()) == schema
    nowhere = ("chip", "--out", tmp_path / "a" / "b")
    for arguments, words in ((("chop",), "mean 'chip'"), (nowhere, "cannot write")):
        done = nsim("schema", *arguments)
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1
