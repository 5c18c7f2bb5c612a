"""The default partition finds a fit where one exists: reported cases, and tiny networks against brute force."""

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.chip.chip import changed
from nsim.chip.file import load_chip
from nsim.errors import MappingError
from nsim.mapping.cores.fewest import fewest_cores
from nsim.mapping.cores.partition import Rules, check_partition, default_partition, grid_slices, on_chip_layers
from nsim.mapping.network import map_network
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Lif, Relay
from nsim.network.synapses import Convolution, Dense, convolved_shape

NEURON = Lif(leak=0.1, gain=1.0, threshold=1.0)


def convolution(channels, filters, side):
    kernel = np.ones((filters, channels, 3, 3), np.int64)
    source = (channels, side, side)
    target = convolved_shape(source, kernel, (1, 1), (1, 1), (1, 1))
    layers = (Layer("input", source, Relay(binary=True), on_chip=False), Layer("conv", target, NEURON))
    synapses = Convolution(kernel, source, target, (1, 1), (1, 1))
    return Network("one", layers, (Connection("input", "conv", synapses),), "input", "conv")


@pytest.mark.parametrize(("channels", "side", "most"), [(512, 8, 32), (256, 16, 32)])
def test_wide_convolutions_are_cut_by_channels(channels, side, most):
    """`even:32` takes 77 % of the memory of a core, so no more than 32 cores are needed."""
    assert len(map_network(convolution(channels, channels, side), load_chip("loihi2")).partition) <= most


def dense(widths):
    layers = [Layer("input", (widths[0], 1, 1), Relay(binary=True), on_chip=False)]
    connections = []
    for number, width in enumerate(widths[1:]):
        source = layers[-1]
        layers.append(Layer(f"fc{number}", (width, 1, 1), NEURON))
        synapses = Dense(np.ones((width, source.neurons), np.int64), source.shape, (width, 1, 1))
        connections.append(Connection(source.name, f"fc{number}", synapses))
    return Network("row", tuple(layers), tuple(connections), "input", layers[-1].name)


def chip_of(words, neurons):
    limits = {"core.synapse_words": words, "core.neurons": neurons, "partition.conv_slice_neurons": neurons}
    return changed(load_chip("loihi"), limits)


@settings(max_examples=40)
@given(st.data())
def test_no_even_cut_of_a_layer_takes_fewer_cores(data):
    """Brute force over all even grids of one layer, with power-of-two cuts in space."""
    side = data.draw(st.sampled_from([1, 2, 3, 4]))
    network = (
        convolution(data.draw(st.integers(1, 4)), data.draw(st.integers(1, 12)), side)
        if side > 1
        else dense([data.draw(st.integers(1, 8)), data.draw(st.integers(1, 20))])
    )
    chip = chip_of(data.draw(st.integers(8, 60)), data.draw(st.integers(4, 40)))
    rules = Rules(network, chip)
    (layer,) = on_chip_layers(network)
    fitting = []
    for parts, down, across in product(range(1, layer.shape[0] + 1), (1, 2, 4), (1, 2, 4)):
        if down <= layer.shape[1] and across <= layer.shape[2]:
            sizes = [
                [extent // count + (part < extent % count) for part in range(count)]
                for extent, count in zip(layer.shape, (parts, down, across), strict=True)
            ]
            slices = grid_slices(layer, dict(zip(("channels", "rows", "columns"), sizes, strict=True)))
            if rules.fits(slices):
                fitting.append(len(slices))
    try:
        default = default_partition(rules)
    except MappingError:
        assert not fitting
        return
    assert fewest_of(rules, default) <= min([*fitting, len(default)])


def fewest_of(rules, default):
    """Cores that the search finds before slices slice cores."""
    found = fewest_cores(rules, default)
    check_partition(rules, found)
    return len(found)


def test_more_layers_than_cores_share_cores():
    """150 layers of 4 neurons: one core each would be more than the chip's 128."""
    chip = load_chip("loihi")
    network = dense([4] * 151)
    assert len(default_partition(Rules(network, chip))) == 150 > chip.cores
    mapping = map_network(network, chip)
    assert len(mapping.partition) <= chip.cores
    check_partition(Rules(network, chip), mapping.partition)


def test_what_binds_is_named_where_nothing_fits():
    network = convolution(1_280, 1_280, 4)
    with pytest.raises(MappingError, match=r"needs \d+ cores, but chip 'loihi2' has \d+: its [\d,]+ synapse words are"):
        map_network(network, load_chip("loihi2"))
