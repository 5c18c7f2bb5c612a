"""What one event does to a core: add a turned-round kernel to the neurons it reaches, and find those that fire.

Weights that are zero are skipped at the read: their neurons are not touched, so they cost nothing and cannot fire, even
if they are still above threshold from the event before.

Imports only numpy and numba; both engines call `integrate` and `sweep`. Layout (all cores behind one another):
  state    int16, (row, column, channel) of a core's neurons, so that a row of kernel positions is one contiguous run
  weights  int16, [input channel][row phase][column phase][row][column][channel]: for every phase (position + padding)
           mod stride the kernel positions that are used, in descending order, which is ascending in the output
  taps     int32, as weights without the channels: how many of a position's weights are not zero
Slices are passed instead of offsets: with an offset Numba keeps the test for negative indices and does not vectorise.
"""

import numpy as np
from numba import njit

LOWEST, HIGHEST = -(2**15), 2**15 - 1  # 16-bit state saturates at both ends
COORDINATE_BITS = 8  # of a row or column in an address; the channel is above them


# One record per core, so that all that is known of it lies together; unused cores have no channels.
CORE = np.dtype(
    [
        (name, np.int64)
        for name in (
            *("channels", "rows", "columns"),  # of the layer's neurons
            *("kernel_rows", "kernel_columns", "stride_rows", "stride_columns", "padding_rows", "padding_columns"),
            "threshold",  # fires at state >= threshold
            "to_zero",  # 1: a spike resets to zero, 0: it subtracts the threshold
            *("first_neuron", "first_weight", "first_tap", "first_bias"),  # where its part of the flat arrays begins
            "biased",  # 1: the slow clock adds a bias by channel to all neurons
            "decimation",  # passes one of so many spikes
            *("event_ps", "synop_ps", "update_ps"),  # costs: per event, per synaptic operation, per neuron of a sweep
        )
    ]
)

# One record per copy that a source can send. Sources are the cores, then the sensor.
WAY = np.dtype(
    [
        (name, np.int64)
        for name in (
            "station",  # that takes the copy: the link into a core, or the output
            *("pool_rows", "pool_columns"),  # window of the sum pooling
            *("rows", "columns"),  # of the pooled map
            "shift",  # added to the channel
        )
    ]
)

# Source s owns the ways first to end.
SOURCE = np.dtype([("first", np.int64), ("end", np.int64)])


@njit(cache=True, nogil=True)
def address(channel, row, column):
    """An event's address in one number."""
    return (channel << 2 * COORDINATE_BITS) | (row << COORDINATE_BITS) | column


@njit(cache=True, nogil=True)
def add_row(state, weights):
    """Add with saturation and return the largest sum. int16[n] both; one pass, which vectorises."""
    top = np.int16(LOWEST)
    for i in range(state.size):
        total = np.int16(min(max(np.int32(state[i]) + np.int32(weights[i]), np.int32(LOWEST)), np.int32(HIGHEST)))
        state[i] = total
        top = max(top, total)
    return top


@njit(cache=True, nogil=True)
def fire(state, added, zeros_too, threshold, to_zero, first, spikes, found):
    """Reset the neurons at or above threshold and list them as first + index; returns the spikes found so far.

    added      what was added to each; without zeros_too, those that got a zero were not touched
    """
    for i in range(state.size):
        if state[i] >= threshold and (zeros_too or added[i] != 0):
            state[i] = 0 if to_zero else state[i] - threshold
            spikes[found] = first + i
            found += 1
    return found


@njit(cache=True, nogil=True)
def reach(position, padding, stride, kernel, size):
    """Along one axis: first output position, how many follow, first kernel entry of the phase, and the phase.

    Entries of a phase are stored in descending kernel position; output position q - (count - 1) meets entry 0.
    """
    shifted = position + padding
    phase = shifted % stride
    count = (kernel - phase + stride - 1) // stride if phase < kernel else 0
    first = shifted // stride - (count - 1)
    skipped = max(0, -first)
    return first + skipped, min(first + count, size) - first - skipped, skipped, phase


@njit(cache=True, nogil=True)
def reached(own, event):
    """What an event reaches at a core: first row, rows, first column, columns; its first position among the taps, and
    how many of them lie between one row of them and the next."""
    mask = (1 << COORDINATE_BITS) - 1
    at_row, at_column = (event >> COORDINATE_BITS) & mask, event & mask
    row, rows, entry_row, phase_row = reach(at_row, own.padding_rows, own.stride_rows, own.kernel_rows, own.rows)
    column, columns, entry_column, phase_column = reach(
        at_column, own.padding_columns, own.stride_columns, own.kernel_columns, own.columns
    )
    stored_rows = (own.kernel_rows + own.stride_rows - 1) // own.stride_rows
    stored_columns = (own.kernel_columns + own.stride_columns - 1) // own.stride_columns
    block = ((event >> 2 * COORDINATE_BITS) * own.stride_rows + phase_row) * own.stride_columns + phase_column
    first = (block * stored_rows + entry_row) * stored_columns + entry_column
    return row, max(0, rows), column, max(0, columns), first, stored_columns


