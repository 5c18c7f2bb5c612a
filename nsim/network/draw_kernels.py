"""Numba kernels that draw which neurons send, with the very numbers that NumPy's Generator would draw.

`binomial` and `choice(size, count, replace=False, shuffle=False)` stand here after NumPy 2.4's source
(numpy/random/_generator.pyx and src/distributions/distributions.c, BSD-3): they take the same numbers from the same
stream. But what is chosen is marked instead of listed, so that it comes out sorted without a sort.
"""

import math

import numpy as np
from numba import njit
from numba.np.random.generator_core import next_double, next_uint32

LARGE, CUTOFF = (
    10_000,
    20,
)  # NumPy shuffles for more than 1 / CUTOFF of more neurons than this; else Floyd
INVERSION = 30.0  # largest mean for which it counts up the distribution


@njit(cache=True, nogil=True)
def draw_timesteps(rng, sizes, offsets, densities, marks, order, indptr, firing):
    """The neurons that send in consecutive timesteps: layer by layer, first how many, then which.

    rng           np.random.Generator
    sizes         int64[layers]              neurons
    offsets       int64[layers]              index of each layer's first neuron
    densities     float64[timesteps, layers]
    marks         uint8[neurons]             to work with, zeros, as are left
    order         int64[neurons of the largest layer]   to work with
    indptr        int64[timesteps + 1]       in place: step s owns firing[indptr[s]:indptr[s + 1]]; starts with 0
    firing        int64[messages]            in place: ascending within a step
    returns       timesteps drawn: fewer, if firing has no room for all neurons of the next one
    """
    bits = rng.bit_generator
    count = indptr[0]
    for step in range(len(densities)):
        if firing.size - count < marks.size:
            return step
        for layer in range(sizes.size):
            size = sizes[layer]
            _mark(bits, size, _binomial(bits, size, densities[step, layer]), order, marks)
            count = _take_marked(marks[:size], offsets[layer], firing, count)
        indptr[step + 1] = count
    return len(densities)


@njit(cache=True, nogil=True)
def _mark(bits, size, chosen, order, marks):
    """Mark `chosen` of 0, 1 ... size - 1."""
    if size > LARGE and chosen > size // CUTOFF:
        for n in range(size):
            order[n] = n
        for n in range(size - 1, max(size - chosen, 1) - 1, -1):
            other = _up_to(bits, n)
            order[other], order[n] = order[n], order[other]
        for n in range(size - chosen, size):
            marks[order[n]] = 1
    else:
        for n in range(size - chosen, size):
            other = _up_to(bits, n)
            marks[n if marks[other] else other] = 1


@njit(cache=True, nogil=True)
def _take_marked(marks, offset, firing, count):
    """Append what is marked, and unmark it; the count behind it."""
    count = np.uint64(count)
    for n in range(marks.size):
        firing[count] = offset + n
        count += np.uint64(marks[n])
        marks[n] = 0
    return np.int64(count)


@njit(cache=True, nogil=True)
def _up_to(bits, most):
    """A whole number from 0 to `most` < 2^32 - 1, each as likely: Lemire's method. 0 takes none of the stream."""
    if most == 0:
        return np.int64(0)
    numbers = np.uint32(most + 1)
    product = np.uint64(next_uint32(bits)) * np.uint64(numbers)
    if np.uint32(product) < numbers:
        rejected = np.uint32(np.uint32(0xFFFFFFFF - most) % numbers)
        while np.uint32(product) < rejected:
            product = np.uint64(next_uint32(bits)) * np.uint64(numbers)
    return np.int64(product >> np.uint64(32))


@njit(cache=True, nogil=True)
def _binomial(bits, size, density):
    """How many of `size` are drawn, each with this density."""
    if size == 0 or density == 0:
        return 0
    rare = min(density, 1.0 - density)
    drawn = _count_up(bits, size, rare) if rare * size <= INVERSION else _reject(bits, size, rare)
    return drawn if density <= 0.5 else size - drawn


