"""`nsim train`: a group of commands, one for each kind of training."""

from __future__ import annotations

from collections.abc import Callable

from nsim.cli.train_routing import routing_aware, routing_sweep
from nsim.cli.train_sparsity import sparsity_aware

TRAIN: dict[str, Callable[..., None]] = {
    "sparsity-aware": sparsity_aware,
    "routing-aware": routing_aware,
    "routing-sweep": routing_sweep,
}
