"""Time of an epoch of backpropagation through time, against a plain JAX scan of the same network in the same run.

    python benchmarks/speed/training.py [--quick] [--one-thread] [--torch] [--json FILE]

Expected: 256 recurrent neurons, 100 bins and the 8,156 samples of SHD's training file take no more than 30 s per epoch
on two cores, 800 neurons no more than 4 minutes. A fixed number of minibatches is timed and scaled to 8,156 samples.
The witness is written below with nothing of nsim: `lax.scan` over the steps, a custom derivative of the spike, and
JAX's own differentiation; Adam of optax. Both take turns, so that what else the machine does disturbs them alike: the
ratio is the finding, the seconds are those of the machine in that minute. With --torch a loop over the steps in
snntorch and torch is timed, too, if they are installed; with --one-thread everybody has one thread, which on a busy
machine is the only fair way for torch, whose threads wait for each other in every step.
Both are asked for float32 products of full precision, and draw their samples with 5 % of all bins set. The witness has
no masks, no input tiles and no regulariser, so it does less.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import machine
import numpy as np
import optax
from rich.console import Console
from rich.table import Table

from nsim.mapping.tiles.fabric import Fabric
from nsim.training.routing.choice import make_method
from nsim.training.routing.layout import Layout
from nsim.training.routing.network import Neurons, Task
from nsim.training.routing.options import Choice
from nsim.training.routing.step import Optimiser, begin, make_step
from nsim.training.routing.sweep import ONE_THREAD

SAMPLES, BINS, INPUTS, OUTPUTS = 8_156, 100, 128, 20
LEAK, THRESHOLD, RATE = 0.978, 2.0, 5e-3
SIZES = {"256 neurons": ((2, 4, 32), 30.0), "800 neurons": ((5, 5, 32), 240.0)}  # grid, and seconds allowed
console = Console(width=130)


# --- the witness: the same equations, as one would write them down


@jax.custom_jvp
def spike(distance: jax.Array) -> jax.Array:
    return (distance > 0).astype(distance.dtype)


@spike.defjvp
def _spike_derivative(primal, tangent):
    (distance,), (change,) = primal, tangent
    return spike(distance), change / (10 * jnp.abs(distance) + 1) ** 2


def plain_loss(weights: dict[str, jax.Array], x: jax.Array, labels: jax.Array) -> jax.Array:
    """x [batch, steps, inputs]; cross-entropy of the spike counts of the last neurons."""
    current = jnp.swapaxes(x.astype(jnp.float32), 0, 1) @ weights["input"]

    def step(carry, arriving):
        v, z, counts = carry
        v = LEAK * v + arriving + z @ weights["recurrent"] - THRESHOLD * z
        z = spike(v - THRESHOLD)
        return (v, z, counts + z[:, -OUTPUTS:]), None

    still = jnp.zeros((x.shape[0], weights["recurrent"].shape[0]))
    (_, _, counts), _ = jax.lax.scan(step, (still, still, still[:, -OUTPUTS:]), current)
    return -jnp.take_along_axis(jax.nn.log_softmax(counts), labels[:, None], axis=1).mean()


def plain_training(neurons: int, rng: np.random.Generator) -> Callable[[jax.Array, jax.Array], Any]:
    """A call that trains on one minibatch."""
    adam = optax.adam(RATE)
    weights = {
        "input": jnp.asarray(rng.standard_normal((INPUTS, neurons)) * 0.2, jnp.float32),
        "recurrent": jnp.asarray(rng.standard_normal((neurons, neurons)) / np.sqrt(neurons), jnp.float32),
    }
    state = [weights, adam.init(weights)]

    @jax.jit
    def step(weights, moments, x, labels):
        with jax.default_matmul_precision("highest"):
            gradient = jax.grad(plain_loss)(weights, x, labels)
        change, moments = adam.update(gradient, moments)
        return optax.apply_updates(weights, change), moments

    def one(x, labels):
        state[:] = step(*state, x, labels)
        return state[0]["recurrent"]

    return one


# --- the training of nsim


def nsim_training(fabric: Fabric, rng: np.random.Generator) -> Callable[[jax.Array, jax.Array], Any]:
    layout = Layout(fabric, INPUTS, OUTPUTS)
    method = make_method(layout, Choice("deepr-profile", ((1, 0.5), (3, 0.1))))
    start = method.begin(rng)
    task = Task(fabric.neurons, INPUTS, OUTPUTS, 1.0, 0.5)
    step = make_step(layout, method.rules, Optimiser(RATE, 10_000, 1e3), Neurons(LEAK, THRESHOLD), task)
    state, mask, key = [begin(start.weights)], jnp.asarray(start.mask), jax.random.key(0)

    def one(x, labels):
        state[0], _ = step(state[0], mask, x, labels, key)
        return state[0].weights

    return one


# --- torch, as its users write it


def torch_training(neurons: int, rng: np.random.Generator) -> Callable[[np.ndarray, np.ndarray], Any] | None:
    """A loop of snntorch over the steps; None if it is not installed."""
    try:
        import snntorch
        import torch
    except ImportError:
        return None
    torch.manual_seed(int(rng.integers(2**31)))
    into = torch.nn.Linear(INPUTS, neurons, bias=False)
    cell = snntorch.RLeaky(beta=LEAK, threshold=THRESHOLD, linear_features=neurons)
    optimiser = torch.optim.Adam([*into.parameters(), *cell.parameters()], RATE)

    def one(x, labels):
        frames, wanted = torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels)
        spikes, v = cell.init_rleaky()
        counts = torch.zeros(len(x), OUTPUTS)
        for step in range(frames.shape[1]):
            spikes, v = cell(into(frames[:, step]), spikes, v)
            counts = counts + spikes[:, -OUTPUTS:]
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(counts, wanted).backward()
        optimiser.step()

    return one


# --- measuring


def one_thread() -> None:
    """Before anything is computed: JAX reads the flag when it begins."""
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip()
    try:
        import torch
    except ImportError:
        return
    torch.set_num_threads(1)


def seconds(runs: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Time of every call, by name; they take turns, and the first round, which compiles, does not count."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(rounds + 1):
        for name, call in runs.items():
            begun = time.perf_counter()
            done = call()
            if done is not None:
                done.block_until_ready()
            if number:
                found[name].append(time.perf_counter() - begun)
    return found


def measure(batch: int, rounds: int, with_torch: bool, sizes: dict[str, Any]) -> list[dict[str, Any]]:
    """Rows by size: seconds per epoch, scaled from `rounds` minibatches of each, and their ratio to the witness."""
    rows = []
    for name, ((rows_of_tiles, columns, per_tile), allowed) in sizes.items():
        rng = np.random.default_rng(0)
        fabric = Fabric(rows_of_tiles, columns, per_tile)
        x = (rng.random((batch, BINS, INPUTS)) < 0.05).astype(np.uint8)
        labels = rng.integers(0, OUTPUTS, batch)
        on_device = jnp.asarray(x), jnp.asarray(labels)
        ours, plain = nsim_training(fabric, rng), plain_training(fabric.capacity, rng)
        runs: dict[str, Callable[[], Any]] = {
            "nsim": lambda ours=ours, on_device=on_device: ours(*on_device),
            "plain": lambda plain=plain, on_device=on_device: plain(*on_device),
        }
        if with_torch and (loop := torch_training(fabric.capacity, rng)):
            runs["snntorch"] = lambda loop=loop, x=x, labels=labels: loop(x, labels)
        taken = seconds(runs, rounds)
        row: dict[str, Any] = {"network": name, "batch": batch, "minibatches": rounds, "allowed_s": allowed}
        for each, times in taken.items():
            row[f"{each}_epoch_s"] = float(np.median(times)) * SAMPLES / batch
        rows.append(row)
    return rows


def show(rows: list[dict[str, Any]]) -> None:
    title = f"seconds per epoch of {SAMPLES:,} samples, {BINS} bins, by the median minibatch"
    table = Table("network", "batch", "nsim", "plain scan", "plain / nsim", "snntorch / nsim", "allowed", title=title)
    for row in rows:
        ours, plain, other = row["nsim_epoch_s"], row["plain_epoch_s"], row.get("snntorch_epoch_s")
        within = "[green]yes" if ours <= row["allowed_s"] else "[red]no"
        table.add_row(
            *(row["network"], f"{row['batch']}", f"{ours:.1f}", f"{plain:.1f}", f"{plain / ours:.2f}"),
            *(f"{other / ours:.2f}" if other else "-", f"{row['allowed_s']:.0f}: {within}"),
        )
    console.print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two minibatches of 16 samples, 256 neurons only")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--minibatches", type=int, default=8, help="timed of each")
    parser.add_argument("--torch", action="store_true", help="snntorch, too")
    parser.add_argument("--one-thread", action="store_true", help="one thread each")
    parser.add_argument("--json", type=Path, help="save the rows")
    options = parser.parse_args()
    if options.one_thread:
        one_thread()
    facts = machine.describe("jax", "jaxlib", "optax")
    console.print(machine.headline(facts))
    if options.quick:
        rows = measure(16, 2, options.torch, {"256 neurons": SIZES["256 neurons"]})
    else:
        rows = measure(options.batch, options.minibatches, options.torch, SIZES)
    show(rows)
    if options.json:
        options.json.write_text(json.dumps({"machine": facts, "rows": rows}, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
