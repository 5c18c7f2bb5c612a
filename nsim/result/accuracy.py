"""Accuracy: how many samples a network names the class of, read as the field does.

An output layer that spikes names the neuron that sends most in a sample, graded messages by their values. One that
holds its value to be read, such as a membrane without threshold, names the largest value of the sample's last timestep.
Of several largest ones, and of none, the first counts, as `argmax` has it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nsim.errors import counted

SPIKES, LAST = "most spikes", "largest last value"


@dataclass(frozen=True)
class Accuracy:
    """How many samples are named right, of how many; undecided: those with several largest outputs; by: how read."""

    right: int
    samples: int
    undecided: int
    by: str

    @property
    def facts(self) -> dict[str, float | str]:
        """Keys of the summary."""
        doubt = f", {self.undecided} of {counted(self.samples, 'sample')} undecided" if self.undecided else ""
        return {"accuracy": self.right / self.samples, "accuracy_by": f"{self.by}{doubt}"}


def accuracy(outputs: NDArray, lengths: list[int], labels: NDArray[np.int64], holds: bool) -> Accuracy | None:
    """Of the samples that are whole; None if there is none.

    outputs   [timesteps, outputs] that were simulated
    lengths   timesteps of every sample
    labels    int64[samples]
    holds     whether the outputs are values that a layer holds, and not what it sends
    """
    ends = np.cumsum(lengths)
    whole = int(np.searchsorted(ends, len(outputs), side="right"))
    if not whole:
        return None
    parts = np.split(outputs[: ends[whole - 1]], ends[: whole - 1])
    scores = np.array([part[-1] if holds else part.sum(axis=0) for part in parts])
    undecided = int(((scores == scores.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
    right = int((scores.argmax(axis=1) == labels[:whole]).sum())
    return Accuracy(right, whole, undecided, LAST if holds else SPIKES)
