"""The experiments: each runs, leaves a table and a figure, and its verdicts follow from the numbers."""

import csv
import importlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.image import imread
from scipy.signal import correlate2d
from typer.testing import CliRunner

from nsim.cli import experiments as reproduce
from nsim.cli.main import app
from nsim.errors import ExperimentError
from nsim.mapping.cores.partition import Rules, smallest_split
from nsim.mapping.network import map_network
from tests.generators.machines import shipped, small_chip

ROOT = Path(__file__).resolve().parents[2]
EXPERIMENTS = reproduce.experiments(ROOT)
PAGE = ROOT / "benchmarks" / "README.md"


def script(name: str):
    return importlib.import_module(f"benchmarks.experiments.{name}")


LONG = {"boards", "floorline_states", "cnn_weight_sparsity", "traffic_bound", "max_affine_bound", "activity_schedules"}
BY_LENGTH = [pytest.param(each, marks=[pytest.mark.slow] * (each.name in LONG), id=each.name) for each in EXPERIMENTS]


@pytest.mark.parametrize("experiment", BY_LENGTH)
def test_a_quick_run_leaves_table_figure_and_verdicts(experiment, tmp_path):
    outcome = experiment.run(True, 1)
    reproduce.write(experiment.name, outcome, tmp_path)
    with (tmp_path / f"{experiment.name}.csv").open(newline="", encoding="utf-8") as file:
        table = list(csv.DictReader(file))
    assert len(table) == len(outcome.rows) > 2
    assert all(list(row) == list(outcome.rows[0]) for row in outcome.rows)
    assert all(float(row["time_us"]) >= float(row["bound_us"]) > 0 for row in table)
    assert outcome.verdicts
    assert len({verdict.claim for verdict in outcome.verdicts}) == len(outcome.verdicts)
    pixels = imread(tmp_path / f"{experiment.name}.png")
    assert pixels[..., :3].std() > 0.02  # not a blank page


def test_they_are_numbered_and_on_the_page():
    """Every experiment has its figure, table and section; the page shows nothing else."""
    numbers = [experiment.number for experiment in EXPERIMENTS]
    assert numbers == list(range(1, len(numbers) + 1))
    page = PAGE.read_text(encoding="utf-8")
    shown = page[page.index(reproduce.BEGIN) : page.index(reproduce.END)]
    assert shown.count("\n### ") == len(EXPERIMENTS)
    for experiment in EXPERIMENTS:
        assert f"### {experiment.number}. {experiment.title}\n\n{experiment.question}\n" in shown
        for suffix in ("png", "csv"):
            assert (ROOT / reproduce.FOLDER / f"{experiment.name}.{suffix}").stat().st_size > 1_000
            assert f"experiments/{experiment.name}.{suffix}" in shown
        assert (ROOT / reproduce.FOLDER / f"{experiment.name}.png").stat().st_size < 150_000


def test_a_run_is_repeated_by_its_seed():
    run = script("s5_weight_sparsity").run
    first, again, other = run(True, 3), run(True, 3), run(True, 4)
    assert first.rows == again.rows != other.rows
    assert first.verdicts == again.verdicts


def test_names_and_numbers_choose_in_the_order_given():
    assert [each.name for each in reproduce.chosen(EXPERIMENTS, ["8", "sparse_format", "max_affine_bound"])] == [
        "max_affine_bound",
        "sparse_format",
    ]
    assert reproduce.chosen(EXPERIMENTS, []) == EXPERIMENTS


def test_an_unknown_experiment_is_refused():
    with pytest.raises(ExperimentError, match="no experiment 'sparse_fromat': did you mean sparse_format"):
        reproduce.chosen(EXPERIMENTS, ["sparse_fromat"])


def test_without_a_clone_one_line_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce.nsim, "__file__", str(tmp_path / "site" / "nsim" / "__init__.py"))
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ExperimentError, match="come with a clone"):
        reproduce.repository()
    (tmp_path / reproduce.FOLDER).mkdir(parents=True)
    assert reproduce.repository() == tmp_path


