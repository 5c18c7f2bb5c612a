"""`nsim train`: a group of commands, one for each kind of training."""

from __future__ import annotations

import typer

from nsim.commands.train_routing import routing_aware, routing_sweep
from nsim.commands.train_sparsity import sparsity_aware

train = typer.Typer(
    help="Train networks for a chip (needs the extra: pip install 'nsim[train]').", no_args_is_help=True
)
train.command("sparsity-aware")(sparsity_aware)
train.command("routing-aware")(routing_aware)
train.command("routing-sweep")(routing_sweep)
