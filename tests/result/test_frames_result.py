"""Runs of frames: what their results say, their files, and the command line."""

import itertools
import json
import re

import nir
import numpy as np
import pandas as pd
import pytest

from nsim.chip.file import load_chip
from nsim.chip.frames import FrameChip
from nsim.errors import InputError, SimulationError
from nsim.formats.network import load_network
from nsim.machine.simpy import frames as engine_simpy
from nsim.mapping.frames.mapping import FrameMapping
from nsim.mapping.frames.quantize import quantize
from nsim.mapping.network import map_network
from nsim.network.builtin import build
from nsim.network.builtin.quantized import RandomQuantized
from nsim.network.frames_activity import evaluate_frames
from nsim.network.layers import Network
from nsim.result.frames import FrameResult
from nsim.result.pictures import PROGRAMMING, pipeline_of
from nsim.result.run import simulate
from nsim.result.run_frames import DEFAULT_FRAMES, joined, simulate_frames
from tests.generators.commands import nsim, refused
from tests.generators.machines import changed

IMAGE = (3, 12, 12)
TABLES = {"cores", "layers", "links", "frames"}


@pytest.fixture(scope="module")
def chip() -> FrameChip:
    return load_chip("akd1000")


@pytest.fixture(scope="module")
def network() -> Network:
    """Input block, convolution with max pooling, separable convolution, classifier: small enough for SimPy."""
    made = RandomQuantized(IMAGE, 0.4, np.random.default_rng(1), 1.0)
    made.convolution("block", 4)
    made.convolution("pooled", 8, max_pool=True)
    made.separable("separable", 16, stride=2)
    made.classifier("classifier", 5)
    return made.network("small", 1)


@pytest.fixture(scope="module")
def mapping(network, chip) -> FrameMapping:
    return map_network(network, chip, mode="minimal")


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(2).integers(0, 256, (5, *IMAGE))


@pytest.fixture(scope="module")
def result(mapping, images) -> FrameResult:
    return simulate_frames(mapping, images, critical_path=True)


@pytest.fixture(scope="module")
def two_sequences(network) -> FrameResult:
    """The same network on a chip with two processors, of which one can hold its classifier: it does not fit at once."""
    whole = load_chip("akd1000")
    full = whole.nodes.full.nodes
    small = changed(whole, {"nodes.full.nodes": full[:1], "nodes.external.nodes": (), "nodes.entry.nodes": ()})
    small = changed(small, {"nodes.full.slots": ("cnp1+fnp3", "cnp1")})
    mapped = map_network(network, small, mode="minimal")
    assert len(mapped.sequences) == 2
    return simulate_frames(mapped, samples=3)


def evaluated(network, images):
    return joined(evaluate_frames(network, images.reshape(len(images), -1)))


def test_every_core_spends_the_run_at_work_or_waiting(result):
    """Until it has finished the last frame, a core works, sweeps, is blocked, or waits for input or for room."""
    (run,) = result.runs
    parts = ("work_ps", "sweep_ps", "sweep_blocked_ps", "waiting_for_input_ps", "waiting_for_room_ps")
    for row in result.rows("cores"):
        assert sum(row[part] for part in parts) == run.times.finished_ps[-1, row["core"]]


def test_busy_time_is_counts_times_costs(mapping, images):
    """Results take it from counts; the readable engine measures it while it runs."""
    result = simulate_frames(mapping, images[:2])
    (run,) = result.runs
    activity = mapping.sequences[0].activity(evaluated(mapping.network, images[:2]))
    simulation = engine_simpy.Engine(mapping.sequences[0], run.machine).start(activity)
    for _ in simulation:
        pass
    np.testing.assert_array_equal(run.busy_ps, simulation.busy_ps)


def test_both_engines_give_the_same_tables(mapping, images, result):
    reference = simulate_frames(mapping, images, engine="simpy", critical_path=True)
    for table in (*TABLES, "critical_path"):
        pd.testing.assert_frame_equal(reference.table(table), result.table(table))
    assert {**reference.summary(), "engine": "compiled"} == result.summary()


def test_latency_is_that_of_the_first_frame_alone(mapping, images, result):
    alone = simulate_frames(mapping, images[:1])
    assert result.latency_ps == alone.latency_ps == alone.time_ps == alone.table("frames")["duration_ps"][0]


