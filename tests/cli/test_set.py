"""Chips with other values: --set, and what `nsim chips` says and writes of them."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys

import pytest

from nsim import load_chip
from nsim.chip.file import available_chips
from nsim.errors import ChipError
from tests.generators.commands import SMALL, nsim, refused, the_line

KEY, SPARSE = "actions.synop_dense.latency_ps", "actions.synop_sparse.latency_ps"


def test_a_changed_chip_is_the_chip_of_a_file_with_that_value(tmp_path):
    """The file is edited by hand; times are the same, and the name, the digest and the origin tell of the change."""
    head, table, tail = available_chips()["loihi2"].read_text().partition("[actions.synop_sparse]")
    edited = re.sub(r"latency_ps = \S+\nlatency_ps_range = .*\n", "latency_ps = 5_000\n", tail, count=1)
    (tmp_path / "mine.toml").write_text(head + table + edited)
    by_file = the_line(nsim(*SMALL[:3], tmp_path / "mine.toml", *SMALL[4:], "--json"))
    by_words = the_line(nsim(*SMALL, "--set", f"{SPARSE}=5000", "--json"))
    assert by_words["time_ps"] == by_file["time_ps"] > the_line(nsim(*SMALL, "--json"))["time_ps"]
    assert by_words["chip"] == "loihi2, changed"
    digests = {load_chip(f"loihi2{change}").sha256 for change in ("", f":{SPARSE}=5000", f":{SPARSE}=5001")}
    assert len({*digests, load_chip(tmp_path / "mine.toml").sha256}) == 4


def test_python_and_words_give_the_same_chip():
    one, other = load_chip("loihi2", {KEY: 900, "barrier.routers": [1, 2], "barrier.latency_ps": [3, 4]}), "loihi2:"
    other += f"barrier.latency_ps=[3, 4],barrier.routers=[1,2],{KEY}=900"
    assert one == load_chip(other) and one.sha256 == load_chip(other).sha256
    (row,) = [row for row in one.provenance() if row.key == KEY]
    assert (row.value, row.range, row.basis) == (900, None, "assumed") and "700" in row.note


def test_an_unknown_energy_can_be_given():
    assert "message_in" in load_chip("loihi2").unknown_costs()
    assert "message_in" not in load_chip("loihi2", {"actions.message_in.energy_fj": 5}).unknown_costs()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("actions.synop_dence.latency_ps=5", f"did you mean {KEY}"),
        ("actions.synop_dense=5", f"name one of its values, actions.synop_dense.energy_fj or {KEY}"),
        ("latency=5", "nsim chips NAME shows all"),
        (KEY, "write KEY=VALUE"),
        (f"{KEY}=", "write KEY=VALUE"),
        (f"{KEY}=-1", "= -1: must be >= 0"),
        (f"{KEY}=1.5", "must be a whole number"),
        (f"{KEY}=fast", "= 'fast': must be a whole number"),
        ("actions.synop_dense.energy_fj=nan", "must be a finite number"),
        ("links.east_west.bandwidth_gbps=inf", "must be a finite number"),
        ("mesh.columns=1000000", "must be <= 1,024"),
        (f"{KEY}=1,{KEY}=2", "set twice, to 1 and 2"),
        ("name=mine", "has no value 'name'"),
        ("actions.spike.source=me", "has no value 'actions.spike.source'"),
    ],
)
def test_changes_that_no_file_could_hold_are_refused_in_one_line(change, says):
    assert says in refused(*SMALL, "--set", change)


def test_set_needs_a_chip():
    assert "is for a chip" in refused("chips", "--set", "a=1")
    with pytest.raises(ChipError, match="no chip"):
        load_chip("loihi3:mesh.columns=2")


def test_what_a_run_prints_can_be_pasted(tmp_path):
    """The command that shows every value, and that which was simulated as better."""
    done = nsim("run", "mlp", "--chip", "loihi2", "--timesteps", 3, "--set", f"{KEY}=900", "-v")
    joined = done.stdout.replace("\\\n", "")
    commands = re.findall(r"^(?:  try|  sources)?\s+(nsim .*?)(?:   |$)", joined, re.M)
    assert len(commands) == 2, done.stdout
    for command in commands:
        done = nsim(*shlex.split(command)[1:])
        assert done.returncode == 0
    assert f"{KEY}  900" in done.stdout


def test_one_value_or_one_table_of_a_chip():
    table = the_line(nsim("chips", "loihi2", "actions.synop_dense", "--json"))
    assert [value["key"] for value in table["values"]] == [KEY, "actions.synop_dense.energy_fj"]
    one = the_line(nsim("chips", "loihi2", KEY, "--json"))
    assert one["values"] == table["values"][:1]
    assert set(one["sources"]) == {"intel_brief2021", "davies2018"}
    assert "did you mean actions.synop_dense" in refused("chips", "loihi2", "actions.synop_dens")


@pytest.mark.parametrize("chip", available_chips())
def test_a_template_is_the_chip_under_another_name(chip, tmp_path):
    done = nsim("chips", chip, "--template", "mine.toml", cwd=tmp_path)
    assert done.returncode == 0 and "--chip ./mine.toml" in done.stdout
    mine, own = load_chip(tmp_path / "mine.toml"), load_chip(chip)
    assert mine.name == "mine" and mine.model_dump() | {"name": chip} == own.model_dump()
    before = (tmp_path / "mine.toml").read_bytes()
    assert "is not replaced" in refused("chips", chip, "--template", "mine.toml", cwd=tmp_path)
    assert (tmp_path / "mine.toml").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--template", "mine.txt"), "end its name in .toml"),
        (("--template", "no/mine.toml"), "folder that exists"),
        (("nochip", "--template", "mine.toml"), "no chip 'nochip'"),
        (("loihi2", "mesh", "--template", "mine.toml"), "leave out mesh"),
        (("loihi2", "--template", "mine.toml", "--set", "mesh.columns=2"), "leave out the changes"),
    ],
)
def test_templates_that_cannot_be_written(words, says, tmp_path):
    assert says in refused("chips", *words, cwd=tmp_path)
    assert not list(tmp_path.iterdir())


def test_fits_are_mapped_not_listed(monkeypatch):
    monkeypatch.setattr("nsim.report.fit.BUILTIN", ("mlp:width=8,depth=2,inputs=8", "speck-gesture"))
    few = {name: path for name, path in available_chips().items() if name in ("loihi2", "akd1000", "speck", "mosaic")}
    monkeypatch.setattr("nsim.report.fit.available_chips", lambda: few)
    found = {(row["network"], row["chip"]): row for row in the_line(nsim("networks", "--fits", "--json"))["fits"]}
    assert len(found) == 2 * len(few)
    assert found["speck-gesture", "speck"]["cores"] == 5  # a layer takes a core
    assert found["speck-gesture", "akd1000"]["cores"] is None
    assert "rectifiers" in found["mlp:width=8,depth=2,inputs=8", "akd1000"]["why_not"]
    text = nsim("networks", "--fits").stdout
    assert max(map(len, text.splitlines())) <= 80 and "None of them is for akd1000, mosaic." in text


def test_version_and_module():
    done = subprocess.run([sys.executable, "-m", "nsim", "--version"], capture_output=True, text=True, timeout=60)
    assert done.stdout.startswith("nsim ") and done.stdout == nsim("--version").stdout
