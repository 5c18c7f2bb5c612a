"""Compiled loops of the search by the bound: work of slices, copies that boxes send, and sums of maxima."""

from __future__ import annotations

import numpy as np
from numba import njit


@njit(cache=True, nogil=True)
def slice_work(cumulated, low, high, bits, header_bits, word_bits, word_ps, synop_ps, received_ps, indptr, firing):
    """Work that the messages of one layer cause in the slices of another, by timestep.

    cumulated      int32[connections, sources, granules + 1]  synops of one message before each granule
    low, high      int64[slices]                              granules of each slice, from and to
    bits           int64[connections, slices]                 per synapse; header_bits, synop_ps int64[connections]
    indptr, firing   sources that fire, by timestep (CSR)
    returns        time of the synapses and messages received, int64[slices, timesteps] each, and slices that a message
                   of each source reaches, uint16[sources]
    """
    connections, sources, _ = cumulated.shape
    slices, steps = low.size, indptr.size - 1
    time_ps = np.zeros((sources, slices), np.int64)
    reached = np.zeros(sources, np.uint16)
    for source in range(sources):
        for k in range(slices):
            total = -1
            for c in range(connections):
                synops = np.int64(cumulated[c, source, high[k]] - cumulated[c, source, low[k]])
                if synops > 0:
                    words = -(-(synops * bits[c, k] + header_bits[c]) // word_bits)
                    total = max(total, 0) + max(words * word_ps, synops * synop_ps[c])
            if total >= 0:
                time_ps[source, k] = max(1, received_ps + total)
                reached[source] += 1
    busy, received = np.zeros((slices, steps), np.int64), np.zeros((slices, steps), np.int64)
    for step in range(steps):
        for at in range(indptr[step], indptr[step + 1]):
            for k in range(slices):
                each = time_ps[firing[at], k]
                if each > 0:
                    busy[k, step] += each
                    received[k, step] += 1
    return busy, received, reached


@njit(cache=True, nogil=True)
def sums_in_boxes(shape, position, copies, indptr, firing, boxes):
    """Copies that the neurons of each box send in each timestep, from sums over all boxes at the origin.

    position   int64[3, neurons]   channel, row and column of the neurons that fire
    copies     int64[neurons]      copies that each of them sends
    boxes      int64[boxes, 6]     channels, rows and columns, from and to
    returns    int64[boxes, timesteps]
    """
    sums = np.zeros((shape[0] + 1, shape[1] + 1, shape[2] + 1), np.int64)
    found = np.zeros((boxes.shape[0], indptr.size - 1), np.int64)
    for step in range(indptr.size - 1):
        sums[:] = 0
        for at in range(indptr[step], indptr[step + 1]):
            n = firing[at]
            sums[position[0, n] + 1, position[1, n] + 1, position[2, n] + 1] += copies[n]
        for a in range(1, sums.shape[0]):
            for b in range(1, sums.shape[1]):
                row = np.int64(0)
                for c in range(1, sums.shape[2]):
                    row += sums[a, b, c]
                    sums[a, b, c] = row + sums[a - 1, b, c] + sums[a, b - 1, c] - sums[a - 1, b - 1, c]
        for k in range(boxes.shape[0]):
            a0, a1, b0, b1, c0, c1 = boxes[k]
            high = sums[a1, b1, c1] - sums[a1, b0, c1] - sums[a1, b1, c0] + sums[a1, b0, c0]
            low = sums[a0, b1, c1] - sums[a0, b0, c1] - sums[a0, b1, c0] + sums[a0, b0, c0]
            found[k, step] = high - low
    return found


@njit(cache=True, nogil=True)
def most_sent(owner, slices, others, reached, indptr, firing):
    """Copies that the busiest slice of a layer sends in each timestep, for every cut of a layer that receives.

    owner     int64[neurons]          slice of the neurons that fire
    others    int64[neurons]          copies that each of them sends to other layers
    reached   uint16[neurons, cuts]   slices of every cut that a message reaches
    returns   int64[cuts, timesteps]
    """
    cuts = reached.shape[1]
    sent = np.empty((slices, cuts), np.int64)
    most = np.zeros((cuts, indptr.size - 1), np.int64)
    for step in range(indptr.size - 1):
        sent[:] = 0
        for at in range(indptr[step], indptr[step + 1]):
            n = firing[at]
            k, more = owner[n], others[n]
            for cut in range(cuts):
                sent[k, cut] += more + reached[n, cut]
        for k in range(slices):
            for cut in range(cuts):
                most[cut, step] = max(most[cut, step], sent[k, cut])
    return most


@njit(cache=True, nogil=True)
def raised(term, power):
    """term ** power for the powers in use: 8 and 24."""
    square = term * term
    eighth = square * square * square * square
    return eighth if power == 8 else eighth * eighth * eighth


@njit(cache=True, nogil=True)
def summed_maxima(terms, rest, power):
    """Sum over timesteps of the longest term, for every cut of a layer.

    terms     float64[terms, cuts, timesteps]  that depend on the cut
    rest      float64[timesteps]               the longest of the others; of soft maxima, the sum of their powers
    power     0 for the maximum; 8 or 24 for the root of the sum of powers, which falls with every term
    """
    count, cuts, steps = terms.shape
    total = np.zeros(cuts)
    for cut in range(cuts):
        for step in range(steps):
            longest = rest[step]
            for k in range(count):
                if power == 0:
                    longest = max(longest, terms[k, cut, step])
                else:
                    longest += raised(terms[k, cut, step], power)
            total[cut] += longest if power == 0 else longest ** (1 / power)
    return total
