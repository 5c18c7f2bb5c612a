"""`nsim advise`: what it says of a chip is what a run there says, and every command that it prints gains as it says."""

from __future__ import annotations

import shlex

import pandas as pd
import pytest

from nsim.chip.file import available_chips
from tests.generators.commands import nsim, refused, the_line

MLP = "mlp:width=64,inputs=64,depth=2"
SHORT = ("--timesteps", 5)


@pytest.fixture(scope="module")
def advice():
    """Of a small network on all chips."""
    found = the_line(nsim("advise", MLP, *SHORT, "--json"))
    assert [row["chip"] for row in found["chips"]] == list(available_chips())
    return {row["chip"]: row for row in found["chips"]}


def test_numbers_are_those_of_a_run(advice):
    run = the_line(nsim("run", MLP, "--chip", "loihi2", *SHORT, "--range", "--json"))
    own = advice["loihi2"]
    assert own["time_ps"] == run["time_per_timestep_ps"] and own["time_low_ps"] == run["time_low_ps"]
    assert own["energy_fj"] == run["known_energy_per_timestep_fj"] and own["energy_high_fj"] == run["energy_high_fj"]
    assert (own["cores_used"], own["cores_available"]) == (run["cores_used"], run["cores_available"])


@pytest.mark.parametrize("board", ["kapoho-point", "nahuku32"])
def test_a_board_takes_as_long_as_the_one_chip_of_it_that_is_enough(advice, board):
    chip = advice[board]["as_chip"]
    one, many = (the_line(nsim("run", MLP, "--chip", name, *SHORT, "--json")) for name in (chip, board))
    assert one["time_ps"] == many["time_ps"] and one["energy_fj"] == many["energy_fj"]


def test_every_command_gains_what_is_said(advice):
    better = [each for row in advice.values() for each in row["better"]]
    assert {"loihi", "loihi2"} == {each["chip"] for each in better}
    for each in better:
        after = the_line(nsim(*shlex.split(each["command"])[1:], "--json"))
        assert after["time_ps"] == pytest.approx(each["after"], rel=0.02), each  # of a split: without its placement
        assert each["gain"] == each["before"] / each["after"] > 1


def test_a_network_that_does_not_fit_is_told_why(advice):
    assert "recurrent" in advice["mosaic"]["why_not"] and not advice["mosaic"]["fits"]
    done = nsim("advise", MLP, "--chips", "speck", "--quiet")
    assert (done.returncode, done.stdout) == (1, "")


@pytest.mark.parametrize("width", [80, 100])
def test_the_table_has_every_chip_and_holds_its_width(width, monkeypatch, tmp_path):
    monkeypatch.setenv("COLUMNS", str(width))
    done = nsim("advise", MLP, *SHORT, "--chips", "loihi2,loihi,speck", "--out", "a.parquet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= width
    table = pd.read_parquet(tmp_path / "a.parquet").set_index("chip")
    assert list(table.index) == ["loihi2", "loihi", "speck"] and table["time_ps"].notna().tolist() == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nosuch",), "no network 'nosuch'"),
        (("mlp", "--chips", "loihy"), "loihi"),
        (("mlp", "--chips", ","), "with commas between"),
        (("mlp", "--chips", "loihi,loihi"), "given twice"),
        (("mlp", "--chips", "loihi,loihi2", "--input", "no.npy"), "no.npy does not exist"),
        (("mlp", "--chips", "loihi,loihi2", "--activity", "7"), "7.0: give numbers in 0..1"),
        (("mlp", "--timesteps", "0"), "timesteps is 0"),
        (("mlp", "--out", "a.txt"), "end its name in .csv or .parquet"),
        (("mlp", "--out", "no/a.csv"), "does not exist"),
    ],
)
def test_bad_words_are_refused_in_one_line(words, says, tmp_path):
    assert says in refused("advise", *words, cwd=tmp_path)
    assert not list(tmp_path.iterdir())
