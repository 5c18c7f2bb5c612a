"""The recurrent network in JAX: leaky integrate-and-fire neurons, their gradient through time, and the loss.

    v[t] = a v[t-1] + W_in x[t] + W_rec z[t-1] - threshold z[t-1],   z[t] = v[t] > threshold

No synaptic filter, no refractory time; a spike is followed by a soft reset. The derivative of a spike is replaced by
1 / (10 |v - threshold| + 1)^2. Source: published program of Weber, Ballet, Payvand 2024, arXiv:2412.01575.
The loss needs no more of the spikes than how many there were, so the gradient that arrives is the same in every step.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

from nsim.training import require_extra

require_extra()

import jax  # noqa: E402  the line above says what to install
import jax.numpy as jnp  # noqa: E402

SLOPE = 10.0
HIGHEST = jax.lax.Precision.HIGHEST


class Neurons(NamedTuple):
    """decay: a = exp(-1 ms / tau); smooth: spikes replaced by the function that the surrogate is the derivative of."""

    decay: float
    threshold: float
    smooth: bool = False


def surrogate(distance: jax.Array) -> jax.Array:
    """Derivative of a spike by v, distance = v - threshold."""
    return 1 / (SLOPE * jnp.abs(distance) + 1) ** 2


def _spike(v: jax.Array, neurons: Neurons) -> jax.Array:
    distance = v - neurons.threshold
    if neurons.smooth:
        return (1 + jnp.sign(distance) * (1 - 1 / (SLOPE * jnp.abs(distance) + 1))) / SLOPE
    return (distance > 0).astype(v.dtype)


def voltages(recurrent: jax.Array, current: jax.Array, neurons: Neurons) -> jax.Array:
    """v of every step, [steps, batch, neurons].

    recurrent  [neurons, neurons]        weights[source, target]
    current    [steps, batch, inputs]    what the input brings to the first neurons
    """
    size = recurrent.shape[0]
    with_reset = _with_reset(recurrent, neurons)

    def step(v: jax.Array, arriving: jax.Array) -> tuple[jax.Array, jax.Array]:
        outside = jnp.pad(arriving, ((0, 0), (0, size - arriving.shape[1])))
        v = neurons.decay * v + outside + jnp.dot(_spike(v, neurons), with_reset, precision=HIGHEST)
        return v, v

    first = jnp.pad(current[0], ((0, 0), (0, size - current.shape[2])))  # before it nobody has spiked
    return jnp.concatenate((first[None], jax.lax.scan(step, first, current[1:])[1]))


def _with_reset(recurrent: jax.Array, neurons: Neurons) -> jax.Array:
    """The soft reset is a connection of every neuron to itself, of weight -threshold."""
    return recurrent - neurons.threshold * jnp.eye(recurrent.shape[0], dtype=recurrent.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def spike_counts(recurrent: jax.Array, current: jax.Array, neurons: Neurons) -> jax.Array:
    """Spikes of every neuron over all steps, [batch, neurons]; arguments as of `voltages`."""
    return _spike(voltages(recurrent, current, neurons), neurons).sum(axis=0)


def _counts_forward(recurrent, current, neurons):
    v = voltages(recurrent, current, neurons)
    return _spike(v, neurons).sum(axis=0), (v, recurrent, current.shape[2])


def _counts_backward(neurons, kept, arriving):
    """Backpropagation through time: delta[t] = dL/dv[t]; the gradient of the weights is one product over all steps."""
    v, recurrent, inputs = kept
    backwards = _with_reset(recurrent, neurons).T

    def step(later: jax.Array, v_t: jax.Array) -> tuple[jax.Array, jax.Array]:
        by_spike = arriving + jnp.dot(later, backwards, precision=HIGHEST)
        delta = neurons.decay * later + surrogate(v_t - neurons.threshold) * by_spike
        return delta, delta

    _, delta = jax.lax.scan(step, jnp.zeros_like(arriving), v, reverse=True)
    size = recurrent.shape[0]
    before = _spike(v[:-1], neurons).reshape(-1, size)
    return jnp.dot(before.T, delta[1:].reshape(-1, size), precision=HIGHEST), delta[:, :, :inputs]


spike_counts.defvjp(_counts_forward, _counts_backward)


class Task(NamedTuple):
    """What the network is asked for, by sizes and weights of the loss.

    tile          neurons of a tile
    inputs        of the first inputs // tile tiles
    outputs       the last neurons: whoever spikes most names the class
    rate_weight, rate_target   of the regulariser rate_weight * (rate_target - 10 * mean of all z)^2
    """

    tile: int
    inputs: int
    outputs: int
    rate_weight: float
    rate_target: float


def input_current(weights: jax.Array, x: jax.Array, task: Task) -> jax.Array:
    """What x uint8[batch, steps, inputs] brings to the neurons of the input tiles, [steps, batch, inputs]."""
    n, tiles = task.tile, task.inputs // task.tile
    blocks = jnp.stack([weights[k * n : (k + 1) * n, k * n : (k + 1) * n] for k in range(tiles)])
    batch, steps, _ = x.shape
    by_tile = x.astype(weights.dtype).reshape(batch, steps, tiles, n)
    current = jnp.einsum("btki,kij->tbkj", by_tile, blocks, precision=HIGHEST)
    return current.reshape(steps, batch, task.inputs)


class Measures(NamedTuple):
    """Of a batch: loss, share of right answers, and mean spikes per neuron and step."""

    loss: jax.Array
    accuracy: jax.Array
    rate: jax.Array


def loss_of(
    weights: jax.Array, recurrent: jax.Array, x: jax.Array, labels: jax.Array, neurons: Neurons, task: Task
) -> tuple[jax.Array, Measures]:
    """Cross-entropy of the spike counts, and the regulariser of the rate.

    weights    [neurons, neurons]      all, input blocks included
    recurrent  bool[neurons, neurons]  which of them are recurrent
    x          uint8[batch, steps, inputs]
    labels     int[batch]
    """
    counts = spike_counts(weights * recurrent, input_current(weights, x, task), neurons)
    shown = counts[:, -task.outputs :]
    entropy = -jnp.take_along_axis(jax.nn.log_softmax(shown), labels[:, None], axis=1).mean()
    rate = counts.mean() / x.shape[1]
    loss = entropy + task.rate_weight * (task.rate_target - 10 * rate) ** 2
    return loss, Measures(loss, (shown.argmax(axis=1) == labels).mean(), rate)


def spikes(weights: jax.Array, recurrent: jax.Array, x: jax.Array, neurons: Neurons, task: Task) -> jax.Array:
    """Which neurons spike, bool[steps, batch, neurons]."""
    return voltages(weights * recurrent, input_current(weights, x, task), neurons) > neurons.threshold
