"""The networks that can be trained, by name."""

from __future__ import annotations

import difflib

from nsim.errors import TrainingError
from nsim.network.synapses import Shape
from nsim.training.sparsity.fitting import Exported
from nsim.training.sparsity.lif import TIMESTEPS, Spiking
from nsim.training.sparsity.networks import HIDDEN, Architecture, Connect
from nsim.training.sparsity.options import NETWORKS
from nsim.training.sparsity.state_space import SHAPES, StateSpace

FLAT = ("mlp", "lif", *SHAPES)  # take a frame as a list of numbers
SHOWN = {"lif": TIMESTEPS}  # networks to which a single frame is shown for more timesteps


def made_for(name: str, input: Shape, outputs: int, threshold: int, weight_bits: int) -> Exported:
    """A network by name for a task.

    raises   TrainingError for an unknown name, weight bits other than 2..8, a threshold that is not 0..2^17
    """
    if name not in NETWORKS:
        near = difflib.get_close_matches(name, NETWORKS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise TrainingError(f"no network {name!r} to train: {hint}choose from {', '.join(NETWORKS)}")
    if not 2 <= weight_bits <= 8:
        raise TrainingError(f"weight bits are {weight_bits}: the chip stores 2 to 8")
    if not 0 <= threshold <= 1 << 17:
        raise TrainingError(f"the threshold is {threshold}: give 0 to {1 << 17} (in units of 1/64)")
    if name in SHAPES:
        return StateSpace(input[0], outputs, weight_bits=weight_bits, **SHAPES[name])
    if name == "lif":
        return Spiking(input[0], outputs, weight_bits=weight_bits)
    made = Architecture(input, (*HIDDEN[name], Connect(outputs)), threshold, weight_bits)
    assert made.shapes
    return made


def check_structure(name: str, structure: str) -> None:
    """Refuse to prune whole neurons where that does not silence them."""
    if structure == "cores" and name in SHAPES:
        raise TrainingError(
            f"network {name!r} cannot be pruned by core: states come in pairs and paths join, so that no row of "
            "weights alone silences a neuron: use the structure weights"
        )
