"""AkidaNet-0.5-224 by hand: the work of the slowest processors against the two runs that were measured on the chip.

No simulation: the rules of frames (a core works when its input is complete, it has finished the frame before, and the
cores behind it have a free buffer) applied to expected work, with messages that take no time on their way.
"""

from __future__ import annotations

import numpy as np
import pytest

from nsim.activity import layer_offsets
from nsim.chip_file import load_chip
from nsim.frame.mapping import map_frames
from nsim.workloads import build
from tests.frame_networks import dense, quantized_network

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
    return (work + sequence.allocated * chip.action_ps("neuron_update")) * chip.clock.mhz / 1e6


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


def test_one_frame_within_25_percent(sequence, service_clocks):
    """The slowest processor of each layer, one layer after another."""
    slowest = sum(
        max(service_clocks[part.core] for part in sequence.parts if part.layer == layer.name)
        for layer in sequence.network.layers[1:]
    )
    assert finished(sequence, service_clocks, 1) == pytest.approx(slowest)
    assert slowest == pytest.approx(ONE_FRAME, rel=0.25)


def test_ten_frames_within_25_percent(sequence, service_clocks):
    assert finished(sequence, service_clocks, 10) == pytest.approx(TEN_FRAMES, rel=0.25)


def test_conv_2_and_conv_3_set_the_pace(sequence, service_clocks):
    """With single input buffers a frame more takes as long as two layers side by side; these two take longest."""
    slowest = {
        layer.name: max(service_clocks[part.core] for part in sequence.parts if part.layer == layer.name)
        for layer in sequence.network.layers[1:]
    }
    more = finished(sequence, service_clocks, 11) - finished(sequence, service_clocks, 10)
    assert more == pytest.approx(slowest["conv_2"] + slowest["conv_3"], rel=1e-6)
    assert max(slowest, key=slowest.get) == "conv_3"


def test_synops_of_one_frame_are_those_the_energy_was_fitted_to(sequence):
    """0.4 x 341.9 M and the 5.4 M of the input block."""
    copies = sequence.copies
    to_cores = copies.synops[copies.core < sequence.chip.cores].sum()
    assert to_cores == pytest.approx(341.9e6, rel=0.001)
    block = sequence.network.layers[1]
    assert block.sums * 27 == pytest.approx(5.4e6, rel=0.01)
    assert layer_offsets(sequence.network)[-1] == copies.indptr.size - 1


def test_the_smallest_inference_748_clocks():
    """FC 16 -> 10, 1-bit weights, all inputs set: sending in, work, sweep, results, and some 30 for the way."""
    chip = load_chip("akd1000")
    network = quantized_network((16, 1, 1), [dense(10, bits=1)], input_bits=1, activation_bits=1)
    (sequence,) = map_frames(network, chip, "minimal").sequences
    (part,) = sequence.parts
    sent = 16 * chip.host.message_clocks
    work = chip.clocks(int(sequence.copies.service_ps[:16].sum() + sequence.frame_ps[part.core]))
    swept = 10 * (chip.actions.neuron_update.clocks + chip.actions.message_out.clocks)
    assert sent + work + swept == pytest.approx(748 - 20, abs=20)
