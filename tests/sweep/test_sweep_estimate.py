"""How long a sweep takes is read off some of its points: which ones, and what follows from them."""

import os
import signal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim.sweep import estimate
from nsim.sweep.estimate import SHARE, WINDOW, WINDOWS, Layout, costs, seconds_of, windows
from nsim.sweep.evaluate import Done, Task, evaluate
from nsim.sweep.executors import without_interrupts
from nsim.sweep.points import Point


def layout_of(kinds: list[int], mappings: list[int]) -> Layout:
    return Layout(np.array(kinds, np.int32), np.array(mappings, np.int64))


def done(seconds: float, first: bool = False, remapped: bool = False) -> Done:
    return Done("00", {}, None, False, seconds, first, remapped)


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=4),
    st.integers(1, 4),
    st.sampled_from([1e-9, 0.02, 5.0]),
    st.randoms(),
)
def test_windows_are_neighbours_of_one_kind_and_no_point_is_timed_twice(sizes, workers, seconds, random):
    kinds = [kind for kind, size in enumerate(sizes) for _ in range(size)]
    missing = sorted(random.sample(range(len(kinds)), random.randint(1, len(kinds))))
    layout = layout_of(kinds, [0] * len(kinds))
    found = list(windows(layout, missing, workers, [(0, done(seconds))]))
    timed = [number for window in found for number in window]
    assert len(timed) == len(set(timed)) and set(timed) <= set(missing)
    assert {kinds[number] for number in timed} == {kinds[number] for number in missing}
    for window in found:
        own = [number for number in missing if kinds[number] == kinds[window[0]]]
        first = own.index(window[0])
        assert own[first : first + len(window)] == window
        assert len(window) <= max(WINDOW, len(own) // SHARE) and (seconds < 1 or len(window) <= WINDOW)
    of_each = [sum(kinds[window[0]] == kind for window in found) for kind in range(len(sizes))]
    assert max(of_each) <= WINDOWS * workers


def test_windows_begin_with_one_point_of_each_kind_and_end_when_time_is_up(monkeypatch):
    layout = layout_of([0] * 100 + [1] * 100, [0] * 200)
    found = list(windows(layout, list(range(200)), 1, []))
    assert [len(window) for window in found] == [1, 1] + [WINDOW] * 2 * (WINDOWS - 1)
    assert found[0][0] < 100 <= found[1][0]
    monkeypatch.setattr(estimate, "TIMED_S", -1.0)
    assert list(windows(layout, list(range(200)), 1, [])) == []


@given(st.integers(1, 3), st.integers(1, 20), st.integers(1, 30))
def test_the_estimate_is_exact_where_costs_are(workers, mappings, seeds):
    """A grid of mappings and seeds: one point of each mapping makes it, in each process that has not made it yet."""
    layout = layout_of([0] * mappings * seeds, np.repeat(np.arange(mappings), seeds).tolist())
    timed = [(0, done(9.0, first=True, remapped=True)), (0, done(1.0, remapped=True)), (0, done(0.25))]
    found = seconds_of(layout, list(range(mappings * seeds)), timed, workers, lambda _: 10**6)
    remapped = min(max(0, workers * mappings - 2), mappings * seeds)
    assert found == pytest.approx(remapped * 1.0 + (mappings * seeds - remapped) * 0.25)
    many = seconds_of(layout, list(range(mappings * seeds)), timed, 1_000, lambda _: 0)
    assert many == pytest.approx(mappings * 1.0 + mappings * (seeds - 1) * 0.25)  # no more than there are changes


def test_windows_of_quick_points_are_longer():
    timed: list = []
    layout = layout_of([0] * 1_000, [0] * 1_000)
    found = windows(layout, list(range(1_000)), 1, timed)
    assert len(next(found)) == 1 and len(next(found)) == WINDOW  # nothing is known yet, or only of a first point
    timed.append((0, done(0.01)))
    assert len(next(found)) == round(estimate.WINDOW_S / 0.01)
    timed.append((1, done(0.0)))
    timed.append((2, done(0.0)))
    assert len(next(found)) == min(round(estimate.WINDOW_S / (0.01 / 3)), 250 // SHARE)


def test_kinds_that_were_not_timed_cost_what_the_others_do():
    layout = layout_of([0] * 10 + [1] * 10 + [2] * 10, list(range(30)))
    timed = [(0, done(1.0, remapped=True)), (10, done(3.0, remapped=True))]
    found = seconds_of(layout, list(range(30)), timed, 1, lambda _: 0)
    assert found == pytest.approx(10 * 1.0 + 10 * 3.0 + 10 * 2.0)  # alike, whether a mapping is made or not
    assert seconds_of(layout, [], timed, 1, lambda _: 0) == 0


def test_a_first_point_counts_only_if_there_is_no_other():
    assert costs([done(5.0, first=True, remapped=True)]) == (5.0, 5.0)
    assert costs([done(5.0, first=True, remapped=True), done(1.0)]) == (1.0, 1.0)
    assert costs([done(2.0, remapped=True), done(1.0), done(2.0)]) == (1.5, 2.0)


def test_a_point_knows_whether_it_was_the_first_and_whether_its_mapping_was_made_for_it():
    def point(width: int, seed: int) -> Task:
        return Task(
            "00", Point(f"mlp:width={width},depth=2,inputs=9", "loihi2", seed=seed, options=(("timesteps", 1),))
        )

    found = [evaluate(point(*which)) for which in ((9, 0), (9, 1), (10, 0), (9, 2))]
    assert [each.error for each in found] == [None] * 4
    assert [(each.first, each.remapped) for each in found] == [
        (True, True),
        (False, False),
        (True, True),
        (False, False),
    ]


def test_ctrl_c_waits_for_the_end_and_children_never_get_it():
    went_on = []
    with pytest.raises(KeyboardInterrupt), without_interrupts():
        os.kill(os.getpid(), signal.SIGINT)
        assert signal.SIGINT in signal.pthread_sigmask(signal.SIG_BLOCK, ())  # what threads and processes inherit
        went_on.append(True)
    assert went_on and signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
