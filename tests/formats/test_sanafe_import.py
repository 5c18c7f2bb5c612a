"""SANA-FE's files: what an import makes of them, against sanafe itself, a naive simulation, and the files' own text."""

import os
import re
import sys
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from nsim import load_chip, load_network, map_network, simulate
from nsim.cli.sanafe import import_sanafe
from nsim.errors import NsimError
from nsim.formats.sanafe.tree import LEFT, UNKNOWN
from tests.generators.commands import nsim, refused
from tests.generators.sanafe_files import SMALL, architecture, drawn, naive_spikes, network

FILES = ("carried.md", "chip.toml", "manifest.json", "network.nir", "partition.toml")


def written(folder, arch=None, net=SMALL):
    """The two files in a folder."""
    paths = folder / "arch.yaml", folder / "net.yaml"
    for path, text in zip(paths, (arch or architecture(), net), strict=True):
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return paths


def imported(folder, arch=None, net=SMALL, **options):
    """The account of an import into folder / "out"."""
    paths = (Path(arch), Path(net)) if "\n" not in str(net) else written(folder, arch, net)
    return import_sanafe(*paths, folder / "out", **options)


def mapping_of(folder):
    out = folder / "out"
    return map_network(load_network(out / "network.nir"), load_chip(out / "chip.toml"), out / "partition.toml")


def run(folder, timesteps):
    return simulate(mapping_of(folder), timesteps=timesteps, threads=1)


def group_spikes(folder, result_mapping, facts, timesteps):
    """Spikes by timestep as the naive simulation orders them, from nsim's evaluation."""
    from nsim.formats.spikes import load_input
    from nsim.network.activity import evaluate

    net = result_mapping.network
    frames = np.zeros((timesteps, *net.layers[0].shape), bool)
    frames[: len(net.stimulus)] = net.stimulus.reshape(-1, *net.layers[0].shape)[:timesteps]
    sample = load_input(frames, net.layers[0].shape)[0]
    spikes = np.zeros((timesteps, sum(layer.neurons for layer in net.layers)), bool)
    step = 0
    for activity in evaluate(net, sample):
        for local in range(activity.timesteps):
            spikes[step, activity.firing(local)] = True
            step += 1
    order, first = {}, 0
    for layer in net.layers:
        order[layer.name] = np.arange(first, first + layer.neurons)
        first += layer.neurons
    names = sorted(order, key=lambda name: (name != net.input, name))
    return spikes[:, np.concatenate([order[name] for name in names])]


def package_file(name):
    import sanafe

    return Path(sanafe.__file__).parent / "examples" / name


def of_sanafe(arch, net, timesteps):
    """What sanafe counts on the same files."""
    import sanafe

    loaded = sanafe.load_arch(os.fspath(arch))
    chip = sanafe.SpikingChip(loaded)
    chip.load(sanafe.load_net(os.fspath(net), loaded))
    return chip.sim(timesteps, perf_trace=True, processing_threads=1)


def check_same_counts(folder, arch, net, timesteps):
    """Spikes and synops of every timestep, messages and hops of the run; returns both results."""
    ours, theirs = run(folder, timesteps), of_sanafe(arch, net, timesteps)
    trace = theirs["perf_trace"]
    assert ours.counts.spikes.sum(axis=1).tolist() == trace["fired"]
    assert ours.counts.connection_synops.sum(axis=1).tolist() == trace["spikes"]
    assert ours.counts.core_messages_in.sum() == theirs["packets_sent"]
    crossed = ours.summary()["link_crossings"]
    assert sum(crossed[way] for way in ("east", "west", "north", "south")) == sum(trace["hops"])
    return ours, theirs


def check_same_energy(ours, theirs):
    """Of synapses and of the network, which have the same counts; of neurons see `test_...neurons_cost`."""
    energy = {name: value for name, value in ours.summary()["energy_by_action_fj"].items() if value is not None}
    synapses = sum(value for name, value in energy.items() if name.startswith("synop"))
    ways = ("message_in", "message_out", "east_west", "north_south", "core_to_router", "router_to_core")
    assert synapses == pytest.approx((theirs["energy"]["synapse"] + theirs["energy"]["dendrite"]) * 1e15, rel=1e-9)
    assert sum(energy.get(way, 0) for way in ways) == pytest.approx(theirs["energy"]["network"] * 1e15, rel=1e-9)


@pytest.mark.oracle("sanafe")
@pytest.mark.parametrize(("arch", "net"), [("example_chip", "example_snn"), ("tutorial_arch", "tutorial_snn")])
def test_the_examples_of_the_package_have_the_same_counts_as_there(tmp_path, arch, net):
    """The example's spikes are exact; the tutorial's bias is 0.2, where potentials are cut, yet its spikes agree."""
    paths = package_file(f"{arch}.yaml"), package_file(f"{net}.yaml")
    account = imported(tmp_path, *paths)
    assert bool(account.spikes) == (net == "tutorial_snn")
    check_same_energy(*check_same_counts(tmp_path, *paths, 12))