def test_only_named_sections_of_the_page_change():
    page = f"before\n{reproduce.BEGIN}\n{reproduce.END}\nafter\n"
    one = reproduce.rewritten(page, {2: "### 2. Two\n\nold\n", 10: "### 10. Ten\n\nkept\n"})
    two = reproduce.rewritten(one, {2: "### 2. Two\n\nnew\n", 1: "### 1. One\n\nadded\n"})
    assert two.startswith("before\n")
    assert two.endswith("\nafter\n")
    assert [two.index(text) for text in ("added", "new", "kept")] == sorted(
        two.index(text) for text in ("added", "new", "kept")
    )
    assert "old" not in two
    assert reproduce.rewritten(two, {}) == two
    with pytest.raises(ExperimentError, match="markers"):
        reproduce.rewritten("no markers", {})


def test_the_command_leaves_the_page_alone_unless_it_is_a_full_run(tmp_path, monkeypatch):
    """A quick run, and one into another folder, change nothing in the clone; only a full one rewrites it."""
    clone = tmp_path / "clone"
    page = clone / "benchmarks" / "README.md"
    (clone / reproduce.FOLDER).mkdir(parents=True)
    page.write_text(f"{reproduce.BEGIN}\n{reproduce.END}\n", encoding="utf-8")
    monkeypatch.setattr(reproduce, "repository", lambda: clone)
    monkeypatch.setattr(reproduce, "experiments", lambda root: EXPERIMENTS)
    quick = script("s5_weight_sparsity").run(True, 0)
    full = reproduce.Experiment("s5_weight_sparsity", 2, "Title", "Question?", lambda *_: quick)
    monkeypatch.setattr(reproduce, "chosen", lambda all_of_them, names: [full])

    def command(*arguments: str) -> str:
        found = CliRunner().invoke(app, ["reproduce", "2", *arguments], catch_exceptions=False)
        assert found.exit_code == (0 if all(verdict.holds for verdict in quick.verdicts) else 1)
        return found.output

    before = page.read_text(encoding="utf-8")
    assert "holds: loihi2" in command("--quick")
    command("--quick", "--out", str(tmp_path / "out"))
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"s5_weight_sparsity.csv", "s5_weight_sparsity.png"}
    assert page.read_text(encoding="utf-8") == before
    assert not list((clone / reproduce.FOLDER).iterdir())
    command()
    assert "### 2. Title\n\nQuestion?" in page.read_text(encoding="utf-8")
    assert {path.name for path in (clone / reproduce.FOLDER).iterdir()} == {
        "s5_weight_sparsity.csv",
        "s5_weight_sparsity.png",
    }


@given(st.floats(0.05, 0.95), st.floats(0.5, 50))
def test_break_even_is_where_two_lines_cross(crossing, slope):
    x = np.linspace(0, 1, 50).tolist()
    dense = [100.0] * len(x)
    sparse = [100.0 + slope * (crossing - each) for each in x]
    assert script("sparse_format").break_even(x, dense, sparse) == pytest.approx(crossing, abs=1e-9)


def test_break_even_at_the_ends():
    break_even = script("sparse_format").break_even
    assert break_even([0, 1], [2, 2], [1, 0]) == 0
    assert break_even([0, 1], [1, 1], [3, 2]) == 1


@pytest.mark.parametrize("power", [-1.0, 0.0, 3.0])
def test_an_exponent_is_that_of_the_power_law(power):
    module, rng = script("traffic_bound"), np.random.default_rng(0)
    exact = [{"factor": x, "count": 7.0 * x**power} for x in (1, 2, 3, 5, 8)]
    assert module.exponent(exact, "count") == pytest.approx((power, 0), abs=1e-6)
    inside = 0
    for _ in range(400):
        noisy = [row | {"count": row["count"] * np.exp(rng.normal(0, 0.1))} for row in exact]
        slope, half = module.exponent(noisy, "count")
        inside += abs(slope - power) <= half
    assert 0.91 < inside / 400 < 0.985  # a 95 % interval


