"""Small networks of the Akida model zoo: keyword spotting, age of a face, digits."""

from __future__ import annotations

import numpy as np

from nsim.network.builtin.quantized import RandomQuantized
from nsim.network.builtin.weights import check_options
from nsim.network.layers import Network

ACTIVITY = 0.4
# Share of outputs that are not zero, as measured in a trained network with 12 classes. Source: BrainChip, developer hub
# (github.com/Brainchip-Inc/brainchip_devhub, commit 541abd9), notebook of speech commands.
SPEECH_COMMANDS = {
    "conv_0": 0.0716,
    "separable_1": 0.0745,
    "separable_2": 0.037,
    "separable_3": 0.0171,
    "separable_4": 0.4116,
}


def ds_cnn_kws(classes: int = 33, density: float = 1.0, seed: int = 0) -> Network:
    """DS-CNN keyword spotting, 4-bit: 49x10 features, convolution of 5x5, 4 separable layers of 64, 33 classes.

    classes  words to tell apart
    density  share of weights that are not zero
    Comes with the activity that was measured in a network with 12 classes. Source: akida-models, ds_cnn_kws
    (iq8_wq4_aq4_laq1: the last separable layer sends 1 bit).
    """
    check_options("ds-cnn-kws", density, seed, classes=classes)
    made = RandomQuantized((1, 10, 49), SPEECH_COMMANDS, np.random.default_rng(seed), density)
    made.convolution("conv_0", 64, stride=2, kernel=5)
    for number in (1, 2, 3):
        made.separable(f"separable_{number}", 64)
    made.separable("separable_4", 64, average=True, sends_bits=1)
    made.classifier("dense_5", classes)
    return made.network("ds-cnn-kws", seed, "measured in a trained network with 12 classes (BrainChip, developer hub)")


def vgg_utk(density: float = 1.0, seed: int = 0) -> Network:
    """VGG for the age of faces (UTKFace), 2-bit: 32x32x3 image, 5 convolutions of which 2 with max pooling, 2 dense.

    density  share of weights that are not zero
    Comes with an assumed activity of 40 % in every layer. Source: akida-models, vgg_utk_face (iq8_wq2_aq2).
    """
    check_options("vgg-utk", density, seed)
    made = RandomQuantized((3, 32, 32), ACTIVITY, np.random.default_rng(seed), density, bits=2)
    made.convolution("conv_0", 32, padding=0)
    made.convolution("conv_1", 32, max_pool=True)
    made.convolution("conv_2", 64)
    made.convolution("conv_3", 64, max_pool=True)
    made.convolution("conv_4", 84, average=True)
    made.fully_connected("dense_1", 64)
    made.classifier("dense_2", 1)
    return made.network("vgg-utk", seed)


def gxnor_mnist(density: float = 1.0, seed: int = 0) -> Network:
    """GXNOR digits (MNIST), 2-bit weights, 1-bit activations: 28x28 image, 3 convolutions, 2 dense layers.

    density  share of weights that are not zero
    Comes with an assumed activity of 40 % in every layer. Source: akida-models, gxnor_mnist (iq2_wq2_aq1).
    """
    check_options("gxnor-mnist", density, seed)
    made = RandomQuantized(
        (1, 28, 28), ACTIVITY, np.random.default_rng(seed), density, bits=2, first_bits=2, sends_bits=1
    )
    made.convolution("block_1", 32, kernel=5, max_pool=True)
    made.convolution("block_2", 64, stride=2)
    made.convolution("block_3", 128, average=True)
    made.fully_connected("fc_1", 512)
    made.classifier("predictions", 10)
    return made.network("gxnor-mnist", seed)