@njit(cache=True, nogil=True)
def tapped(taps, first, rows, columns, stored_columns):
    """Weights that are not zero in a block of positions."""
    total = 0
    for row in range(rows):
        for at in range(first + row * stored_columns, first + row * stored_columns + columns):
            total += taps[at]
    return total


@njit(cache=True, nogil=True)
def count_synops(cores, taps, core, events):
    """Synaptic operations of each event (its address) at its core: int64[events]; core int64[events]."""
    synops = np.zeros(events.size, np.int64)
    for number in range(events.size):
        own = cores[core[number]]
        _, rows, _, columns, first, stored_columns = reached(own, events[number])
        synops[number] = tapped(taps, own.first_tap + first, rows, columns, stored_columns)
    return synops


@njit(cache=True, nogil=True)
def last_ends(core, begin_ps, service_ps, cores):
    """When every core can have done all its services, in this order and none before its own begin: int64[cores]."""
    ends = np.zeros(cores, np.int64)
    for number in range(core.size):
        ends[core[number]] = max(ends[core[number]], begin_ps[number]) + service_ps[number]
    return ends


@njit(cache=True, nogil=True)
def integrate(cores, core, event, state, weights, taps, spikes):
    """One event at a core: synaptic operations done, zero weights skipped, and spikes, listed in memory order.

    event    address in the core's input (channel shift included)
    spikes   int32, filled with neuron numbers (row, column, channel) of the core; room for one per target neuron
    At most one spike per neuron and event: the threshold is compared once, after the addition.
    """
    own = cores[core]
    row, rows, column, width, first, stored_columns = reached(own, event)
    channels, columns, threshold, to_zero = own.channels, own.columns, own.threshold, own.to_zero
    run = width * channels
    weight = own.first_weight + first * channels
    neuron = (row * columns + column) * channels
    begin = own.first_neuron + neuron
    found = 0
    for _ in range(rows):
        part, added = state[begin : begin + run], weights[weight : weight + run]
        if add_row(part, added) >= threshold:
            found = fire(part, added, False, threshold, to_zero, neuron, spikes, found)
        weight += stored_columns * channels
        neuron += columns * channels
        begin += columns * channels
    synops = tapped(taps, own.first_tap + first, rows, width, stored_columns)
    return synops, rows * run - synops, found


@njit(cache=True, nogil=True)
def sweep(cores, core, state, biases, spikes):
    """A slow-clock tick at a core: every neuron takes its channel's bias and is compared; returns the spikes."""
    channels, columns, rows = cores[core].channels, cores[core].columns, cores[core].rows
    first = cores[core].first_neuron
    bias = biases[cores[core].first_bias : cores[core].first_bias + channels]
    threshold, to_zero = cores[core].threshold, cores[core].to_zero
    found = 0
    for neuron in range(0, rows * columns * channels, channels):
        part = state[first + neuron : first + neuron + channels]
        if add_row(part, bias) >= threshold:
            found = fire(part, bias, True, threshold, to_zero, neuron, spikes, found)
    return found


@njit(cache=True, nogil=True)
def copy_address(ways, copy, event):
    """The address of this copy of an event where it arrives; -1 if it lies beyond the last whole pooling window."""
    mask = (1 << COORDINATE_BITS) - 1
    row = ((event >> COORDINATE_BITS) & mask) // ways[copy].pool_rows
    column = (event & mask) // ways[copy].pool_columns
    if row >= ways[copy].rows or column >= ways[copy].columns:
        return -1
    return address((event >> 2 * COORDINATE_BITS) + ways[copy].shift, row, column)


@njit(cache=True, nogil=True)
def next_copy(ways, copy, end, event):
    """The first copy of an event from `copy` on that goes anywhere, or `end`."""
    while copy < end and copy_address(ways, copy, event) < 0:
        copy += 1
    return copy


@njit(cache=True, nogil=True)
def pass_on(cores, ways, sources, core, passed_over, spikes, found):
    """Turn neuron numbers into the addresses of the spikes that leave the core, in place: how many these are.

    passed_over  spikes since the core's decimator last passed one; the new number is returned too
    The decimator passes the last of every so many spikes. A spike without destination goes nowhere.
    """
    first, end = sources[core].first, sources[core].end
    channels, columns, every = cores[core].channels, cores[core].columns, cores[core].decimation
    kept = 0
    for spike in range(found):
        passed_over += 1
        if passed_over < every:
            continue
        passed_over = 0
        position, channel = divmod(np.int64(spikes[spike]), channels)
        event = address(channel, position // columns, position % columns)
        if next_copy(ways, first, end, event) < end:
            spikes[kept] = event
            kept += 1
    return kept, passed_over


@njit(cache=True, nogil=True)
def copies_of(ways, first, end, events):
    """How many copies each event (its address) has on the ways first to end: int64[events]."""
    counts = np.zeros(events.size, np.int64)
    for number in range(events.size):
        way = next_copy(ways, first, end, events[number])
        while way < end:
            counts[number] += 1
            way = next_copy(ways, way + 1, end, events[number])
    return counts
