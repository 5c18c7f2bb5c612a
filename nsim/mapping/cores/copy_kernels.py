"""Kernels of `copies.py`: how many copies every neuron sends, and what each causes. Arrays in, arrays out.

A part is what one connection brings to one core: source neurons, ascending, and what a message of each causes there.
Parts come core by core, those of one core together; so the copies of every neuron are in the order of cores.
"""

from numba import njit


@njit(cache=True, nogil=True)
def number_copies(source, offset, core, last, counts):
    """Count the copies that a part adds: none for a neuron that already sends one to this core.

    source        int32[sources]   neurons, counted from `offset` on
    last, counts  int32[neurons], int64[neurons]   last core of every neuron, -1 at first; copies of each; in place
    """
    for k in range(source.size):
        neuron = offset + source[k]
        if last[neuron] != core:
            last[neuron] = core
            counts[neuron] += 1


@njit(cache=True, nogil=True)
def add_copies(source, offset, core, form, done, read, time_ps, indptr, end, to, synops, words, service_ps):
    """Write the copies of a part, or add to those that other connections have brought to this core.

    source, offset, core       as above
    form                       column of `synops`
    done, read, time_ps        integers[sources]
    indptr                     int64[neurons + 1]
    end                        int64[neurons]   where the copies of every neuron end so far, in place; at first indptr
    to, synops, words, service_ps   columns of all copies, in place: 0 at first, but for the first of them
    """
    for k in range(source.size):
        neuron = offset + source[k]
        row = end[neuron]
        if row > indptr[neuron] and to[row - 1] == core:
            row -= 1
        else:
            to[row] = core
            end[neuron] = row + 1
        synops[row, form] += done[k]
        words[row] += read[k]
        service_ps[row] += time_ps[k]
