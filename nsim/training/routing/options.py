"""What a network is trained with, as a user gives it: annotated fields are the options of both commands.

The defaults train; `PUBLISHED` are those of the published programs: Dalgaty et al., Nature Communications 15:142
(2024), and Weber, Ballet, Payvand 2024, arXiv:2412.01575. What the latter trained with is not known. Imports no
arrays, so that the command line starts at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

METHODS = ("dense", "l1", "hop-penalty", "deepr", "deepr-global", "deepr-profile", "memory-aware")
RECIPES = ("default", "published")
GRANULARITIES = ("tile", "neuron")
DECAYS = ("steps", "epochs")
SHIFTS = ("all", "first", "random")


@dataclass(frozen=True)
class Choice:
    """The method and its options; None: the method's default.

    profile     share of links by hop distance
    l1          soft threshold over all of the training, divided by the number of steps: it must not grow with them
    hop_weight  published for 2,048 neurons. The penalty is a mean over all N^2 weights, so it pulls at each as hard if
                its strength is scaled by (N / 2048)^2; the published recipe does not
    """

    name: str
    profile: tuple[tuple[int, float], ...] = ()
    connections: Annotated[
        int | None, "Connections to keep, for l1, deepr, deepr-global. [default: as many as the profile has]"
    ] = None
    granularity: Annotated[str, "Unit that is pruned and drawn: tile (a link to a tile) or neuron.", GRANULARITIES] = (
        "tile"
    )
    l1: Annotated[float | None, "Soft threshold over all steps, in learning rates. [default: the method's]"] = None
    noise: Annotated[float | None, "Weight noise of a step, in learning rates. [default: the method's]"] = None
    hop_weight: Annotated[float, "Strength of hop-penalty, for 2,048 neurons."] = 0.1
    memory: Annotated[int | None, "Budget of memory-aware, in provisioned elements."] = None
    recipe: Annotated[
        str, "Defaults of all options, weights and rivals: default (they train) or published.", RECIPES
    ] = "default"


@dataclass(frozen=True)
class Options:
    """A run is taken up again only with the same options.

    data              as `nsim.training.data.spoken.load_split` takes it
    learning_rate     published: 5e-3
    decay             published: over as many "steps" as there are epochs, which end within the first one
    clip, tau_ms, threshold, bins, window_s, shifts   published
    weight_gain       root mean square of first weights, in threshold / sqrt(connections per neuron); weights that are
                      2.86 times smaller count as weak. None: as published, none below 0.1, whatever the connections; a
                      higher threshold does not make up for it, for Adam's step and the surrogate's width stay
    rate_weight, rate_target   assumed: 0.05 spikes per neuron and step, weakly; the published 10 and 5 force 0.5
    """

    data: str
    choice: Choice
    grid: Annotated[str, "Rows x columns of neuron tiles."] = "5x5"
    neurons_per_tile: Annotated[int, "Neurons of a tile."] = 32
    inputs: Annotated[int, "Inputs, of whole tiles: the 700 channels are sub-sampled."] = 128
    epochs: Annotated[int, "Epochs, at most."] = 30
    patience: Annotated[int, "Epochs without a better one after which training stops. 0: never."] = 10
    batch: Annotated[int, "Samples of a minibatch."] = 64
    learning_rate: Annotated[float, "Adam learning rate, before its decay."] = 2.5e-3
    decay: Annotated[str, "Decay of the learning rate: over all epochs, or over as many steps.", DECAYS] = "epochs"
    clip: Annotated[float, "Largest gradient of a weight."] = 1e3
    tau_ms: Annotated[float, "Time constant of the neurons in ms; a bin counts as 1 ms."] = 45.0
    threshold: Annotated[float, "Threshold of the neurons: v above it is a spike."] = 1.0
    weight_gain: Annotated[
        float | None, "Size of first weights, in threshold / sqrt(connections per neuron). Published: 0.1 or more."
    ] = 1.0
    rate_weight: Annotated[float, "Weight of the regulariser (target - 10 x rate)^2."] = 0.1
    rate_target: Annotated[float, "Target of the regulariser: ten times the spikes per neuron and step."] = 0.5
    bins: Annotated[int, "Time bins of a sample."] = 100
    window_s: Annotated[float, "Seconds of a sample that the bins cover."] = 1.4
    shifts: Annotated[str, "Phases of the sub-sampling: all, each a sample; first; or random.", SHIFTS] = "all"
    validation: Annotated[
        str, "Samples that choose the epoch: speakers:N or clips:SHARE. [default: as the test was held out]"
    ] = ""
    seed: Annotated[int, "Random seed."] = 0


PUBLISHED: dict[str, Any] = {  # epochs and batch are those of a network of 2,048 neurons
    **{"epochs": 500, "patience": 0, "batch": 1024, "learning_rate": 5e-3, "decay": "steps", "weight_gain": None},
    **{"rate_weight": 10.0, "rate_target": 5.0},
}