@pytest.mark.oracle("sanafe")
@pytest.mark.slow  # sanafe takes seconds to set up a chip of 131,072 units
@pytest.mark.parametrize("chip", ["loihi", "truenorth"])
def test_on_the_chips_of_the_package_a_random_network_has_the_same_counts(tmp_path, chip):
    arch, rng = package_file(f"{chip}.yaml"), np.random.default_rng(3)
    groups = ["- name: a", "  neurons:", *(f"  - {k}: [bias: {rng.integers(8, 64) / 64}]" for k in range(40))]
    groups[0:1] = ["- name: a", "  attributes: {threshold: 1.5}"]
    groups += ["- name: b", "  attributes: [threshold: 1]", "  neurons:", "  - 0..9: []"]
    edges = [f"- a.{s} -> a.{t}: [weight: {rng.integers(-8, 9) / 32 or 1}]" for s, t in rng.integers(0, 40, (150, 2))]
    edges.append(f"- a -> b: {{type: dense, weight: [{', '.join(str(w / 64) for w in rng.integers(-9, 30, 400))}]}}")
    core = {"loihi": lambda k: f"{k % 29}.{k % 4}", "truenorth": lambda k: f"{97 * (k % 29)}.0"}[chip]
    net = tmp_path / "net.yaml"
    net.write_text(
        network(groups, edges, [*(f"- a.{k}: [core: {core(k)}]" for k in range(40)), f"- b: {{core: {core(3)}}}"])
    )
    account = imported(tmp_path, arch, net)
    assert not account.spikes
    check_same_energy(*check_same_counts(tmp_path, arch, net, 15))


@pytest.mark.oracle("sanafe")
@pytest.mark.parametrize("seed", range(6))
def test_random_networks_have_the_same_counts_as_in_sanafe(tmp_path, seed):
    """Inputs, both neuron models, second edges between two neurons, neurons of a group on several cores."""
    text, _ = drawn(np.random.default_rng(seed), ["0.0", "0.1", "1.0", "3.1", "4.0", "5.0"])
    paths = written(tmp_path, net=text)
    account = imported(tmp_path, net=text)
    assert not account.spikes
    check_same_energy(*check_same_counts(tmp_path, *paths, 20))


@pytest.mark.oracle("sanafe")
def test_hyperedges_as_in_sanafe(tmp_path):
    """A convolution, pairs and a full matrix; the dendrite costs at every synaptic spike."""
    rng = np.random.default_rng(5)
    groups = [
        "- name: a",
        "  attributes: {threshold: 1}",
        "  neurons:",
        *(f"  - {k}: [bias: {k / 32}]" for k in range(24)),
    ]
    groups += ["- name: b", "  attributes: {threshold: 2, bias: 0.25}", "  neurons:", "  - 0..11: []"]
    groups += [
        "- name: c",
        "  attributes: {threshold: 3, bias: 0.5, synapse_hw_name: packed}",
        "  neurons:",
        "  - 0..1",
    ]
    weights = [str(w / 64) for w in rng.integers(-32, 64, 48)]
    weights[3] = weights[20] = "0"  # of the kernel, and of the matrix
    edges = [
        "- a -> b: {type: conv2d, input_height: 4, input_width: 3, input_channels: 2, kernel_count: 3, "
        f"kernel_height: 2, kernel_width: 2, stride_height: 2, stride_width: 1, weight: [{', '.join(weights[:24])}]}}",
        f"- b -> c: {{type: dense, weight: [{', '.join(weights[:24])}]}}",
        "- a -> b: {type: sparse, source_target_pairs: [[0, 1], [23, 0], [23, 0]], weight: [1, 2, 0]}",
    ]
    mappings = ["- a.0..9: {core: 0.0}", "- a.10..23: {core: 2.1}", "- b: [core: 4.0]", "- c: [core: 0.0]"]
    arch, net = architecture(dendrite="1.0e-12"), network(groups, edges, mappings)
    account = imported(tmp_path, arch, net)
    assert not account.spikes
    assert not account.costs
    check_same_energy(*check_same_counts(tmp_path, *written(tmp_path, arch, net), 12))


CONVOLUTION = (
    "type: conv2d, input_height: 4, input_width: 3, input_channels: 2, kernel_count: 3, kernel_height: 2, "
    "kernel_width: 2, stride_height: 2, stride_width: 1"
)


def convolved(rng, *more):
    """24 neurons into a convolution of 3 x 2 x 2 neurons, with one weight 0, on cores that hold whole channels."""
    groups = ["- name: a", "  attributes: {threshold: 1}", "  neurons:"]
    groups += [*(f"  - {k}: [bias: {k / 32}]" for k in range(24))]
    groups += ["- name: b", "  attributes: {threshold: 2, bias: 0.25}", "  neurons:", "  - 0..11: []"]
    weights = [str(w / 64) for w in rng.integers(-32, 64, 24)]
    weights[3] = "0"
    edges = [f"- a -> b: {{{CONVOLUTION}, weight: [{', '.join(weights)}]}}", *more]
    mappings = ["- a.0..11: {core: 0.0}", "- a.12..23: {core: 2.1}", "- b.0..3: {core: 4.0}", "- b.4..11: {core: 0.0}"]
    return network(groups, edges, mappings)


def kinds(folder):
    return [(c.name, c.synapses.kind) for c in mapping_of(folder).network.connections if c.synapses.weights.size]