def test_frames_overlap_until_the_slowest_core_or_pair_limits_them(result):
    """The rate is above that of one frame after the other, and not above what the busiest core allows."""
    slowest = result.slowest_core["cycles_per_frame"]
    first, second, both = result.tightest_pair
    between = max(slowest, both)
    interval = result.chip.clocks(result.interval_ps)
    assert interval < result.chip.clocks(result.latency_ps)
    assert interval == pytest.approx(between, rel=0.1)
    assert both == pytest.approx((first["cycles_per_frame"] + second["cycles_per_frame"]) / second["input_buffers"])


def test_mean_times_of_a_frame(result):
    (run,) = result.runs
    left = run.times.left_ps
    assert result.time_per_frame_ps == left[-1] / 5
    assert result.interval_ps == np.diff(left).mean()
    assert result.summary()["frames_per_s"] == pytest.approx(1e12 / np.diff(left).mean())


def test_the_critical_path_accounts_for_the_latency(result):
    assert sum(result.path_ps.values()) == result.latency_ps
    assert result.path_ps["programming"] == 0
    assert sum(row["share"] for row in result.critical_stations) == pytest.approx(1)
    assert re.fullmatch(
        r"\w+ \(.*\) (synapses|neurons|receive)|.*link.*|.*router.*|.*send", result.critical_stations[0]["station"]
    )


@pytest.mark.parametrize("mode", ["economy", "low-power"])
def test_a_slower_clock_takes_as_many_cycles(network, chip, images, result, mode):
    """Times of single services are whole picoseconds: cycles agree up to that rounding."""
    slow = simulate_frames(map_network(network, chip, mode="minimal", clock_mode=mode), images)
    assert slow.chip.clock.mhz < result.chip.clock.mhz
    assert slow.summary()["latency_cycles"] == pytest.approx(result.summary()["latency_cycles"], rel=1e-3)
    assert slow.latency_ps == pytest.approx(result.latency_ps * result.chip.clock.mhz / slow.chip.clock.mhz, rel=1e-3)


def test_sequences_add_up_and_are_programmed_in_every_frame(two_sequences):
    facts = two_sequences.summary()
    parts = facts["sequences"]
    assert [part["layers"] for part in parts] == [["block", "pooled", "separable"], ["classifier"]]
    assert facts["latency_ps"] == sum(part["latency_ps"] + part["program_time_ps"] for part in parts)
    assert facts["program_time_per_frame_ps"] == sum(part["program_time_ps"] for part in parts) > 0
    durations = two_sequences.table("frames").groupby("frame")["duration_ps"].sum()
    assert facts["time_ps"] == durations.sum() + 3 * facts["program_time_per_frame_ps"]
    assert facts["interval_ps"] == facts["time_per_frame_ps"] == facts["time_ps"] / 3
    assert facts["frames_in_flight"] == 1
    limit = facts["bottleneck"]
    assert (limit["kind"], limit["sequences"]) == ("programming", 2)
    assert limit["share"] == pytest.approx(facts["program_time_per_frame_ps"] / facts["time_per_frame_ps"])


def test_what_one_sequence_sends_is_what_the_next_one_takes_in(two_sequences):
    first, second = two_sequences.runs
    results = first.counts.core_messages_in[:, -1]
    np.testing.assert_array_equal(results, second.counts.core_spikes[:, -1])
    assert results.sum() > 0
    assert list(two_sequences.table("layers")["layer"]) == ["input", "block", "pooled", "separable", "classifier"]


def test_layers_count_what_happens_in_their_cores(result, images):
    """Events, synops and density of a layer, from its evaluated activity and its kernels."""
    network, layers = result.mapping.network, result.table("layers").set_index("layer")
    activity = evaluated(network, images)
    first = np.cumsum([0] + [layer.neurons for layer in network.layers])
    for number, layer in enumerate(network.layers[1:], 1):
        own = (activity.neurons >= first[number]) & (activity.neurons < first[number + 1])
        assert layers.loc[layer.name, "message_density"] == pytest.approx(own.mean() * own.size / (5 * layer.neurons))
    block = network.incoming("block")[0].synapses
    taps = sum(
        0 <= y + i - 1 < 12 and 0 <= x + j - 1 < 12
        for y in range(12)
        for x in range(12)
        for i in range(block.kernel.shape[2])
        for j in range(block.kernel.shape[3])
    )
    assert layers.loc["block", "synops"] == 5 * 4 * 3 * taps  # dense, whatever the image: frames x filters x channels
    assert layers.loc["block", "events"] == 0
    spikes = int(layers.loc["separable", "spikes"])
    assert layers.loc["classifier", "events"] == spikes
    assert layers.loc["classifier", "synops"] == 5 * spikes


