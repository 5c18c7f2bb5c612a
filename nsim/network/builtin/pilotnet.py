"""PilotNet as deployed on Loihi 2 by lava-dl: five convolutions and four dense layers, sigma-delta or LIF."""

from __future__ import annotations

import numpy as np

from nsim.errors import NetworkError
from nsim.network.builtin.weights import check_options, random_integers
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import FixedLif, FixedSigmaDelta, Neuron
from nsim.network.synapses import Convolution, Dense, Shape, convolved_shape

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
# Weight bits: of the trained LIF network; of the SDNN those that make the logged words exact with an index of 12 bits
DENSE_BITS = {"lif": (3, 4, 5, 6), "sdnn": (4, 6, 6, 6)}

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
# Share of weights that are not zero in the trained LIF network, and what its layers send on the zero image on which it
# was measured, over neurons: the four timesteps in which it repeats (the mean of four periods where a period differs).
LIF_WEIGHTS = (0.932, 0.789, 0.729, 0.680, 0.615, 0.266, 0.793, 0.898, 1.0)
LIF_SENT: dict[str, float | list[float]] = {
    "input": 0.0,
    "conv0": [22_176 / 76_032, 31_680 / 76_032],
    "conv1": [8_085 / 26_460, 4_410 / 26_460, 7_350 / 26_460, 5_145 / 26_460],
    "conv2": [798 / 8_064, 1_176 / 8_064, 672 / 8_064, 714 / 8_064],
    "conv3": [385 / 5_632, 588.5 / 5_632, 440 / 5_632, 319 / 5_632],
    "conv4": [105 / 2_560, 225 / 2_560, 160 / 2_560, 95 / 2_560],
    "fc0": 7.75 / 100,
    "fc1": 3.3125 / 50,
    "fc2": 1.0625 / 10,
    "fc3": 0.0,
}


def pilotnet(neuron: str = "sdnn", density: float = 1.0, seed: int = 0) -> Network:
    """PilotNet, road image to steering angle: 200x66x3 input, 5 convolutions, 4 dense layers.

    neuron   "sdnn" (sigma-delta, input from the host) or "lif" (spiking, input layer on the chip)
    density  share of weights that are not zero; "lif": of those that are not zero in the trained network
    Comes with the activity per layer: "sdnn" as published, "lif" as the trained network has it. Sources: lava-dl
    pilotnet_sdnn and pilotnet_snn notebooks and network.
    """
    check_options("pilotnet", density, seed)
    if neuron not in ("sdnn", "lif"):
        raise NetworkError(f"option neuron of network 'pilotnet' is {neuron!r}: give sdnn or lif")
    rng = np.random.default_rng(seed)
    spiking = neuron == "lif"
    layers = [Layer("input", INPUT, _neuron(spiking, "input", 0), on_chip=spiking)]
    connections = []
    kept = iter(density * share for share in (LIF_WEIGHTS if spiking else [1.0] * len(LIF_WEIGHTS)))
    for name, channels, stride, padding, bits in CONVOLUTIONS:
        source = layers[-1]
        bits -= spiking and name == "conv3"  # logged with one bit less in the LIF network
        kernel = random_integers(rng, (channels, source.shape[0], 3, 3), bits, next(kept))
        shape = convolved_shape(source.shape, kernel, stride, padding, (1, 1))
        layers.append(Layer(name, shape, _neuron(spiking, "hidden", len(layers), wraps=True)))
        synapses = Convolution(kernel, source.shape, shape, stride, padding)
        connections.append(Connection(source.name, name, synapses, weight_bits=bits))
    for (name, neurons), bits in zip(DENSE, DENSE_BITS[neuron], strict=True):
        source = layers[-1]
        matrix = random_integers(rng, (neurons, source.neurons), bits, next(kept))
        role = "output" if name == "fc3" else "hidden"
        layers.append(Layer(name, (neurons, 1, 1), _neuron(spiking, role, len(layers))))
        synapses_fc = Dense(matrix, source.shape, layers[-1].shape)
        connections.append(Connection(source.name, name, synapses_fc, weight_bits=bits))
    activity, notes = _activity(spiking)
    return Network(
        "pilotnet",
        tuple(layers),
        tuple(connections),
        "input",
        "fc3",
        activity=activity,
        notes=(_weights(seed),),
        activity_notes=notes,
    )


def _weights(seed: int) -> str:
    return f"weights are random (seed {seed}): outputs mean nothing"


def _neuron(spiking: bool, role: str, layer: int, wraps: bool = False) -> Neuron:
    if spiking:
        return FixedLif(
            4096, 128, 1 << 10, wraps=wraps, is_input=role == "input", reset_interval=16, reset_phase=layer + 1
        )
    return FixedSigmaDelta(role, threshold=6, wraps=wraps)  # 0.1 x 64


def _activity(spiking: bool) -> tuple[dict[str, float | list[float]], tuple[str, ...]]:
    if spiking:
        return LIF_SENT, ("default activity: what lava-dl's trained network sends on the zero image of its benchmark",)
    between = (SDNN_EVENTS["conv1"] + SDNN_EVENTS["conv3"]) / 2
    notes = (
        "default activity: events per frame of lava-dl's pilotnet_sdnn notebook",
        "activity of conv2 is assumed: the mean of its neighbours",
    )
    return {**SDNN_EVENTS, "conv2": between}, notes