@pytest.mark.oracle("sanafe")
@pytest.mark.parametrize("seed", range(3))
def test_convolutions_that_stay_convolutions_have_the_same_counts_as_in_sanafe(tmp_path, seed):
    """A tap of weight 0 counts in both; single edges beside the convolution, one of them a second one."""
    text = convolved(np.random.default_rng(seed), "- a.0 -> b.0: [weight: 0.5]", "- b.3 -> a.7: [weight: 1]")
    arch = architecture(dendrite="1.0e-12")
    account = imported(tmp_path, arch, text)
    assert not account.spikes and not account.costs
    assert kinds(tmp_path) == [("a -> b", "conv"), ("a -> b", "sparse"), ("b -> a", "sparse")]
    check_same_energy(*check_same_counts(tmp_path, *written(tmp_path, arch, text), 12))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("a.0..11: {core: 0.0}", "a.0..10: {core: 0.0}\n  - a.11: {core: 2.1}"),  # parts of a channel
        ("b.4..11: {core: 0.0}", "b.4..5: {core: 0.0}\n  - b.6..11: {core: 2.0}"),
    ],
)
def test_cores_with_parts_of_channels_make_edges_of_a_convolution(tmp_path, old, new):
    """The same spikes and synops as of the convolution."""
    text = convolved(np.random.default_rng(7))
    assert old in text
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    imported(tmp_path / "whole", net=text)
    imported(tmp_path / "parts", net=text.replace(old, new))
    assert kinds(tmp_path / "whole") == [("a -> b", "conv")] and kinds(tmp_path / "parts") == [("a -> b", "sparse")]
    whole, parts = (run(tmp_path / name, 12) for name in ("whole", "parts"))
    assert whole.counts.spikes.any() and np.array_equal(whole.counts.spikes, parts.counts.spikes)
    assert whole.counts.core_synops.sum() == parts.counts.core_synops.sum() > 0


def test_a_convolution_of_one_delay_stays_one(tmp_path):
    """All its edges wait as long: a spike of the source reaches what it reaches, so many timesteps later."""
    groups = ["- name: a", "  neurons:", *(f"  - {k}: [spikes: [{int(k == 4)}]]" for k in range(6))]
    groups += ["- name: b", "  attributes: {threshold: 0.5, dendrite_hw_name: waits}", "  neurons:", "  - 0..7: []"]
    shape = "input_height: 2, input_width: 3, input_channels: 1, kernel_count: 2, kernel_height: 1, kernel_width: 2"
    shape += ", stride_height: 1, stride_width: 1"
    edges = [f"- a -> b: {{type: conv2d, {shape}, weight: [1, 1, 1, 1], delay: [2, 2, 2, 2]}}"]
    maps = [*(f'- a.{k}: [core: 0.0, soma: "train[{k}]"]' for k in range(6)), "- b: {core: 0.1}"]
    imported(tmp_path, net=network(groups, edges, maps))
    assert kinds(tmp_path) == [("a -> b", "conv")]
    spikes = group_spikes(tmp_path, mapping_of(tmp_path), None, 8)[:, 6:].reshape(8, 2, 2, 2)  # filter, row, column
    expected = {(3, f, 1, 1 - x) for x in (0, 1) for f in (0, 1)}
    assert {tuple(int(i) for i in where) for where in np.argwhere(spikes)} == expected


def test_edges_of_weight_0_are_synapses(tmp_path):
    """Sparse ones, second ones and those of a full matrix: every edge of the file is a synop of its source's spike."""
    groups = ["- name: a", "  attributes: {threshold: 0.5, bias: 1}", "  neurons:", "  - 0..3: []"]
    groups += ["- name: b", "  attributes: {threshold: 9}", "  neurons:", "  - 0..2: []"]
    edges = [
        "- a.0 -> b.0: [weight: 0]",
        "- a.0 -> b.0: [weight: 0]",
        "- a.1 -> b.2: [weight: 1]",
        "- b.0 -> a.0: [w: 0]",
    ]
    edges.append(f"- a -> a: {{type: dense, weight: [{', '.join(['0'] * 16)}]}}")
    account = imported(tmp_path, net=network(groups, edges, ["- a: {core: 0.0}", "- b: {core: 2.0}"]))
    assert not any("weight 0" in line for line in account.costs)
    mapping = mapping_of(tmp_path)
    sizes = [(c.name, c.synapses.weights.size) for c in mapping.network.connections if c.synapses.weights.size]
    assert sizes == [("a -> a", 16), ("a -> b", 2), ("a -> b", 1), ("b -> a", 1)]
    result = simulate(mapping, timesteps=3, threads=1)
    assert result.counts.connection_synops.sum(axis=1).tolist() == [16 + 3] * 3


def test_delays_of_a_convolution_lie_in_the_order_of_its_weights(tmp_path):
    """A spike of source k alone: it arrives by every tap after that tap's delay, and by no other way."""
    groups = ["- name: a", "  neurons:", *(f"  - {k}: [spikes: [{int(k == 4)}]]" for k in range(6))]
    groups += ["- name: b", "  attributes: {threshold: 0.5, dendrite_hw_name: waits}", "  neurons:", "  - 0..7: []"]
    shape = "input_height: 2, input_width: 3, input_channels: 1, kernel_count: 2, kernel_height: 1, kernel_width: 2"
    shape += ", stride_height: 1, stride_width: 1"
    edges = [f"- a -> b: {{type: conv2d, {shape}, weight: [1, 1, 1, 1], delay: [0, 1, 2, 3]}}"]
    maps = [*(f'- a.{k}: [core: 0.0, soma: "train[{k}]"]' for k in range(6)), "- b: {core: 0.1}"]
    imported(tmp_path, net=network(groups, edges, maps))
    spikes = group_spikes(tmp_path, mapping_of(tmp_path), None, 8)[:, 6:].reshape(8, 2, 2, 2)  # filter, row, column
    # source 4 is row 1, column 1: by tap x of filter f (number 2 x + f, as its delay) it reaches column 1 - x
    expected = {(2 * x + f + 1, f, 1, 1 - x) for x in (0, 1) for f in (0, 1)}
    assert {tuple(int(i) for i in where) for where in np.argwhere(spikes)} == expected


