"""A small convolutional classifier for images."""

from __future__ import annotations

import numpy as np

from nsim.network.builtin.quantized import RandomQuantized
from nsim.network.builtin.weights import check_options
from nsim.network.layers import Network

IMAGE = (3, 32, 32)
FILTERS = (16, 32, 64, 128)
ACTIVITY = 0.4


def cnn(density: float = 1.0, seed: int = 0) -> Network:
    """Small image classifier, 4-bit: 32x32x3 image, 4 convolutions of which 2 with max pooling, 10 classes.

    density  share of weights that are not zero
    Comes with an assumed activity of 40 % in every layer.
    """
    check_options("cnn", density, seed)
    made = RandomQuantized(IMAGE, ACTIVITY, np.random.default_rng(seed), density)
    for number, filters in enumerate(FILTERS):
        made.convolution(f"conv_{number}", filters, max_pool=number in (1, 2))
    made.classifier("classifier", 10)
    return made.network("cnn", seed)