def test_energy_is_the_floor_at_the_rate_and_what_is_done(result):
    facts, chip = result.summary(), result.chip
    assert facts["static_energy_per_frame_fj"] == (650.4 + 0.834 * 300) * result.interval_ps
    by_action = facts["energy_by_action_fj"]
    known = sum(energy for name, energy in by_action.items() if energy is not None and name != "static")
    assert facts["known_dynamic_energy_per_frame_fj"] == pytest.approx(known / 5)
    assert by_action["output_input"] == 5 * 12 * 12 * 16 * chip.actions.output_input.energy_fj
    assert "message_out" in facts["actions_without_known_energy"]


def test_steps_are_events_times_kernel_times_filters(result):
    """Of the convolution and the separable layer, 3 x 3 with 8 and 16 filters; a fully connected layer has none."""
    layers = result.table("layers").set_index("layer")
    events = layers["events"]
    (run,) = result.runs
    actions = run.actions()
    assert actions["step"] == 9 * (8 * events["pooled"] + 16 * events["separable"]) > 0
    assert actions["message_in"] == events.sum()
    assert actions["fully_connected_value"] == 5 * 16 * 3 * 3
    assert actions["value"] == 5 * (4 * 12 * 12 + 8 * 6 * 6)
    assert actions["filter"] == 5 * (8 + 16)


def test_dynamic_energy_does_not_depend_on_the_clock_and_hardly_on_the_mode(network, chip, images, result):
    """Measured: 0.34662 and 0.34661 mJ at 300 and 100 MHz, and at most 4 % between mapping modes."""

    def dynamic(**options):
        facts = simulate_frames(map_network(network, chip, **options), images).summary()
        return facts["known_dynamic_energy_per_frame_fj"]

    own = result.summary()["known_dynamic_energy_per_frame_fj"]
    assert dynamic(mode="minimal", clock_mode="economy") == own
    assert dynamic(mode="all-nps") == pytest.approx(own, rel=0.04)


@pytest.mark.parametrize(("mode", "floor_mw"), [("performance", 900.01), ("economy", 735.69), ("low-power", 653.35)])
def test_the_floor_of_the_board_in_each_clock_mode(chip, mode, floor_mw):
    """Source: SebastianVol/Master_Thesis_Akida_Benchmarktest (2022), three clock modes."""
    assert chip.with_clock_mode(mode).static_mw == pytest.approx(floor_mw, rel=0.003)


def test_outputs_are_those_of_the_evaluation(mapping, images, result):
    np.testing.assert_array_equal(result.outputs, evaluated(mapping.network, images).outputs)
    assert simulate_frames(mapping, samples=1).outputs is None


def test_every_timestep_of_every_sample_is_a_frame(mapping, images):
    one = simulate_frames(mapping, images[0])
    assert one.spans == 1
    assert simulate_frames(mapping, images[:2, None]).spans == 2  # two samples of one frame
    few = simulate_frames(mapping, images, samples=2)
    np.testing.assert_array_equal(few.outputs, evaluated(mapping.network, images[:2]).outputs)


def test_activity_is_drawn_from_the_seed(mapping):
    first, same, other = (simulate_frames(mapping, seed=seed) for seed in (1, 1, 2))
    assert first.spans == DEFAULT_FRAMES
    assert first.summary() == same.summary() != other.summary()
    silent = simulate_frames(mapping, activity=0.0)
    assert silent.summary()["spikes"] == 0
    assert silent.latency_ps < first.latency_ps


