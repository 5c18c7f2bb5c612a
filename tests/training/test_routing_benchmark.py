"""The benchmark of routing-aware training: its statistics on numbers made by hand, and a quick run of all of it."""

import csv
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.image import imread
from scipy.stats import spearmanr, ttest_ind

pytest.importorskip("jax")
pytest.importorskip("optax")

from benchmarks import real_speech, routing_aware, routing_statistics
from benchmarks.routing_fits import PROBABILITY, drawn, fits, sized_for, widest, with_lines
from benchmarks.routing_statistics import (
    Point,
    bootstrap,
    factor_at_equal_accuracy,
    frontier,
    gain_at_equal_memory,
    mean,
    mean_difference,
    means_of,
    rank_correlation,
    share,
)
from benchmarks.routing_verdicts import PROFILES, PUBLISHED, Row, points_of, tables, verdicts_of
from nsim.cli.experiments import write
from nsim.errors import InputError
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import fabric_of, mosaic
from nsim.mapping.tiles.profile import random_network
from nsim.training.data.spoken import SHD_FILES, load_split
from tests.generators.mosaic_chips import MOSAIC
from tests.generators.spoken_files import write_digits


@pytest.fixture(autouse=True)
def few_resamples(monkeypatch):
    """Enough to see that the interval is there."""
    monkeypatch.setattr(routing_statistics, "RESAMPLES", 200)


def means(*pairs):
    """Of settings, each with its memory and accuracy."""
    return means_of([point(*pair) for pair in pairs])


def point(memory, accuracy):
    return Point(np.atleast_1d(np.asarray(memory, float)), np.atleast_1d(np.asarray(accuracy, float)))


def test_the_mean_has_students_interval():
    """1, 2, 3: standard error 1 / sqrt(3), and t with 2 degrees of freedom is 4.303 (any table)."""
    found = mean([1.0, 2.0, 3.0])
    assert found.value == 2 and found.high - 2 == pytest.approx(4.303 / np.sqrt(3), abs=1e-3) == 2 - found.low
    assert np.isnan(mean([5.0]).low)


@given(st.lists(st.floats(-50, 50), min_size=2, max_size=6), st.lists(st.floats(-50, 50), min_size=3, max_size=5))
def test_the_difference_of_two_samples_is_welchs(first, second):
    a, b = np.array(first), np.array(second)
    if min(a.std(), b.std()) < 1e-3:
        return
    found, theirs = mean_difference([(a, b)]), ttest_ind(a, b, equal_var=False).confidence_interval(0.95)
    assert found.value == pytest.approx(a.mean() - b.mean(), abs=1e-9)
    assert (found.low, found.high) == pytest.approx((theirs.low, theirs.high), rel=1e-6, abs=1e-6)


def test_the_difference_of_several_pairs_is_the_mean_of_theirs():
    pairs = [(np.array([3.0, 5.0]), np.array([1.0, 1.0])), (np.array([1.0, 1.0]), np.array([1.0, 3.0]))]
    found = mean_difference(pairs)
    assert found.value == 1.0 and found.low < 1.0 < found.high
    alone = mean_difference(pairs[:1])
    assert mean_difference([pairs[0], pairs[0]]).value == alone.value


def test_the_interval_of_a_share_is_exact():
    """0 of 10: 1 - 0.025^(1/10) = 0.3085; the rule of Clopper and Pearson has no lower end above 0 there."""
    found = share(0, 10)
    assert (found.value, found.low) == (0, 0) and found.high == pytest.approx(1 - 0.025**0.1)
    assert share(10, 10).low == pytest.approx(0.025**0.1)


def test_rank_correlation_of_an_order_of_its_reverse_and_of_noise():
    """4 distinct values in order: rho = 1, and 1 of 24 orders is as good."""
    rng = np.random.default_rng(0)
    rho, probability = rank_correlation(np.arange(4.0), np.array([1.0, 4.0, 9.0, 16.0]), rng)
    assert rho == pytest.approx(1) and probability == pytest.approx(1 / 24, abs=0.01)
    assert rank_correlation(np.arange(6.0), -np.arange(6.0), rng, 999)[1] == 1.0
    assert rank_correlation(np.zeros(3), np.arange(3.0), rng) == (0.0, 1.0)
    x, y = np.repeat(np.arange(4.0), 5), np.round(rng.random(20), 1)  # with ties in both
    rho, probability = rank_correlation(x, y, rng)
    theirs = spearmanr(x, y, alternative="greater")
    assert rho == pytest.approx(theirs.statistic) and probability == pytest.approx(theirs.pvalue, abs=0.03)


