"""AkidaNet-0.5-224 by hand: the work of the slowest processors against the two runs that were measured on the chip.

No simulation: the rules of frames (a core works when its input is complete, it has finished the frame before, and the
cores behind it have a free buffer) applied to expected work, with messages that take no time on their way.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from nsim.chip.file import load_chip
from nsim.mapping.frames.mapping import map_frames
from nsim.network.builtin import build
from tests.generators.frame_networks import dense, quantized_network

ONE_FRAME = 13_733_572  # clocks, one image of random noise; BrainChip, See the power number
TEN_FRAMES = 43_001_443  # clocks, ten images, pipelined; the same source


@pytest.fixture(scope="module")
def sequence():
    return map_frames(build("akidanet"), load_chip("akd1000"), "all-nps").sequences[0]


@pytest.fixture(scope="module")
def service_clocks(sequence):
    """Expected work and sweep of every core for one frame, with the density that the network comes with."""
    network, chip, copies = build("akidanet"), sequence.chip, sequence.copies
    density = np.concatenate(
        [np.full(layer.neurons, network.activity[layer.name]) for layer in sequence.network.layers]
    )
    expected = np.repeat(density[: sequence.core.size], np.diff(copies.indptr)) * copies.service_ps
    work = np.bincount(copies.core, expected, chip.cores + 1) + sequence.frame_ps
    return (work + sequence.allocated) * chip.clock.mhz / 1e6


def finished(sequence, clocks, frames):
    """When the last layer has finished the last frame, if all are there at once."""
    layers = [layer.name for layer in sequence.network.layers[1:]]
    cores = [[part.core for part in sequence.parts if part.layer == name] for name in layers]
    done = [dict.fromkeys((core for layer in cores for core in layer), 0.0) for _ in range(frames)]
    for frame in range(frames):
        for number, own in enumerate(cores):
            for core in own:
                waits = [done[frame][feeder] for feeder in (cores[number - 1] if number else [])]
                waits += [done[frame - 1][core]] if frame else []
                for receiver in cores[number + 1] if number + 1 < len(cores) else []:
                    earlier = frame - int(sequence.input_buffers[receiver])
                    waits += [done[earlier][receiver]] if earlier >= 0 else []
                done[frame][core] = max(waits, default=0.0) + clocks[core]
    return max(done[-1][core] for core in cores[-1])


def test_one_frame_within_15_percent(sequence, service_clocks):
    """The slowest processor of each layer, one layer after another."""
    slowest = sum(
        max(service_clocks[part.core] for part in sequence.parts if part.layer == layer.name)
        for layer in sequence.network.layers[1:]
    )
    assert finished(sequence, service_clocks, 1) == pytest.approx(slowest)
    assert slowest == pytest.approx(ONE_FRAME, rel=0.15)


def test_ten_frames_within_15_percent(sequence, service_clocks):
    assert finished(sequence, service_clocks, 10) == pytest.approx(TEN_FRAMES, rel=0.15)


def test_two_neighbours_set_the_pace(sequence, service_clocks):
    """With single input buffers a frame more takes as long as two layers side by side; these two take longest."""
    slowest = {
        layer.name: max(service_clocks[part.core] for part in sequence.parts if part.layer == layer.name)
        for layer in sequence.network.layers[1:]
    }
    more = finished(sequence, service_clocks, 11) - finished(sequence, service_clocks, 10)
    assert more == pytest.approx(max(a + b for a, b in itertools.pairwise(slowest.values())), rel=1e-6)
    assert more == pytest.approx((TEN_FRAMES - ONE_FRAME) / 9, rel=0.15)


def test_the_smallest_inference_748_clocks():
    """FC 16 -> 10, 1-bit weights, all inputs set: sending in, going past them, and some 30 for results and the way."""
    chip = load_chip("akd1000")
    network = quantized_network((16, 1, 1), [dense(10, bits=1)], input_bits=1, activation_bits=1)
    (sequence,) = map_frames(network, chip, "minimal").sequences
    (part,) = sequence.parts
    sent = 16 * chip.host.message_clocks
    work = chip.clocks(int(sequence.copies.service_ps[:16].sum() + sequence.frame_ps[part.core]))
    assert sent + work == pytest.approx(748 - 20, abs=20)
