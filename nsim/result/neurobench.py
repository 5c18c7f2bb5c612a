"""A run in NeuroBench's metrics, under the names that its benchmarks print: what is known, and why the rest is not.

Names and definitions: NeuroBench (Yik et al., 2025, Nature Communications 16:1545), package neurobench 2.3:
  ConnectionSparsity   zeros among the weights of all connections, to four decimals as there
  ActivationSparsity   zeros among the messages of all neuron layers and timesteps; the input is no neuron layer
  ActivationSparsityByLayer   the same by layer
  ClassificationAccuracy   of the run's own reading, if it has labels
  SynapticOperations   per sample, over its timesteps. Effective_MACs and Effective_ACs leave out zero weights and
                       silent neurons; an operation on zeros and ones only is an accumulate (AC), else a
                       multiply-accumulate (MAC). Dense counts every weight in every timestep
Metrics that a simulation cannot know are absent, never zero; the file says why.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nsim.network.layers import Connection, Network
from nsim.network.synapses import Separable
from nsim.result.events import StreamResult
from nsim.result.frames import FrameResult
from nsim.result.operations import activation_sparsity, connection_sparsity, dense_synops, operations
from nsim.result.timesteps import TimestepResult

FILE = "neurobench.json"
NEVER_KNOWN = {
    "Footprint": "bytes of parameters and buffers in the data types of a framework, which a network here no longer has",
    "ParameterCount": "parameters of the framework's model: biases and neuron parameters are merged here",
    "ClassificationAccuracy": "inputs come without labels",
    "MembraneUpdates": "states that change are not counted: the chip updates all neurons that are allocated",
    "NeuronOperations": "operations of snnTorch's neuron classes",
}
DELAY = (
    "a layer hears one timestep later than in a framework that passes all layers at once: end a sample with as many "
    "silent timesteps as there are layers to count what NeuroBench counts"
)


def export(result: object) -> dict[str, Any] | None:
    """The content of neurobench.json; None for results that are not a network's run."""
    if isinstance(result, TimestepResult):
        return _of_timesteps(result)
    if isinstance(result, FrameResult):
        return _of_frames(result)
    return _of_stream(result) if isinstance(result, StreamResult) else None


def _of_timesteps(result: TimestepResult) -> dict[str, Any]:
    network, samples = result.mapping.network, len(result.sample_timesteps)
    sparsity = activation_sparsity(network, result.counts.spikes.sum(axis=0), result.spans)
    done = operations(network, result.counts.nonzero_synops.sum(axis=0), result.binary_input)
    known = {
        **_connections(network.connections),
        **_activations(sparsity),
        "SynapticOperations": _operations(done, dense_synops(network) * result.spans, samples),
    }
    about = {"samples": samples, "timesteps": result.spans, "notes": [DELAY]}
    return _file(network, result.mapping.chip.name, known | _accuracy(result), about, {})


def _of_frames(result: FrameResult) -> dict[str, Any]:
    """A sample is a frame. The layers of several hardware sequences are put together."""
    network, frames = result.mapping.network, result.spans
    spikes = {}
    for run in result.runs:
        for layer, sent in zip(run.mapping.network.layers, run.counts.spikes.sum(axis=0).tolist(), strict=True):
            spikes[layer.name] = sent
    by_layer = np.array([spikes.get(layer.name, 0) for layer in network.layers])
    known = {**_connections(network.connections), **_activations(activation_sparsity(network, by_layer, frames))}
    unknown = _why_not_counted(result)
    if unknown is None:
        done = operations(network, result.runs[0].counts.nonzero_synops.sum(axis=0), None)
        known["SynapticOperations"] = _operations(done, dense_synops(network) * frames, frames)
    absent = {} if unknown is None else {"SynapticOperations": unknown}
    about = {"samples": frames, "notes": ["a sample is a frame"]}
    return _file(network, result.chip.name, known | _accuracy(result), about, absent)


def _why_not_counted(result: FrameResult) -> str | None:
    """Why the synaptic operations of frames are not those that NeuroBench counts; None if they are."""
    if any(isinstance(connection.synapses, Separable) for connection in result.mapping.network.connections):
        return "the two convolutions of a separable layer are counted as one"
    if any(part.kind == "input" for run in result.runs for part in run.mapping.parts):
        return "the input block multiplies every pixel: which are zero is not counted"
    return "counted by hardware sequence, of which the network takes several" if len(result.runs) > 1 else None


def _of_stream(result: StreamResult) -> dict[str, Any]:
    """Without timesteps there is no number of times that a neuron could have sent."""
    reason = "defined by timesteps, of which this chip has none"
    absent = dict.fromkeys(("ActivationSparsity", "ActivationSparsityByLayer", "SynapticOperations"), reason)
    mapping = result.mapping
    return _file(mapping.network, mapping.chip.name, _connections(mapping.network.connections), {}, absent)


def _file(
    network: Network, chip: str, known: dict[str, Any], about: dict[str, Any], absent: dict[str, str]
) -> dict[str, Any]:
    """Metrics, then what they are of; those without a value are named with the reason."""
    for name in ("ConnectionSparsity", "ActivationSparsity", "ActivationSparsityByLayer"):
        if name not in known and name not in absent:
            absent[name] = "there are no weights" if name.startswith("C") else "no layer of neurons sends anything"
    never = {name: reason for name, reason in NEVER_KNOWN.items() if name not in known}
    own = {"network": network.name, "chip": chip, **about, "absent": {**never, **absent}}
    return {**known, "nsim": own}


def _accuracy(result: TimestepResult | FrameResult) -> dict[str, float]:
    return (
        {} if result.accuracy is None else {"ClassificationAccuracy": result.accuracy.right / result.accuracy.samples}
    )


def _connections(connections: tuple[Connection, ...]) -> dict[str, float]:
    sparsity = connection_sparsity(connections)
    return {} if sparsity is None else {"ConnectionSparsity": round(sparsity, 4)}


def _activations(by_layer: dict[str, tuple[int, int]]) -> dict[str, Any]:
    if not by_layer:
        return {}
    sent, possible = np.sum(list(by_layer.values()), axis=0).tolist()
    return {
        "ActivationSparsity": (possible - sent) / possible,
        "ActivationSparsityByLayer": {name: (most - sent) / most for name, (sent, most) in by_layer.items()},
    }


def _operations(done: dict[str, int], dense: int, samples: int) -> dict[str, float]:
    return {
        "Effective_MACs": done["macs"] / samples,
        "Effective_ACs": done["acs"] / samples,
        "Dense": dense / samples,
    }