def test_the_frontier_never_falls():
    memory, accuracy = frontier(means((40, 50), (10, 30), ([19, 21], [59, 61])))
    np.testing.assert_array_equal(memory, [10, 20, 40])
    np.testing.assert_array_equal(accuracy, [30, 60, 60])


def test_the_gain_at_equal_memory_is_interpolated_over_the_logarithm():
    """Theirs: 20 % at 100, 40 % at 10,000, so 30 % at 1,000; ours has 36 % there, and 90 % beyond their range."""
    theirs = means((100, 20), (10_000, 40))
    assert gain_at_equal_memory(means((1_000, 36), (50_000, 90)), theirs) == pytest.approx(6)
    assert gain_at_equal_memory(means((50, 36)), theirs) is None
    inside_ours = means((10, 30), (1_000, 50))  # at 100 theirs has 20, ours 40
    assert gain_at_equal_memory(inside_ours, means((100, 20))) == pytest.approx(20)


def test_the_factor_at_equal_accuracy():
    """Theirs needs 8,000 for its best 40 %; ours reaches it halfway, in logarithms, between 100 and 10,000."""
    theirs = means((8_000, 40), (20_000, 38))
    assert factor_at_equal_accuracy(means((100, 30), (10_000, 50)), theirs) == pytest.approx(8)
    assert factor_at_equal_accuracy(means((100, 45)), theirs) == pytest.approx(80)
    assert factor_at_equal_accuracy(means((100, 39)), theirs) is None


@given(st.floats(0.01, 100), st.floats(-20, 20))
def test_what_is_scaled_in_memory_and_shifted_in_accuracy(scale, shift):
    """Against itself with other memory the factor is that of the memories; with other accuracy the gain is that."""
    here = means((100, 20), (300, 35), (900, 50))
    assert factor_at_equal_accuracy(here, here._replace(memory=here.memory * scale)) == pytest.approx(scale)
    better = here._replace(accuracy=here.accuracy + shift)
    assert gain_at_equal_memory(better, here) == pytest.approx(shift, abs=1e-9)


def test_the_bootstrap_covers_what_seeds_leave_open():
    rng = np.random.default_rng(0)
    theirs = [point([90, 100, 110], [20, 22, 24]), point([900, 1_000, 1_100], [30, 30, 33])]
    found = bootstrap(gain_at_equal_memory, [point([480, 500, 520], [38, 40, 42])], theirs, rng)
    assert found.defined == 1.0
    assert found.estimate.low < found.estimate.value < found.estimate.high
    sure = bootstrap(gain_at_equal_memory, [point(500, 40)], [point(100, 20), point(1_000, 30)], rng)
    assert sure.estimate.low == sure.estimate.value == sure.estimate.high
    assert bootstrap(factor_at_equal_accuracy, [point(500, 10)], theirs, rng).estimate is None


FABRIC = Fabric(3, 3, 8)


def test_the_sized_fabric_holds_random_networks_with_the_stated_probability():
    """Of networks that did not size it: 500 draws leave three standard errors of 1 %."""
    chip, rng = sized_for(FABRIC, "p1=0.5,p3=0.25"), np.random.default_rng(99)
    held = [fits(FABRIC, random_network(FABRIC, {1: 0.5, 3: 0.25}, rng), chip, "published") for _ in range(500)]
    assert PROBABILITY - 0.03 <= np.mean(held) <= 0.999


def test_ports_as_wide_as_needed_fit_and_one_line_less_does_not():
    """As wide as one network needs, port by port: it fits; without one line of any port that it uses, not."""
    routing = drawn(FABRIC, "p1=0.5,p3=0.25", 1, seed=3)[0]
    network = random_network(FABRIC, {1: 0.5, 3: 0.25}, np.random.default_rng(3))
    lines = widest(routing)
    assert fits(FABRIC, network, with_lines(lines), "published")
    narrowed = 0
    for kind, group in np.argwhere(lines > 0):
        less = lines.copy()
        less[kind, group] -= 1
        if (kind, group) not in ((1, 0),):  # what enters an R1 from its tiles is wired whole, used or not
            assert not fits(FABRIC, network, with_lines(less), "published")
            narrowed += 1
    assert narrowed > 6
    assert fabric_of(mosaic(MOSAIC)).neurons == 32  # the shipped chip is as it was


