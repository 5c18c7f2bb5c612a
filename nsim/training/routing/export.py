"""The trained network as a NIR graph, and what the simulator's kernels make of it.

A layer of NIR's CubaLIF with tau_mem = dt, tau_syn = dt / (1 - a) and w_in = 1 / (1 - a) is v = a v + sum: its synaptic
current is the trained network's v, and its own v repeats it. It resets its own v only, which the next step overwrites;
the soft reset is a connection of every neuron to itself, of weight -threshold, as in training. In `nsim` input takes a
timestep to reach its neurons, so everything comes one step later than in training.
Equations: the docstrings of the nir package, as one Euler step (see nsim/formats/nir_nodes.py).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import jax.numpy as jnp
import nir
import numpy as np
from numpy.typing import NDArray

from nsim.errors import OutputError
from nsim.formats.nir_rules import FROM
from nsim.network.activity import Evaluator
from nsim.network.layers import Network
from nsim.training.routing.layout import Layout
from nsim.training.routing.loop import Trained, neurons_of, task_of
from nsim.training.routing.network import input_current, voltages
from nsim.training.routing.settings import STEP_MS

DT_S = STEP_MS * 1e-3
LATENCY = 1  # timesteps from an input to the neurons, as nsim counts


def input_weights(layout: Layout, weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The diagonal blocks of the input tiles, [neurons, inputs]: target, source."""
    return np.where(layout.is_input_weight, weights, 0)[: layout.inputs].T.copy()


def recurrent_weights(layout: Layout, weights: NDArray[np.float32], threshold: float) -> NDArray[np.float32]:
    """All others, and the soft reset on the diagonal, [neurons, neurons]: target, source."""
    recurrent = np.where(layout.recurrent, weights, 0) - np.float32(threshold) * np.eye(layout.neurons)
    return recurrent.T.astype(np.float32)


def as_nir(trained: Trained) -> nir.NIRGraph:
    """Input -> input_weights -> neurons (all tiles in order, outputs last) -> recurrent_weights -> neurons."""
    settings, layout, leak = trained.settings, trained.layout, 1 - trained.settings.leak
    ones = np.ones(layout.neurons)
    neurons = nir.CubaLIF(
        tau_mem=DT_S * ones,
        tau_syn=DT_S / leak * ones,
        r=ones,
        v_leak=0 * ones,
        v_threshold=settings.threshold * ones,
        w_in=ones / leak,
    )
    nodes = {
        "input": nir.Input({"input": np.array([layout.inputs])}),
        "input_weights": nir.Linear(input_weights(layout, trained.weights)),
        "neurons": neurons,
        "recurrent_weights": nir.Linear(recurrent_weights(layout, trained.weights, settings.threshold)),
        "output": nir.Output({"output": np.array([layout.neurons])}),
    }
    edges = [
        ("input", "input_weights"),
        ("input_weights", "neurons"),
        ("neurons", "recurrent_weights"),
        ("recurrent_weights", "neurons"),
        ("neurons", "output"),
    ]
    return nir.NIRGraph(nodes, edges, metadata={"dt": DT_S, FROM: "nir"})


def write_nir(path: Path, trained: Trained) -> None:
    """raises  OutputError"""
    try:
        nir.write(path, as_nir(trained))
    except OSError as error:
        raise OutputError(f"cannot write network {path} ({error}): free space, or give another folder") from None


def input_frames(x: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Samples [samples, steps, inputs] with empty steps at their end, in which the last inputs still arrive."""
    return np.pad(x, ((0, 0), (0, LATENCY), (0, 0)))


@dataclass(frozen=True)
class SpikeComparison:
    """Spikes of the simulator's kernels and of the trained network, on the same samples.

    differing_spikes    by neuron and step: in one of them only
    differing_samples   with at least one of these
    nearest_v           largest |v - threshold| in training, of a neuron whose spike is the first in its sample to
                        differ; 0 if none does
    same_answers        samples with the same class in both
    """

    samples: int
    trained_spikes: int
    simulated_spikes: int
    differing_spikes: int
    differing_samples: int
    nearest_v: float
    same_answers: int


def simulated_spikes(network: Network, x: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Spikes of the layer "neurons", bool[steps, samples, neurons], without the latency."""
    layer = network.by_name["neurons"]
    frames = input_frames(x)
    spikes = np.zeros((x.shape[1], len(x), layer.neurons), bool)
    for number, sample in enumerate(frames):
        evaluator = Evaluator(network)
        for step, frame in enumerate(sample):
            shown = evaluator.step(frame.astype(np.int64))[1]
            if step >= LATENCY:
                spikes[step - LATENCY, number] = shown > 0
    return spikes


def compare_spikes(trained: Trained, network: Network, x: NDArray[np.uint8]) -> SpikeComparison:
    """How far rounding carries: both compute in float32, but add up the same sums in another order.

    A neuron whose v lies within rounding of the threshold may spike in one of them only, and what follows in this
    sample may then differ everywhere.
    """
    settings, layout = trained.settings, trained.layout
    current = input_current(jnp.asarray(trained.weights), jnp.asarray(x), task_of(settings, layout.outputs))
    v = np.asarray(voltages(jnp.asarray(trained.weights * layout.recurrent), current, neurons_of(settings)))
    expected, found = v > settings.threshold, simulated_spikes(network, x)
    differs = expected != found
    nearest = 0.0
    for sample in np.flatnonzero(differs.any(axis=(0, 2))):
        first = int(differs[:, sample].any(axis=1).argmax())
        distance = np.abs(v[first, sample] - settings.threshold)
        nearest = max(nearest, float(distance[differs[first, sample]].max()))
    answers = [spikes[:, :, -layout.outputs :].sum(axis=0).argmax(axis=1) for spikes in (expected, found)]
    return SpikeComparison(
        samples=len(x),
        trained_spikes=int(expected.sum()),
        simulated_spikes=int(found.sum()),
        differing_spikes=int(differs.sum()),
        differing_samples=int(differs.any(axis=(0, 2)).sum()),
        nearest_v=nearest,
        same_answers=int((answers[0] == answers[1]).sum()),
    )
