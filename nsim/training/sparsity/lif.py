"""Networks of Loihi's leaky integrate-and-fire neurons that can be trained, in the integers of
nsim.network.neurons.FixedLif.

Real numbers stand for integers: weights and thresholds x 64, currents and voltages x 2^12. Input neurons do not leak
and charge by their pixel, so that pixel p spikes every ceil(64 / p) timesteps. Layers have no bias, which would charge
them before anything has come. The class is the output neuron that has spiked most.
The slope of a spike is that of a sigmoid of the voltage, a surrogate as in Neftci et al. 2019, arXiv:1901.09948; the
reset has none.
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

from nsim.training.data.pictures import FULL_SCALE
from nsim.training.sparsity.export import write_groups
from nsim.training.sparsity.networks import EVENT_WIDTH, SCALE, Parameters, Passed, in_double_precision, stored_weight

STATE_SCALE = 1 << 12  # of currents and voltages
TIMESTEPS = 16  # that a single picture is shown
HIDDEN = (256, 128)


@dataclass(frozen=True)
class Spiking:
    """What does not change in training; fully connected layers.

    threshold                      mantissa: fires above threshold << 6
    current_decay, voltage_decay   of 4096, which forgets all; assumed: currents last for 4 timesteps, voltages for 32
    """

    inputs: int
    outputs: int
    hidden: tuple[int, ...] = HIDDEN
    threshold: int = 256
    current_decay: int = 1024
    voltage_decay: int = 128
    weight_bits: int = 8
    suffix: ClassVar[str] = ".net"
    agreement: ClassVar[float] = 0.0

    @property
    def weight_shapes(self) -> tuple[tuple[int, int], ...]:
        sizes = (self.inputs, *self.hidden, self.outputs)
        return tuple(zip(sizes[1:], sizes, strict=False))

    def initial(self, rng: np.random.Generator) -> Parameters:
        """Weights that grow with the threshold, so that a neuron needs as many spikes whatever it is."""
        scale = self.threshold / SCALE
        return [
            {"weight": jnp.asarray(rng.normal(0, scale * np.sqrt(2 / shape[1]), shape), jnp.float32)}
            for shape in self.weight_shapes
        ]

    def forward(self, parameters: Parameters, masks: Sequence[jax.Array], frames: jax.Array) -> Passed:
        """Run samples through the network as it will be stored; outputs are spikes counted so far.

        frames   [samples, timesteps, ...], 0..64, the same picture in all timesteps
        """
        dtype = parameters[0]["weight"].dtype
        spikes = charged(frames.reshape(*frames.shape[:2], -1)).astype(dtype)
        events = []
        for layer, mask in zip(parameters, masks, strict=True):
            events.append(spikes)
            weight = stored_weight(layer["weight"], self.weight_bits) * mask
            spikes = self.fired(spikes @ weight.T)
        return Passed(jnp.cumsum(spikes, axis=1), events, events)

    def fired(self, sums: jax.Array) -> jax.Array:
        """Spikes of a layer, [samples, timesteps, neurons], from its sums. No sum may leave 24 bits."""
        threshold = self.threshold / SCALE
        keep = [(4096 - decay) / 4096 for decay in (self.current_decay, self.voltage_decay)]

        def step(
            state: tuple[jax.Array, jax.Array], arriving: jax.Array
        ) -> tuple[tuple[jax.Array, jax.Array], jax.Array]:
            current = toward_zero(state[0] * keep[0]) + arriving
            voltage = toward_zero(state[1] * keep[1]) + current
            fires = (voltage > threshold).astype(arriving.dtype)
            slope = jax.nn.sigmoid((voltage / threshold - 1) / EVENT_WIDTH)
            return (current, voltage * (1 - fires)), fires + (slope - jax.lax.stop_gradient(slope))

        rest = jnp.zeros_like(sums[:, 0])
        _, spikes = jax.lax.scan(step, (rest, rest), sums.swapaxes(0, 1))
        return spikes.swapaxes(0, 1)

    def constrained(self, parameters: Parameters) -> Parameters:
        """Parameters after a step: all can be stored."""
        return parameters

    def exact_outputs(
        self, parameters: Parameters, masks: Sequence[jax.Array], frames: NDArray, batch: int = 250
    ) -> NDArray[np.int64]:
        """Spikes of the output layer so far, int64[samples, timesteps, outputs]; double precision is exact."""
        return np.round(in_double_precision(self.forward, parameters, masks, frames, batch)).astype(np.int64)

    def observed(self, outputs: NDArray) -> NDArray:
        """What the host makes of spikes of the output layer: their number so far."""
        return outputs.cumsum(axis=1)

    def write(self, path: Path, parameters: Parameters, masks: Sequence[jax.Array]) -> None:
        """Write a lava-dl `.net` file. raises OutputError"""
        groups: list[dict[str, Any]] = [
            {"type": "input", "shape": np.array([self.inputs]), "neuron": _neuron(4096, 0, FULL_SCALE - 1)}
        ]
        for layer, mask in zip(parameters, masks, strict=True):
            weight = np.asarray(jnp.round(stored_weight(jnp.asarray(layer["weight"]), self.weight_bits) * mask * SCALE))
            neuron = _neuron(self.current_decay, self.voltage_decay, self.threshold)
            groups.append({"type": "dense", "shape": np.array([len(weight)]), "weight": weight, "neuron": neuron})
        write_groups(path, groups)


def _neuron(current_decay: int, voltage_decay: int, threshold: int) -> dict[str, Any]:
    return {"type": "LOIHI", "iDecay": current_decay, "vDecay": voltage_decay, "vThMant": threshold}


def charged(pixels: jax.Array) -> jax.Array:
    """Whether input neurons spike, [samples, timesteps, inputs], from pixels 0..64 that do not change in time."""
    step = jnp.arange(1, pixels.shape[1] + 1)[None, :, None]
    period = -(-FULL_SCALE // jnp.maximum(pixels[:, :1].astype(jnp.int32), 1))
    return (pixels[:, :1] > 0) & (step % period == 0)


def toward_zero(value: jax.Array) -> jax.Array:
    """Rounded toward zero to a multiple of 2^-12, straight-through."""
    return value + jax.lax.stop_gradient(jnp.trunc(value * STATE_SCALE) / STATE_SCALE - value)
