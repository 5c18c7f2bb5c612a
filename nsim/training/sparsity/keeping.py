"""One training under way: its state after every epoch in a file, and its learning curve."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from nsim.errors import OutputError, TrainingError
from nsim.training import checkpoint
from nsim.training.sparsity.fitting import Epoch, Masks, State
from nsim.training.sparsity.networks import Parameters

Tell = Callable[[str, Epoch], None]


class Keeper:
    """Keeps a training by name.

    points   of parameters and masks, on validation data
    curve    mean loss of every epoch, and points after it: float64[epochs, 2]
    The file goes when the caller has stored what was found.
    """

    def __init__(
        self, folder: Path, name: str, points: Callable[[Parameters, Masks], float], tell: Tell | None = None
    ) -> None:
        self.path, self.name, self.points, self.tell = folder / f"{name}.epoch.npz", name, points, tell
        self.rows: list[tuple[float, float]] = []

    @property
    def curve(self) -> NDArray[np.float64]:
        return np.array(self.rows, float).reshape(-1, 2)

    def taken_up(self, state: State, rng: np.random.Generator) -> tuple[int, State]:
        """Epochs done and the state after them; sets the generator. raises TrainingError for a damaged file"""
        if not self.path.is_file():
            return 0, state
        leaves, tree = jax.tree.flatten(state)
        try:
            with np.load(self.path, allow_pickle=False) as file:
                found = [jnp.asarray(file[f"leaf{number}"]) for number in range(len(leaves))]
                rows, drawn = file["curve"].tolist(), json.loads(str(file["rng"]))
            rng.bit_generator.state = drawn
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as fault:
            cause = " ".join(str(fault).split())[:120]
            raise TrainingError(
                f"{self.path} cannot be read ({cause}): remove it, and its training begins anew"
            ) from None
        self.rows = [tuple(row) for row in rows]
        return len(rows), jax.tree.unflatten(tree, found)

    def after(self, epoch: int, of: int, loss: float, state: State, rng: np.random.Generator) -> None:
        """Look at the network and keep it. raises OutputError"""
        parameters, _, masks = state
        self.rows.append((loss, self.points(parameters, masks)))
        arrays = {f"leaf{number}": np.asarray(leaf) for number, leaf in enumerate(jax.tree.leaves(state))}
        arrays |= {"curve": self.curve, "rng": np.array(json.dumps(rng.bit_generator.state))}
        try:
            checkpoint.write_arrays(self.path, arrays)
        except OSError as error:
            raise OutputError(f"cannot write {self.path} ({error.strerror}): free space") from None
        if self.tell:
            self.tell(self.name, Epoch(epoch, of, *self.rows[-1]))

    def done(self) -> None:
        self.path.unlink(missing_ok=True)
