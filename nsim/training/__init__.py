"""Hardware-aware training. Nothing outside this package imports it; its data come from `nsim.training.data.spoken`."""

from __future__ import annotations

from importlib.util import find_spec

from nsim.errors import TrainingError


def require_extra() -> None:
    """TrainingError, naming what to install, if JAX or what else it needs is missing; imports nothing."""
    missing = [name for name in ("jax", "optax", "h5py", "nir", "jinja2", "matplotlib") if find_spec(name) is None]
    if missing:
        raise TrainingError(
            f"training needs {', '.join(missing)}: install the extra, pip install 'nsim-neuromorphic[train]'"
        )
