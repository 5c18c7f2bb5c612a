"""The mapping against the vendor's virtual device itself, where its package is installed (`pip install akida==2.19.3`).

Only its public interface is used; nothing of it is part of this project.
"""

from __future__ import annotations

import numpy as np
import pytest

from nsim.chip_file import load_chip
from nsim.errors import MappingError
from nsim.frame.plan import Planner
from nsim.frame.stages import stages
from tests.frame_networks import conv, dense, quantized_network, separable

akida = pytest.importorskip("akida")
pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
CHIP = load_chip("akd1000")


def random_specs(rng):
    """One to five layers that both may or may not take; none with one channel, for which the device has own rules."""
    specs = []
    for _ in range(rng.integers(1, 5)):
        make = (conv, separable)[rng.integers(2)]
        kernel = int(rng.choice((1, 3, 5, 7) if make is conv else (3, 5, 7)))
        bits, stride = int(rng.choice((2, 4))), int(rng.integers(1, 3)) if kernel == 3 else 1
        specs.append(make(int(rng.integers(2, 200)), kernel, stride, bits))
    if rng.random() < 0.5:
        specs.append(dense(int(rng.integers(1, 300)), int(rng.choice((1, 2, 4)))))
    return specs


def vendor_model(shape, specs):
    """The same layers; the device's first dimension is our columns. Weights are ones, since zeros may be refused."""
    channels, rows, columns = shape
    model = akida.Model()
    model.add(akida.InputData(input_shape=(columns, rows, channels), input_bits=4))
    for spec in specs:
        if spec["kind"] == "dense":
            layer = akida.FullyConnected(units=spec["filters"], weights_bits=spec["bits"], activation=True, act_bits=4)
        else:
            kind = akida.Convolutional if spec["kind"] == "conv" else akida.SeparableConvolutional
            layer = kind(
                kernel_size=(spec["kernel"],) * 2,
                filters=spec["filters"],
                kernel_stride=(spec["stride"],) * 2,
                weights_bits=spec["bits"],
                act_bits=4,
            )
        model.add(layer)
    for layer in model.layers:
        for name in layer.get_variable_names():
            if "weights" in name:
                layer.set_variable(name, np.ones_like(layer.get_variable(name)))
    return model


def vendor_sequences(model, mode):
    """Processors by layer with their filters, weight bytes and single buffers, by sequence; None if it falls back."""
    model.map(akida.AKD1000(), mode=mode)
    found = []
    for sequence in model.sequences:
        if "HW" not in sequence.name:
            return None
        layers = [layer for part in sequence.passes for layer in part.layers if layer.mapping is not None]
        found.append(
            [
                [
                    (n.filters, n.mem_info.weight_size + n.mem_info.external_size, n.single_buffer)
                    for n in layer.mapping.nps
                ]
                for layer in layers
                if layer.mapping.nps
            ]
        )
    return found


@pytest.mark.parametrize("seed", range(100))
def test_random_networks_take_the_same_processors(seed):
    rng = np.random.default_rng(seed)
    shape = int(rng.integers(2, 200)), int(rng.integers(8, 70)), int(rng.integers(8, 70))
    specs = random_specs(rng)
    network = quantized_network(shape, specs)
    model = vendor_model(shape, specs)
    for mode, vendor_mode in (("minimal", akida.MapMode.Minimal), ("all-nps", akida.MapMode.AllNps)):
        expected = vendor_sequences(model, vendor_mode)
        try:
            planner = Planner(CHIP, stages(network, CHIP))
            plan = planner.minimal if mode == "minimal" else planner.all_processors()
        except MappingError:
            assert expected is None
            return
        assert expected is not None
        found = [[p.processors for p in sequence] for sequence in plan.sequences]
        assert found == [[len(layer) for layer in sequence] for sequence in expected]
        for own, theirs in zip(
            (p for sequence in plan.sequences for p in sequence), (x for s in expected for x in s), strict=True
        ):
            assert own.filters == max(filters for filters, _, _ in theirs)
            assert abs(own.weight_bytes - max(size for _, size, _ in theirs)) <= 64
