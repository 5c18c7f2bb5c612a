"""Numba kernels of evaluation: adding weights of firing neurons, and neuron updates. Arrays in, arrays out.

Layouts and integer rules are stated with the classes that call them (synapses.py, neurons.py). Each kernel has a
naive twin in the tests.
"""

import numpy as np
from numba import njit

FORMATS = 3  # in which weights are stored. Known, so that loops unroll
WORK = FORMATS + 2  # numbers that say what a copy causes: synops by format, words, busy time


@njit(cache=True, nogil=True)
def add_dense(rows, firing, values, sums):
    """sums += value * rows[source] for each firing source. rows[sources, targets], C-contiguous."""
    for k in range(firing.size):
        row = rows[firing[k]]
        value = values[k]
        for target in range(row.size):
            sums[target] += value * row[target]


@njit(cache=True, nogil=True)
def add_dense_narrow(rows, firing, values, sums):
    """The same for rows of int8 or int16: four spikes of value 1 at a time, to touch sums less often."""
    k = 0
    while k < firing.size:
        if k + 4 <= firing.size and values[k] == values[k + 1] == values[k + 2] == values[k + 3] == 1:
            a, b, c, d = rows[firing[k]], rows[firing[k + 1]], rows[firing[k + 2]], rows[firing[k + 3]]
            for target in range(sums.size):
                left = np.int32(np.int32(a[target]) + np.int32(b[target]))
                right = np.int32(np.int32(c[target]) + np.int32(d[target]))
                sums[target] += np.int32(left + right)
            k += 4
        else:
            row = rows[firing[k]]
            value = values[k]
            for target in range(row.size):
                sums[target] += value * row[target]
            k += 1


@njit(cache=True, nogil=True)
def add_sparse(indptr, targets, weights, firing, values, sums):
    """Add the stored synapses of each firing source. CSR by source."""
    for k in range(firing.size):
        value = values[k]
        for synapse in range(indptr[firing[k]], indptr[firing[k] + 1]):
            sums[np.uint32(targets[synapse])] += value * weights[synapse]  # unsigned: no test for negative indices


@njit(cache=True, nogil=True)
def add_convolution(taps, row_runs, column_runs, groups, size, firing, values, sums):
    """Add the messages of firing sources, through the kernel, to sums[C, *size] (flat).

    taps                     [in, kH, kW, out / groups]  rows and columns in the order that the runs refer to
    row_runs, column_runs    uint64[runs, rows or columns of the source, 3]  taps in a row that reach outputs in a row:
                             offset of the first within the taps of an input channel, of its output within a scratch of
                             [groups, *size, out / groups], and how many: rows, or weights of a run of columns
    firing                   source neurons, index in (C, rows, columns)
    """
    spatial = np.zeros(sums.size, sums.dtype)
    _scatter(taps, row_runs, column_runs, groups, size, firing, values, spatial)
    _add_transposed(spatial, groups, size, sums)


@njit(cache=True, nogil=True)
def add_integer_convolution(taps, row_runs, column_runs, groups, size, largest_weight, firing, values, sums):
    """The same with a scratch of int32 instead of int64 wherever that cannot overflow.

    At most one tap joins a source to a target, so no sum, not even a partial one, goes beyond the number of messages
    times the largest |value| times the largest |weight|. This product is rounded: it has to stay below half the range.
    """
    low = high = 0
    for k in range(values.size):
        low, high = min(low, values[k]), max(high, values[k])
    if values.size * max(-np.float64(low), np.float64(high)) * largest_weight < 1 << 30:
        narrow = np.zeros(sums.size, np.int32)
        _scatter(taps, row_runs, column_runs, groups, size, firing, values, narrow)
        _add_transposed(narrow, groups, size, sums)
    else:
        wide = np.zeros(sums.size, np.int64)
        _scatter(taps, row_runs, column_runs, groups, size, firing, values, wide)
        _add_transposed(wide, groups, size, sums)


@njit(cache=True, nogil=True)
def _scatter(taps, row_runs, column_runs, groups, size, firing, values, spatial):
    """Add the taps of every message to spatial[groups, *size, out / groups] (flat); without dilation in one pass."""
    for rows in row_runs:
        for columns in column_runs:
            _scatter_runs(taps, rows, columns, groups, size, firing, values, spatial)