@pytest.mark.oracle("sanafe")
def test_dendrites_before_the_buffer_cost_per_neuron_as_in_sanafe(tmp_path):
    """Of several weights that arrive at once sanafe 2.2.9 keeps only the last then, which is told."""
    arch = architecture(position="dendrite", dendrite="1.0e-12")
    groups = ["- name: a", "  attributes: {threshold: 2, bias: 0.5}", "  neurons:", "  - 0..7: []"]
    edges = [f"- a.{k} -> a.{(k + 3) % 8}: [weight: {k / 16 or 1}]" for k in range(8)]
    net = network(groups, edges, ["- a.0..3: {core: 0.0}", "- a.4..7: {core: 5.0}"])
    assert not imported(tmp_path, arch, net).spikes
    ours, theirs = check_same_counts(tmp_path, *written(tmp_path, arch, net), 12)
    assert ours.summary()["known_energy_per_timestep_fj"] * 12 == pytest.approx(theirs["energy"]["total"] * 1e15)
    second = imported(tmp_path, arch, net.replace("mappings", "    - a.1 -> a.3: [weight: 1]\nmappings")).spikes
    assert [line[:30] for line in second] == ["1 neurons with several edges be"[:30]]


@pytest.mark.oracle("sanafe")
def test_neurons_cost_the_same_if_all_of_them_are_always_updated(tmp_path):
    """A bias keeps every neuron busy. Then energy agrees, and so does the time of a timestep without messages."""
    groups = ["- name: a", "  attributes: {threshold: 8, bias: 1}", "  neurons:", "  - 0..19: []"]
    net = network(groups, ["- a.0 -> a.19: [weight: 1]"], ["- a.0..14: {core: 0.0}", "- a.15..19: {core: 4.1}"])
    paths = written(tmp_path, net=net)
    imported(tmp_path, net=net)
    ours, theirs = check_same_counts(tmp_path, *paths, 12)
    assert ours.summary()["known_energy_per_timestep_fj"] * 12 == pytest.approx(theirs["energy"]["total"] * 1e15)
    times = (ours.times.duration_ps + ours.barrier_ps) * 1e-12
    sanafe_times = np.array(theirs["perf_trace"]["sim_time"])
    silent = np.array(theirs["perf_trace"]["fired"]) == 0
    assert silent.sum() == 11
    np.testing.assert_allclose(times[silent], sanafe_times[silent], rtol=0, atol=1e-15)
    np.testing.assert_allclose(times, sanafe_times, rtol=0.15)  # when 20 neurons fire, sending delays the sweep there


@pytest.mark.oracle("sanafe")
def test_one_message_takes_its_time_as_in_sanafe_up_to_a_picosecond_per_link(tmp_path):
    groups = ["- name: a", "  attributes: {threshold: 1}", "  neurons:", "  - 0: [bias: 2]", "- name: b", "  neurons:"]
    net = network(
        [*groups, "  - 0: [threshold: 99]"], ["- a.0 -> b.0: [weight: 1]"], ["- a: {core: 0.0}", "- b: {core: 5.1}"]
    )
    paths = written(tmp_path, net=net)
    imported(tmp_path, net=net)
    ours, theirs = check_same_counts(tmp_path, *paths, 4)
    more = (ours.times.duration_ps + ours.barrier_ps) - np.array(theirs["perf_trace"]["sim_time"]) * 1e12
    assert np.all(more > -0.5)
    assert np.all(more < 5.5)  # hops are exact; 1 ps on each of two core links, and what rounding adds


@settings(max_examples=6, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), delays=st.booleans())
def test_spikes_are_those_of_the_equations(tmp_path_factory, seed, delays):
    """Neuron by neuron, delays included: v = v + bias + u, above (lif) or from (truenorth) the threshold."""
    folder = tmp_path_factory.mktemp("drawn")
    text, facts = drawn(np.random.default_rng(seed), ["0.0", "2.1", "5.0"], delays=delays)
    imported(folder, net=text)
    found = group_spikes(folder, mapping_of(folder), facts, 20)
    np.testing.assert_array_equal(found, naive_spikes(facts, 20))


def test_leak_and_the_units_of_time(tmp_path):
    """v = 0.75 v + 1: neurons with and without leak in one group; 64ths stay whole long enough."""
    groups = ["- name: a", "  attributes: {bias: 1}", "  neurons:", "  - 0: [threshold: 1.75, leak_decay: 0.75]"]
    groups += ["  - 1: [threshold: 2.5]", "  - 2: [threshold: 0.5, leak_decay: 0]"]
    account = imported(tmp_path, net=network(groups, [], ["- a: {core: 0.0}"]))
    assert len(account.spikes) == 1
    assert "1/64" in account.spikes[0]
    fired = group_spikes(tmp_path, mapping_of(tmp_path), None, 9)[:, 1:]
    assert np.flatnonzero(fired[:, 0]).tolist() == [2, 5, 8]  # 1, 1.75, 2.3125 fires
    assert np.flatnonzero(fired[:, 1]).tolist() == [2, 5, 8]  # 1, 2, 3 fires
    assert fired[:, 2].all()


