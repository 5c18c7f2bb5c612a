"""AkidaNet, an image classifier whose figures on Akida chips were measured, and networks with it as their backbone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from nsim.errors import NetworkError
from nsim.network.builtin.quantized import RandomQuantized
from nsim.network.builtin.weights import check_options
from nsim.network.layers import Network

WIDTHS, SIZES = (0.25, 0.5, 1.0), (96, 128, 160, 192, 224)
# Filters at width 1, and stride. Source: shapes and processors in BrainChip's user guide, for width 0.5 and size 224.
CONVOLUTIONS = ((32, 2), (64, 1), (128, 2), (128, 1))
SEPARABLE = ((256, 2), (256, 1), (512, 2), *(((512, 1),) * 5), (1024, 2), (1024, 1))
CLASSES = 1000
# Share of outputs that are not zero, as measured in trained networks. Source: BrainChip, developer hub
# (github.com/Brainchip-Inc/brainchip_devhub, commit 541abd9), notebooks of PlantVillage and VWW.
# The backbone of the first has 54.4 % zeros on average on ImageNet there, 54.6 % here.
PLANT_VILLAGE = {
    "conv_0": 0.6817,
    "conv_1": 0.4862,
    "conv_2": 0.4216,
    "conv_3": 0.5603,
    "separable_4": 0.5819,
    "separable_5": 0.3582,
    "separable_6": 0.5588,
    "separable_7": 0.4366,
    "separable_8": 0.3712,
    "separable_9": 0.3204,
    "separable_10": 0.2332,
    "separable_11": 0.377,
    "separable_12": 0.1176,
    "separable_13": 0.3622,
    "fc_1": 0.4006,
}
VWW = {
    "conv_0": 0.7614,
    "conv_1": 0.6297,
    "conv_2": 0.44,
    "conv_3": 0.5972,
    "separable_4": 0.667,
    "separable_5": 0.3479,
    "separable_6": 0.5954,
    "separable_7": 0.5156,
    "separable_8": 0.394,
    "separable_9": 0.3432,
    "separable_10": 0.2557,
    "separable_11": 0.4073,
    "separable_12": 0.1065,
    "separable_13": 0.1075,
}
MEASURED = "measured in a trained network (BrainChip, developer hub)"
ASSUMED_HEAD = 0.4


def akidanet(width: float = 0.5, size: int = 224, density: float = 1.0, seed: int = 0) -> Network:
    """AkidaNet image classifier, 4-bit: 4 convolutions, 10 separable ones, global average pooling, 1000 classes.

    width    0.25, 0.5 or 1.0 (the vendor's alpha): scales the filters of every layer
    size     96, 128, 160, 192 or 224: rows and columns of the image
    density  share of weights that are not zero
    Comes with the activity that was measured in a network of width 0.5 and size 224 for plant diseases. Source:
    BrainChip's model zoo and user guide.
    """
    check_options("akidanet", density, seed)
    for name, value, allowed in (("width", width, WIDTHS), ("size", size, SIZES)):
        if value not in allowed:
            raise NetworkError(f"option {name} of network 'akidanet' is {value}: choose from {allowed}")
    made = _backbone(width, size, PLANT_VILLAGE, density, seed)
    made.classifier("classifier", CLASSES)
    return made.network("akidanet", seed, "measured in a network of width 0.5 and size 224 for plant diseases")


def vww(density: float = 1.0, seed: int = 0) -> Network:
    """Visual wake words, person or none: AkidaNet of width 0.25 and size 96, 2 classes.

    density  share of weights that are not zero
    Comes with measured activity (52 % zeros). Source: BrainChip's developer hub and akida-models.
    """
    check_options("vww", density, seed)
    made = _backbone(0.25, 96, VWW, density, seed)
    made.classifier("predictions", 2)
    return made.network("vww", seed, MEASURED)


def plantvillage(density: float = 1.0, seed: int = 0) -> Network:
    """PlantVillage, plant diseases: AkidaNet of width 0.5 and size 224, 512 fully connected units, 38 classes.

    density  share of weights that are not zero
    Comes with measured activity. Source: BrainChip's developer hub and akida-models.
    """
    check_options("plantvillage", density, seed)
    made = _backbone(0.5, 224, PLANT_VILLAGE, density, seed)
    made.fully_connected("fc_1", 512)
    made.classifier("predictions", 38)
    return made.network("plantvillage", seed, MEASURED)


def yolov2(classes: int = 20, boxes: int = 5, density: float = 1.0, seed: int = 0) -> Network:
    """YOLOv2 object detection: AkidaNet of width 0.5 and size 224 without its top, 3 separable layers of 1024, boxes.

    classes, boxes   classes to tell apart, and boxes for each of 7 x 7 places
    density          share of weights that are not zero
    Comes with the activity that was measured in another network with that backbone; that of the head is assumed, 40 %.
    Source: akida-models; with 20 classes 3.67 M parameters, as BrainChip's developer hub has.
    """
    check_options("yolov2", density, seed, classes=classes, boxes=boxes)
    head = ("head_1", "head_2", "head_3")
    made = _backbone(0.5, 224, PLANT_VILLAGE | dict.fromkeys(head, ASSUMED_HEAD), density, seed, average=False)
    for name in head:
        made.separable(name, 1024)
    made.detection("detection", boxes * (5 + classes))
    source = f"measured in a network for plant diseases; of the last layers it is assumed, {ASSUMED_HEAD}"
    return made.network("yolov2", seed, source)


def _backbone(
    width: float, size: int, activity: Mapping[str, float], density: float, seed: int, average: bool = True
) -> RandomQuantized:
    """All layers but the last ones; average: with global average pooling at the end."""
    made = RandomQuantized((3, size, size), activity, np.random.default_rng(seed), density)
    for number, (filters, stride) in enumerate(CONVOLUTIONS):
        made.convolution(f"conv_{number}", int(filters * width), stride)
    last = len(CONVOLUTIONS) + len(SEPARABLE) - 1
    for number, (filters, stride) in enumerate(SEPARABLE, len(CONVOLUTIONS)):
        made.separable(f"separable_{number}", int(filters * width), stride, average=average and number == last)
    return made
