"""The head of a run at 80 columns: read in ten seconds, and nothing that matters is left out."""

import re

import pytest

from nsim.report.words import Basis, Line, brief
from tests.generators.commands import nsim

RUNS = {
    "pilotnet on loihi2": ("run", "pilotnet", "--chip", "loihi2", "--range"),
    "cnn on akd1000": ("run", "cnn", "--chip", "akd1000", "--activity", "0.01", "--range"),
    "overloaded speck": ("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=3e6,seconds=0.0004"),
    "mosaic": ("run", "random:p1=0.9", "--chip", "mosaic", "--activity", "0.1", "--timesteps", "5"),
}
MANAGED = {"management_per_timestep_ps": 30.0, "time_per_timestep_ps": 100.0, "limit": "memory"}


@pytest.mark.parametrize("name", RUNS)
def test_a_head_is_short(name, monkeypatch):
    """Time and energy in a line each, limit in two; the head in at most eleven lines, the caution in five."""
    monkeypatch.setenv("COLUMNS", "80")
    shown = nsim(*RUNS[name]).stdout
    _, *head = shown.split("\n\n")[0].splitlines()
    assert len(head) <= 11 and max(map(len, shown.splitlines())) <= 80
    sizes = {}
    for line in head:
        if found := re.match(r"  (\w+) ", line):
            own = found[1]
        sizes[own] = sizes.get(own, 0) + 1
    assert sizes["time"] == sizes["energy"] == 1 and sizes["limit"] <= 2
    caution = shown.split("  caution")[1].splitlines()
    assert len(caution) <= 5


def test_remarks_go_from_the_end_until_the_line_fits():
    lines = [Line("time", "1 us", ("2 to 3 us within the chip file's ranges", "longest 4 us", "5 us per sample"))]
    remarks = {letters: brief(lines, MANAGED, letters)[0].more for letters in range(100)}
    ranged = "2 to 3 us within the chip file's ranges"
    assert remarks[99] == lines[0].more and remarks[70] == (ranged, "longest 4 us") and remarks[50] == (ranged,)
    assert remarks[30] == ("2 to 3 us by ranges",) and remarks[20] == ()
    for letters, more in remarks.items():
        said = "; ".join(more)
        assert not more or len(f"1 us   ({said})") <= letters


def test_what_is_unknown_of_an_energy_stays_longer_than_its_parts():
    energy = Line("energy", "9 uJ", ("4 uJ dynamic", "5 uJ static", "2 actions unknown"))
    remarks = [brief([energy], MANAGED, letters)[0].more for letters in (90, 46, 40, 26, 9)]
    assert remarks == [
        ("4 uJ dynamic", "5 uJ static", "2 actions unknown"),
        ("4 uJ dynamic", "5 uJ static", "2 unknown"),
        ("2 actions unknown",),
        ("2 actions unknown",),
        (),
    ]


def test_alarms_say_all():
    alarm = Line("limit", "overloaded: core 1", ("and core 2, 3, 4, 5, 6, 7, 8",), alarm=True)
    assert brief([alarm], MANAGED, 20) == [alarm]


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        (MANAGED, True),
        (MANAGED | {"management_per_timestep_ps": 5.0}, False),
        (MANAGED | {"management_per_timestep_ps": 5.0, "limit": "management"}, True),
        ({"limit": "memory"}, False),
    ],
)
def test_management_is_told_where_it_matters(facts, told):
    lines = [Line("manage", "30 ns of every timestep"), Line("ranges", "time moves most with a.b")]
    assert [line.name for line in brief(lines, facts, 99)] == ["manage"] * told


NOTES = ["weights are random", "activity is assumed", "the pipeline takes 2 timesteps"]


def test_no_caution_is_left_out():
    said = Basis(NOTES, {"assumed": ["a", "b"]}, "").caution("-v").said
    assert said == f"{'; '.join(NOTES)}; constants: 2 assumed (-v)"


def test_cautions_without_notes_or_constants():
    assert Basis([], {}, "").caution("-v").said == ""
    assert Basis([], {"fitted": ["a"]}, "").caution("-v").said == "constants: 1 fitted (-v)"
    assert Basis(NOTES[:1], {}, "").caution("-v").said == NOTES[0]
