"""The pending completions of an event loop: a 4-ary heap of keys time << bits | station, smallest first.

Imports only numpy and numba. The loop keeps the number of keys; keys are int64 and below NEVER. Each station has at
most one completion pending, so a heap with room for one key per station never overflows.
"""

import numpy as np
from numba import njit

NEVER = np.int64(2**63 - 1)
PADDING = 8


@njit(cache=True, nogil=True)
def empty_heap(keys):
    """Room for so many keys, and beyond them padding that a pop may read. The smallest key is at 0."""
    return np.full(keys + PADDING, NEVER, np.int64)


@njit(cache=True, nogil=True)
def push(heap, size, key):
    """Add a key to the heap of `size` keys."""
    hole = size
    while hole > 0:
        parent = (hole - 1) >> 2
        if heap[parent] <= key:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole] = key


@njit(cache=True, nogil=True)
def pop(heap, size):
    """Remove the smallest key. The hole walks to a leaf without comparing, then the last key rises from there."""
    last = heap[size - 1]
    heap[size - 1] = NEVER
    end = size - 1
    hole = 0
    child = 1
    while child < end:
        a, b, c, d = heap[child], heap[child + 1], heap[child + 2], heap[child + 3]
        left_key, right_key = min(a, b), min(c, d)
        left, right = np.int64(b < a), np.int64(d < c) + 2
        child += left ^ ((left ^ right) & -np.int64(right_key < left_key))
        heap[hole] = min(left_key, right_key)
        hole = child
        child = 4 * hole + 1
    while hole > 0:
        parent = (hole - 1) >> 2
        if heap[parent] <= last:
            break
        heap[hole] = heap[parent]
        hole = parent
    heap[hole] = last if end > 0 else NEVER
