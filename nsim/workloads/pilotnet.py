"""PilotNet as deployed on Loihi 2 by lava-dl: five convolutions and four dense layers, sigma-delta or LIF."""

from __future__ import annotations

import numpy as np

from nsim.errors import NetworkError
from nsim.network import Connection, Layer, Network
from nsim.neurons import FixedLif, FixedSigmaDelta, Neuron
from nsim.synapses import Convolution, Dense, Shape, convolved_shape
from nsim.workloads.weights import check_options, random_integers

# Shapes (C, H, W) and geometry (H, W): lava-dl netx PilotNet SDNN and LIF, deployment shape.
INPUT: Shape = (3, 66, 200)
CONVOLUTIONS = (  # name, output channels, stride, padding, weight bits that make the logged memory words exact
    ("conv0", 24, (2, 2), (0, 0), 8),
    ("conv1", 36, (2, 2), (0, 0), 7),
    ("conv2", 48, (2, 2), (0, 0), 6),
    ("conv3", 64, (2, 1), (1, 0), 6),
    ("conv4", 64, (1, 1), (0, 0), 5),
)
DENSE = (("fc0", 100), ("fc1", 50), ("fc2", 10), ("fc3", 1))
DENSE_BITS = 8

# Events per frame over neurons, lava-dl pilotnet_sdnn training notebook (its shape has one convolution less).
SDNN_EVENTS = {
    "input": 2475.93 / 9900,
    "conv0": 239.46 / 18816,
    "conv1": 422.39 / 6048,
    "conv3": 558.71 / 5632,
    "conv4": 29.90 / 2560,
    "fc0": 4.80 / 100,
    "fc1": 1.35 / 50,
    "fc2": 0.16 / 10,
}
# Synops per step summed over the cores of the layer that receives them (lava-dl pilotnet_snn benchmark, read off its
# plot, 10,000 steps), over the synops if every neuron sent. Layers whose effect is "about 0 as plotted" send nothing.
LIF_SYNOPS = {
    "conv0": (12 * 1.31e5 + 0.44e5) / (26_460 * 216),
    "conv1": 3 * 1.51e5 / (8_064 * 324),
    "conv2": (0.53e5 + 0.53e5 + 0.46e5) / (22 * 64 * 48 * 3 * (2 + 3 + 3 + 2)),  # rows of padding left out
    "conv3": (0.51e5 + 0.16e5) / (2_560 * 576),
}


def pilotnet(neuron: str = "sdnn", density: float = 1.0, seed: int = 0) -> Network:
    """PilotNet, road image to steering angle: 200x66x3 input, 5 convolutions, 4 dense layers.

    neuron   "sdnn" (sigma-delta, input from the host) or "lif" (spiking, input layer on the chip)
    density  share of weights that are not zero
    Comes with the published activity per layer. Sources: lava-dl pilotnet_sdnn and pilotnet_snn notebooks.
    """
    check_options("pilotnet", density, seed)
    if neuron not in ("sdnn", "lif"):
        raise NetworkError(f"option neuron of network 'pilotnet' is {neuron!r}: give sdnn or lif")
    rng = np.random.default_rng(seed)
    spiking = neuron == "lif"
    layers = [Layer("input", INPUT, _neuron(spiking, "input", 0), on_chip=spiking)]
    connections = []
    for name, channels, stride, padding, bits in CONVOLUTIONS:
        source = layers[-1]
        bits -= spiking and name == "conv3"  # logged with one bit less in the LIF network
        kernel = random_integers(rng, (channels, source.shape[0], 3, 3), bits, density)
        shape = convolved_shape(source.shape, kernel, stride, padding, (1, 1))
        layers.append(Layer(name, shape, _neuron(spiking, "hidden", len(layers), wraps=True)))
        synapses = Convolution(kernel, source.shape, shape, stride, padding)
        connections.append(Connection(source.name, name, synapses, weight_bits=bits))
    for name, neurons in DENSE:
        source = layers[-1]
        matrix = random_integers(rng, (neurons, source.neurons), DENSE_BITS, density)
        role = "output" if name == "fc3" else "hidden"
        layers.append(Layer(name, (neurons, 1, 1), _neuron(spiking, role, len(layers))))
        synapses_fc = Dense(matrix, source.shape, layers[-1].shape)
        connections.append(Connection(source.name, name, synapses_fc, weight_bits=DENSE_BITS))
    activity, notes = _activity(spiking)
    return Network(
        "pilotnet", tuple(layers), tuple(connections), "input", "fc3", activity=activity, notes=(*notes, _weights(seed))
    )


def _weights(seed: int) -> str:
    return f"weights are random (seed {seed}): activity is prescribed, outputs mean nothing"


def _neuron(spiking: bool, role: str, layer: int, wraps: bool = False) -> Neuron:
    if spiking:
        return FixedLif(
            4096, 128, 1 << 10, wraps=wraps, is_input=role == "input", reset_interval=16, reset_phase=layer + 1
        )
    return FixedSigmaDelta(role, threshold=6, wraps=wraps)  # 0.1 x 64


def _activity(spiking: bool) -> tuple[dict[str, float | list[float]], tuple[str, ...]]:
    if spiking:
        silent = dict.fromkeys(("input", "conv4", "fc0", "fc1", "fc2", "fc3"), 0.0)
        note = "default activity: synops per core of lava-dl's pilotnet_snn benchmark; layers it shows as 0 are silent"
        return {**silent, **LIF_SYNOPS}, (note,)
    between = (SDNN_EVENTS["conv1"] + SDNN_EVENTS["conv3"]) / 2
    notes = (
        "default activity: events per frame of lava-dl's pilotnet_sdnn notebook",
        "that of conv2 is assumed, the mean of its neighbours: the published network has one convolution less",
    )
    return {**SDNN_EVENTS, "conv2": between}, notes
