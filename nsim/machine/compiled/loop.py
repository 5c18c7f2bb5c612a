"""The compiled event loop of all disciplines: completions in order, slots, blocking, causes and the log.

Imports only numpy, numba and the kernels beside it: `heap.py` gives the next completion, `queues.py` says who gets a
slot. It is the twin of `nsim.machine.simpy.simulation`, service by service.

A discipline gives a context (a NamedTuple of arrays and integers) and three functions compiled with `njit(**HOOK)`:
  ended(context, numbers, stations, messages, heap, station, now) -> onward, message
      the service of `stations[station].current` has ended: which message goes on, it or a new copy of it, and where
      that asks for a slot; or ABSORBED, if its way ends here
  goes_on(context, numbers, stations, messages, heap, station, now) -> what, message, onward
      the station has handed on what it served and does one of: QUEUE (takes its next message), AGAIN (serves the same
      message once more), HOLDS (serves this message of its own), HANDS (hands this message to `onward`, and is asked
      again once that has a slot), or IDLE (nothing; the hook has set `current` to -1 if the station is free)
  begin(context, numbers, stations, messages, station, message, now) -> service_ps
      the station takes a message; how long its service lasts
`specialised(name, ended, goes_on, begin)` compiles the loop with them, `Run` holds its arrays and lets it run; the
first services are planned with `begins` before. `tests/generators/toy.py` is a whole discipline in this way.
"""

from types import FunctionType
from typing import Any
from zlib import crc32

import numpy as np
from numba import njit

from nsim.machine.compiled.heap import empty_heap, pop, push
from nsim.machine.compiled.queues import MESSAGE as QUEUED
from nsim.machine.compiled.queues import STATION as SERVER
from nsim.machine.compiled.queues import TAKEN, WAITS, admit, ask, idle_stations, take
from nsim.machine.services import SERVICE

ABSORBED = -1
IDLE, AGAIN, HANDS, HOLDS, QUEUE = range(5)

# Slots of the loop's own numbers: the time, the keys in the heap, the last completion, the list of messages given back,
# the first message never used, and how many completions may follow before the loop returns; a hook may set that to 0.
NOW, PENDING, HANDLED, UNUSED, FRESH, BUDGET = range(6)

STATION = np.dtype(
    [
        *SERVER.descr,
        ("start_ps", np.int64),  # of the service under way
        ("busy_ps", np.int64),  # of all services begun; served likewise
        ("served", np.int64),
        ("cause", np.int64),  # completion that let the service under way start
    ]
)
MESSAGE = np.dtype(
    [
        *QUEUED.descr,
        ("spike", np.int64),  # see Service
        ("origin", np.int64),
        ("before", np.int64),  # its last completion, or that which caused it; kept only if recorded
    ]
)

# Numba counts references to every array that is passed on, which costs more than a small function's own work. Functions
# that allocate nothing go without, as Numba's own sort does: their callers hold the arrays.
UNCOUNTED: dict[str, Any] = {"nogil": True, "_nrt": False}
HOOK: dict[str, Any] = {**UNCOUNTED, "inline": "always"}

MEASURED = ("busy_ps", "blocked_ps", "served", "longest_queue")  # by station, see nsim.machine.times
FIRST_MESSAGES = 1 << 12
AT_ONCE = 1 << 21  # completions in one call of the loop: some tenths of a second, after which Ctrl-C is heard


@njit(**HOOK)
def new_message(numbers, messages, spike, origin, before, now):
    """A message that can be served from now on; numbers are used again, last first, so that few stay few and near."""
    message = numbers[UNUSED]
    if message >= 0:
        numbers[UNUSED] = messages[message].following
    else:
        message = numbers[FRESH]
        numbers[FRESH] += 1
    messages[message].spike, messages[message].origin = spike, origin
    messages[message].target, messages[message].before = -1, before
    messages[message].granted_by, messages[message].ready_ps = -1, now
    return message


@njit(**HOOK)
def begins(numbers, stations, heap, bits, station, message, start_ps, service_ps, cause):
    """A station holds a message and serves it from start_ps on. cause: the completion that let it, -1 for none."""
    push(heap, numbers[PENDING], (start_ps + service_ps) << bits | station)
    numbers[PENDING] += 1
    stations[station].current = message
    stations[station].start_ps, stations[station].cause = start_ps, cause
    stations[station].busy_ps += service_ps
    stations[station].served += 1


@njit(**HOOK)
def write(log, handled, stations, messages, station, message, now):
    """Log the service that has just ended."""
    log[handled].station, log[handled].target = station, messages[message].target
    log[handled].spike, log[handled].origin = messages[message].spike, messages[message].origin
    log[handled].start_ps, log[handled].end_ps, log[handled].left_ps = stations[station].start_ps, now, now
    log[handled].cause, log[handled].before = stations[station].cause, messages[message].before
    stations[station].entry = handled
    messages[message].before = handled


