"""What the benchmark of both stages makes of its runs: times at equal loss."""

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

from benchmarks.two_stage_cores import EQUAL_LOSS, Trained, at_equal_loss, gains, interval


def points(arm, *pairs, seed=0):
    return [Trained("chip", seed, arm, number, lost, time_us, 1.0) for number, (lost, time_us) in enumerate(pairs)]


def test_time_at_equal_loss_is_interpolated_in_its_logarithm():
    found = at_equal_loss(points("synops", (0.0, 100.0), (2 * EQUAL_LOSS, 25.0)))
    assert found == pytest.approx(50.0)


def test_a_point_that_another_is_faster_and_better_than_does_not_count():
    line = points("synops", (0.0, 100.0), (2 * EQUAL_LOSS, 25.0))
    worse = points("synops", (EQUAL_LOSS, 80.0), (0.9 * EQUAL_LOSS, 40.0))
    assert at_equal_loss([*line, *worse]) == at_equal_loss([*line, worse[1]]) < at_equal_loss(line)


def test_gains_are_paired_by_seed():
    rows = [row for seed, time in ((0, 10.0), (1, 30.0)) for row in points("synops", (0.0, time), seed=seed)]
    rows += [row for seed, time in ((1, 10.0), (0, 5.0)) for row in points("max-work", (0.0, time), seed=seed)]
    assert gains(rows, "chip", "synops", "max-work") == pytest.approx([2.0, 3.0])


def test_equal_ratios_have_an_interval_of_no_width():
    assert interval([2.0, 2.0, 2.0]) == pytest.approx((2.0, 2.0, 2.0))
    mean, low, high = interval(np.exp([-0.1, 0.1]))
    assert mean == pytest.approx(1.0)
    assert low == pytest.approx(1 / high)
