"""What a front is trained with, as a user gives it: annotated fields are options of the command. Imports no arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

NETWORKS = ("mlp", "cnn", "cnn-wide", "pilotnet", "lif", "s5", "s5-half")
REGULARISERS = ("rate", "synops", "max-synops", "max-work")
STRUCTURES = ("weights", "cores")


@dataclass(frozen=True)
class Options:
    """A run is taken up again only with the same options. strengths: none: as a ladder finds them."""

    data: str
    network: Annotated[str, "mlp, cnn, cnn-wide, pilotnet; lif; s5, s5-half.", NETWORKS] = "cnn"
    regulariser: Annotated[str, "rate, synops; of the busiest core: max-synops, max-work.", REGULARISERS] = "max-synops"
    chip: Annotated[str, "Chip with timesteps, or path of a chip file."] = "loihi2"
    partition: Annotated[str, "default, even:4, even:LAYER=4,..., or a .toml file."] = "default"
    weight_format: Annotated[str | None, "Fully connected layers: dense or sparse."] = None
    strengths: tuple[float, ...] = ()
    tolerance: Annotated[float, "Points on validation data that may be lost."] = 0.5
    confidence: Annotated[float, "Confidence that no more are lost; 0.5 looks at the mean alone."] = 0.9
    sparsity: Annotated[float | None, "Fraction of weights to prune. [default: by network]"] = None
    structure: Annotated[str, "Prune weights, or whole neurons of all cores alike: cores.", STRUCTURES] = "weights"
    threshold: Annotated[int, "Threshold of a message, in 1/64."] = 6
    weight_bits: Annotated[int, "Bits of a stored weight, 2 to 8."] = 8
    inputs: Annotated[float | None, "Fraction of the input's messages to keep: mlp, lif. [default: by network]"] = None
    distillation: Annotated[float | None, "Share of the dense network's outputs in what is learned."] = None
    epochs: Annotated[int | None, "Epochs of a round of plain training, and of every point."] = None
    samples: Annotated[int | None, "Samples of each split, at most. [default: all]"] = None
    seed: Annotated[int, "Random seed."] = 0