def loop(context, numbers, stations, messages, heap, log, bits, most):
    """Handle completions until none is pending, the budget is spent, or more than `most` messages have been used.

    numbers, stations, messages, heap   see above and heap.py
    log    SERVICE[room], with room for every completion of the budget, or SERVICE[0]: nothing is recorded
    bits   of a station number in a key
    """
    mask = (np.int64(1) << bits) - 1
    record = log.size > 0
    while numbers[PENDING] > 0 and numbers[BUDGET] > 0 and numbers[FRESH] <= most:
        station, now = heap[0] & mask, heap[0] >> bits
        pop(heap, numbers[PENDING])
        numbers[PENDING] -= 1
        numbers[BUDGET] -= 1
        handled = numbers[HANDLED] + 1
        numbers[HANDLED], numbers[NOW] = handled, now

        onward, message = ended(context, numbers, stations, messages, heap, station, now)  # noqa: F821
        if record:
            write(log, handled, stations, messages, station, message, now)
        freed, taken = station, np.int64(-1)  # a station that has handed on its message, and one that takes `message`
        if onward < 0:
            messages[message].following = numbers[UNUSED]
            numbers[UNUSED] = message
        else:
            answer = ask(stations, messages, station, message, onward, now)
            messages[message].granted_by = handled
            taken = onward if answer == TAKEN else taken
            freed = -1 if answer == WAITS else freed

        while taken >= 0 or freed >= 0:
            if taken < 0:
                station, freed = freed, np.int64(-1)
                if record:
                    log[stations[station].entry].left_ps = now
                what, message, onward = goes_on(context, numbers, stations, messages, heap, station, now)  # noqa: F821
                if what == HANDS:
                    answer = ask(stations, messages, station, message, onward, now)
                    messages[message].granted_by = handled
                    freed = station if answer != WAITS else freed
                    if answer != TAKEN:
                        continue
                    taken = onward
                elif what == QUEUE:
                    message = take(stations, messages, station)
                    if message < 0:
                        continue
                    taken = station
                    waiting = admit(stations, messages, station, now)
                    if waiting >= 0:
                        freed = np.int64(messages[waiting].owner)
                        messages[waiting].granted_by = handled
                elif what == HOLDS:
                    taken = station
                else:
                    if what == AGAIN:
                        again_ps = stations[station].service_ps
                        begins(numbers, stations, heap, bits, station, message, now, again_ps, handled)
                    continue
            start_ps = max(now, messages[message].ready_ps)
            cause = messages[message].granted_by if start_ps > now else handled
            service_ps = begin(context, numbers, stations, messages, taken, message, now)  # noqa: F821
            begins(numbers, stations, heap, bits, taken, message, start_ps, service_ps, cause)
            taken = -1


def specialised(name, ended, goes_on, begin):
    """The loop compiled with these hooks.

    It has a name and globals of its own, so that Numba's cache on disk keeps it apart; closures, or hooks as arguments,
    would never be found there. The name changes with the code of the loop and the hooks: Numba looks for changes in
    this file only.
    """
    hooks = {"ended": ended, "goes_on": goes_on, "begin": begin}
    codes = [loop.__code__, *(getattr(hook, "py_func", hook).__code__ for hook in hooks.values())]
    own = FunctionType(loop.__code__, {**globals(), **hooks}, name)
    own.__qualname__ = (
        f"{name}_{crc32(repr([(code.co_code, code.co_consts, code.co_names) for code in codes]).encode()):08x}"
    )
    own.__module__ = __name__
    return njit(cache=True, **UNCOUNTED)(own)


class Run:
    """The arrays of one run of a specialised loop, which grow as it goes on.

    loop       see `specialised`
    context    of the discipline
    numbers, stations, messages, heap, bits   of the loop; bits of a station number in a key
    """

    def __init__(self, loop, machine, context, most_new=0, services=0):
        """All stations idle.

        machine    see nsim.machine.machine.Machine
        most_new   messages that one completion may make, beyond one by each station
        services   room for so many in the log, which grows from there on; 0: nothing is recorded
        """
        self.loop, self.context = loop, context
        self.bits = bits_of(machine.capacity.size)
        self.stations = np.zeros(machine.capacity.size, STATION)
        idle = idle_stations(machine.capacity, machine.service_ps, machine.wire_ps)
        for name in SERVER.names:
            self.stations[name] = idle[name]
        self.margin = 2 * self.stations.size + most_new
        self.messages = np.empty(FIRST_MESSAGES + self.margin, MESSAGE)
        self.heap = empty_heap(self.stations.size)
        self.numbers = np.empty(6, np.int64)
        self.clear(services)

    def clear(self, services=0):
        """Before the first completion again; nothing is measured yet."""
        self.numbers[:] = 0, 0, -1, -1, 0, 0
        self.log = np.empty(services, SERVICE)
        for name in MEASURED:
            self.stations[name] = 0

    @property
    def arrays(self):
        """What functions that plan the first services take after the context."""
        return self.numbers, self.stations, self.messages, self.heap, self.bits

    @property
    def services(self):
        """The log so far."""
        return self.log[: self.numbers[HANDLED] + 1]

    def advance(self, completions=AT_ONCE):
        """Handle at most so many completions, of which the log may take fewer; whether more are pending."""
        if self.numbers[FRESH] > self.messages.size - self.margin:
            self.messages = wider(self.messages)
        handled = int(self.numbers[HANDLED]) + 1
        if self.log.size:
            if handled == self.log.size:
                self.log = wider(self.log)
            completions = min(completions, self.log.size - handled)
        self.numbers[BUDGET] = completions
        arrays = self.numbers, self.stations, self.messages, self.heap, self.log
        self.loop(self.context, *arrays, self.bits, self.messages.size - self.margin)
        return self.numbers[PENDING] > 0

    def measured(self):
        """What stations measured, and the log so far, as `nsim.machine.times.StationTimes` names them."""
        by_station = {name: self.stations[name].astype(np.int64) for name in MEASURED}
        return by_station | {"services": self.services}


def bits_of(stations):
    """Bits of a station number in a key: time << bits | station."""
    return max(1, (stations - 1).bit_length())


def wider(array):
    """Twice as much room along the last axis; what there is keeps its slot."""
    return np.concatenate((array, np.empty_like(array)), axis=-1)