def test_bad_requests(mapping, images):
    with pytest.raises(InputError, match="9 frames were asked for, but the input holds 5: give --samples 5"):
        simulate_frames(mapping, images, samples=9)
    with pytest.raises(InputError, match="both an input and an activity"):
        simulate_frames(mapping, images, activity=0.1)
    with pytest.raises(SimulationError, match="no engine 'fast'"):
        simulate_frames(mapping, engine="fast")
    with pytest.raises(SimulationError, match=r"one hardware sequence of 'small' .*: give the whole FrameMapping"):
        simulate(mapping.sequences[0])
    with pytest.raises(InputError, match="samples is 0: give at least 1"):
        simulate_frames(mapping, samples=0)


def test_an_interrupted_run_keeps_the_frames_done(mapping, images, result):
    def stop(done: int, _: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    part = simulate_frames(mapping, images, progress=stop)
    assert (part.spans, part.spans_planned) == (2, 5)
    assert len(part.outputs) == 2
    np.testing.assert_array_equal(part.table("frames")["left_ps"], result.table("frames")["left_ps"][:2])
    assert part.summary()["spans"] == 2


def test_a_run_interrupted_before_its_first_frame_has_no_result(mapping, images, monkeypatch):
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("nsim.machine.compiled.loop.Run.advance", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simulate_frames(mapping, images[:1])


@pytest.fixture(scope="module")
def cnn_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "out"
    done = nsim("run", "cnn", "--chip", "akd1000", "--samples", 2, "--mode", "minimal", "--out", folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_screen_says_latency_rate_energy_and_limit(cnn_run):
    _, text = cnn_run
    assert re.search(r"^  time +[\d.]+ \w+ for one frame alone, [\d.,]+ frames/s +\(one every [\d.]+ \w+", text, re.M)
    assert re.search(r"^  energy +[\d.]+ .J per frame +\([\d.]+ .J dynamic; [\d.]+ .J static", text, re.M)
    assert re.search(r"^  limit +\w+", text, re.M)
    assert re.search(r"^conv_0 +input", text, re.M)
    assert max(map(len, text.splitlines()[:-1])) <= 80


def test_out_holds_the_documented_files(cnn_run):
    folder, _ = cnn_run
    assert {path.name for path in folder.iterdir()} == {
        "neurobench.json",
        "summary.json",
        "report.json",
        "manifest.json",
        *(f"{name}.csv" for name in TABLES),
    }
    facts = json.loads((folder / "summary.json").read_text())
    assert facts["spans"] == facts["spans_planned"] == 2
    assert facts["mapping_mode"] == "minimal"
    assert facts["reproducibility"]["chip_sha256"]
    cores = pd.read_csv(folder / "cores.csv")
    assert len(cores) == facts["cores_used"]
    results = pd.read_csv(folder / "layers.csv").set_index("layer").loc["classifier", "messages"]
    assert cores["events"].sum() + results == facts["messages"]


def test_an_evaluated_run_writes_its_outputs(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (32, 32, 3))
    np.save(tmp_path / "image.npy", np.moveaxis(image, 2, 0))
    out = tmp_path / "out"
    arguments = ("--input", tmp_path / "image.npy", "--mode", "minimal", "--critical-path", "--out", out)
    done = nsim("run", "cnn", "--chip", "akd1000", *arguments)
    assert done.returncode == 0, done.stderr
    assert np.load(out / "outputs.npy").shape == (1, 10)
    assert (out / "critical_path.csv").is_file()
    assert re.search(r"^  path +\d+ % \w+", done.stdout, re.M)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--timesteps", 3), "timesteps 3 is not for chip 'akd1000', which works on frames: leave it out"),
        (("--threads", 1), "threads 1 is not for chip 'akd1000'"),
        (("--partition", "even:2"), "partition 'even:2' is not for chip 'akd1000'"),
        (("--placement", "greedy"), "placement 'greedy' is not for chip 'akd1000'"),
        (("--weight-format", "dense"), "weight format 'dense' is not for chip 'akd1000'"),
        (("--mode", "most"), "no mode 'most'"),
        (("--clock-mode", "turbo"), "has no clock mode 'turbo'"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message):
    assert message in refused("run", "cnn", "--chip", "akd1000", *options)


def test_a_table_of_messages_is_refused(tmp_path):
    line = refused("run", "cnn", "--chip", "akd1000", "--trace", "messages", "--out", tmp_path / "out")
    assert "trace 'messages' is not for chip 'akd1000'" in line


def test_options_for_frames_are_refused_elsewhere():
    assert "mode 'minimal' is not for chip 'loihi2', which works on timesteps" in refused(
        "run", "mlp", "--chip", "loihi2", "--mode", "minimal"
    )


@pytest.mark.slow
def test_akidanet_is_within_15_percent_of_what_was_measured():
    """One image, and ten one behind the other. Source: BrainChip, "See the power number", AkidaNet 0.5 224."""
    facts = simulate_frames(map_network(build("akidanet"), load_chip("akd1000")), samples=10).summary()
    assert facts["latency_cycles"] == pytest.approx(13_733_572, rel=0.15)
    assert facts["cycles_per_frame"] == pytest.approx(43_001_443 / 10, rel=0.15)


@pytest.fixture
def real_graph(tmp_path):
    """A NIR graph with real weights and thresholds, and images for it."""
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 0.3, (4, 1, 3, 3)).astype(np.float32)
    nodes = {
        "input": nir.Input({"input": np.array([1, 8, 8])}),
        "c1": nir.Conv2d((8, 8), weights, 1, 1, 1, 1, np.zeros(4, np.float32)),
        "t1": nir.Threshold(np.full((4, 8, 8), 40.0, np.float32)),
        "flat": nir.Flatten({"input": np.array([4, 8, 8])}, 0),
        "fc": nir.Linear(rng.normal(0, 0.3, (3, 256)).astype(np.float32)),
        "output": nir.Output({"output": np.array([3])}),
    }
    names = list(nodes)
    edges = list(itertools.pairwise(names))
    nir.write(tmp_path / "graph.nir", nir.NIRGraph(nodes, edges, type_check=False))
    np.save(tmp_path / "images.npy", rng.integers(0, 256, (6, 1, 1, 8, 8)))
    return tmp_path


def test_a_real_network_is_quantised_with_its_input(real_graph):
    done = nsim(
        *("run", real_graph / "graph.nir", "--chip", "akd1000", "--input", real_graph / "images.npy"),
        *("--out", real_graph / "out"),
    )
    assert done.returncode == 0, done.stderr
    assert "quantised with 6 samples" in done.stdout
    images = np.load(real_graph / "images.npy")[:, 0]
    made = quantize(load_network(real_graph / "graph.nir"), images)
    expected = np.concatenate([a.outputs for a in evaluate_frames(made, images)])
    np.testing.assert_array_equal(np.load(real_graph / "out" / "outputs.npy"), expected)


def test_calibrate_takes_samples_from_the_command_line(real_graph):
    """The run's input is drawn or another; samples of another shape are refused with both shapes."""
    images = real_graph / "images.npy"
    run = ("run", real_graph / "graph.nir", "--chip", "akd1000", "--no-range", "--calibrate")
    done = nsim(*run, images, "--input", images, "--samples", 2)
    assert done.returncode == 0 and "quantised with" in done.stdout, done.stderr
    shape = load_network(real_graph / "graph.nir").layers[0].shape
    wrong = (5, shape[0], shape[1] + 2, shape[2] + 1)
    np.save(real_graph / "wrong.npy", np.ones(wrong))
    line = refused(*run, real_graph / "wrong.npy", "--input", images)
    assert f"wrong.npy has shape {wrong}" in line and f"input layer of shape {shape}" in line


def test_a_real_network_without_input_is_refused(real_graph):
    assert "give samples to calibrate on (--calibrate or --input)" in refused(
        "run", real_graph / "graph.nir", "--chip", "akd1000"
    )


def test_sequences_take_turns_behind_their_programming(two_sequences):
    """The first frame, where layers are on the chip one after the other: nothing overlaps, and it takes latency_ps."""
    rows = pipeline_of(two_sequences)
    turns = [row["ended_ps"] - row["began_ps"] for row in rows if row["layer"] == PROGRAMMING]
    assert turns == [run.mapping.reload_ps for run in two_sequences.runs] and sum(turns) > 0
    for before, turn in itertools.pairwise(rows):
        if turn["layer"] == PROGRAMMING:
            assert before["ended_ps"] <= turn["began_ps"]
    assert rows[-1]["ended_ps"] <= two_sequences.latency_ps < rows[-1]["ended_ps"] * 1.1
