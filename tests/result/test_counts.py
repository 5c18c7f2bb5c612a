"""Counts equal a loop over messages, agree with what the engines serve, and turn into energy as the chip file says."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsim.machine.stations import build_machine
from nsim.mapping.cores.storage import FORMATS
from nsim.mapping.network import map_network
from nsim.network.activity import Activity
from nsim.result.counts import Counter, Counts
from nsim.result.energy import energy_of, known_cost_fj
from nsim.result.run_timesteps import ENGINES
from nsim.result.stations import crossings_by_kind
from tests.generators.machines import (
    changed,
    first_neuron,
    mapped_networks,
    naive_copies,
    random_network,
    shipped,
    small_chip,
    stored_and_counted,
    unrolled,
)

examples = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def random_activity(mapping, rng: np.random.Generator, timesteps: int) -> Activity:
    """Steps of random density, silent and full ones among them."""
    neurons = mapping.core.size
    firing = [np.flatnonzero(rng.random(neurons) < rng.choice([0, 0.1, 0.5, 1])) for _ in range(timesteps)]
    indptr = np.concatenate(([0], np.cumsum([len(f) for f in firing]))).astype(np.int64)
    return Activity(indptr, np.concatenate(firing), None)


def walked_links(mapping, machine, source: int, target: int) -> list[int]:
    """Columns of link_messages that a copy passes: out of its core, along the row, along the column, into the core."""
    columns = mapping.chip.columns
    here, goal = mapping.chip.router_of(source), mapping.chip.router_of(target)
    links = [source]
    while here != goal:
        across = goal % columns - here % columns
        step = int(np.sign(across)) if across else columns * int(np.sign(goal - here))
        links.append(machine.cores + machine.hops.index((here, here + step)))
        here += step
    return [*links, machine.cores + len(machine.hops) + target]


def naive_counts(mapping, machine, activity) -> dict[str, np.ndarray]:
    """Message by message, synapse by synapse."""
    network, steps, cores = mapping.network, activity.timesteps, machine.cores
    layers, connections = len(network.layers), len(network.connections)
    links = 2 * cores + len(machine.hops)
    widths = {"spikes": layers, "layer_messages": layers, "link_messages": links}
    widths |= {"connection_synops": connections, "nonzero_synops": connections, "format_synops": (cores, len(FORMATS))}
    names = [*(field.name for field in fields(Counts)), "core_messages_out", "core_messages_in", "core_synops"]
    found = {name: np.zeros((steps, *np.atleast_1d(widths.get(name, cores))), np.int64) for name in names}
    layer_of = [number for number, layer in enumerate(network.layers) for _ in range(layer.neurons)]
    copies = naive_copies(mapping)
    matrices = [unrolled(connection.synapses) for connection in network.connections]
    firsts = [first_neuron(network, connection.source) for connection in network.connections]
    actions = mapping.chip.actions
    for step in range(steps):
        for held, core in zip(mapping.partition, mapping.placement.tolist(), strict=True):
            for share in held:
                microcode = network.by_name[share.layer].neuron.microcode
                found["core_sweep_ps"][step, core] += share.allocated * mapping.chip.update_ps(microcode)
        for neuron in activity.firing(step).tolist():
            home = int(mapping.core[neuron])
            found["core_sweep_ps"][step, home] += actions.spike.latency_ps if home < mapping.chip.cores else 1
            found["spikes"][step, layer_of[neuron]] += 1
            found["core_spikes"][step, home] += 1
            for core in range(cores):
                if (neuron, core) not in copies:
                    continue
                work = copies[neuron, core]
                found["layer_messages"][step, layer_of[neuron]] += 1
                found["core_messages_out"][step, home] += 1
                found["core_messages_in"][step, core] += 1
                found["core_words"][step, core] += work.words
                found["core_synapse_ps"][step, core] += max(1, actions.message_in.latency_ps + work.time_ps)
                for form, synops in work.synops.items():
                    found["core_synops"][step, core] += synops
                    found["format_synops"][step, core, FORMATS.index(form)] += synops
                for link in walked_links(mapping, machine, home, core):
                    found["link_messages"][step, link] += 1
            for number, connection in enumerate(network.connections):
                exists, weight = matrices[number]
                source = neuron - firsts[number]
                if 0 <= source < exists.shape[1]:
                    nonzero = int(np.count_nonzero(exists[:, source] & (weight[:, source] != 0)))
                    counted = stored_and_counted(mapping, connection)[1]
                    found["connection_synops"][step, number] += int(np.count_nonzero(counted[:, source]))
                    found["nonzero_synops"][step, number] += nonzero
    return found


@examples
@given(mapping=mapped_networks(), seed=st.integers(0, 2**32 - 1))
def test_counts_equal_a_loop_over_messages(mapping, seed):
    machine = build_machine(mapping.chip)
    activity = random_activity(mapping, np.random.default_rng(seed), 3)
    counts = Counter(mapping, machine).count(activity)
    for name, expected in naive_counts(mapping, machine, activity).items():
        table = getattr(counts, name)[:]
        assert table.dtype == np.int64, name
        np.testing.assert_array_equal(table, expected, err_msg=name)


def test_work_beyond_32_bits_is_counted():
    """A chip that takes 3 ms to receive a message: more picoseconds than int32 holds, in a single copy."""
    chip = changed(small_chip(2, 2, 2), {"actions.message_in.latency_ps": 3_000_000_000})
    mapping = map_network(random_network(np.random.default_rng(5), 3), chip, "even:2")
    activity = random_activity(mapping, np.random.default_rng(6), 4)
    machine = build_machine(chip)
    busy_ps = Counter(mapping, machine).count(activity).core_synapse_ps
    assert busy_ps.max() >= 3_000_000_000
    np.testing.assert_array_equal(busy_ps[:], naive_counts(mapping, machine, activity)["core_synapse_ps"])


@examples
@given(mapping=mapped_networks(), seed=st.integers(0, 2**32 - 1))
def test_sums_over_cores_layers_and_connections_agree(mapping, seed):
    """Every message sent is received, and every weight fetched belongs to one core and to one connection."""
    activity = random_activity(mapping, np.random.default_rng(seed), 4)
    counts = Counter(mapping, build_machine(mapping.chip)).count(activity)

    def total(name):
        return getattr(counts, name).sum(axis=1).tolist()

    assert total("spikes") == total("core_spikes") == np.diff(activity.indptr).tolist()
    assert total("layer_messages") == total("core_messages_out") == total("core_messages_in")
    assert total("connection_synops") == total("core_synops")
    np.testing.assert_array_equal(counts.format_synops[:].sum(axis=2), counts.core_synops[:])
    assert (counts.nonzero_synops <= counts.connection_synops).all()
    assert (counts.core_synops[:, -1] == 0).all()  # the host receives nothing
    cores = mapping.chip.cores + 1
    np.testing.assert_array_equal(counts.link_messages[:, :cores], counts.core_messages_out[:])
    np.testing.assert_array_equal(counts.link_messages[:, -cores:], counts.core_messages_in[:])


@examples
@given(mapping=mapped_networks(), seed=st.integers(0, 2**32 - 1))
def test_chunks_joined_are_the_whole(mapping, seed):
    activity = random_activity(mapping, np.random.default_rng(seed), 5)
    counter = Counter(mapping, build_machine(mapping.chip))
    cut = activity.indptr[2]
    parts = [
        Activity(activity.indptr[:3], activity.neurons[:cut], None),
        Activity(activity.indptr[2:] - cut, activity.neurons[cut:], None),
    ]
    whole, joined = counter.count(activity), Counts.joined([counter.count(part) for part in parts])
    for field in fields(Counts):
        np.testing.assert_array_equal(getattr(whole, field.name)[:], getattr(joined, field.name)[:])


@pytest.mark.parametrize("engine", list(ENGINES))
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(mapping=mapped_networks(), seed=st.integers(0, 2**32 - 1))
def test_engines_serve_what_is_counted(engine, mapping, seed):
    """Every link and synapse stage serves its counted messages; busy time = messages x service, from the tables."""
    machine = build_machine(mapping.chip)
    rng = np.random.default_rng(seed)
    firing = np.flatnonzero(rng.random(mapping.core.size) < rng.choice([0.05, 0.3]))
    activity = Activity(np.array([0, firing.size]), firing, None)
    counts = Counter(mapping, machine).count(activity)
    times = ENGINES[engine].run_timestep(mapping, machine, firing)
    send, links, synapses = (machine.number(kind, 0) for kind in ("send", "core_to_router", "synapses"))
    assert times.served[send:links].tolist() == counts.core_messages_out[0].tolist()
    assert times.served[links:synapses].tolist() == counts.link_messages[0].tolist()
    assert times.served[synapses:].tolist() == counts.core_messages_in[0].tolist()
    carried = slice(send, synapses)
    assert times.busy_ps[carried].tolist() == (times.served * machine.service_ps)[carried].tolist()
    assert times.busy_ps[:send].tolist() == counts.core_sweep_ps[0].tolist()
    assert times.busy_ps[synapses:].tolist() == counts.core_synapse_ps[0].tolist()


@pytest.mark.parametrize("update_ps", [0, 1, 7])
@pytest.mark.parametrize("spike_ps", [0, 1, 5])
def test_counted_sweep_time_is_what_engines_measure(update_ps, spike_ps):
    """Also where a chip file says that an update or firing takes no time, and a service is raised to 1 ps."""
    chip = small_chip(2, 2, 2, update=update_ps, spike=spike_ps)
    network = random_network(np.random.default_rng(5), 3)
    mapping = map_network(network, chip, "even:2")
    activity = random_activity(mapping, np.random.default_rng(6), 6)
    counts = Counter(mapping, build_machine(chip)).count(activity)
    for step in range(activity.timesteps):
        times = ENGINES["simpy"].run_timestep(mapping, build_machine(chip), activity.firing(step))
        assert times.busy_ps[: chip.cores + 1].tolist() == counts.core_sweep_ps[step].tolist()


def test_energy_is_counts_times_costs_by_hand():
    """Loihi, femtojoules of SANA-FE: 10 updates, 3 spikes, 4 messages, 5 dense synops, 2 hops east and 1 south."""
    actions = {"neuron_update": 10, "spike": 3, "message_out": 4, "synop_dense": 5}
    energy = energy_of(shipped("loihi"), {**actions, "east_west": 2, "north_south": 1}, 1_000)
    known = {
        "neuron_update": 728_000,
        "spike": 207_900,
        "message_out": 444_000,
        "synop_dense": 177_500,
        "east_west": 6_000,
        "north_south": 4_200,
    }
    assert energy.by_action_fj == known | {"static": 18_000}
    assert energy.unknown == []
    assert energy.known_fj - 18_000 == energy.dynamic_fj == 1_567_600


def test_unknown_costs_are_listed_not_zero():
    chip = changed(shipped("loihi"), {"actions.spike.energy_fj": None, "links.east_west.energy_fj": None})
    energy = energy_of(chip, {"spike": 3, "neuron_update": 1, "east_west": 2}, 0)
    assert energy.by_action_fj == {"spike": None, "neuron_update": 72_800, "east_west": None, "static": 0}
    assert energy.unknown == ["spike", "east_west"]
    assert energy.known_fj == 72_800
    assert known_cost_fj(chip, "spike") == 0


def test_a_known_cost_of_zero_is_not_unknown():
    assert energy_of(shipped("loihi"), {"message_in": 7}, 0).by_action_fj["message_in"] == 0


def test_what_did_not_occur_is_not_listed():
    """Neither as zero nor as unknown."""
    chip = changed(shipped("loihi"), {"actions.spike.energy_fj": None})
    assert energy_of(chip, {"spike": 0, "synop_conv": 0, "east_west": 0}, 5).by_action_fj == {"static": 90}


def test_static_energy_is_power_times_time():
    """2 mW for 3 ns are 6 pJ = 6,000 fJ."""
    chip = changed(shipped("loihi2"), {"power.static_mw": 2})
    energy = energy_of(chip, {}, 3_000)
    assert energy.by_action_fj == {"static": 6_000}
    assert (energy.known_fj, energy.dynamic_fj) == (6_000, 0)


@pytest.mark.parametrize("mesh", [(1, 3, 2), (3, 1, 1), (2, 2, 1), (4, 3, 2)])
def test_crossings_by_kind_follow_the_coordinates(mesh):
    """Every link has a count of its own here, so no two can be mixed up."""
    machine = build_machine(small_chip(*mesh))
    messages = 1 << np.arange(machine.first[5] - machine.first[2]) if machine.stations < 90 else None
    if messages is None:
        messages = np.random.default_rng(0).integers(0, 1 << 40, machine.first[5] - machine.first[2])
    expected = dict.fromkeys(("core_to_router", "router_to_core", "east_west", "north_south"), 0)
    for index, count in enumerate(messages.tolist()):
        kind = machine.kind(int(machine.first[2]) + index)
        if kind == "mesh":
            a, b = machine.hops[index - machine.cores]
            kind = "east_west" if a // mesh[0] == b // mesh[0] else "north_south"
        expected[kind] += count
    assert crossings_by_kind(machine, messages) == expected
