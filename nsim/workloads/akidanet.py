"""AkidaNet: the classifier for images that the measured figures of the Akida chips are given for."""

from __future__ import annotations

import numpy as np

from nsim.errors import NetworkError
from nsim.network import Network
from nsim.workloads.quantized import RandomQuantized
from nsim.workloads.weights import check_options

WIDTHS, SIZES = (0.25, 0.5, 1.0), (160, 224)
# Filters at width 1, and stride. Source: shapes and processors in BrainChip's user guide, for width 0.5 and size 224.
CONVOLUTIONS = ((32, 2), (64, 1), (128, 2), (128, 1))
SEPARABLE = ((256, 2), (256, 1), (512, 2), *(((512, 1),) * 5), (1024, 2), (1024, 1))
CLASSES = 1000
ACTIVITY = 0.4  # assumed; event.clocks of chips/akd1000.toml is fitted together with it


def akidanet(width: float = 0.5, size: int = 224, density: float = 1.0, seed: int = 0) -> Network:
    """AkidaNet image classifier, 4-bit: 4 convolutions, 10 separable ones, global average pooling, 1000 classes.

    width    0.25, 0.5 or 1.0: scales the filters of every layer
    size     160 or 224: rows and columns of the image
    density  share of weights that are not zero
    Comes with an assumed activity of 40 % in every layer. Source: BrainChip's model zoo and user guide.
    """
    check_options("akidanet", density, seed)
    for name, value, allowed in (("width", width, WIDTHS), ("size", size, SIZES)):
        if value not in allowed:
            raise NetworkError(f"option {name} of network 'akidanet' is {value}: choose from {allowed}")
    made = RandomQuantized((3, size, size), ACTIVITY, np.random.default_rng(seed), density)
    for number, (filters, stride) in enumerate(CONVOLUTIONS):
        made.convolution(f"conv_{number}", int(filters * width), stride)
    last = len(CONVOLUTIONS) + len(SEPARABLE) - 1
    for number, (filters, stride) in enumerate(SEPARABLE, len(CONVOLUTIONS)):
        made.separable(f"separable_{number}", int(filters * width), stride, average=number == last)
    made.classifier("classifier", CLASSES)
    return made.network("akidanet", seed)