def made_up(accuracy, memory=lambda p1, p3: 100_000 * (p1 + 10 * p3), l1_memory=5_000_000, seeds=3, l1=50.0):
    """deepr-profile networks with this accuracy by profile, and l1 ones of two sizes."""
    base = Row(
        *("deepr-profile", "", 0.0, 0.0, 0, "synthetic spoken digits", 0.0, 0.0, 1, 0, 0, 100, 10, 0),
        *(False, True, True, True),
    )
    rows = []
    for p1, p3 in PROFILES:
        for seed in range(seeds):
            size = int(memory(p1, p3))
            rows.append(
                replace(
                    base, setting=f"{p1}-{p3}", p1=p1, p3=p3, seed=seed, test_accuracy_percent=accuracy(p1, p3) + seed,
                    provisioned_elements=size, programmed_elements=size,
                )
            )  # fmt: skip
    for size in (l1_memory, 2 * l1_memory):
        rows += [
            replace(
                base, method="l1", setting=f"l1-{size}", p1=0.5, p3=0.1, seed=seed, test_accuracy_percent=l1 + seed,
                provisioned_elements=size, programmed_elements=size,
                fits_sized=False, fits_sized_by_fitting_routes=False,
            )
            for seed in range(seeds)
        ]  # fmt: skip
    return rows


def told(rows, text):
    found = [each for each in verdicts_of(rows, np.random.default_rng(0), 0.95) if text in each.claim]
    assert len(found) == 1
    return found[0]


def test_published_numbers_would_hold():
    rows = made_up(lambda p1, p3: PUBLISHED[p1, p3])
    assert told(rows, "p1 = 0.5").holds and told(rows, "p1 = 1.0").holds and told(rows, "all links at 1 hop").holds
    assert told(rows, "spreads little").holds and told(rows, "as often as random").holds
    assert told(rows, "fit less often").holds


def test_rewiring_is_counted():
    rows = made_up(lambda p1, p3: 50.0)
    assert not told(rows, "rewiring").holds and "none in 24 of 24" in told(rows, "rewiring").measured
    moved = [replace(row, links_moved=2 if row.seed else 0) for row in rows]
    assert told(moved, "rewiring").holds and "13.33 % of the links" in told(moved, "rewiring").measured


def test_the_contrary_does_not_hold():
    rows = made_up(lambda p1, p3: 60 - 40 * p3 - 5 * p1 + 0 * p3)
    assert not told(rows, "p1 = 0.5").holds and not told(rows, "all links at 1 hop").holds
    noisy = [replace(row, test_accuracy_percent=row.test_accuracy_percent + 6 * row.seed) for row in rows]
    assert not told(noisy, "spreads little").holds
    misfits = [replace(row, fits_sized=row.method == "l1") for row in rows]
    assert not told(misfits, "as often as random").holds and not told(misfits, "fit less often").holds


def test_memory_that_does_not_overlap_is_not_compared():
    """l1 takes 5 M and more, deepr-profile 50 k to 400 k: its 70 + seed against 50 + seed are told, no more."""
    found = told(made_up(lambda p1, p3: 70.0), "more accurate than l1 at equal memory, provisioned")
    assert not found.holds and "no l1 network is so small" in found.measured and "20.0" in found.measured
    smaller = told(made_up(lambda p1, p3: 70.0, l1_memory=1_000), "more accurate than l1 at equal memory, provisioned")
    assert not smaller.holds and "do not overlap" in smaller.measured


def test_equal_memory_is_compared_where_the_ranges_overlap():
    """l1 has 50 + seed at 40 k and at 80 k and more; deepr-profile 70 + seed, with 50 k among others."""
    found = told(made_up(lambda p1, p3: 70.0, l1_memory=40_000), "more accurate than l1 at equal memory, provisioned")
    assert found.holds and found.measured.startswith("20.0 (")