def test_every_neuron_is_on_the_core_of_its_mapping(tmp_path):
    """Tiles are numbered column by column: of 3 x 2 tiles, tile 3 is column 1, row 1, which is router 4 of nsim."""
    imported(tmp_path)
    mapping = mapping_of(tmp_path)
    by_layer, first = {}, 0
    for layer in mapping.network.layers:
        by_layer[layer.name] = mapping.core[first : first + layer.neurons].tolist()
        first += layer.neurons
    assert by_layer == {"drive": [0, 1], "hidden": [4 * 2 + 1, 4 * 2 + 1, 0], "answer": [5 * 2]}


def test_rate_and_poisson_inputs(tmp_path):
    """Every floor(1 / rate)-th timestep, as in sanafe; poisson by the seed, with that probability."""
    neurons = ["  - 0: [rate: 0.28]", "  - 1: [poisson: 0.3]", "  - 2: [spikes: [1], rate: 0.5]", "  - 3: [rate: 0]"]
    groups = ["- name: in", "  neurons:", *neurons, "- name: a", "  neurons:", "  - 0"]
    mappings = [*(f'- in.{k}: [core: 0.0, soma: "train[{k}]"]' for k in range(4)), "- a: [core: 0.1]"]
    net = network(groups, ["- in.0 -> a.0: [weight: 1]"], mappings)
    trains = []
    for seed in (1, 1, 2):
        imported(tmp_path, net=net, timesteps=3000, seed=seed)
        trains.append(load_network(tmp_path / "out" / "network.nir").stimulus)
    assert np.flatnonzero(trains[0][:12, 0]).tolist() == [2, 5, 8, 11]
    assert np.flatnonzero(trains[0][:6, 2]).tolist() == [0, 1, 3, 5]
    assert not trains[0][:, 3].any()
    assert np.array_equal(trains[0], trains[1])
    assert not np.array_equal(trains[0], trains[2])
    assert abs(trains[0][:, 1].mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / 3000)


def at(document, path):
    """What stands at a path such as architecture.tile[0].name in a document that PyYAML has read."""
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+)\]", path):
        document = document[key] if key else document[int(index)]
    return document


def test_every_number_of_the_chip_that_names_a_field_is_the_number_in_that_field(tmp_path):
    arch = architecture(dendrite="2.0e-10")
    imported(tmp_path, arch)
    document, checked = yaml.load(arch, yaml.BaseLoader), 0
    for row in load_chip(tmp_path / "out" / "chip.toml").provenance():
        paths = [part.partition(", ")[2] for part in row.source.split("; ") if part.startswith("architecture, ")]
        if row.basis == "assumed" or not paths:
            assert row.note
            continue
        found = [at(document, path) for path in paths]
        scale = {"ps": 12, "fj": 15}.get(row.key[-2:], 0)
        if row.key.endswith("wire_ps"):
            assert row.value == Decimal(found[0]).scaleb(12) - 1
        elif row.key.startswith("actions"):
            assert row.value == sum(Decimal(text) for text in found).scaleb(scale)
        elif isinstance(found[0], str):
            assert {Decimal(text).scaleb(scale) for text in found} == {row.value}
        else:
            continue
        checked += 1
    assert checked == 4 + 2 * 8 - 2 + 4  # sizes; 8 actions but word_read; two links with wire and energy


def test_the_barrier_is_a_staircase(tmp_path):
    """Between two entries of the table the time is that of the fewer tiles, as sanafe has it; then it stays level."""
    imported(tmp_path)
    chip = load_chip(tmp_path / "out" / "chip.toml")
    assert [chip.barrier_ps(n) for n in (1, 2, 3, 4, 5, 6)] == [500_000, *[1_000_000] * 3, *[2_000_000] * 2]
    imported(tmp_path, architecture(sync="sync_model: fixed\n    latency_sync: 3.0e-7"))
    assert load_chip(tmp_path / "out" / "chip.toml").barrier_ps(4) == 300_000
    imported(tmp_path, architecture(sync=""))
    assert load_chip(tmp_path / "out" / "chip.toml").barrier_ps(4) == 0


def leaves(document, seen=()):
    """How many values stand in a document: a list of plain values is one, an empty one none."""
    if isinstance(document, dict):
        return sum(leaves(value) for value in document.values())
    if isinstance(document, list) and any(isinstance(item, (list, dict)) for item in document):
        return sum(leaves(item) for item in document)
    return 0 if document in ([], {}) else 1


def test_every_field_is_in_the_account_once(tmp_path):
    """As many as the files hold by another parser; pairs of a hyperedge and tables of sync times count once."""
    account = imported(tmp_path)
    arch, net = (yaml.load(text, yaml.BaseLoader) for text in (architecture(), SMALL))
    assert sum(row.number for row in account.architecture) == leaves(arch)
    plain = {"answer": 1, "empty": 1}  # `- 0` is a plain entry; `0..1: []` is empty, and told as carried over
    assert sum(row.number for row in account.network) == leaves(net) + plain["empty"]
    assert not [row for row in (*account.architecture, *account.network) if row.words == UNKNOWN]
    text = (tmp_path / "out" / "carried.md").read_text()
    assert all(f"| `{row.field}` |" in text for row in (*account.architecture, *account.network))


PLACES = {  # a line of one of the files, after which a field nobody knows is put
    "net": ["  name: small", "    - name: hidden", "network:"],
    "arch": [
        "    width: 3",
        "            max_neurons_supported: 64",
        "      attributes:",
        "                model: truenorth",
    ],
}


