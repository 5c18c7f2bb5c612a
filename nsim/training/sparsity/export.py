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

from nsim.activity import Evaluator
from nsim.errors import OutputError
from nsim.network import Network
from nsim.training.sparsity.networks import Architecture, Convolve, Stored


def write_net(path: Path, made: Architecture, layers: Sequence[Stored]) -> None:
    """Write the integers of a network; `nsim.formats.netx` reads them back.

    raises  OutputError
    """
    groups: list[dict[str, Any]] = [
        {"type": "input", "shape": np.array(made.input), "neuron": _neuron(0, output=False)}
    ]
    for stage, shape, layer in zip(made.stages, made.shapes[1:], layers, strict=True):
        output = stage is made.stages[-1]
        fields = {"weight": layer.weight.astype(np.float32), "neuron": _neuron(made.threshold, output)}
        if not output:
            fields["bias"] = layer.bias.astype(np.float32)
        if isinstance(stage, Convolve):
            geometry = {"stride": np.array(stage.stride), "padding": np.array(stage.padding), "groups": 1}
            groups.append(
                {"type": "conv", "shape": np.array(shape), "dilation": np.array((1, 1)), **fields, **geometry}
            )
            continue
        if groups[-1]["type"] != "dense" and len(groups[-1]["shape"]) == 3:
            groups.append({"type": "flatten", "shape": np.array([layer.weight.shape[1]])})
        groups.append({"type": "dense", "shape": np.array([stage.neurons]), **fields})
    write_groups(path, groups)


def write_groups(path: Path, groups: Sequence[dict[str, Any]]) -> None:
    """The fields of layers, one after another, in lava-dl's layout.

    raises  OutputError
    """
    try:
        with h5py.File(path, "w") as file:
            for number, group in enumerate(groups):
                _write(file, f"layer/{number}", group)
    except OSError as error:
        raise OutputError(f"cannot write network {path}: {error}") from None


def _neuron(threshold: int, output: bool) -> dict[str, Any]:
    return {"type": "SDNN", "vThMant": threshold, "sigma_output": output}


def _write(file: h5py.File, name: str, value: Any) -> None:
    if isinstance(value, dict):
        for key, child in value.items():
            _write(file, f"{name}/{key}", child)
    else:
        file[name] = value


def simulated_outputs(
    network: Network, inputs: NDArray[np.uint8], progress: Callable[[int, int], None] | None = None
) -> NDArray[np.int64]:
    """What the simulator's integer kernels make of samples, each from the network's initial state.

    inputs    uint8[samples, timesteps, C, H, W]
    returns   int64[samples, timesteps, outputs]: of frame t in timestep t + layers, when it has come through
    """
    late, frames = len(network.layers) - 1, inputs.shape[1]
    flat = inputs.reshape(len(inputs), frames, -1).astype(np.int64)
    found = np.empty((len(inputs), frames, network.by_name[network.output].neurons), np.int64)
    for number, sample in enumerate(flat):
        evaluator = Evaluator(network)
        for step in range(frames + late):
            _, outputs = evaluator.step(sample[min(step, frames - 1)])
            if step >= late:
                found[number, step - late] = outputs
        if progress:
            progress(number + 1, len(inputs))
    return found
