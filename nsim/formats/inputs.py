"""What drives a network: one array or recording for its input layer, or arrays by name for several."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.formats.numpy_files import existing, read_npz
from nsim.formats.spikes import SUFFIXES, load_input, samples_of
from nsim.network.inputs import Drained, Events, Frames
from nsim.network.layers import Network

Source = str | Path | NDArray[Any] | Mapping[str, NDArray[Any]]


def load_inputs(
    source: Source,
    network: Network,
    *,
    timesteps: int | None = None,
    samples: int | None = None,
    bin_s: float | None = None,
) -> list[Frames | Events | Drained]:
    """Read the input of a network, one entry per sample.

    source   as for `nsim.formats.spikes.load_input`. For a network with several input layers: their neurons side by
             side in one source, as `network.input_slices` says; or one array for each, by name, in an .npz file or a
             dictionary, with equal samples and timesteps (an array without timesteps is held)
    The other arguments are those of `load_input`.
    raises   InputError if the source cannot be read or does not fit the layers
    """
    arrays = _by_name(source, network)
    joined = source if arrays is None else _side_by_side(arrays, network)
    assert not isinstance(joined, Mapping)
    return load_input(joined, network.input_shape, timesteps=timesteps, samples=samples, bin_s=bin_s)


def _by_name(source: Source, network: Network) -> Mapping[str, NDArray[Any]] | None:
    """The arrays of a source that has one for each input layer; None if it is another kind of source."""
    if isinstance(source, Mapping):
        if missing := [name for name in network.inputs if name not in source]:
            raise InputError(_without(missing, source, "the input", network))
        return source
    if isinstance(source, np.ndarray) or not network.more_inputs or Path(source).suffix.lower() != ".npz":
        return None
    path = existing(Path(source), SUFFIXES)
    found: list[str] = []

    def named(names: list[str]) -> list[str]:
        found.extend(names)
        return [name for name in network.inputs if name in names]

    arrays = read_npz(path, named)
    missing = [name for name in network.inputs if name not in arrays]
    if missing and arrays:
        raise InputError(_without(missing, found, str(path), network))
    return arrays or None


def _without(missing: list[str], there: Any, name: str, network: Network) -> str:
    return (
        f"{name} has no array {missing[0]!r} among {sorted(there)[:10]}: network {network.name!r} has the inputs "
        f"{', '.join(network.inputs)}, give one for each"
    )


def _side_by_side(arrays: Mapping[str, NDArray[Any]], network: Network) -> NDArray[Any]:
    """[samples, timesteps, all input neurons]"""
    parts = [samples_of(np.asarray(arrays[n]), f"input {n!r}", network.by_name[n].shape) for n in network.inputs]
    lengths = [part.shape[:2] for part in parts]
    samples, timesteps = (max(numbers) for numbers in zip(*lengths, strict=True))
    for name, (own, steps) in zip(network.inputs, lengths, strict=True):
        if own not in (1, samples) or steps not in (1, timesteps):
            raise InputError(
                f"input {name!r} has {own} samples of {steps} timesteps, but another has {samples} of {timesteps}: "
                "give equally many, or one that is held"
            )
    held = [np.broadcast_to(part, (samples, timesteps, part.shape[2])) for part in parts]
    return np.concatenate(held, axis=2)
