"""Numba kernels of evaluation: adding weights of firing neurons, and neuron updates. Arrays in, arrays out.

Layouts and integer rules are stated with the classes that call them (synapses.py, neurons.py). Each kernel has a
naive twin in the tests.
"""

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def add_dense(rows, firing, values, sums):
    """sums += value * rows[source] for each firing source. rows[sources, targets], C-contiguous."""
    for k in range(firing.size):
        row = rows[firing[k]]
        value = values[k]
        for target in range(row.size):
            sums[target] += value * row[target]


@njit(cache=True, nogil=True)
def add_dense_spikes(rows, firing, sums):
    """The same for spikes of value 1 and rows of int8 or int16: four rows at a time, to touch sums less often."""
    k = 0
    while k + 4 <= firing.size:
        a, b, c, d = rows[firing[k]], rows[firing[k + 1]], rows[firing[k + 2]], rows[firing[k + 3]]
        for target in range(sums.size):
            left = np.int32(np.int32(a[target]) + np.int32(b[target]))
            right = np.int32(np.int32(c[target]) + np.int32(d[target]))
            sums[target] += np.int32(left + right)
        k += 4
    while k < firing.size:
        row = rows[firing[k]]
        for target in range(row.size):
            sums[target] += row[target]
        k += 1


@njit(cache=True, nogil=True)
def add_sparse(indptr, targets, weights, firing, values, sums):
    """Add the stored synapses of each firing source. CSR by source."""
    for k in range(firing.size):
        value = values[k]
        for synapse in range(indptr[firing[k]], indptr[firing[k] + 1]):
            sums[targets[synapse]] += value * weights[synapse]


@njit(cache=True, nogil=True)
def add_convolution(taps, size, pool, stride, padding, dilation, groups, firing, values, sums):
    """Scatter each firing source (index in (C, *size)) through pooling and kernel into sums[H, W, C].

    taps[in, kH, kW, out / groups]: the weights that one message adds at one output position are contiguous.
    """
    height, width, _ = sums.shape
    channels, kernel_rows, kernel_columns, out_per_group = taps.shape
    in_per_group = channels // groups
    rows, columns = size[0] // pool[0], size[1] // pool[1]
    for k in range(firing.size):
        column = firing[k] % size[1] // pool[1]
        row = firing[k] // size[1] % size[0] // pool[0]
        channel = firing[k] // (size[0] * size[1])
        if row >= rows or column >= columns:
            continue
        first = (channel // in_per_group) * out_per_group
        value = values[k]
        for i in range(kernel_rows):
            y = row + padding[0] - i * dilation[0]
            if y < 0 or y % stride[0] != 0 or y // stride[0] >= height:
                continue
            for j in range(kernel_columns):
                x = column + padding[1] - j * dilation[1]
                if x < 0 or x % stride[1] != 0 or x // stride[1] >= width:
                    continue
                target = sums[y // stride[0], x // stride[1], first : first + out_per_group]
                weights = taps[channel, i, j]
                for o in range(out_per_group):
                    target[o] += value * weights[o]


@njit(cache=True, nogil=True)
def add_transposed(spatial, sums):
    """Add spatial[H, W, C] to sums, which is row-major in (C, H, W), and set it to zero for the next use."""
    height, width, channels = spatial.shape
    for y in range(height):
        for x in range(width):
            row = spatial[y, x]
            for c in range(channels):
                sums[(c * height + y) * width + x] += row[c]
                row[c] = 0


@njit(cache=True, nogil=True)
def nonzero(messages):
    """Indices and values of what is not zero."""
    count = 0
    for n in range(messages.size):
        count += messages[n] != 0
    indices, values = np.empty(count, np.int64), np.empty(count, messages.dtype)
    if count:
        count = 0
        for n in range(messages.size):
            if messages[n] != 0:
                indices[count] = n
                values[count] = messages[n]
                count += 1
    return indices, values


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
def count_copies(indptr, neurons, copy_indptr, copies, by_core, by_pair):
    """Add up what the copies of firing neurons cause.

    indptr, neurons       activity: step s fires neurons[indptr[s]:indptr[s + 1]]
    copy_indptr           int64[neurons + 1]     copies of every neuron
    copies                int64[copies, 2 + w]   destination core, number of the pair of cores, what one copy causes
    by_core               int64[steps, cores, w]   in place
    by_pair               int64[steps, pairs]    in place: messages
    """
    for step in range(indptr.size - 1):
        for k in range(indptr[step], indptr[step + 1]):
            for row in range(copy_indptr[neurons[k]], copy_indptr[neurons[k] + 1]):
                copy = copies[row]
                by_pair[step, copy[1]] += 1
                sums = by_core[step, copy[0]]
                for column in range(sums.size):
                    sums[column] += copy[2 + column]


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
    """Add up spikes and copies by layer and core, and synops by connection.

    layer, core           int64[neurons]
    outgoing, connection  connections of every source layer, CSR
    first_row, table      int64[rows, 2]  synops one message causes, by source neuron of connection k from first_row[k]
    by_layer, by_core     int64[2, steps, layers or cores]   in place: spikes, copies
    synops                int64[2, steps, connections]       in place: all, and those with a weight that is not zero
    """
    first_neuron = np.zeros(outgoing.size, np.int64)
    for neuron in range(layer.size):
        first_neuron[layer[neuron] + 1] = neuron + 1
    for step in range(indptr.size - 1):
        for k in range(indptr[step], indptr[step + 1]):
            neuron = neurons[k]
            copies = copy_indptr[neuron + 1] - copy_indptr[neuron]
            source = layer[neuron]
            by_layer[0, step, source] += 1
            by_layer[1, step, source] += copies
            by_core[0, step, core[neuron]] += 1
            by_core[1, step, core[neuron]] += copies
            for entry in range(outgoing[source], outgoing[source + 1]):
                row = first_row[entry] + neuron - first_neuron[source]
                synops[0, step, connection[entry]] += table[row, 0]
                synops[1, step, connection[entry]] += table[row, 1]