def test_less_memory_at_equal_accuracy_is_a_factor_or_is_not_reached():
    """l1 reaches 51 in the mean with 5 M; the smallest of deepr-profile, 50 k, has 71: 100 times."""
    found = told(made_up(lambda p1, p3: 70.0), "best accuracy of l1 with less memory, provisioned")
    assert found.holds and found.measured.startswith("100.0 times")
    never = told(made_up(lambda p1, p3: 20.0), "best accuracy of l1 with less memory, provisioned")
    assert not never.holds and "reached in 0%" in never.measured


def test_table_and_figure_are_written(tmp_path):
    rows = made_up(lambda p1, p3: PUBLISHED[p1, p3])
    write("routing_aware", routing_aware.outcome(rows, 0), tmp_path)
    with (tmp_path / "routing_aware.csv").open() as file:
        assert [row["setting"] for row in csv.DictReader(file)] == [row.setting for row in rows]
    assert imread(tmp_path / "routing_aware.png")[..., :3].std() > 0.02
    assert len(points_of(rows, "l1", "programmed")) == 2


def test_tables_show_means_beside_the_published():
    shown = tables(made_up(lambda p1, p3: 50 + 100 * p3))
    assert "| 0.5 | 0.1 | 61.0 (58.5 to 63.5) % | 1.0 | 66.3 % |" in shown  # 60, 61, 62: 4.303 / sqrt(3) either side
    assert "| l1-5000000 | 3 | 51.0 (48.5 to 53.5) % | 0.1 k | 5,000.0 k | 5,000.0 k |" in shown


def test_without_the_folder_of_shd_there_is_one_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"shd_train\.h5"):
        routing_aware.main(["--data", "shd"])


@pytest.mark.slow
def test_a_quick_run_leaves_table_figure_and_verdicts(tmp_path):
    """On a generated file."""
    out = tmp_path / "out"
    data = write_digits(tmp_path / "digits.h5")
    verdicts = routing_aware.main(["--quick", "--data", str(data), "--out", str(out), "--workers", "1"])
    with (out / "routing_aware.csv").open() as file:
        table = list(csv.DictReader(file))
    assert {row["method"] for row in table} == {"deepr-profile", "l1", "memory-aware", "hop-penalty"}
    assert len({verdict.claim for verdict in verdicts}) == len(verdicts) > 8
    assert all(row["data"] == "synthetic spoken digits" for row in table)
    assert imread(out / "routing_aware.png")[..., :3].std() > 0.02


def test_files_in_the_layout_of_shd_are_taken(tmp_path):
    """Two files without the attribute of generated ones, in one folder; too few samples to be called SHD."""
    for name, seed in zip(SHD_FILES, (0, 1), strict=True):
        write_digits(tmp_path / name, seed=seed)
        with h5py.File(tmp_path / name, "a") as file:
            del file["extra/split"]
            del file.attrs["generator"]
    train, test = load_split(tmp_path)
    assert len(train) == len(test) == 60
    assert not {train.name, test.name} & {"SHD", "synthetic spoken digits"}


@pytest.mark.slow
def test_recorded_speech_is_chosen_on_validation_and_goes_on_where_it_was_stopped(tmp_path, capsys):
    """Seeds of the choice are none of the test; a second run trains nothing again, and says the same."""
    data = str(write_digits(tmp_path / "digits.h5"))
    arguments = [data, "--kept", str(tmp_path / "kept"), "--quick", "--seeds", "2", "--rivals", "2"]
    arguments += ["--out", str(tmp_path / "out")]
    verdicts = real_speech.main(arguments)
    first = capsys.readouterr().out
    with (tmp_path / "out" / "real_speech.csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    seeds = {int(row["seed"]) for row in table}
    assert seeds == {0, 1} and not seeds & set(real_speech.CHOICE_SEEDS)
    assert {row["method"] for row in table} == {"deepr-profile", "links anywhere", "l1", "hop-penalty", "deepr-global"}
    assert any("links anywhere" in str(verdict) for verdict in verdicts)
    again = [str(verdict) for verdict in real_speech.main(arguments)]
    assert again == [str(verdict) for verdict in verdicts]
    told = [line for line in first.splitlines() if re.match(r".+-seed\d+: ", line)]
    assert len(told) == len(set(told)) > 20 and not re.search(r"-seed\d+: ", capsys.readouterr().out)
