"""The network on chip alone: laws of links and queues, both engines, and traces that cannot be replayed."""

from __future__ import annotations

import json
from dataclasses import fields

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim.chip.file import load_chip
from nsim.errors import InputError, MappingError, SimulationError
from nsim.machine.replay import ENGINES, Replayed, replay
from nsim.machine.traffic import LATEST_PS, Traffic, read_traffic
from nsim.result.replay import NocResult, percentiles_ps
from tests.generators.commands import nsim, refused
from tests.generators.machines import LINKS, MANY, changed, random_chip, shipped, small_chip

engines = pytest.mark.parametrize("engine", list(ENGINES))
HEADER = "time_ps,source_core,destination_core,bits\n"


def traffic(*messages):
    """Messages, each (time, source, destination, bits)."""
    return Traffic(*np.array(messages, np.int64).reshape(-1, 4).T)


def written(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@engines
@pytest.mark.parametrize("time_ps", [0, 1, 12_345_678_901_234])
def test_a_message_alone_takes_its_hops_times_their_cost(engine, time_ps):
    """Every link takes 7 ps and 30 ps of wire: on the row, then down, and one link to and from the routers."""
    chip = small_chip(4, 3, links=(7, 30))
    done = replay(traffic((time_ps, 0, 11, 1)), chip, engine)
    assert done.links.tolist() == [3 + 2 + 2]
    assert done.latency_ps.tolist() == [7 * (7 + 30)]
    assert done.arrival_ps.tolist() == [time_ps + 7 * 37]
    assert done.alone_ps.tolist() == done.latency_ps.tolist()
    assert not done.blocked_ps.any()


@engines
def test_each_kind_of_link_has_its_own_cost(engine):
    links = {"core_to_router": (2, 10), "east_west": (3, 100), "north_south": (5, 1_000), "router_to_core": (7, 10_000)}
    done = replay(traffic((0, 0, 5, 1), (10**6, 4, 4, 1)), small_chip(3, 2, links=links), engine)
    assert done.latency_ps.tolist() == [12 + 2 * 103 + 1_005 + 10_007, 12 + 10_007]


@engines
def test_a_saturated_link_delivers_at_its_rate(engine):
    """Two cores send three times what the link between the routers carries: arrivals are one service time apart."""
    service_ps, messages = 50, 200
    chip = small_chip(2, 1, 2, links=dict.fromkeys(LINKS, (10, 3)) | {"east_west": (service_ps, 3)}, places=4)
    offered = [(time * 33, source, 2, 1) for time in range(messages // 2) for source in (0, 1)]
    done = replay(traffic(*offered), chip, engine)
    assert np.unique(np.diff(np.sort(done.arrival_ps))).tolist() == [service_ps]
    rows = {row["link"]: row for row in NocResult(done).rows("links")}
    link = rows["link (0,0)->(1,0)"]
    assert link["packets"] == messages
    assert link["busy_ps"] == messages * service_ps
    assert rows["core 0 core to router"]["blocked_ps"] > 0  # its queue is full: backpressure


@engines
@pytest.mark.parametrize(("bits", "packets"), [(1, 1), (64, 1), (65, 2), (640, 10)])
def test_a_large_message_is_as_many_packets_one_service_apart(engine, bits, packets):
    chip = small_chip(2, 1, links=(9, 20), places=MANY)
    assert chip.messages.bits == 64
    done = replay(traffic((5, 0, 1, bits)), chip, engine)
    assert done.packets.tolist() == [packets]
    assert done.latency_ps.tolist() == [3 * 29 + (packets - 1) * 9]
    assert done.link_packets.sum() == 3 * packets


def poisson(load, messages, service_ps, rng):
    return np.cumsum(np.rint(rng.exponential(service_ps / load, messages))).astype(np.int64)


@pytest.mark.parametrize("load", [0.3, 0.6, 0.8])
def test_poisson_messages_wait_as_pollaczek_and_khinchine_say(load):
    """M/D/1 at the one slow link: the mean wait is load * service / (2 (1 - load)).

    The tolerance is four standard errors, from the means of 50 stretches, which are nearly independent.
    """
    service_ps, messages = 1_000, 300_000
    chip = small_chip(2, 1, links=dict.fromkeys(LINKS, (1, 0)) | {"east_west": (service_ps, 0)}, places=MANY)
    time_ps = poisson(load, messages, service_ps, np.random.default_rng(8))
    ones = np.ones(messages, np.int64)
    done = replay(Traffic(time_ps, 0 * ones, ones, ones), chip)
    waits = done.latency_ps - done.alone_ps
    means = waits.reshape(50, -1).mean(axis=1)
    expected = service_ps * load / (2 * (1 - load))
    error = means.std(ddof=1) / np.sqrt(means.size)
    assert error < 0.03 * expected
    assert abs(waits.mean() - expected) < 4 * error


@engines
def test_waits_at_one_link_are_lindleys(engine):
    """Message by message, on both engines: max(0, the wait before + service - gap), for messages of one moment too."""
    service_ps = 1_000
    chip = small_chip(2, 1, links=dict.fromkeys(LINKS, (1, 0)) | {"core_to_router": (service_ps, 0)})
    time_ps = poisson(0.8, 800, service_ps, np.random.default_rng(9)) // 400 * 400  # many fall together
    ones = np.ones(time_ps.size, np.int64)
    done = replay(Traffic(time_ps, 0 * ones, ones, ones), chip, engine)
    wait, waits = 0, [0]
    for gap in np.diff(time_ps).tolist():
        wait = max(0, wait + service_ps - gap)
        waits.append(wait)
    assert (done.latency_ps - done.alone_ps).tolist() == waits


@st.composite
def traces(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    shape = draw(st.integers(1, 4)), draw(st.integers(1, 3)), draw(st.integers(1, 3))
    longest_ps = draw(st.sampled_from([1, 2, 5, 1000]), label="longest time")
    places = draw(st.sampled_from([1, 2, MANY]), label="places")
    chip = changed(random_chip(rng, *shape, longest_ps), {"buffers.link": places})
    size = draw(st.integers(1, 40), label="messages")
    times = rng.integers(0, draw(st.sampled_from([1, 20, 10_000])), size)
    if draw(st.booleans(), label="longer than int32"):
        times[rng.integers(size)] += 1 << 33
    cores = rng.integers(0, chip.cores, (2, size))
    if draw(st.booleans(), label="hotspot"):
        cores[1] = cores[1, 0]
    return Traffic(times, *cores, rng.integers(1, 200, size)), chip


@given(traces())
@settings(max_examples=60, deadline=None)
def test_both_engines_agree_and_nothing_is_lost(drawn):
    messages, chip = drawn
    done, reference = replay(messages, chip), replay(messages, chip, "simpy")
    for field in fields(Replayed):
        if field.name not in ("machine", "traffic", "engine"):
            np.testing.assert_array_equal(getattr(done, field.name), getattr(reference, field.name), field.name)
    assert (done.latency_ps >= done.alone_ps).all()
    assert done.link_packets.sum() == done.packets @ done.links
    into, out = done.link_packets[: chip.cores], done.link_packets[-chip.cores - 1 : -1]
    np.testing.assert_array_equal(into, np.bincount(messages.source, done.packets, chip.cores))
    np.testing.assert_array_equal(out, np.bincount(messages.destination, done.packets, chip.cores))
    assert (np.diff(messages.time_ps) >= 0).all()


def test_frame_chips_have_a_network_too():
    done = [replay(traffic((0, 0, 70, 8), (0, 3, 70, 8)), load_chip("akd1000"), engine) for engine in ENGINES]
    assert done[0].arrival_ps.tolist() == done[1].arrival_ps.tolist()
    assert done[0].latency_ps.min() == done[0].alone_ps.min() > 0


def test_percentiles_are_times_that_occurred():
    times = np.arange(1, 1001)
    expected = {"min": 1, "p50": 500, "p90": 900, "p99": 990, "p99.9": 999, "max": 1000}
    assert percentiles_ps(np.random.default_rng(0).permutation(times)) == expected


def test_unsorted_rows_are_sorted_stably_and_units_are_kept_apart(tmp_path):
    text = "bits, destination_core,time_ns,source_core,comment\n8,1,2.5,0,late\n7,2,0.001,0,a\n6,3,0.001,0,b\n"
    found = read_traffic(written(tmp_path / "t.csv", text))
    assert found.time_ps.tolist() == [1, 1, 2_500]
    assert found.bits.tolist() == [7, 6, 8]
    assert found.destination.tolist() == [2, 3, 1]
    whole = read_traffic(written(tmp_path / "t.csv", HEADER + f"{LATEST_PS - 1},0,0,1\n"))
    assert whole.time_ps.tolist() == [LATEST_PS - 1]  # a double between would have to be exact


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        (HEADER, "holds no messages"),
        ("time_ps,source_core,bits\n0,0,1\n", "no column destination_core"),
        ("time,source_core,destination_core,bits\n0,0,0,1\n", r"no column time_ps \(or time_ns"),
        (HEADER.replace("time_ps", "time_ps,time_ns") + "0,0,0,0,1\n", "time_ps and time_ns"),
        (HEADER + "0,0,1,8\n-1,0,1,8\n", "message 2: time_ps is '-1'"),
        (HEADER + "0,0,1,8\nnan,0,1,8\n", "message 2: time_ps is 'nan'"),
        (HEADER + "inf,0,1,8\n", "message 1: time_ps is 'inf'"),
        (HEADER + "soon,0,1,8\n", "message 1: time_ps is 'soon'"),
        (HEADER + f"{LATEST_PS},0,1,8\n", "message 1: time_ps"),
        (HEADER + f"{10**30},0,1,8\n", "message 1: time_ps"),
        (HEADER + "0,-1,1,8\n", "message 1: source_core is '-1'"),
        (HEADER + "0,0,1.5,8\n", "message 1: destination_core is '1.5'"),
        (HEADER + "0,0,,8\n", "message 1: destination_core is 'nan'"),
        (HEADER + "0,0,1,0\n", "message 1: bits is '0'"),
        (HEADER + "0,0,1\n", "message 1: bits is 'nan'"),
        (HEADER + f"0,0,1,{1 << 62}\n", "message 1: bits"),
        (HEADER + '0,0,1,"8\n', "is no CSV"),
        ("a\x00b\n" + "1,2,3\n" * 3, "is no CSV"),  # more values than names, and a name that no terminal shows
    ],
)
def test_bad_traces_are_refused_by_row_and_value(tmp_path, text, said):
    with pytest.raises(InputError, match=said):
        read_traffic(written(tmp_path / "t.csv", text))


def test_binary_missing_and_folders_are_refused(tmp_path):
    (tmp_path / "t.csv").write_bytes(b"\xff\xfe\x00\x81" * 10)
    for path in (tmp_path / "t.csv", tmp_path / "none.csv", tmp_path):
        with pytest.raises(InputError, match="message trace"):
            read_traffic(path)


def test_what_chip_and_memory_do_not_hold_is_refused():
    chip = small_chip(2, 2)
    with pytest.raises(InputError, match=r"destination core of a message is 4, but chip .* has cores 0 to 3"):
        replay(traffic((0, 0, 4, 1)), chip)
    with pytest.raises(InputError, match=r"no messages|without messages"):
        replay(traffic(), chip)
    with pytest.raises(InputError, match=r"memory|is the most"):
        replay(traffic(*[(0, 0, 1, 1 << 40)] * 8), chip)
    with pytest.raises(InputError, match="differ in length"):
        Traffic(np.zeros(2), np.zeros(1), np.zeros(2), np.ones(2))
    with pytest.raises(InputError, match="time_ps of message 1 is -3"):
        traffic((-3, 0, 1, 1))
    with pytest.raises(SimulationError, match="no engine 'magic'"):
        replay(traffic((0, 0, 1, 1)), chip, "magic")
    for name in ("speck", "mosaic"):
        with pytest.raises(MappingError, match=name):
            replay(traffic((0, 0, 1, 1)), load_chip(name))


def test_the_command_prints_and_writes_the_same_numbers(tmp_path):
    path = written(tmp_path / "t.csv", HEADER + "".join(f"{t * 100},{t % 7},{119 - t},64\n" for t in range(60)))
    done = nsim("noc", path, "--chip", "loihi2", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert "median from a message's time" in done.stdout
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    messages, links = (pd.read_csv(tmp_path / "out" / f"{name}.csv") for name in ("messages", "links"))
    assert len(messages) == summary["messages"] == 60
    assert messages["latency_ps"].max() == summary["latency_ps"]["max"]
    assert links["utilisation"].max() == summary["fullest_link_utilisation"]
    assert (messages["packets"] * messages["links"]).sum() == links["packets"].sum()
    chip = shipped("loihi2")
    assert summary["reproducibility"]["chip_sha256"] == chip.sha256
    assert "seed" not in summary["reproducibility"]
    again = nsim("noc", path, "--chip", "loihi2", "--engine", "simpy")
    assert again.stdout.splitlines() == done.stdout.splitlines()[:-1]


def test_the_command_refuses_in_one_line(tmp_path):
    path = written(tmp_path / "t.csv", HEADER + "0,0,500,64\n")
    assert "destination core of a message is 500" in refused("noc", path, "--chip", "loihi2")
    assert "cannot read message trace" in refused("noc", tmp_path / "no.csv", "--chip", "loihi2")
    written(path, HEADER + "0,0,5,64\n")
    assert "no engine" in refused("noc", path, "--chip", "loihi2", "--engine", "x")
