"""The fast engine for chips without timesteps: the machine as arrays for the event loop.

It follows the rules of the SimPy engine to the picosecond; tests compare every service of both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nsim.errors import InputError
from nsim.machine.compiled import events_hooks as hooks
from nsim.machine.compiled.loop import AT_ONCE, NOW, Run, bits_of, wider
from nsim.machine.events import StreamMachine
from nsim.machine.events_times import BY_CORE, SensorEvents, StreamTimes, stream_times
from nsim.network.inputs import PS_PER_SECOND

FIRST_RECORDS = 1 << 15
Progress = Callable[[int, int], None]


def run_stream(
    machine: StreamMachine,
    events: SensorEvents,
    record: bool = False,
    critical_path: bool = False,
    progress: Progress | None = None,
) -> StreamTimes:
    """Simulate the consequences of these sensor events.

    record         keep every service
    critical_path  find out what the time consists of; needs 64 bytes for every service
    progress       called with the sensor events that have entered and their number
    """
    context = _context(machine, events)
    logs = FIRST_RECORDS if record or critical_path else 0
    run = Run(hooks.run_on, machine, context, most_new=machine.most_spikes, services=logs)
    hooks.start(context, *run.arrays)
    while run.advance(min(AT_ONCE, *_rooms(run.context).values())):
        run.context = _widened(run.context)
        if progress:
            progress(int(context.counts[hooks.NEXT_EVENT]), events.t_ps.size)
    outputs = run.context.outputs[:, : context.counts[hooks.LEFT_CHIP]]
    dropped = run.context.dropped[:, : context.counts[hooks.DROPPED]]
    measured = {name: context.work[name].astype(np.int64) for name in BY_CORE} | run.measured()
    measured |= {"entered_ps": context.entered_ps, "state": context.neurons}
    return stream_times(machine, int(run.numbers[NOW]), outputs, dropped, measured, critical_path)


def _context(machine: StreamMachine, events: SensorEvents) -> hooks.Stream:
    bits = bits_of(machine.stations)
    latest = 1 << (62 - bits)  # half of what a key can hold is left for what comes after the last event
    if events.duration_ps >= latest:
        raise InputError(
            f"the events last {events.duration_ps / PS_PER_SECOND:,.0f} s, and the clock of the compiled engine takes "
            f"{latest // PS_PER_SECOND:,}: cut them, or use --engine simpy"
        )
    send, link, output, synapses = (machine.number(kind) for kind in ("send", "link", "output", "synapses"))
    return hooks.Stream(
        first_send=send,
        first_link=link,
        output=output,
        first_synapses=synapses,
        bits=bits,
        tick_ps=machine.tick_ps,
        duration_ps=events.duration_ps,
        cores=machine.cores,
        ways=machine.ways,
        sources=machine.sources,
        weights=machine.weights,
        taps=machine.taps,
        biases=machine.biases,
        drops=machine.drops,
        t_ps=np.ascontiguousarray(events.t_ps, np.int64),
        address=np.ascontiguousarray(events.address, np.int64),
        work=np.zeros(machine.drops.size, hooks.WORK),
        neurons=machine.state.copy(),
        spikes=np.empty(machine.state.size, np.int32),
        copy_at=np.zeros(machine.drops.size + 1, np.int64),
        entered_ps=np.zeros(events.t_ps.size, np.int64),
        outputs=np.empty((3, FIRST_RECORDS), np.int64),
        dropped=np.empty((3, FIRST_RECORDS), np.int64),
        counts=np.zeros(3, np.int64),
    )


def _rooms(context: hooks.Stream) -> dict[str, int]:
    """How many more outputs and drops there is room for. A completion causes at most one of each."""
    used = {"outputs": hooks.LEFT_CHIP, "dropped": hooks.DROPPED}
    return {name: getattr(context, name).shape[1] - int(context.counts[count]) for name, count in used.items()}


def _widened(context: hooks.Stream) -> hooks.Stream:
    """The same with more room for what has filled half of it."""
    full = [name for name, room in _rooms(context).items() if 2 * room < getattr(context, name).shape[1]]
    return context._replace(**{name: wider(getattr(context, name)) for name in full})
