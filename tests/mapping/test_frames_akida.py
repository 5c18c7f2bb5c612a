"""The mapping against the vendor's virtual device itself. Needs the extra `oracle`.

Only its public interface is used; nothing of it is part of this project.
"""

from __future__ import annotations

import numpy as np
import pytest

from nsim.chip.file import load_chip
from nsim.errors import MappingError
from nsim.formats.network import load_network
from nsim.mapping.frames.plan import Planner
from nsim.mapping.frames.stages import stages
from tests.generators.frame_networks import conv, dense, quantized_network, separable

pytestmark = [pytest.mark.oracle("akida"), pytest.mark.slow, pytest.mark.filterwarnings("ignore")]
DEVICES = {"akd1000": "AKD1000", "akd1500": "AKD1500"}


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
    import akida

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


def vendor_sequences(model, device, mode):
    """Processors by layer with their filters and weight bytes, by what is on the chip at a time; None if it falls back.

    That is a sequence of the device on AKD1000, a pass of one on AKD1500.
    """
    import akida

    model.map(getattr(akida, DEVICES[device])(), mode=mode)
    if not all("HW" in sequence.name for sequence in model.sequences):
        return None
    passes = [each for sequence in model.sequences for each in sequence.passes]
    mapped = [[layer.mapping.nps for layer in each.layers if layer.mapping is not None] for each in passes]
    return [
        [[(n.filters, n.mem_info.weight_size + n.mem_info.external_size) for n in nps] for nps in each if nps]
        for each in mapped
    ]


@pytest.mark.parametrize("seed", range(50))
@pytest.mark.parametrize("device", DEVICES)
def test_random_networks_take_the_same_processors(device, seed):
    import akida

    chip = load_chip(device)

    rng = np.random.default_rng(seed)
    shape = int(rng.integers(2, 200)), int(rng.integers(8, 70)), int(rng.integers(8, 70))
    specs = random_specs(rng)
    network = quantized_network(shape, specs)
    model = vendor_model(shape, specs)
    for mode, vendor_mode in (("minimal", akida.MapMode.Minimal), ("all-nps", akida.MapMode.AllNps)):
        expected = vendor_sequences(model, device, vendor_mode)
        try:
            planner = Planner(chip, stages(network, chip))
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
            assert own.filters == max(filters for filters, _ in theirs)
            assert abs(own.weight_bytes - max(size for _, size in theirs)) <= 64


VENDOR_LAYERS = {"input": "InputConvolutional", "convolution": "Convolutional", "separable": "SeparableConvolutional"}


def vendor_twin(network, chip):
    """A built-in network as the device's model: shapes and widths, weights are ones."""
    import akida

    model = akida.Model()
    for stage in stages(network, chip):
        sends = stage.layer.neuron.bits
        options = {"name": stage.name, "weights_bits": stage.connection.weight_bits, "activation": sends is not None}
        options |= {"act_bits": sends or 4}
        if stage.kind == "fully_connected":
            model.add(akida.FullyConnected(units=stage.filters, **options))
            continue
        options |= {"filters": stage.filters, "kernel_size": (stage.kernel,) * 2}
        options |= {"kernel_stride": (stage.convolution.stride[0],) * 2}
        if stage.layer.pool is not None:
            average = stage.layer.pool.kind == "average"
            options |= {"pool_type": akida.PoolType.Average if average else akida.PoolType.Max}
            options |= {} if average else {"pool_size": (2, 2), "pool_stride": (2, 2)}
        if stage.kind == "input":
            channels, rows, columns = stage.connection.synapses.source_shape
            padding = akida.Padding.Same if stage.convolution.padding[0] else akida.Padding.Valid
            options |= {"input_shape": (columns, rows, channels), "padding": padding}
        model.add(getattr(akida, VENDOR_LAYERS[stage.kind])(**options))
    for layer in model.layers:
        for name in layer.get_variable_names():
            if "weights" in name:
                layer.set_variable(name, np.ones_like(layer.get_variable(name)))
    return model


ZOO = ("ds-cnn-kws", "vgg-utk", "gxnor-mnist", "akidanet:width=0.25,size=96", "vww", "plantvillage", "yolov2")


@pytest.mark.parametrize("name", ZOO)
@pytest.mark.parametrize("device", DEVICES)
def test_networks_of_the_zoo_take_the_same_processors_in_the_same_passes(device, name):
    import akida

    chip, network = load_chip(device), load_network(name)
    model, planner = vendor_twin(network, chip), Planner(chip, stages(network, chip))
    modes = {"Minimal": planner.plan, "AllNps": planner.all_processors}
    if chip.program.partial:
        modes["HwPr"] = planner.partial
    for mode, plan_of in modes.items():
        expected = vendor_sequences(model, device, getattr(akida.MapMode, mode))
        plans = [[plan for plan in sequence if plan.stage.kind != "input"] for sequence in plan_of().sequences]
        theirs = [[len(layer) for layer in each if layer[0][0] != 0] for each in expected]
        ours = [[plan.processors for plan in sequence] for sequence in plans]
        if (mode, name) == ("HwPr", "ds-cnn-kws") and ours != theirs:
            pytest.xfail(f"the rule of hw-pr is not known in full: {ours} here, {theirs} on the device")
        assert ours == theirs, mode


def test_random_networks_take_the_same_processors_in_parts():
    """HwPr: the device's rule is not known in full; of 60 networks at least 55 are the same."""
    import akida

    chip, same, compared = load_chip("akd1500"), 0, 0
    for seed in range(1000, 1060):
        rng = np.random.default_rng(seed)
        shape = int(rng.integers(2, 200)), int(rng.integers(8, 70)), int(rng.integers(8, 70))
        specs = random_specs(rng)
        expected = vendor_sequences(vendor_model(shape, specs), "akd1500", akida.MapMode.HwPr)
        try:
            plan = Planner(chip, stages(quantized_network(shape, specs), chip)).partial()
        except MappingError:
            continue
        compared += 1
        same += [[p.processors for p in s] for s in plan.sequences] == [[len(layer) for layer in s] for s in expected]
    assert same >= 0.9 * compared > 40
