"""What figures show beyond the tables, counted again one by one."""

from itertools import pairwise

import numpy as np
import pytest

from nsim import load_chip, load_network, map_network, simulate
from nsim.result.pictures import FRAMES, INTERVALS, latencies_of, pipeline_of, queue_of


@pytest.fixture(scope="module")
def stream():
    """More events than Speck can take, and one that leaves the chip long after."""
    mapping = map_network(load_network("speck-gesture"), load_chip("speck"))
    return simulate(mapping, "edges:rate=1e6,seconds=0.0005")


def test_the_queue_is_what_has_come_and_not_entered(stream):
    """At every picosecond at which something happens, the longest of each interval."""
    found = queue_of(stream)
    came, entered = stream.sensor.t_ps, stream.times.entered_ps
    moments = sorted({*came.tolist(), *entered.tolist(), *found["edges_ps"]})
    waiting = {t: int((came <= t).sum() - (entered <= t).sum()) for t in moments}
    edges = found["edges_ps"]
    assert len(edges) == INTERVALS + 1 and edges[0] == 0 and edges[-1] == stream.time_ps
    for k, most in enumerate(found["waiting"]):
        last = k == INTERVALS - 1
        inside = [n for t, n in waiting.items() if edges[k] <= t and (last or t < edges[k + 1])]
        assert most == max(inside)
    assert max(found["waiting"]) > 10


def test_every_latency_is_in_one_bin(stream):
    found, latencies = latencies_of(stream), stream.latency_ps
    edges = found["edges_ps"]
    assert edges[0] == latencies.min() and edges[-1] == latencies.max() + 1
    assert sum(found["events"]) == latencies.size
    for (low, high), count in zip(pairwise(edges), found["events"], strict=True):
        assert count == np.count_nonzero((low <= latencies) & (latencies < high))


@pytest.fixture(scope="module")
def frames():
    mapping = map_network(load_network("cnn"), load_chip("akd1000"))
    return simulate(mapping, activity=0.005, samples=FRAMES + 1)


def test_a_bar_holds_the_work_of_all_cores_of_a_layer(frames):
    """No core of the layer begins before it or ends behind it, and one of them does each."""
    (run,) = frames.runs
    rows = pipeline_of(frames)
    assert {row["frame"] for row in rows} == set(range(FRAMES))
    for row in rows:
        cores = [part.core for part in run.mapping.parts if part.layer == row["layer"]]
        begins, ends = (table[row["frame"], cores].tolist() for table in (run.times.begin_ps, run.times.finished_ps))
        assert (row["began_ps"], row["ended_ps"]) == (min(begins), max(ends))
        assert 0 <= row["began_ps"] < row["ended_ps"] <= run.times.left_ps[row["frame"]]
    layers = dict.fromkeys(part.layer for part in run.mapping.parts)
    assert len(rows) == len(layers) * FRAMES