@njit(cache=True, nogil=True)
def _scatter_runs(taps, row_runs, column_runs, groups, size, firing, values, spatial):
    """One run of rows and one of columns for every message: weights[length] at a time.

    Unsigned indices, or Numba tests each for being negative; 32 bits where they are divided, which is faster.
    """
    channels, kernel_rows, kernel_columns, outputs = taps.shape
    weights = taps.reshape(taps.size)
    kernel_row, output_row = np.uint64(kernel_columns * outputs), np.uint64(size[1] * outputs)
    kernel, group_outputs = np.uint64(kernel_rows) * kernel_row, np.uint64(size[0]) * output_row
    columns, in_per_group = np.uint32(len(column_runs)), np.uint32(channels // groups)
    positions = np.uint32(len(row_runs)) * columns
    for k in range(firing.size):
        source = np.uint32(firing[k])
        channel = source // positions
        place = source - channel * positions
        row = place // columns
        column = place - row * columns
        value = values[k]
        tap = channel * kernel + row_runs[row, 0] + column_runs[column, 0]
        target = channel // in_per_group * group_outputs + row_runs[row, 1] + column_runs[column, 1]
        length = column_runs[column, 2]
        for _ in range(row_runs[row, 2]):
            for n in range(length):
                spatial[target + n] += value * weights[tap + n]
            tap += kernel_row
            target += output_row


@njit(cache=True, nogil=True)
def _add_transposed(spatial, groups, size, sums):
    """Add spatial[groups, *size, out / groups] to sums[groups, out / groups, *size], both flat."""
    positions = size[0] * size[1]
    outputs = sums.size // (groups * positions)
    for group in range(groups):
        for output in range(outputs):
            first = (group * outputs + output) * positions
            target = sums[first : first + positions]
            source = spatial[group * outputs * positions + output :]
            for position in range(positions):
                target[position] += source[position * outputs]


@njit(cache=True, nogil=True)
def take_messages(messages, offset, sending, values, firing):
    """Write down what is not zero: sending[k], values[k] and firing[k] = sending[k] + offset; returns how many."""
    count = np.uint64(0)
    for n in range(messages.size):
        if messages[n] != 0:
            sending[count] = n
            values[count] = messages[n]
            firing[count] = n + offset
            count += np.uint64(1)
    return count


@njit(cache=True, nogil=True)
def wrap_24_bits(sums):
    """Two's complement of 24 bits, in place."""
    for n in range(sums.size):
        sums[n] = ((sums[n] + (1 << 23)) & ((1 << 24) - 1)) - (1 << 23)


@njit(cache=True, nogil=True)
def _decay(state, keep):
    """state * keep / 2^12, rounded toward zero."""
    if state < 0:
        return -((-state * keep) >> 12)
    return (state * keep) >> 12


@njit(cache=True, nogil=True)
def update_fixed_lif(u, v, sums, bias, current_keep, voltage_keep, threshold, messages):
    """Loihi's LIF with current and voltage, in integers; u, v int64, changed in place.

    keep = 4096 - decay; threshold is vThMant << 6, compared strictly; bias is the mantissa, shifted by 6 here.
    """
    limit = (1 << 23) - 1
    for n in range(u.size):
        current = _decay(u[n], current_keep) + (sums[n] << 6)
        if current > 1 << 23:
            current -= 1 << 24
        elif current <= -(1 << 23):
            current += 1 << 24
        voltage = _decay(v[n], voltage_keep) + current + (bias[n] << 6)
        voltage = min(max(voltage, -limit), limit)
        fires = voltage > threshold
        u[n] = current
        v[n] = 0 if fires else voltage
        messages[n] = 1 if fires else 0


@njit(cache=True, nogil=True)
def update_ruled_fixed_lif(u, v, sums, bias, current_keep, voltage_keep, threshold, reset, rules, floor, messages):
    """As update_fixed_lif, by neuron and by the rules of update_ruled_lif; threshold, reset and floor in units of v.

    rules   subtracts, later, at_once, at_threshold, many
    """
    subtracts, later, at_once, at_threshold, many = rules
    limit = (1 << 23) - 1
    for n in range(u.size):
        current = _decay(u[n], current_keep[n]) + (sums[n] << 6)
        if current > 1 << 23:
            current -= 1 << 24
        elif current <= -(1 << 23):
            current += 1 << 24
        owed = later and (v[n] > threshold[n] or (at_threshold and v[n] == threshold[n]))
        voltage = _decay(v[n], voltage_keep[n]) + current + (bias[n] << 6)
        if owed:
            voltage -= threshold[n]
        voltage = min(max(voltage, -limit), limit)
        spikes = np.int64(voltage > threshold[n] or (at_threshold and voltage == threshold[n]))
        if many and spikes:
            spikes = voltage // threshold[n]
        if at_once:
            voltage -= (spikes - np.int64(owed)) * threshold[n]
        elif spikes and not later:
            voltage = voltage - spikes * threshold[n] if subtracts else reset[n]
        u[n] = current
        v[n] = max(voltage, floor)
        messages[n] = spikes


@njit(cache=True, nogil=True)
def encode_fixed_delta(activation, previous, residue, threshold, messages):
    """Loihi's delta encoder: send what changed once it reaches the threshold; the low 6 bits are lost."""
    for n in range(activation.size):
        change = activation[n] - previous[n] + residue[n]
        send = change if abs(change) >= threshold else 0
        residue[n] = change - send
        previous[n] = activation[n]
        messages[n] = send >> 6


@njit(cache=True, nogil=True)
def encode_delta(activation, previous, residue, threshold, messages):
    """The delta encoder in floating point: nothing is lost, so what was sent sums up to the activation."""
    for n in range(activation.size):
        change = activation[n] - previous[n] + residue[n]
        send = change if abs(change) >= threshold else change * 0
        residue[n] = change - send
        previous[n] = activation[n]
        messages[n] = send


@njit(cache=True, nogil=True)
def update_lif(v, sums, leak, gain, rest, threshold, reset, messages):
    """v += leak * (rest - v) + gain * sum; a spike where v > threshold, which sets v to reset. All [neurons]."""
    for n in range(v.size):
        v[n] += leak[n] * (rest[n] - v[n]) + gain[n] * sums[n]
        fires = v[n] > threshold[n]
        if fires:
            v[n] = reset[n]
        messages[n] = 1 if fires else 0


@njit(cache=True, nogil=True)
def update_ruled_lif(
    v, sums, leak, gain, rest, threshold, reset, subtracts, later, at_once, at_threshold, many, floor, messages
):
    """As update_lif, by other rules, one each for all neurons.

    subtracts     a spike takes the threshold off v, instead of setting it to reset
    later         in the next step, after the leak
    at_once       with later: in this step, less what a step before still above the threshold has taken off
    at_threshold  fires where v >= threshold
    many          sends v // threshold and subtracts as many thresholds
    floor         least v
    """
    for n in range(v.size):
        owed = later and (v[n] > threshold[n] or (at_threshold and v[n] == threshold[n]))
        v[n] += leak[n] * (rest[n] - v[n]) + gain[n] * sums[n]
        if owed:
            v[n] -= threshold[n]
        spikes = np.float32(v[n] > threshold[n] or (at_threshold and v[n] == threshold[n]))
        if many and spikes:
            spikes = np.floor(v[n] / threshold[n])
        if at_once:
            v[n] -= (spikes - np.float32(owed)) * threshold[n]
        elif spikes and not later:
            v[n] = v[n] - spikes * threshold[n] if subtracts else reset[n]
        v[n] = max(v[n], floor)
        messages[n] = spikes


@njit(cache=True, nogil=True)
def filter_current(i, sums, leak, gain):
    """i += gain * sum - leak * i: the synaptic filter of current-based neurons. All [neurons]."""
    for n in range(i.size):
        i[n] += gain[n] * sums[n] - leak[n] * i[n]


@njit(cache=True, nogil=True)
def update_diagonal_state(state, sums, real, imaginary):
    """One step of a diagonal complex state: x = lambda * x + input. Real and imaginary parts alternate."""
    for n in range(real.size):
        x, y = state[2 * n], state[2 * n + 1]
        state[2 * n] = real[n] * x - imaginary[n] * y + sums[2 * n]
        state[2 * n + 1] = imaginary[n] * x + real[n] * y + sums[2 * n + 1]


@njit(cache=True, nogil=True)
def gate(value, gates, residual, messages):
    """Gated linear unit with a residual path and a rectifier: max(0, value * sigmoid(gate) + residual)."""
    for n in range(value.size):
        messages[n] = max(value[n] / (1 + np.exp(-gates[n])) + residual[n], 0)


@njit(cache=True, nogil=True)
def number_pairs(order, owner, copy_indptr, core, number, pair, pairs):
    """Number the pairs of cores between which copies go, by source core; returns how many there are.

    order        int64[neurons]   neurons, those of one core together
    owner, core  int64[neurons], int64[copies]   source and destination core
    number       int64[cores]     to work with, all -1 at first
    pair         int32[copies]    out: number of each copy's pair
    pairs        int64[copies, 2] out: source and destination core of each pair
    """
    count, first, source = 0, 0, -1
    for neuron in order:
        if owner[neuron] != source:
            source, first = owner[neuron], count  # lower numbers in the table are of other source cores
        for row in range(copy_indptr[neuron], copy_indptr[neuron + 1]):
            if number[core[row]] < first:
                number[core[row]] = count
                pairs[count, 0], pairs[count, 1] = source, core[row]
                count += 1
            pair[row] = number[core[row]]  # the pair that leads to the core
    return count


@njit(cache=True, nogil=True)
def count_copies(indptr, neurons, copy_indptr, core, column, pair, synops, words, busy_ps, by_core, by_pair):
    """Add up what the copies of firing neurons cause.

    indptr, neurons       activity: step s fires neurons[indptr[s]:indptr[s + 1]]
    copy_indptr           int64[neurons + 1]     copies of every neuron
    core, pair            integer[copies]        destination core, and number of the pair of cores
    column                int32[cores]           of every core in `by_core`
    synops, words, busy_ps   integer[copies, 3], integer[copies]   work
    by_core               int64[steps, cores, WORK]   in place
    by_pair               int64[steps, pairs]    in place: messages
    """
    for step in range(indptr.size - 1):
        pairs, cores = by_pair[step], by_core[step]
        for k in range(indptr[step], indptr[step + 1]):
            for row in range(copy_indptr[neurons[k]], copy_indptr[neurons[k] + 1]):
                pairs[np.uint32(pair[row])] += 1
                work = cores[np.uint32(column[np.uint32(core[row])])]
                for form in range(FORMATS):
                    work[form] += synops[row, form]
                work[FORMATS] += words[row]
                work[FORMATS + 1] += busy_ps[row]


@njit(cache=True, nogil=True)
def find_last_sends(indptr, neurons, core, copy_indptr, copy_core, last):
    """Place of the last message from each core to another among all that the core sends, from 1 on.

    indptr, neurons, copy_indptr   as above
    core                           int64[neurons]        that neurons are on
    last                           int64[steps, cores, cores]   in place; 0 stays where there is no message
    """
    sent = np.zeros(last.shape[1], np.int64)
    for step in range(last.shape[0]):
        sent[:] = 0
        for k in range(indptr[step], indptr[step + 1]):
            source = core[neurons[k]]
            for row in range(copy_indptr[neurons[k]], copy_indptr[neurons[k] + 1]):
                sent[source] += 1
                last[step, source, copy_core[row]] = sent[source]


@njit(cache=True, nogil=True)
def count_crossings(by_pair, indptr, links, by_link):
    """Book the messages of every pair of cores, [steps, pairs], to the links between them (CSR): [steps, links]."""
    for step in range(by_pair.shape[0]):
        for pair in range(by_pair.shape[1]):
            messages = by_pair[step, pair]
            if messages:
                for k in range(indptr[pair], indptr[pair + 1]):
                    by_link[step, links[k]] += messages


@njit(cache=True, nogil=True)
def count_spikes(
    indptr, neurons, layer, core, copy_indptr, outgoing, connection, first_row, table, by_layer, by_core, synops
):
    """Add up spikes by layer and core, copies by layer, and synops by connection.

    layer, core           int64[neurons]
    outgoing, connection  connections of every source layer, CSR
    first_row, table      int64[rows, 2]  synops one message causes, by source neuron of connection k from first_row[k]
    by_layer              int64[2, steps, layers]        in place: spikes, copies
    by_core               int64[steps, cores]            in place: spikes
    synops                int64[2, steps, connections]   in place: all, and those with a weight that is not zero
    """
    first_neuron = np.zeros(outgoing.size, np.int64)
    for neuron in range(layer.size):
        first_neuron[layer[neuron] + 1] = neuron + 1
    for step in range(indptr.size - 1):
        for k in range(indptr[step], indptr[step + 1]):
            neuron = neurons[k]
            source = layer[neuron]
            by_layer[0, step, source] += 1
            by_layer[1, step, source] += copy_indptr[neuron + 1] - copy_indptr[neuron]
            by_core[step, core[neuron]] += 1
            for entry in range(outgoing[source], outgoing[source + 1]):
                row = first_row[entry] + neuron - first_neuron[source]
                synops[0, step, connection[entry]] += table[row, 0]
                synops[1, step, connection[entry]] += table[row, 1]
