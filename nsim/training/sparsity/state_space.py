"""S5 networks that can be trained: encoder, blocks with a diagonal complex state and a gated linear unit, decoder.

Every time bin is a frame, and layer k works on it k timesteps later, as in the simulator. Stored weights have the
chip's bits; states, messages and biases are floating-point numbers there and here, so the simulator agrees up to their
rounding and not to the bit (AGREEMENT). Two things differ from the S5 of IntelLabs/SparseRNNs: there is no batch norm,
whose shift would make silent layers send, and the rectified sum of gated and residual path has a trained factor of
either sign on the gated one, or it would never be zero where the residual is not.
Sources: S5, Smith et al., ICLR 2023; the shape, the rectifiers and "half1" gates, IntelLabs/SparseRNNs; eigenvalues as
magnitude and phase with input scaled by sqrt(1 - magnitude^2), Orvieto et al. 2023, arXiv:2303.06349.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from nsim.formats.s5_arrays import write_s5
from nsim.network.builtin.s5 import S5Block
from nsim.training.sparsity.networks import EVENT_WIDTH, SCALE, Parameters, Passed, in_double_precision, rounded

AGREEMENT = 1e-4  # of the simulator's outputs with double precision, in units of the largest output
STATES_PER_BLOCK = 8  # of S5's first eigenvalues: 256 real states in 16 blocks, half of them conjugate to the others
SHORTEST, LONGEST = (
    0.01,
    0.2,
)  # assumed: time steps at first, log-uniform; S5's 0.001 to 0.1 are for longer input
SHAPES = {"s5": {"d_model": 192, "states": 128, "depth": 3}, "s5-half": {"d_model": 96, "states": 64, "depth": 3}}


@dataclass(frozen=True)
class StateSpace:
    """What does not change in training.

    inputs       of a frame, 0..64
    d_model      channels between the layers
    states       complex states of a block
    weight_bits  of a stored weight, sign included

    A network's parameters are a dictionary per layer: encoder, then state, mix and gate of every block, and decoder.
    """

    inputs: int
    outputs: int
    d_model: int = 192
    states: int = 128
    depth: int = 3
    weight_bits: int = 8
    suffix: ClassVar[str] = ".s5"
    agreement: ClassVar[float] = AGREEMENT

    @property
    def weight_shapes(self) -> tuple[tuple[int, ...], ...]:
        h, p = self.d_model, 2 * self.states
        return ((h, self.inputs), *((p, h), (h, p), (h, h)) * self.depth, (self.outputs, h))

    def initial(self, rng: np.random.Generator) -> Parameters:
        parameters = [_layer(rng, shape) for shape in self.weight_shapes]
        for first in range(1, 1 + 3 * self.depth, 3):
            state, mix, gate = parameters[first : first + 3]
            step = np.exp(rng.uniform(np.log(SHORTEST), np.log(LONGEST), self.states))
            frequency = np.pi * (np.arange(self.states) % STATES_PER_BLOCK)
            del state["bias"]
            state["log_decay"] = jnp.asarray(np.log(step / 2), jnp.float32)
            state["phase"] = jnp.asarray(step * frequency, jnp.float32)
            state["weight"] *= jnp.repeat(jnp.sqrt(1 - _magnitude(state) ** 2), 2)[:, None]
            mix["feedthrough"] = jnp.asarray(rng.normal(0, 1, self.d_model), jnp.float32)
            gate["gate_bias"] = gate.pop("bias")
            gate["value"] = jnp.asarray(rng.choice((-1.0, 1.0), self.d_model), jnp.float32)
        return parameters

    def forward(self, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array) -> Passed:
        return forward(self, parameters, masks, frames)

    def constrained(self, parameters: Parameters) -> Parameters:
        """Parameters after a step: biases of rectified layers are put back to at most 0."""
        kept = [
            {name: jnp.minimum(value, 0) if name == "bias" else value for name, value in layer.items()}
            for layer in parameters[:-1]
        ]
        return [*kept, parameters[-1]]

    def exact_outputs(self, parameters: Parameters, masks: Sequence[jax.Array], frames: NDArray) -> NDArray:
        """Outputs after every frame in double precision, [samples, timesteps, outputs]."""
        return in_double_precision(self.forward, parameters, masks, frames, 60)

    def write(self, path: Path, parameters: Parameters, masks: Sequence[jax.Array]) -> None:
        """Write the file for `nsim run`. raises OutputError"""
        weights = [
            np.asarray(stored_weight(jnp.asarray(layer["weight"]), self.weight_bits) * mask)
            for layer, mask in zip(parameters, masks, strict=True)
        ]
        blocks = []
        for first in range(1, 1 + 3 * self.depth, 3):
            state, mix, gate = parameters[first : first + 3]
            vectors = {"mix_bias": mix["bias"], "gate_bias": gate["gate_bias"]}
            vectors |= {n: stored_weight(jnp.asarray(part[n]), self.weight_bits) for n, part in _vectors(mix, gate)}
            matrices = zip(("input_weight", "output_weight", "gate_weight"), weights[first : first + 3], strict=True)
            real, imaginary = (np.asarray(part) for part in eigenvalues(state))
            arrays = {name: np.asarray(vector) for name, vector in vectors.items()}
            blocks.append(S5Block(eigenvalues=real + 1j * imaginary, **dict(matrices), **arrays))
        ends = ((weights[n], np.asarray(parameters[n]["bias"])) for n in (0, -1))
        encoder, decoder = ends
        write_s5(path, (encoder[0] / SCALE, encoder[1]), blocks, decoder, self.weight_bits)

    def observed(self, outputs: NDArray) -> NDArray:
        """What the host makes of what the decoder shows after every frame: their mean so far."""
        return running_mean(outputs)


def _layer(rng: np.random.Generator, shape: tuple[int, ...]) -> dict[str, jax.Array]:
    weight = rng.normal(0, np.sqrt(2 / shape[1]), shape)
    return {"weight": jnp.asarray(weight, jnp.float32), "bias": jnp.zeros(shape[0], jnp.float32)}


def _vectors(mix: dict, gate: dict) -> tuple[tuple[str, dict], ...]:
    return (("feedthrough", mix), ("value", gate))


def _magnitude(state: dict[str, jax.Array]) -> jax.Array:
    """Below 1 whatever is trained."""
    return jnp.exp(-jnp.exp(state["log_decay"]))


def eigenvalues(state: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
    """Real and imaginary parts."""
    magnitude = _magnitude(state)
    return magnitude * jnp.cos(state["phase"]), magnitude * jnp.sin(state["phase"])


def stored_weight(weight: jax.Array, weight_bits: int) -> jax.Array:
    """Multiples of a power of two, so many of them that the largest weight of the matrix is one of those stored."""
    largest = (1 << (weight_bits - 1)) - 1
    top = jax.lax.stop_gradient(jnp.maximum(jnp.abs(weight).max(), 1e-6))
    step = jnp.exp2(jnp.ceil(jnp.log2(top / largest)))
    return rounded(weight, step)


def running_mean(outputs: Any) -> Any:
    """Of the outputs so far, which is what the host classifies by: [samples, timesteps, outputs], JAX or NumPy."""
    count = np.arange(1, outputs.shape[1] + 1).reshape(1, -1, 1)
    return outputs.cumsum(axis=1) / count


def recurrence(drive: jax.Array, real: jax.Array, imaginary: jax.Array) -> jax.Array:
    """x = eigenvalue * x + drive, frame by frame: [samples, timesteps, 2 P], real and imaginary parts alternate."""

    def step(state: jax.Array, drive: jax.Array) -> tuple[jax.Array, jax.Array]:
        x, y = state[:, 0::2], state[:, 1::2]
        turned = jnp.stack((real * x - imaginary * y, imaginary * x + real * y), axis=-1)
        state = turned.reshape(state.shape) + drive
        return state, state

    _, states = jax.lax.scan(step, jnp.zeros_like(drive[:, 0]), drive.swapaxes(0, 1))
    return states.swapaxes(0, 1)


def forward(made: StateSpace, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array) -> Passed:
    """Run samples through the network as it will be stored; outputs are means of those of all frames so far.

    masks    1 where a weight is kept, by layer
    frames   [samples, timesteps, ...], 0..64
    """
    dtype = parameters[0]["weight"].dtype
    value = frames.reshape(*frames.shape[:2], -1).astype(dtype) / SCALE
    passed = _Sent([(value != 0).astype(dtype)], [value])
    bits = made.weight_bits
    weights = [stored_weight(layer["weight"], bits) * mask for layer, mask in zip(parameters, masks, strict=True)]
    value = passed.rectified(value @ weights[0].T + parameters[0]["bias"])
    for first in range(1, 1 + 3 * made.depth, 3):
        state, mix, gate = parameters[first : first + 3]
        into, out, gating = weights[first : first + 3]
        held = passed.always(recurrence(value @ into.T, *eigenvalues(state)))
        feedthrough, factor = (stored_weight(part[name], bits) for name, part in _vectors(mix, gate))
        mixed = passed.rectified(held @ out.T + feedthrough * value + mix["bias"])
        opened = jax.nn.sigmoid(mixed @ gating.T + gate["gate_bias"])
        value = passed.rectified(factor * mixed * opened + value)
    outputs = value @ weights[-1].T + parameters[-1]["bias"]
    return Passed(running_mean(outputs), passed.events, passed.messages)


@dataclass(frozen=True)
class _Sent:
    """What the layers send, collected on the way."""

    events: list[jax.Array]
    messages: list[jax.Array]

    def rectified(self, total: jax.Array) -> jax.Array:
        """A message where the sum is positive; the slope of an event is that of a sigmoid of the sum."""
        slope = jax.nn.sigmoid(total / EVENT_WIDTH)
        self.events.append((total > 0).astype(total.dtype) + (slope - jax.lax.stop_gradient(slope)))
        self.messages.append(jnp.maximum(total, 0))
        return self.messages[-1]

    def always(self, states: jax.Array) -> jax.Array:
        """States send whenever they are not zero, and nothing that is trained changes that."""
        self.events.append((states != 0).astype(states.dtype))
        self.messages.append(states)
        return states