@njit(cache=True, nogil=True)
def _count_up(bits, size, density):
    """Inversion: the probabilities of 0, 1, 2 ... are taken off one uniform number until it is used up."""
    others = 1.0 - density
    none = math.exp(size * math.log(others))
    mean = size * density
    bound = min(np.float64(size), mean + 10.0 * math.sqrt(mean * others + 1))
    count, probability, left = 0, none, next_double(bits)
    while left > probability:
        count += 1
        if count > bound:
            count, probability, left = 0, none, next_double(bits)
        else:
            left -= probability
            probability = ((size - count + 1) * density * probability) / (count * others)
    return count


@njit(cache=True, nogil=True)
def _reject(bits, size, density):
    """Rejection under a triangle, two parallelograms and two tails. Kachitvichyanukul and Schmeiser 1988, BTPE."""
    n, r, q = size, density, 1.0 - density
    fm = n * r + r
    m = np.int64(math.floor(fm))
    p1 = math.floor(2.195 * math.sqrt(n * r * q) - 4.6 * q) + 0.5
    xm = m + 0.5
    xl, xr = xm - p1, xm + p1
    c = 0.134 + 20.5 / (15.3 + m)
    a = (fm - xl) / (fm - xl * r)
    left = a * (1.0 + a / 2.0)
    a = (xr - fm) / (xr * q)
    right = a * (1.0 + a / 2.0)
    p2 = p1 * (1.0 + 2.0 * c)
    p3 = p2 + c / left
    p4 = p3 + c / right
    while True:
        u, v = next_double(bits) * p4, next_double(bits)
        if u <= p1:
            return np.int64(math.floor(xm - p1 * v + u))
        if u <= p2:
            x = xl + (u - p1) / c
            v = v * c + 1.0 - math.fabs(m - x + 0.5) / p1
            if v > 1.0:
                continue
            y = np.int64(math.floor(x))
        elif v == 0.0:
            continue
        elif u <= p3:
            y = np.int64(math.floor(xl + math.log(v) / left))
            v = v * (u - p2) * left
        else:
            y = np.int64(math.floor(xr - math.log(v) / right))
            v = v * (u - p3) * right
        if 0 <= y <= n and _accepted(v, n, r, q, m, xm, y):
            return y


@njit(cache=True, nogil=True)
def _accepted(v, n, r, q, m, xm, y):
    """Whether v is at most the probability of y over that of the mode m."""
    k = abs(y - m)
    nrq = n * r * q
    if k <= 20 or k >= nrq / 2.0 - 1:
        s = r / q
        a = s * (n + 1)
        ratio = 1.0
        for i in range(m + 1, y + 1):
            ratio *= a / i - s
        for i in range(y + 1, m + 1):
            ratio /= a / i - s
        return v <= ratio
    rho = (k / nrq) * ((k * (k / 3.0 + 0.625) + 0.16666666666666666) / nrq + 0.5)
    t = -k * k / (2 * nrq)
    logarithm = math.log(v)
    if logarithm < t - rho or logarithm > t + rho:
        return logarithm < t - rho
    f1, x1, z, w = np.float64(m + 1), np.float64(y + 1), np.float64(n + 1 - m), np.float64(n - y + 1)
    bound = xm * math.log(f1 / x1) + (n - m + 0.5) * math.log(z / w) + (y - m) * math.log(w * r / (x1 * q))
    return logarithm <= bound + _stirling(f1) + _stirling(z) + _stirling(x1) + _stirling(w)


@njit(cache=True, nogil=True)
def _stirling(x):
    """Rest of Stirling's series as NumPy has it up to version 2.4, signs and first number included."""
    square = x * x
    return (13680.0 - (462.0 - (132.0 - (99.0 - 140.0 / square) / square) / square) / square) / x / 166320.0
