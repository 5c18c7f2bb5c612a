"""`nsim run` on neuron tiles: what is counted, what is told without costs and with a user's, and what is refused."""

import csv
import json
from collections import Counter

import numpy as np
import pytest

from nsim.chip.file import load_chip
from nsim.errors import InputError
from nsim.formats.network import load_network
from nsim.formats.spikes import load_input
from nsim.mapping.tiles.fabric import Fabric
from nsim.mapping.tiles.mapping import map_on_tiles
from nsim.mapping.tiles.read import for_tiles
from nsim.network.activity import evaluate
from nsim.result import run_ticks as tiles_run
from nsim.result.run import simulate
from tests.generators.commands import nsim, refused
from tests.generators.mosaic_chips import MOSAIC, chip_with
from tests.generators.mosaic_naive import kind_at, published_path, tile_at
from tests.generators.tiles import costly_chip, nir_file

CHIP = ("--chip", "mosaic")
SMALL = ("--grid", "3x4", "--neurons-per-tile", "5")
NETWORK = "random:p1=0.8,p3=0.4,p5=0.3"


def run_small(chip=MOSAIC, network=NETWORK, fabric=None, **options):
    fabric = fabric or Fabric(3, 4, 5)
    loaded = for_tiles(network, fabric, np.random.default_rng(0))
    mapping = map_on_tiles(loaded, chip, fabric)
    return simulate(mapping, **{"activity": 0.3, "timesteps": 12, **options})