@pytest.mark.parametrize("follows", ["max_core_synops", "total_synops"])
def test_the_verdict_on_schedules_can_go_both_ways(follows):
    """Times made to follow the one count or the other: only the first is what is claimed."""
    module, rng = script("activity_schedules"), np.random.default_rng(0)
    rows = []
    for chip in module.CHIPS:
        for over in ("layers", "cores"):
            for _ in range(60):
                row = {"max_core_synops": rng.uniform(1, 9), "total_synops": rng.normal(100, 1)}
                time_us = row[follows] + rng.normal(0, 1e-3)
                rows.append(row | {"chip": chip, "over": over, "time_us": time_us, "simulated_state": "memory"})
    assert {verdict.holds for verdict in module.judge(rows)} == {follows == "max_core_synops"}


def test_a_time_below_the_bound_is_never_passed_over():
    """Perfectly correlated, but one timestep below its bound."""
    module = script("max_affine_bound")
    rows = [{"time_us": n, "published_us": n, "timesteps_below_published": 0} for n in (1.0, 2.0, 4.0)]
    assert module.judge("loihi2", "file", "QUBO", "published", rows).holds
    rows[1]["timesteps_below_published"] = 1
    assert not module.judge("loihi2", "file", "QUBO", "published", rows).holds


@pytest.mark.parametrize(("times", "holds"), [((4, 2, 3), True), ((4, 2, 2.05), False), ((1, 2, 3), False)])
def test_falling_and_then_rising_needs_a_minimum_inside(times, holds):
    rows = [{"factor": n, "time_us": t, "simulated_state": "memory"} for n, t in enumerate(np.array(times, float), 1)]
    assert script("traffic_bound").falls_then_rises("", rows).holds == holds


def test_qubo_couples_both_ways_and_nothing_to_itself():
    network = script("max_affine_bound").qubo(300, 16, np.random.default_rng(0))
    synapses = network.connections[0].synapses
    matrix = np.zeros((300, 300))
    for source in range(300):
        own = slice(synapses.indptr[source], synapses.indptr[source + 1])
        matrix[source, synapses.target_index[own]] = synapses.values[own]
    np.testing.assert_array_equal(matrix, matrix.T)
    assert not matrix.diagonal().any()
    assert np.count_nonzero(matrix) == synapses.values.size
    assert 14 < synapses.values.size / 300 <= 16


def test_random_sparse_weights_have_their_density_and_no_target_twice():
    module = script("common")
    synapses = module.random_sparse((200, 1, 1), (500, 1, 1), 0.1, np.random.default_rng(0))
    rows = np.split(synapses.target_index, synapses.indptr[1:-1])
    assert all((np.diff(row) > 0).all() for row in rows)
    assert len(rows) == 200
    assert synapses.values.size == pytest.approx(200 * 500 * 0.1, rel=0.05)


def test_an_unrolled_convolution_adds_what_the_kernel_does():
    """Against a correlation of scipy, with zeros in the kernel that are not stored."""
    module, rng = script("cnn_weight_sparsity"), np.random.default_rng(0)
    kernels = module.cnn(0.5, rng)
    synapses = module.unrolled(kernels).connections[0].synapses
    kernel = kernels.connections[0].synapses.kernel
    frame = rng.random(synapses.source_shape) < 0.3
    firing = np.flatnonzero(frame)
    sums = np.zeros(synapses.targets, np.float32)
    synapses.add(firing, np.ones(firing.size, np.float32), sums)
    padded = np.pad(frame.astype(float), ((0, 0), (1, 1), (1, 1)))
    expected = [
        sum(correlate2d(channel, taps, "valid")[::2, ::2] for channel, taps in zip(padded, out, strict=True))
        for out in kernel
    ]
    np.testing.assert_allclose(sums.reshape(synapses.target_shape), expected, atol=1e-5)
    assert (synapses.values != 0).all()


