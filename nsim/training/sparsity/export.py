"""The trained network as a lava-dl `.net` file, which holds Loihi's integers exactly and which `nsim run` takes.

NIR has no integer weights and no sigma-delta neuron, so it could not say the same.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nsim.errors import OutputError
from nsim.network.activity import Evaluator
from nsim.network.layers import Network


def write_groups(path: Path, groups: Sequence[dict[str, Any]]) -> None:
    """The fields of layers, one after another, in lava-dl's layout.

    raises  OutputError
    """
    try:
        with h5py.File(path, "w") as file:
            for number, group in enumerate(groups):
                _write(file, f"layer/{number}", group)
    except OSError as error:
        raise OutputError(f"cannot write network {path} ({error}): free space, or give another folder") from None


def _write(file: h5py.File, name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, child in value.items():
            _write(file, f"{name}/{key}", child)
    else:
        file[name] = value


def simulated_outputs(
    network: Network, inputs: NDArray[np.uint8], progress: Callable[[int, int], None] | None = None
) -> NDArray:
    """What the simulator's kernels make of samples, each from the network's initial state.

    inputs    uint8[samples, timesteps, C, H, W]
    returns   [samples, timesteps, outputs]: of frame t in timestep t + layers, when it has come through; int64, or
              float64 of a network of real numbers
    """
    late, frames = len(network.layers) - 1, inputs.shape[1]
    kind = np.int64 if network.fixed_point else np.float64
    flat = inputs.reshape(len(inputs), frames, -1).astype(np.int64)
    found = np.empty((len(inputs), frames, network.by_name[network.output].neurons), kind)
    for number, sample in enumerate(flat):
        evaluator = Evaluator(network)
        for step in range(frames + late):
            _, outputs = evaluator.step(sample[min(step, frames - 1)])
            if step >= late:
                found[number, step - late] = outputs
        if progress:
            progress(number + 1, len(inputs))
    return found