def read_csv(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def naive_counts(mapping, spikes):
    """Crossings by kind and reads by tile, from the published rules told cell by cell: a set of cells per neuron."""
    fabric, network, kinds, reads = mapping.fabric, mapping.connectivity, Counter(), Counter()
    for neuron, fired in enumerate(spikes.tolist()):
        own = neuron // fabric.neurons
        targets = network.targets[network.indptr[neuron] : network.indptr[neuron + 1]]
        tiles = {int(target) // fabric.neurons for target in targets} | {own}
        cells = set()
        for tile in tiles - {own}:
            cells |= {cell for cell, _ in published_path(fabric.columns, own, tile)}
        for cell in cells - {tile_at(fabric.columns, own)}:
            kinds[kind_at(cell)] += fired
        for tile in tiles:
            reads[tile] += fired
    return kinds, reads


def test_counts_equal_the_published_rules_told_cell_by_cell():
    result = run_small()
    kinds, reads = naive_counts(result.mapping, result.counts.spikes)
    actions = {"row_read": sum(reads.values()), "r1_crossing": kinds["R1"], "r0_crossing": kinds["R0"]}
    assert result.actions == actions and min(actions.values()) > 0
    tiles = result.columns("tiles")
    assert tiles["row_reads"].tolist() == [reads[tile] for tile in range(12)]
    np.testing.assert_array_equal(tiles["own_row_reads"] + tiles["routed_row_reads"], tiles["row_reads"])
    by_tick = result.table("timesteps")[["row_reads", "r1_crossings", "r0_crossings", "spikes"]].sum().tolist()
    assert by_tick == [*actions.values(), int(result.counts.spikes.sum())]
    crossings = result.table("routers").groupby("kind")["crossings"].sum().to_dict()
    assert crossings == {"R1": kinds["R1"], "R0": kinds["R0"]}


def test_a_shared_prefix_of_paths_is_counted_once():
    """A neuron that reaches all tiles of a row crosses its routers once, not once for every destination."""
    matrix = np.zeros((5, 5), bool)
    matrix[0, 1:] = True
    fabric = Fabric(1, 5, 1)
    result = simulate(map_on_tiles(for_tiles(matrix, fabric, None), MOSAIC, fabric), activity=1.0, timesteps=1)
    # Tile 1 over R1(1,2); the others north along row 0: R1 at columns 1, 3, 5, 7 and R0 at 2, 4, 6, then R1(1, 4), ...
    assert result.actions == {"row_read": 4 + 5, "r1_crossing": 1 + 4 + 3, "r0_crossing": 4}


def test_energy_is_counts_times_costs():
    result = run_small(chip_with(energies_fj=(10, 2.5, 1)))
    counted = result.actions
    assert result.energy.by_action_fj == {
        "row_read": counted["row_read"] * 10,
        "r1_crossing": counted["r1_crossing"] * 2.5,
        "r0_crossing": counted["r0_crossing"] * 1,
        "static": None,
    }
    tables = sum(result.table(name)["known_dynamic_energy_fj"].sum() for name in ("tiles", "routers"))
    assert tables == result.summary()["energy_fj"] == pytest.approx(result.energy.known_fj)


def test_a_known_energy_is_kept_where_others_are_not_known():
    result = run_small(chip_with(r0_ps=None, energies_fj=(10, None, 0)))
    facts = result.summary()
    assert facts["energy_by_action_fj"] == {
        "row_read": 10 * facts["row_reads"],
        "r1_crossing": None,
        "r0_crossing": 0,
        "static": None,
    }
    assert facts["missing_keys"] == ["actions.r0_crossing.latency_ps", "actions.r1_crossing.energy_fj"]
    assert facts["engine"] is None and facts["time_per_timestep_ps"] is None and "ports" not in result.tables


def test_static_power_is_drawn_over_the_ticks_of_real_time(tmp_path):
    path = costly_chip(tmp_path)
    path.write_text(
        path.read_text().replace("[grid]", '[power]\nstatic_mw = 2\nsource = "mine"\nbasis = "published"\n[grid]', 1)
    )
    chip = load_chip(path)
    assert run_small(chip, dt_s=1e-6).energy.by_action_fj["static"] == 2 * 10**6 * 12
    assert run_small(chip).energy.unknown == ["static"]


@pytest.mark.parametrize("engine", ["compiled", "simpy"])
def test_times_of_a_run_are_those_of_its_ticks(engine):
    """The longest route decides on dedicated lines: 7 hops at most of a random tick on 3 x 4 tiles, in closed form."""
    result = run_small(chip_with(read_ps=1_000, r1_ps=30, r0_ps=7), engine=engine)
    facts = result.summary()
    fabric, routing = result.mapping.fabric, result.mapping.routing
    hops = fabric.hops[routing.tile_of[routing.links.sources], routing.links.tile]
    loaded = for_tiles(NETWORK, fabric, np.random.default_rng(0))
    runs, _ = tiles_run.sent_ticks(loaded, None, 0.3, 12, 1, None, 0)
    for chunk in next(runs):
        for step in range(12):
            reached = hops[np.isin(routing.links.sources, chunk.firing(step))].max(initial=0)
            expected = (reached + 1) // 2 * 30 + reached // 2 * 7 + 1_000
            assert result.times.duration_ps[step] == expected
    assert facts["time_ps"] == result.times.duration_ps.sum() and facts["waited_ps"] == 0
    assert facts["engine"] == engine


def test_shared_lines_wait_in_both_engines_alike():
    chip = chip_with(lines=1)
    compiled, simpy = (run_small(chip, shared_lines=True, engine=engine) for engine in ("compiled", "simpy"))
    facts = compiled.summary()
    assert {**facts, "engine": "simpy"} == simpy.summary()
    assert all(compiled.table(name).equals(simpy.table(name)) for name in compiled.tables)
    ports = compiled.table("ports")
    assert facts["waited_ps"] == ports["waited_ps"].sum() > 0
    assert facts["longest_timestep_ps"] > run_small(chip).summary()["longest_timestep_ps"]
    most = ports.loc[ports["waited_ps"].idxmax()]
    assert (facts["most_waited_port"], facts["most_waited_ps"]) == (most["port"], most["waited_ps"])


def test_ticks_that_last_too_long_are_counted():
    result = run_small(chip_with(read_ps=1_000, r1_ps=30, r0_ps=7), dt_s=1e-9)  # a read takes the whole tick
    assert result.summary()["timesteps_over_tick"] == 12
    assert run_small(chip_with(read_ps=10), dt_s=1e-6).summary()["timesteps_over_tick"] == 0


def test_a_nir_graph_runs_as_it_is_evaluated(tmp_path):
    """Spikes and outputs are those of the network; neuron q sits in tile q // 2 and reaches q + 1 alone."""
    path = nir_file(tmp_path / "net.nir", weight=np.diag([30.0] * 3, -1))
    frames = (np.random.default_rng(0).random((40, 4)) < 0.5) * 20.0
    np.save(tmp_path / "frames.npy", frames.astype(np.float32))
    run = ("run", path, *CHIP, "--dt", "1e-3", "--grid", "1x2", "--neurons-per-tile", "2")
    done = nsim(*run, "--input", tmp_path / "frames.npy", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    network = load_network(path, dt_s=1e-3)
    (sample,) = load_input(frames.astype(np.float32), network.by_name[network.input].shape)
    chunks = list(evaluate(network, sample))
    np.testing.assert_array_equal(
        np.load(tmp_path / "out" / "outputs.npy"), np.concatenate([c.outputs for c in chunks])
    )
    first = sum(layer.neurons for layer in network.layers[: [x.name for x in network.layers].index("lif")])
    sent = np.bincount(np.concatenate([c.neurons for c in chunks]), minlength=first + 4)[first : first + 4]
    facts = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert facts["spikes"] == sent.sum() > 0
    assert facts["r1_crossings"] == sent[1] > 0 and facts["r0_crossings"] == 0  # only neuron 1 leaves its tile, for 2
    assert facts["row_reads"] == sent.sum() + sent[1] and facts["tick_ps"] == 10**9
    assert "outside the tiles" in done.stdout


def test_without_costs_there_are_counts_and_the_missing_keys(tmp_path):
    done = nsim("run", "random:p1=1", *CHIP, "--activity", "0.1", "--timesteps", "5", "-v", "--out", tmp_path / "out")
    assert done.returncode == 0 and not done.stderr
    assert done.stdout.startswith("random:p1=1 on Mosaic") and "unknown" in done.stdout
    text = " ".join(done.stdout.split())
    assert "not in the chip file: actions.row_read.latency_ps, actions.r1_crossing.latency_ps, " in text
    assert "actions.r0_crossing" not in text  # with p1 alone no spike crosses an R0
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == {
        "manifest.json",
        "summary.json",
        "report.json",
        "tiles.csv",
        "routers.csv",
        "timesteps.csv",
    }
    facts = json.loads((out / "summary.json").read_text())
    tiles, ticks = read_csv(out / "tiles.csv"), read_csv(out / "timesteps.csv")
    assert len(tiles) == 25 and len(ticks) == 5 and "duration_ps" not in ticks[0]
    assert sum(int(t["row_reads"]) for t in tiles) == sum(int(t["row_reads"]) for t in ticks) == facts["row_reads"]
    assert facts["time_per_timestep_ps"] is None and facts["energy_by_action_fj"]["row_read"] is None
    assert facts["reproducibility"]["seed"] == 0


def test_with_a_users_costs_there_are_times_and_energy(tmp_path):
    path = costly_chip(tmp_path)
    options = ("--activity", "0.1", "--timesteps", "5", "--out", tmp_path / "out", "--dt", "1e-3")
    done = nsim("run", NETWORK, "--chip", path, *SMALL, *options)
    assert done.returncode == 0 and "counts only" not in done.stdout
    assert "all within the tick of 1.00 ms" in " ".join(done.stdout.split())
    facts = json.loads((tmp_path / "out" / "summary.json").read_text())
    energy = 10 * facts["row_reads"] + 2 * facts["r1_crossings"] + facts["r0_crossings"]
    assert facts["energy_fj"] == energy and facts["engine"] == "compiled"
    assert (tmp_path / "out" / "ports.csv").is_file()


def test_a_network_that_does_not_fit_runs_and_says_so(tmp_path):
    """The limit counts the ports that are too narrow and names the worst; `nsim map` finds the same."""
    arguments = ("random:p1=0.95,p3=0.2", *CHIP)
    done = nsim("run", *arguments, "--activity", "0.1", "--timesteps", "2", "--out", tmp_path / "run")
    assert done.returncode == 0
    facts = json.loads((tmp_path / "run" / "summary.json").read_text())
    nsim("map", *arguments, "--out", tmp_path / "map")
    mapped = json.loads((tmp_path / "map" / "summary.json").read_text())
    same = ("mappable", "violated_ports", "excess_lines")
    assert [facts[key] for key in same] == [mapped[key] for key in same] and facts["mappable"] is False
    violations = facts["violations"]
    assert len(violations) == facts["violated_ports"] > 8 and all(v["used"] > v["lines"] for v in violations)
    text = " ".join(done.stdout.split())
    assert f"limit not mappable: {len(violations)} ports lack {facts['excess_lines']:,} lines" in text
    for each in violations[:3]:
        assert f"{each['port']} {each['used']} of {each['lines']}" in text
    assert f"and {len(violations) - 3} more" in text


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        nsim("run", NETWORK, *CHIP, *SMALL, "--activity", "0.1", "--seed", seed, "--out", tmp_path / name)
    for file in (tmp_path / "a").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
    assert (tmp_path / "a" / "tiles.csv").read_bytes() != (tmp_path / "c" / "tiles.csv").read_bytes()


def test_an_interrupted_run_keeps_the_ticks_that_were_done(monkeypatch):
    def stop_after_three(done, planned):
        if done == 3:
            raise KeyboardInterrupt

    chip = chip_with()
    cut = run_small(chip, progress=stop_after_three)
    assert (cut.spans, cut.spans_planned, cut.sample_timesteps) == (3, 12, (3,))
    whole = run_small(chip)
    assert cut.table("timesteps").equals(whole.table("timesteps").head(3))
    assert cut.table("tiles")["row_reads"].sum() == whole.table("timesteps")["row_reads"].head(3).sum()


@pytest.mark.parametrize(
    "arguments, problem",
    [
        (("random:p1=1", "--activity", "0.1", "--shared-lines"), "no actions.row_read.latency_ps"),
        (("random:p1=1",), "--activity 0.1"),
        (("random:p1=1", "--activity", "1.5"), "1.5: give numbers in 0..1"),
        (("random:p1=1", "--activity", "other=0.1"), "'other'"),
        (("random:p1=1", "--input", "frames.npy"), "no neuron model"),
        (("random:p1=1", "--activity", "0.1", "--input", "frames.npy"), "choose one"),
        (("random:p2=1", "--activity", "0.1"), "2 hops apart"),
        (("random:p1=1", "--activity", "0.1", "--grid", "5"), "grid is '5'"),
        (("random:p1=1", "--activity", "0.1", "--neurons-per-tile", "0"), "0 neurons per tile"),
        (("random:p1=1", "--activity", "0.1", "--place", "best"), "annealed"),
        (("random:p1=1", "--activity", "0.1", "--routes", "xy"), "balanced"),
        (("random:p1=1", "--activity", "0.1", "--timesteps", "0"), "timesteps is 0"),
        (("random:p1=1", "--activity", "0.1", "--dt", "0"), "dt is 0"),
        (("random:p1=1", "--activity", "0.1", "--engine", "fast"), "no engine 'fast'"),
        (("random:p1=1", "--activity", "0.1", "--threads", "1"), "threads 1 is not for chip 'mosaic'"),
        (("random:p1=1", "--activity", "0.1", "--partition", "even:2"), "partition 'even:2' is not for chip"),
        (("mlp", "--activity", "0.1"), "random:p1=0.95,p3=0.1"),
        (("none.nir", "--activity", "0.1"), "none.nir does not exist"),
    ],
)
def test_wrong_words_are_refused_in_one_line(arguments, problem, tmp_path):
    np.save(tmp_path / "frames.npy", np.zeros(4))
    assert problem in refused("run", *arguments, *CHIP, cwd=tmp_path)


def test_more_neurons_than_tiles_hold(tmp_path):
    np.save(tmp_path / "net.npy", np.ones((13, 13), bool))
    options = (*CHIP, "--grid", "2x3", "--neurons-per-tile", "2", "--activity", "0.1")
    assert "13 neurons, but 2x3 tiles of 2 hold 12" in refused("run", tmp_path / "net.npy", *options)


@pytest.mark.parametrize("option", [("--grid", "5x5"), ("--shared-lines",), ("--place", "annealed")])
def test_options_of_tiles_are_refused_on_other_chips(option):
    name = option[0].removeprefix("--").replace("-", " ")
    assert f"{name} " in refused("run", "mlp", "--chip", "loihi2", *option)


def test_a_shared_port_without_lines_is_named(tmp_path):
    path = costly_chip(tmp_path)
    path.write_text(path.read_text().replace("out_north_south = 8", "out_north_south = 0"))
    line = refused("run", NETWORK, "--chip", path, *SMALL, "--activity", "0.1", "--shared-lines")
    assert "use the port out" in line and "0 lines" in line


def test_how_rows_are_read_is_one_of_two_words(tmp_path):
    path = costly_chip(tmp_path)
    path.write_text(path.read_text().replace('rows = "together"', 'rows = "sometimes"'))
    assert "reading.rows" in refused("run", NETWORK, "--chip", path, "--activity", "0.1")


def test_python_gets_the_same_errors():
    with pytest.raises(InputError, match="choose one"):
        run_small(inputs=np.zeros(4))