@pytest.mark.parametrize(("file", "line"), [(file, line) for file, lines in PLACES.items() for line in lines])
def test_an_unknown_field_is_listed_by_its_path(tmp_path, file, line):
    text = {"net": SMALL, "arch": architecture()}
    following = text[file].split(line + "\n", 1)[1]
    indent = re.match(" *", following)[0]
    text[file] = text[file].replace(f"{line}\n", f"{line}\n{indent}flux_capacitance: 88\n", 1)
    account = imported(tmp_path, text["arch"], text["net"])
    rows = [row for row in (*account.architecture, *account.network) if row.field.endswith("flux_capacitance")]
    assert [row.verdict for row in rows] == [LEFT]
    assert rows[0].field in (tmp_path / "out" / "carried.md").read_text()


@pytest.mark.parametrize(
    ("old", "new", "field", "words"),
    [
        ("reset: 0.25", "reset_mode: soft, reset: 0.25", "reset_mode", "reset_mode, which nsim's neurons have not"),
        ("reset: 0.25", "refractory_delay: 2", "refractory_delay", "refractory_delay"),
        ("reset: 0.25", "reverse_threshold: -1", "reverse_threshold", "reverse_threshold"),
        ("reset: 0.25", "leak_decay: 0.5", "leak_decay", "1/64"),
        ("bias: 0.5", "bias: 0.51", "bias", "biases that are no multiples of 1/64"),
        ("soma_hw_name: north", "soma_hw_name: north, leak: 0.5", "leak", "leak"),
        ("[weight: -0.75]", "[weight: -0.75, delay: 2]", "delay", None),
        ("[weight: -0.75]", "[weight: -0.75, colour: red]", "colour", None),
        ("[weight: -0.75]", "[weight: -0.75, synapse_hw_name: packed]", "synapse_hw_name", None),
        ("hidden.0 -> hidden.2", "hidden.0 -> drive.1", "*", "input neurons"),
        ("rate: 0.5", "rate: 0.5, threshold: 4", "threshold", None),
        ("threshold: 1.5", "threshold: 1.5, time_constants: [1]", "time_constants", None),
    ],
)
def test_what_cannot_be_carried_over_is_told(tmp_path, old, new, field, words):
    """By field, and where it matters for spikes also as a reason why they may differ."""
    assert old in SMALL
    account = imported(tmp_path, net=SMALL.replace(old, new))
    rows = [row for row in account.network if row.field.endswith(f".{field}") and row.verdict != "carried over"]
    assert rows or field == "bias"
    assert any(words in line for line in account.spikes) if words else not account.spikes
    run(tmp_path, 3)


def test_other_units_are_told_with_both_costs(tmp_path):
    """Inputs cost nothing in SANA-FE; neurons of a chip of nsim cost the same."""
    account = imported(tmp_path)
    line = next(line for line in account.costs if "input neurons" in line)
    assert "2 input neurons cost 5e-11 + 2e-11 J" in line
    assert "not 0 + 0 J" in line
    mixed = SMALL.replace("threshold: 1.5,", "threshold: 1.5, synapse_hw_name: packed,")
    account = imported(tmp_path, net=mixed)
    chip = load_chip(tmp_path / "out" / "chip.toml")
    assert (chip.actions.synop_dense.latency_ps, chip.actions.synop_sparse.latency_ps) == (5_000, 3_750)
    assert "1 edges of synapse unit packed cost as much as those of plain" in account.costs


def fate(account, field):
    """Verdicts of an architecture's field, by the end of its path."""
    return {row.verdict for row in account.architecture if row.field.endswith(field)}


def test_models_of_units_are_told_by_their_use(tmp_path):
    """Used and known, used and unknown, used but never compared, not used; and noise that a unit brings along."""
    account = imported(tmp_path)
    assert fate(account, "soma[0].attributes.model") == {"carried over"}
    assert fate(account, "dendrite[1].attributes.model") == {LEFT}
    assert fate(account, "soma[0].attributes.energy_update_neuron") == {"approximated"}
    assert fate(account, "soma[0].attributes.energy_access_neuron") == {"carried over"}
    waiting = imported(tmp_path, net=SMALL.replace("threshold: 1.5,", "threshold: 1.5, dendrite_hw_name: waits,"))
    assert fate(waiting, "dendrite[1].attributes.model") == {"approximated"}
    assert "accumulator_with_delay" in waiting.spikes[0]
    taps = imported(tmp_path, architecture().replace("model: accumulator,", "model: taps,"))
    assert fate(taps, "dendrite[0].attributes.model") == {LEFT}
    assert "dendrite of model 'taps'" in taps.spikes[0]
    noisy = architecture().replace("model: truenorth\n", "model: truenorth\n                noise: stream.csv\n")
    account = imported(tmp_path, noisy)
    assert fate(account, "soma[1].attributes.noise") == {LEFT}
    assert account.spikes == ["1 neurons on a unit with noise in the architecture, which they do not get here"]


