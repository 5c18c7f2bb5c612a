"""Packets of Perfetto's format, as bytes: what begins and ends slices, and values of counters.

They are written from the last byte to the first, so that the length of a message is known when it is written before it.
Every function takes the place behind what it writes, and returns where that begins. Source of the numbers of fields:
perfetto/trace/trace_packet.proto, track_event/track_event.proto and track_event/debug_annotation.proto at
github.com/google/perfetto, and of the encoding protobuf.dev/programming-guides/encoding.
"""

from __future__ import annotations

import numpy as np
from numba import njit

FIXED, BYTES = 1, 2  # how what follows a tag is written, if not in seven bits a byte: eight bytes; a length and bytes
PACKET = np.int64(1 << 3 | BYTES)  # of a trace. (Plain numbers would each be a type of its own for Numba)
TIME, SEQUENCE, EVENT, FLAGS = np.array([8 << 3, 10 << 3, 11 << 3 | BYTES, 13 << 3])  # of a packet
CATEGORY, ARGUMENT, TYPE, NAME, TRACK = np.array([3 << 3, 4 << 3 | BYTES, 9 << 3, 10 << 3, 11 << 3])  # of its event
VALUE, FLOW, LAST_FLOW = np.array([30 << 3, 47 << 3 | FIXED, 48 << 3 | FIXED])
KEY, WHOLE = np.array([1 << 3, 4 << 3])  # of an argument: its name, and an integer
BEGIN, END, COUNT = np.array([1, 2, 4])  # types of events
ONE_SEQUENCE = np.int64(1)  # all packets are of one sequence
NAMED_BEFORE = np.int64(2)  # flag: names stand for strings that were written before
NO_FLAG = np.int64(0)
MOST_PACKET = 64  # bytes, without arguments and flows
MOST_ARGUMENT, MOST_FLOW = 24, 10  # bytes


def room(slices: int, arguments: int, steps: int) -> int:
    """Bytes that so many slices take at most, with so many arguments each and so many steps of flows together."""
    return slices * (4 * MOST_PACKET + arguments * MOST_ARGUMENT) + steps * MOST_FLOW


@njit(cache=True)
def put(out, at, number):
    """A number of at least 0, seven bits a byte, the lowest first; all bytes but the last have the highest bit set."""
    rest = number >> 7
    at -= 1
    while rest:
        at -= 1
        rest >>= 7
    place = at
    while number >> 7:
        out[place] = number & 0x7F | 0x80
        number >>= 7
        place += 1
    out[place] = number
    return at


@njit(cache=True)
def put_number(out, at, tag, number):
    return put(out, put(out, at, number), tag)


@njit(cache=True)
def put_fixed(out, at, tag, number):
    for place in range(8):
        out[at - 8 + place] = number >> 8 * place & 0xFF
    return put(out, at - 8, tag)


@njit(cache=True)
def put_event(out, at, stop, time, kind, track, flags):
    """A packet around an event, whose other fields stand from `at` to `stop`."""
    at = put_number(out, at, TRACK, track)
    at = put_number(out, at, TYPE, kind)
    at = put_number(out, at, EVENT, stop - at)
    at = put_number(out, at, TIME, time)
    if flags:
        at = put_number(out, at, FLAGS, flags)
    at = put_number(out, at, SEQUENCE, ONE_SEQUENCE)
    return put_number(out, at, PACKET, stop - at)


@njit(cache=True)
def put_begin(out, at, stop, time, track, category, name):
    """Begin a slice, whose arguments and flows stand from `at` to `stop`."""
    at = put_number(out, at, NAME, name)
    at = put_number(out, at, CATEGORY, category)
    return put_event(out, at, stop, time, BEGIN, track, NAMED_BEFORE)


@njit(cache=True)
def put_slices(out, slices, keys, arguments, category, blocked, flow_begin, flow, last):
    """Slices one behind the other: begin, end, and of the time in which the track was blocked begin and end.

    slices      int64[n, 5]  track, name, start, end, and when the track was free again
    keys        int64[k]     names of arguments
    arguments   int64[n, k]  -1: none
    category    of the slices; blocked: int64[2], category and name of the time in which a track was blocked
    flow_begin  int64[n + 1]; flow, last: int64 and bool[steps], those from flow_begin[row] on pass that slice
    returns     where the bytes begin
    """
    at = out.size
    for row in range(slices.shape[0] - 1, -1, -1):
        track, name, start, end, left = slices[row]
        if left > end:
            at = put_event(out, at, at, left, END, track, NO_FLAG)
            at = put_begin(out, at, at, end, track, blocked[0], blocked[1])
        at = put_event(out, at, at, end, END, track, NO_FLAG)
        stop = at
        for step in range(flow_begin[row + 1] - 1, flow_begin[row] - 1, -1):
            at = put_fixed(out, at, LAST_FLOW if last[step] else FLOW, flow[step])
        for key in range(keys.size - 1, -1, -1):
            if arguments[row, key] >= 0:
                behind = at
                at = put_number(out, at, WHOLE, arguments[row, key])
                at = put_number(out, at, KEY, keys[key])
                at = put_number(out, at, ARGUMENT, behind - at)
        at = put_begin(out, at, stop, start, track, category, name)
    return at


@njit(cache=True)
def put_counts(out, track, time, value):
    """Values of counters, from each time on: int64[n]; returns where the bytes begin."""
    at = out.size
    for row in range(track.size - 1, -1, -1):
        at = put_event(out, put_number(out, at, VALUE, value[row]), at, time[row], COUNT, track[row], NO_FLAG)
    return at
