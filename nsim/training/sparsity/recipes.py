"""What each kind of network is trained with unless told otherwise, and the ladder of strengths.

A ladder has one number, the strength over the usual one. Below 1 the pruned weights and the inputs left out go along
with it: what is kept is the usual share to that power, all of it at 0. Above 1 only the strength rises.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nsim.training.sparsity.fitting import Recipe
from nsim.training.sparsity.options import Options

UP, DOWN = (2.0, 4.0, 8.0), (1 / 2, 1 / 4, 1 / 8, 1 / 16)
RATE_STRENGTH = 30.0  # assumed: the event-rate loss is a square of small rates, and needs more strength by so much


@dataclass(frozen=True)
class Usual:
    """Of one kind of network.

    epochs         of a round of the plain training, and of every point
    strength       where the ladder begins
    sparsity       share of weights pruned
    inputs         share of the input's messages kept
    distillation   share of the dense network's outputs in what is learned
    """

    epochs: int
    strength: float
    sparsity: float
    inputs: float
    distillation: float


# Found on validation data of Fashion-MNIST for mlp and cnn; assumed for the others, whose ladders find their own place
USUAL = {
    "mlp": Usual(25, 3.0, 0.85, 0.7, 0.9),
    "cnn": Usual(15, 0.3, 0.0, 1.0, 0.5),
    "cnn-wide": Usual(15, 0.3, 0.0, 1.0, 0.5),
    "pilotnet": Usual(10, 0.3, 0.3, 1.0, 0.5),
    "lif": Usual(10, 1.0, 0.3, 1.0, 0.5),
    "s5": Usual(15, 1.0, 0.5, 1.0, 0.5),
    "s5-half": Usual(15, 1.0, 0.5, 1.0, 0.5),
}


def first_strength(options: Options) -> float:
    """Where the ladder begins."""
    return USUAL[options.network].strength * (RATE_STRENGTH if options.regulariser == "rate" else 1)


def recipe_of(options: Options, strength: float) -> Recipe:
    """Of one point of a front; strength 0 is the reference, which is only trained on."""
    usual = USUAL[options.network]
    epochs = usual.epochs if options.epochs is None else options.epochs
    if not strength:
        return Recipe(epochs=epochs)
    share = min(1.0, strength / first_strength(options))
    whole = options.structure == "cores"  # whole neurons go: the usual share is one of single weights
    sparsity = 0.0 if whole else 1 - (1 - usual.sparsity) ** share
    return Recipe(
        options.regulariser,
        strength,
        sparsity if options.sparsity is None else options.sparsity,
        options.structure,
        epochs,
        usual.inputs**share if options.inputs is None else options.inputs,
        usual.distillation if options.distillation is None else options.distillation,
    )


def climb(first: float, allowed: Callable[[float], bool]) -> None:
    """Try strengths: from the first one up as long as they are allowed, else down until one is."""
    if allowed(first):
        for factor in UP:
            if not allowed(factor * first):
                return
    else:
        for factor in DOWN:
            if allowed(factor * first):
                return