def test_schedules_share_one_mean():
    module = script("activity_schedules")
    for _, densities in module.schedules(8, 50, np.random.default_rng(0)):
        assert densities.mean() == pytest.approx(module.MEAN_DENSITY)
        assert 0 <= densities.min() <= densities.max() <= 1


def test_the_published_bound_is_never_above_the_floorline():
    """Each of its terms is part of one of the floorline's, which adds the barrier instead of comparing it."""
    module = script("max_affine_bound")
    rng = np.random.default_rng(0)
    for draw in (module.linear_layers, module.qubos):
        for _, mapping, activity in draw("loihi2", 5, rng):
            found = module.measure(mapping, activity=activity, timesteps=2, seed=0)
            assert (module.published_bound_ps(found) <= found.bounds.least_ps).all()


def test_a_stack_is_on_the_chip_from_its_first_layer_on():
    network = script("common").stack((8, 16, 4), 0.5, np.random.default_rng(0))
    mapping = map_network(network, small_chip(3, 1, 1), partition=1)
    assert mapping.core.max() < mapping.chip.cores
    assert [layer.neurons for layer in network.layers] == [8, 16, 4]


def test_every_workload_under_backpressure_has_a_colour_of_its_own():
    """Of the table that is published: the same in both figures, and no two alike."""
    with (ROOT / reproduce.FOLDER / "backpressure.csv").open(encoding="utf-8") as file:
        rows = [{**row, "time_us": float(row["time_us"])} for row in csv.DictReader(file)]
    figure = Figure()
    script("backpressure").draw(figure, rows)
    lines = [line for axes in figure.axes for line in axes.get_lines() if not line.get_label().startswith("_")]
    colours = {line.get_label(): to_hex(line.get_color()) for line in lines}
    assert all(to_hex(line.get_color()) == colours[line.get_label()] for line in lines)
    assert len(set(colours.values())) == len(colours) > 10


@pytest.mark.slow
def test_predicted_and_simulated_state_agree_on_nine_of_ten_random_workloads():
    """300 of them, on two chips and their variants, none within a tenth of a boundary; all four states occur."""
    module = script("floorline_states")
    found = [each for _, each in module.clear_workloads(300, seed=11)]
    agree = [each.predicted == each.simulated for each in found]
    assert len(agree) == 300
    assert np.mean(agree) >= 0.9
    assert {each.simulated for each in found} <= {"memory", "compute", "traffic", "barrier", "management"}
    assert all((each.result.step_ps >= each.bounds.least_ps).all() for each in found)
    for each in found:
        assert (each.predicted == each.simulated) or module.reason(each).startswith(("in series", "in turn"))


def test_varied_chips_are_slower_nowhere_else():
    module = script("floorline_states")
    chip = shipped("loihi2")
    other, times = module.varied(chip, np.random.default_rng(5))
    assert min(times.values()) >= 1
    for name, action in chip.actions:
        changed = getattr(other.actions, name).latency_ps / action.latency_ps
        factor = {"neuron_update": "updates", "spike": "updates", "message_out": "sends"}.get(name)
        assert changed == pytest.approx(times[factor] if factor else 1, rel=1e-3)


def test_boards_deal_cores_in_equal_parts():
    """In order, on every chip, from its first core on."""
    boards = script("boards")
    mapping = map_network(boards.network_of("s5", 0), boards.board(4))
    placed = np.array(boards.dealt(mapping))
    counts = np.bincount(placed // mapping.chip.cores_per_chip, minlength=4)
    assert counts.sum() == mapping.placement.size and counts.max() - counts.min() <= 1
    assert placed.tolist() == [
        core + chip * mapping.chip.cores_per_chip for chip, count in enumerate(counts) for core in range(count)
    ]


@pytest.mark.parametrize("width", [64, 500, 900])
def test_boards_find_the_fewest_cores_of_a_layer(width):
    """As one by one."""
    boards = script("boards")
    network = boards.perceptron(width, 2, 0)
    rules = Rules(network, boards.board(1), "dense")
    assert [boards.fewest(rules, layer) for layer in network.layers] == [
        smallest_split(rules, layer) for layer in network.layers
    ]
