"""Rows of measured against simulated: frozen for every chip, and how near those of the Akida chips must be."""

from __future__ import annotations

import importlib

import numpy as np
import pytest

from benchmarks import readme
from benchmarks.validation import akd1500, comparison, picture, pilotnet
from benchmarks.validation.comparison import CHIPS, FROZEN, Row, frozen, write_csv
from nsim.chip.file import load_chip

AGAIN = "rows moved: look why, then write them anew, python -m benchmarks.validation.CHIP --csv FILE"
SHORTENED = "Simulated at the published spike counts"  # of speck, whose quick rows are of a tenth of the events


def lines(rows: list[Row], file) -> list[str]:
    write_csv(rows, file)
    return file.read_text(encoding="utf-8").splitlines()


LONG = "akd1000"  # whose mappings take long: with the slow tests only
RUNS = [(chip, True) for chip in CHIPS if chip != LONG]
RUNS += [pytest.param(chip, False, marks=pytest.mark.slow) for chip in CHIPS]


@pytest.mark.parametrize(("chip", "quick"), RUNS)
def test_no_row_moves_unseen(chip, quick, tmp_path):
    """Those of the trained PilotNet are simulated where its file is."""
    module = importlib.import_module(f"benchmarks.validation.{chip}")
    found = list(module.all_rows(load_chip(chip), quick, "compiled"))
    known = (FROZEN / f"{chip}.csv").read_text(encoding="utf-8").splitlines()
    if quick:
        own = lines([row for row in found if not row.part.startswith(SHORTENED)], tmp_path / "rows.csv")
        assert len(own) > 5
        assert [line for line in own if line not in known] == [], AGAIN
        return
    if not pilotnet.TRAINED.exists():
        known = [line for line in known if not line.startswith(f'"{pilotnet.TRAINED_PART}')]
    assert lines(found, tmp_path / "rows.csv") == known, AGAIN


@pytest.mark.parametrize("chip", CHIPS)
def test_rows_are_read_as_they_were_written(chip, tmp_path):
    assert lines(frozen(chip), tmp_path / "rows.csv") == (FROZEN / f"{chip}.csv").read_text("utf-8").splitlines()


def test_the_documents_say_what_the_rows_say():
    """python -m benchmarks.readme --tables writes them."""
    stale = [path.name for path, now, new in readme.pages(commands=False) if now != new]
    assert stale == []


@pytest.mark.parametrize("chip", CHIPS)
def test_every_row_with_two_numbers_is_in_the_picture(chip):
    drawn = [point.error for point in picture.points_of(chip)]
    rows = [row for row in frozen(chip) if row.comparable]
    slow = [row.measured / row.simulated - 1 if row.unit == "fps" else row.error for row in rows]  # drawn as times
    assert drawn == pytest.approx(slow)


@pytest.mark.parametrize("chip", CHIPS)
def test_every_row_says_whether_its_constants_were_chosen_with_it_in_sight(chip):
    for row in frozen(chip):
        assert row.constants in (comparison.FITTED, comparison.INPUT, comparison.PARTLY, comparison.INDEPENDENT)
        assert row.why
        assert row.source


def test_the_trained_pilotnet_is_within_20_percent():
    """Of its 152.8 us and 68.3 uJ per timestep, on the 74 cores that were logged."""
    rows = {row.anchor: row for row in frozen("loihi2") if row.part == pilotnet.TRAINED_PART}
    assert abs(rows["mean timestep"].error) < 0.2
    assert abs(rows["dynamic energy per timestep"].error) < 0.2
    assert rows["cores"].simulated == 74


def test_layers_are_within_20_percent_and_their_median_within_8():
    errors = [abs(row.error) for row in frozen("akd1500") if "layers" in row.part and row.unit == "clk"]
    assert len(errors) == 36
    assert max(errors) <= 0.2
    assert np.median(errors) <= 0.08


def test_totals_of_networks_with_measured_activity_are_within_10_percent_in_all_modes():
    totals = {row.part: abs(row.error) for row in frozen("akd1500") if row.anchor == "clocks"}
    modes = [f"{name}, {mode}" for name, mode in akd1500.TOTALS if name != "yolov2"]
    assert len(modes) == 7
    assert {part for part, error in totals.items() if error > 0.1}.isdisjoint(modes)
    assert set(modes) <= set(totals)


def test_every_row_of_akd1000_is_as_it_should_be():
    rows = frozen("akd1000")
    assert [row.anchor for row in rows if row.verdict == "OUTSIDE"] == []
    within = {row.anchor for row in rows if row.verdict == "within"}
    assert within >= {"one image", "ten images, pipelined", "AkidaNet-1.0-160, all-nps: NPs", "FC 16 to 10, 1 bit"}