def test_the_command_writes_four_files_and_its_own_command_runs(tmp_path):
    paths = written(tmp_path)
    done = nsim("import", "sanafe", *paths, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == list(FILES)
    command = next(line for line in done.stdout.splitlines() if line.strip().startswith("nsim run")).split()
    assert command[1:] == (tmp_path / "out" / "carried.md").read_text().splitlines()[3].split()[1:]
    again = nsim(*command[1:], "--out", tmp_path / "results")
    assert again.returncode == 0, again.stderr
    assert "made_up" in again.stdout
    first = {name: (tmp_path / "out" / name).read_bytes() for name in FILES if name != "network.nir"}
    assert nsim("import", "sanafe", *paths, "--out", tmp_path / "out").returncode == 0  # an earlier import is replaced
    assert first == {name: (tmp_path / "out" / name).read_bytes() for name in first}


def test_groups_may_have_any_names(tmp_path):
    """Those that NIR, HDF5 or nsim use otherwise too; layers that would share a name get different ones."""
    names = ["0", "input", "output", "a/b", "a_b", "a.b", "ä ü"]
    groups = [line for name in names for line in (f"- name: '{name}'", "  neurons:", "  - 0: [bias: 1]")]
    edges = [f"- '{first}.0 -> {second}.0': [weight: 1]" for first, second in pairwise(names)]
    imported(
        tmp_path,
        net=network(groups, edges, [f"- '{name}.0': [core: {k % 6}.{k // 6}]" for k, name in enumerate(names)]),
    )
    mapping = mapping_of(tmp_path)
    assert len({layer.name for layer in mapping.network.layers}) == len(names) + 1
    assert mapping.used_cores.size == len(names)
    assert run(tmp_path, 3).counts.spikes.sum() > 0


def test_without_the_parser_the_cure_is_told(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "yaml", None)
    paths = written(tmp_path)
    assert "pip install 'nsim-neuromorphic[sanafe]'" in refused("import", "sanafe", *paths, "--out", tmp_path / "out")


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    paths = written(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "diary.txt").write_text("dear")
    assert "holds other files" in refused("import", "sanafe", *paths, "--out", tmp_path / "mine")
    assert [path.name for path in (tmp_path / "mine").iterdir()] == ["diary.txt"]


@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("arch", "neuron: 6.0e-9", "neuron: -6.0e-9", ["latency_access_neuron", "-6.0e-9", "0 to 1 s"]),
        ("arch", "neuron: 6.0e-9", "neuron: .nan", ["latency_access_neuron", "finite number"]),
        ("arch", "neuron: 6.0e-9", "neuron: 1e999", ["latency_access_neuron", "finite number"]),
        ("arch", "neuron: 6.0e-9", "neuron: fast", ["'fast'", "finite number"]),
        ("arch", "neuron: 6.0e-9", "neuron: [1]", ["latency_access_neuron", "a list of 1", "single value"]),
        ("arch", "max_neurons_supported: 64", "max_neurons_supported: 2.5", ["2.5", "whole number"]),
        (
            "arch",
            "max_neurons_supported: 64",
            "max_neurons_supported: 1",
            ["core 3.1 holds 2", "is 1", "map 1 of them"],
        ),
        ("arch", "            max_neurons_supported: 64\n", "", ["max_neurons_supported", "add"]),
        ("arch", "latency_message_in: 16.0e-9", "", ["latency_message_in", "add"]),
        ("arch", "    link_buffer_size: 4\n", "", ["link_buffer_size", "add"]),
        ("arch", "width: 3", "width: 2", ["6 tiles", "2 x 2 has 4", "widen"]),
        ("arch", "width: 3", "width: 0", ["'0'", "from 1 to"]),
        ("arch", "buffer_position: soma", "buffer_position: moon", ["moon", "dendrite, soma or axon_out"]),
        ("arch", "core[0..1]", "core[1..0]", ["0 instances"]),
        ("arch", "tile[0..5]", "tile[0..999999999]", ["1000000000 instances"]),
        ("arch", "sync_model: table", "sync_model: magic", ["magic", "fixed or table"]),
        ("arch", "2: 1.0e-6", "2: 0.1e-6", ["falls"]),
        ("arch", "2: 1.0e-6", "two: 1.0e-6", ["'two'", "number of tiles"]),
        ("arch", "model: truenorth", "model: mystery", ["answer.0", "'mystery'", "map it to"]),
        ("arch", "architecture:", "building:", ["'architecture' is missing", "add"]),
        ("arch", "    width: 3", "    width: 3\n    width: 3", ["line 7", "'width' is given twice", "keep one"]),
        ("net", "hidden.0 -> hidden.2", "hidden.0 -> hidden.7", ["hidden.7", "0 to 2"]),
        ("net", "hidden.0 -> hidden.2", "hidden.0 -> hiden.2", ["'hiden'", 'did you mean "hidden"']),
        ("net", "hidden.0 -> hidden.2", "hidden.0 - hidden.2", ["SOURCE -> TARGET"]),
        ("net", "hidden.0 -> hidden.2", "hidden -> hidden.2", ["a neuron to a group"]),
        ("net", "hidden.0 -> hidden.2", "hidden.0 -> hidden.0..2", ["is a range", "one edge for each"]),
        ("net", "hidden.0 -> hidden.2: [weight: -0.75]", "hidden -> hidden: [weight: 1]", ["no type"]),
        ("net", "type: dense", "type: denser", ["denser", "dense, sparse or conv2d"]),
        ("net", "1, 0, 2, 0.5, 1, -1", "1, 0, 2", ["3 entries for 6"]),
        ("net", "[weight: -0.75]", "[weight: heavy]", ["'heavy'", "finite number"]),
        ("net", "[weight: -0.75]", "[weight: .inf]", ["finite number"]),
        ("net", "[weight: -0.75]", "[]", ["no weight", "add"]),
        ("net", "[weight: -0.75]", "[weight: 1, w: 2]", ["a second weight"]),
        ("net", "[weight: -0.75]", "[weight: 1, delay: -1]", ["'-1'", "whole number"]),
        ("net", "core: 5.0", "core: 6.0", ["tile 6", "0 to 5"]),
        ("net", "core: 5.0", "core: 5.2", ["core 2 of tile 5", "0 to 1"]),
        ("net", "core: 5.0", "core: five", ["'five'", "TILE.CORE"]),
        ("net", "core: 5.0", "kernel: 5.0", ["no core", "add core"]),
        ("net", "  - answer: [core: 5.0]\n", "", ["answer.0 is mapped to no core", "add"]),
        ("net", "  - hidden.2: {core: 0.0}\n", "  - hidden.1: {core: 0.0}\n", ["hidden.1 a second time"]),
        ("net", 'soma: "train[0]"', 'soma: "train[99]"', ["train[99]", "it has lif, north, train[0]"]),
        ("net", "name: answer", "name: hidden", ["a second group 'hidden'"]),
        ("net", "name: answer", "name: ''", ["name", "empty"]),
        ("net", "        - 2: {bias", "        - 1: {bias", ["neuron 1", "second time"]),
        ("net", "        - 2: {bias", "        - 3: {bias", ["no 2", "without gaps"]),
        ("net", "        - 2: {bias", "        - two: {bias", ["'two'", "range such as 0..9"]),
        ("net", "0..1: []", "0..99999999: []", ["rising range below"]),
        ("net", "threshold: 1.5", "threshold: high", ["threshold", "'high'"]),
        ("net", "reset: 0.25", "leak_decay: 1.5", ["leak_decay", "'1.5'", "0 to 1"]),
        ("net", "[1, 0, 1, 1]", "[1, 0, maybe]", ["'maybe'", "true or false"]),
        ("net", "rate: 0.5", "rate: 7", ["'7'", "0 to 1"]),
        ("net", "bias: 0.5,", "<<: *all,", ["line 13", "alias", "write the value out"]),
        ("net", "bias: 0.5", "bias: !!python/name:os.system 0.5", ["tag", "remove"]),
        ("net", "mappings:", "---\nmappings:", ["second document"]),
        ("net", "  name: small", "  name: small\n  {a: b}: c", ["key"]),
        ("net", "[weight: -0.75]", "[weight: -0.75", ["line", "not valid YAML"]),
        ("net", "[weight: -0.75]", "[" * 40 + "]" * 40, ["nested more than"]),
        ("net", "  name: small", "  name: sm\x00all", ["not allow"]),
        ("net", "  groups:", "  ensembles:", ["'groups' is missing"]),
        ("net", SMALL, "", ["is empty"]),
        ("net", SMALL, "- 1\n- 2\n", ["a list of 2", "key: value"]),
        ("net", SMALL, b"network: \xff\n", ["0xff", "UTF-8"]),
    ],
)
def test_a_wrong_file_is_one_line_with_the_cure_and_leaves_nothing(tmp_path, file, old, new, words):
    text = {"arch": architecture(), "net": SMALL}
    assert old in text[file]
    text[file] = new if old == text[file] else text[file].replace(old, new, 1)
    line = refused("import", "sanafe", *written(tmp_path, text["arch"], text["net"]), "--out", tmp_path / "out")
    for word in words:
        assert word in line, line
    assert f"{file}.yaml" in line or "net.yaml: line" in line  # a mapping to something the other file has not
    assert sorted(path.name for path in tmp_path.iterdir()) == ["arch.yaml", "net.yaml"]


