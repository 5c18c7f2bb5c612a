"""From sound to spikes on 700 channels: basilar membrane, inner hair cells, bushy cells.

The models and their constants are those of the Spiking Heidelberg Digits (Cramer et al. 2020, arXiv:1910.07407):
  basilar membrane   Sieroka, Dosch, Rupp, J. Acoust. Soc. Am. 120(1), 297 (2006): long waves in a box of water, by the
                     WKB approximation at every place and frequency
  inner hair cell    Meddis, J. Acoust. Soc. Am. 79(3), 702 (1986) and 83(3), 1056 (1988): transmitter pools
  bushy cell         leaky integrate-and-fire, fed by 40 fibres of one hair cell that are equal and independent
Fibres that are not refractory fire as Bernoulli trials, so their number in a step is one binomial draw.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import scipy.fft
from numba import njit
from numpy.typing import NDArray
from scipy import special

CHANNELS = 700
RMS = 0.3

# Basilar membrane (cgs units): places from base to apex, stiffness STIFF exp(-ALPHA c) - APEX, mass, damping, height
PLACES = 3.5
STIFF, ALPHA, APEX = 1e9, 3.0, 3500.0
MASS, DAMPING, HEIGHT, DENSITY = 0.05, 0.15, 0.1, 1.0
DRAG = DAMPING * np.sqrt(STIFF * MASS)

FIBRES, FIBRE_REFRACTORY_S = 40, 1e-3
CHANNELS_AT_A_TIME = 50  # of the membrane: bounds the memory of a conversion to some 25 MB


def transfer(omega: NDArray[np.float64], places: NDArray[np.float64]) -> NDArray[np.complex64]:
    """Velocity of the membrane at every place for sound of every frequency: complex64[places, frequencies].

    omega   angular frequencies in rad/s, above 0
    places  0 (base, high frequencies) to 3.5 (apex)
    """
    base_wave, _ = _wave(omega, np.zeros(1))
    impedance = _input_impedance(omega)
    found = np.empty((places.size, omega.size), np.complex64)
    for k in range(places.size):
        wave, reaction = _wave(omega, places[k : k + 1])
        found[k] = 2 * omega / reaction[0] * wave[0] / base_wave[0] * impedance
    return found


def _wave(omega: NDArray[np.float64], places: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
    """Pressure, but for a constant, and reaction of the membrane: [places, frequencies].

    The phase G is 2 g(0) / ALPHA plus the integral of the wave number g from the base on. With u = exp(-ALPHA c / 2)
    the reaction is A u^2 + B u + C, and the integral of 1 / (u sqrt(A u^2 + B u + C)) is elementary.
    """
    u = np.exp(-ALPHA * places / 2)[:, None]
    b, c = -1j * omega * DRAG, -(APEX + MASS * omega**2) + 0j

    def reaction(at):
        return STIFF * at**2 + b * at + c

    def number(at):
        return omega * np.sqrt(DENSITY / (HEIGHT * reaction(at)))

    root = np.sqrt(c)
    upper = (2 * root * np.sqrt(reaction(u)) + b * u + 2 * c) / u
    lower = 2 * root * np.sqrt(reaction(1.0)) + b + 2 * c
    integral = 2 * omega / ALPHA * np.sqrt(DENSITY / HEIGHT) / root * np.log(upper / lower)
    phase = 2 * number(1.0) / ALPHA + integral
    return np.sqrt(phase / number(u)) * special.hankel1(0, phase), reaction(u)


def _input_impedance(omega: NDArray[np.float64]) -> NDArray[np.complex128]:
    """Between stapes and base, from the exact solution without mass and damping."""
    k = 2 * omega / ALPHA * np.sqrt(2 / (HEIGHT * STIFF))
    above, below = 1j * special.j0(k) + special.y0(k), special.j1(k) - 1j * special.y1(k)
    return np.sqrt(2 * STIFF / HEIGHT) * above / below


@dataclass(frozen=True)
class Cochlea:
    """Converts sounds of up to `samples` samples; its table takes 8 bytes * channels * samples / 2.

    rate_hz    of the sound; spikes are found at half of it
    """

    rate_hz: int
    seconds: float
    channels: int = CHANNELS

    @cached_property
    def bins(self) -> int:
        """Frequencies of a sound, and steps of the membrane: a number that transforms fast."""
        return int(scipy.fft.next_fast_len(int(self.seconds * self.rate_hz) // 2 + 1))

    @cached_property
    def table(self) -> NDArray[np.complex64]:
        omega = 2 * np.pi * np.linspace(1, self.rate_hz / 2, self.bins)
        threads = os.cpu_count() or 1
        parts = np.array_split(np.linspace(0, PLACES, self.channels), threads)
        with ThreadPoolExecutor(threads) as pool:
            return np.concatenate(list(pool.map(partial(transfer, omega), parts)))

    def spikes(self, sound: NDArray[np.floating], seed: int) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Times in seconds, ascending, and channels, of the spikes while the sound lasts.

        sound   mono, any level: it is scaled and faded in and out
        seed    of the fibres; every channel draws from a sequence of its own
        """
        shaped = prepared(sound)
        padded = np.zeros(2 * (self.bins - 1))
        padded[: shaped.size] = shaped
        spectrum = scipy.fft.fft(padded)[: self.bins].astype(np.complex64)
        steps, step_s = shaped.size // 2 + 1, 2 / self.rate_hz
        most = int(steps / (FIBRE_REFRACTORY_S / step_s)) + 2
        at, count = np.zeros((self.channels, most), np.int32), np.zeros(self.channels, np.int64)
        for first in range(0, self.channels, CHANNELS_AT_A_TIME):
            some = slice(first, first + CHANNELS_AT_A_TIME)
            velocity = scipy.fft.ifft(self.table[some] * spectrum, axis=1).real[:, :steps]
            _hear(np.ascontiguousarray(velocity), 1 / step_s, seed, first, at[some], count[some])
        channel = np.repeat(np.arange(self.channels, dtype=np.int32), count)
        step = np.concatenate([row[:n] for row, n in zip(at, count, strict=True)])
        order = np.argsort(step, kind="stable")
        return step[order] * step_s, channel[order]


