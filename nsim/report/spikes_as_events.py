"""Spikes by timestep as the events of a chip without timesteps, and the accuracy there, sample by sample.

A spike of a timestep is an event; a value of n is n events. Those of a timestep come in the order of their neurons, and
evenly over its length: all at its beginning would be a burst that no sensor sends. Assumed; rates are kept exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.formats.labels import read_labels
from nsim.formats.spikes import load_input
from nsim.formats.streams import load_events
from nsim.mapping.events.rates import coded_streams
from nsim.network.inputs import EventStream, spread
from nsim.result.accuracy import SPIKES, Accuracy
from nsim.result.run import simulate

NOTE = "spikes of the input's timesteps come as events, evenly over each (assumed)"


def event_samples(inputs: Path, mapping: Any, samples: int | None, dt_s: float | None) -> list[EventStream] | None:
    """Streams of the samples of an input by timestep, in its order; None of an input that is events already.

    raises   InputError if it is neither, or its values are no spikes
    """
    if mapping.rates is not None:
        return coded_streams(mapping.rates, mapping.network, inputs, samples, dt_s)
    try:
        load_events(inputs, mapping.sensor_shape)
        return None
    except InputError as error:
        if dt_s is None:
            raise
        try:
            found = load_input(inputs, mapping.sensor_shape, samples=samples, bin_s=dt_s)
        except InputError:
            raise error from None
    return [spread(_spikes(sample, str(inputs)), dt_s, (NOTE,)) for sample in found]


def _spikes(sample: Any, name: str) -> list[NDArray[Any]]:
    """Numbers of spikes in every timestep of a sample."""
    values = [sample.at(step) for step in range(sample.timesteps)]
    if any((own < 0).any() or (own != np.rint(own)).any() for own in values):
        raise InputError(f"{name} holds values that are no numbers of spikes: encode them as spikes for such a chip")
    return values


def accuracy_of_streams(mapping: Any, samples: Sequence[EventStream], labels: Any, options: dict[str, Any]) -> Accuracy:
    """Every sample on a chip that begins anew: the output neuron with most events names its class."""
    layer = mapping.network.by_name[mapping.network.output]
    classes = read_labels(labels, len(samples), layer.neurons, options.get("samples") is not None)
    scores = np.zeros((len(samples), layer.neurons), np.int64)
    dt_s = options.get("dt_s")
    seconds = mapping.rates.steps * dt_s if mapping.rates is not None else None
    for number, sample in enumerate(samples):
        outputs = simulate(mapping, sample, dt_s=dt_s, seconds=seconds).outputs
        place = tuple(outputs[name].astype(np.int64) for name in ("channel", "row", "column"))
        np.add.at(scores[number], np.ravel_multi_index(place, layer.shape), 1)
    undecided = int(((scores == scores.max(axis=1, keepdims=True)).sum(axis=1) > 1).sum())
    return Accuracy(int((scores.argmax(axis=1) == classes).sum()), len(samples), undecided, SPIKES)