def test_a_file_that_is_not_there_and_a_length_that_is_none(tmp_path):
    arch, net = written(tmp_path)
    assert "no such file" in refused("import", "sanafe", tmp_path / "none.yaml", net, "--out", tmp_path / "out")
    assert "cannot be read" in refused("import", "sanafe", arch, tmp_path, "--out", tmp_path / "out")
    assert "timesteps is 0" in refused("import", "sanafe", arch, net, "--out", tmp_path / "out", "--timesteps", "0")
    assert "seed is -1" in refused("import", "sanafe", arch, net, "--out", tmp_path / "out", "--seed", "-1")


@settings(max_examples=40, deadline=None)
@given(file=st.sampled_from(["arch", "net"]), data=st.data())
def test_mutilated_files_are_imported_or_refused_in_one_line(tmp_path_factory, file, data):
    """Cut short, a line missing, or a few characters replaced: never a traceback, never half a folder."""
    folder = tmp_path_factory.mktemp("cut")
    text = {"arch": architecture(), "net": SMALL}
    whole = text[file]
    at_ = data.draw(st.integers(0, len(whole) - 1))
    new = data.draw(st.sampled_from(["", "x", "- ", ": ", "[", "}", "0", "-", "\n", "&a ", "'", "1e400"]))
    kind = data.draw(st.sampled_from(["cut", "line", "replace"]))
    lines = whole.splitlines(keepends=True)
    if kind == "cut":
        text[file] = whole[:at_]
    elif kind == "line":
        del lines[at_ % len(lines)]
        text[file] = "".join(lines)
    else:
        text[file] = whole[:at_] + new + whole[at_ + 1 :]
    try:
        imported(folder, text["arch"], text["net"])
    except NsimError as error:
        assert "\n" not in str(error)
        assert not (folder / "out").exists()
    else:
        run(folder, 2)