def prepared(sound: NDArray[np.floating]) -> NDArray[np.float64]:
    """Scaled to an RMS of 0.3, then under a Hann window over the whole of it."""
    level = np.sqrt(np.mean(np.square(sound, dtype=np.float64)))
    return sound * (RMS / level) * np.hanning(sound.size)


@njit(cache=True, nogil=True)
def _hear(velocity, rate_hz, seed, first, at, count):
    """Hair and bushy cells of channels. velocity float32[channels, steps]; at[channels, most], count in place."""
    for channel in range(velocity.shape[0]):
        count[channel] = _hear_one(velocity[channel], rate_hz, _start(seed, first + channel), at[channel])


@njit(cache=True, nogil=True)
def _hear_one(velocity, rate_hz, state, at):
    """Steps of the spikes of one channel go to `at`; returns how many."""
    # Hair cell: free transmitter q, in the cleft c, being reprocessed w. Rates per second, Meddis 1988
    y, g, lost, reuptake, process, a, b, scale, full = 5.05, 2000.0, 2500.0, 6580.0, 66.3, 5.0, 300.0, 50000.0, 1.0
    resting = g * a / (a + b)
    c = full * y * resting / (lost * resting + y * (lost + reuptake))
    q, w = c * (lost + reuptake) / resting, c * reuptake / process
    dt = 1.0 / rate_hz
    # Bushy cell
    decay_v, decay_i = np.exp(-dt / 1e-3), np.exp(-dt / 5e-4)
    weight = 13e3 / FIBRES * dt
    refractory = FIBRE_REFRACTORY_S * rate_hz
    blocked = int(np.ceil(refractory)) - 1  # steps after a fibre fired in which it cannot
    recent, slot, tired = np.zeros(max(1, blocked), np.int64), 0, 0
    v = current = rest = 0.0
    found = 0
    for step in range(velocity.size):
        drive = velocity[step] + a
        k = g * dt * drive / (drive + b) if drive > 0 else 0.0
        made = y * dt * (full - q) if q < full else 0.0
        out, back, again = k * q, reuptake * dt * c, process * dt * w
        q = max(q + made - out + again, 0.0)
        c = max(c + out - (lost + reuptake) * dt * c, 0.0)
        w = max(w + back - again, 0.0)
        draw, state = _uniform(state)
        fired = _binomial(FIBRES - tired, c * scale * dt, draw)
        if blocked:
            tired += fired - recent[slot]
            recent[slot] = fired
            slot = slot + 1 if slot + 1 < blocked else 0
        if step:
            if rest <= 0:
                if v < 1.0:
                    v *= decay_v
                else:
                    rest, v = refractory, 0.0
                    at[found] = step - 1
                    found += 1
            current *= decay_i
        current += fired
        if rest <= 0:
            v = min(v + current * weight, 1.0)
        rest -= 1
    return found


@njit(cache=True, nogil=True)
def _binomial(trials, p, draw):
    """How many of so many trials succeed, by inversion of one uniform number in [0, 1)."""
    if p <= 0.0 or trials <= 0:
        return 0
    if p >= 1.0:
        return trials
    fails, odds = (1.0 - p) ** trials, p / (1.0 - p)
    below, term = fails, fails
    hits = 0
    while draw >= below and hits < trials:
        hits += 1
        term *= odds * (trials - hits + 1) / hits
        below += term
    return hits


@njit(cache=True, nogil=True)
def _uniform(state):
    """Next number in [0, 1) and state of SplitMix64: Steele, Lea, Flood, OOPSLA 2014."""
    state = state + np.uint64(0x9E3779B97F4A7C15)
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.float64((z ^ (z >> np.uint64(31))) >> np.uint64(11)) * 2.0**-53, state


@njit(cache=True, nogil=True)
def _start(seed, channel):
    """The state that a channel of a sample begins with: far apart for neighbours."""
    state = np.uint64(seed) * np.uint64(0xD1342543DE82EF95) + np.uint64(channel)
    for _ in range(2):
        z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        state = z ^ (z >> np.uint64(27))
    return state
