"""What all compiled event loops share: the heap of completions and the queues of stations."""

import heapq
from collections import deque

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nsim.machine.compiled.heap import NEVER, empty_heap, pop, push
from nsim.machine.compiled.queues import GRANTED, MESSAGE, TAKEN, WAITS, admit, ask, idle_stations, take
from nsim.machine.compiled.tandem import clear, empty_lines, enter


@given(st.lists(st.one_of(st.none(), st.integers(0, 2**63 - 2)), max_size=200))
def test_heap_gives_the_smallest_key(actions):
    """None removes the smallest key, a number is added: as Python's own heap, in any order of both."""
    keys: list[int] = []
    heap, size = empty_heap(len(actions)), 0
    for action in actions:
        if action is not None:
            push(heap, size, action)
            heapq.heappush(keys, action)
            size += 1
        elif keys:
            heapq.heappop(keys)
            pop(heap, size)
            size -= 1
        assert heap[0] == (keys[0] if keys else NEVER)


@given(st.integers(1, 4), st.integers(0, 3), st.lists(st.booleans(), max_size=60))
def test_one_queue_fed_by_many(places, wire_ps, asks):
    """True: a further station asks the last one for a place; False: the last one is free. Against lists in Python."""
    feeders = len(asks)
    stations = idle_stations(*(np.full(feeders + 1, value, np.int64) for value in (places, 1, wire_ps)))
    messages = np.zeros(feeders, MESSAGE)
    held, granted, waiting, longest = -1, deque(), deque(), 0
    for now, asking in enumerate(asks):
        if asking:
            stations[now]["current"] = now  # message and feeder have the number of the moment
            answer = ask(stations, messages, now, now, feeders, now)
            if held < 0:
                assert answer == TAKEN
                held = now
            elif len(granted) < places:
                assert answer == GRANTED
                granted.append(now)
                longest = max(longest, len(granted))
            else:
                assert answer == WAITS
                waiting.append(now)
            if answer != WAITS:
                assert messages[now]["ready_ps"] == now + wire_ps
        elif held >= 0:
            held = granted.popleft() if granted else -1
            assert take(stations, messages, feeders) == held
            first = waiting.popleft() if held >= 0 and waiting else -1
            if held >= 0:
                assert admit(stations, messages, feeders, now) == first
            if first >= 0:
                granted.append(first)
                assert messages[first]["owner"] == first
                assert messages[first]["ready_ps"] == now + wire_ps
                assert stations[first]["blocked_ps"] == now - first
        assert stations[feeders]["current"] == held
        assert stations[feeders]["granted"] == len(granted)
        assert stations[feeders]["longest_queue"] == longest


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6)), max_size=30))
def test_a_line_in_closed_form(places, messages):
    """Messages as (moments after the one before, or after its grant if that is later; moments in service).

    The twin steps through the moments: at odd ones the server may become free, at even ones a message may ask.
    """
    lines = empty_lines(np.array([3, places]), np.array([3, len(messages)]))  # the second of two, to test its offset
    taken = np.zeros(3 + len(messages), np.int64)
    clear(lines)
    asked = 0
    found = []
    for gap, service in messages:
        asked += 2 * gap
        granted, took = enter(lines, taken, 1, asked)
        lines[1]["free"] = took // 2 * 2 + 2 * service + 1
        found.append((asked, granted, took))
        asked = (granted + 1) // 2 * 2
    assert ([tuple(row) for row in found], lines[1]["longest_queue"]) == stepped(places, messages)


def stepped(places: int, messages: list[tuple[int, int]]) -> tuple[list[tuple[int, int, int]], int]:
    """The moments of asking, grant and taking of every message, and the longest queue, moment by moment."""
    asked, granted, took = ([-1] * len(messages) for _ in range(3))
    queue: list[int] = []
    held, free, coming, longest = -1, 0, 0, 0
    due = 2 * messages[0][0] if messages else 0
    now = 0
    while -1 in took:
        if held >= 0 and now == free:
            held = -1
        if coming < len(messages) and asked[coming] < 0 and now == due:
            asked[coming] = now
        moved = True
        while moved:
            moved = False
            if held < 0 and queue:
                held = queue.pop(0)
                took[held], moved = now, True
            elif coming < len(messages) and asked[coming] >= 0 and (held < 0 or len(queue) < places):
                granted[coming], moved = now, True
                if held < 0:
                    held = coming
                    took[held] = now
                else:
                    queue.append(coming)
                    longest = max(longest, len(queue))
                coming += 1
                if coming < len(messages):
                    due = (now + 1) // 2 * 2 + 2 * messages[coming][0]
            if moved and held >= 0 and took[held] == now:
                free = now // 2 * 2 + 2 * messages[held][1] + 1
        now += 1
    return list(zip(asked, granted, took, strict=True)), longest
