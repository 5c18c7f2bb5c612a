"""The command line as a user meets it: what it writes, and one line with exit code 2 for everything that is wrong."""

import json
import os
import re
import signal
import subprocess
import time
from importlib.resources import files
from pathlib import Path

import h5py
import nir
import numpy as np
import pandas as pd
import pytest

from nsim.result.columns.timesteps import DECLARED
from tests.generators.commands import NSIM, SMALL, nsim, refused

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def small_run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "out"
    done = nsim(*SMALL, "--range", "--out", folder, "--seed", 3)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_a_run_says_time_energy_and_the_busiest_core(small_run):
    _, text = small_run
    assert re.search(r"^  time +\d.* per timestep", text, re.M)
    assert re.search(r"^  energy +\d.* per timestep", text, re.M)
    assert re.search(r"^  limit +\w+: ", text, re.M)
    assert "assumed" in text
    assert re.search(r"\d+ actions unknown", " ".join(text.split()))


def test_out_holds_the_documented_files(small_run):
    folder, _ = small_run
    assert {p.name for p in folder.iterdir()} == {
        "summary.json",
        "report.json",
        "neurobench.json",
        "manifest.json",
        "cores.csv",
        "layers.csv",
        "links.csv",
        "timesteps.csv",
        "critical_path.csv",
        "ranges.csv",
    }
    summary = json.loads((folder / "summary.json").read_text())
    assert set(summary) == {key.name for key in DECLARED.summary if not key.absent}  # which RESULTS.md lists
    timesteps = pd.read_csv(folder / "timesteps.csv")
    assert timesteps["duration_ps"].sum() == summary["time_ps"]
    assert pd.read_csv(folder / "cores.csv")["synops"].sum() == summary["synops"]


def test_same_seed_same_bytes(small_run, tmp_path):
    folder, text = small_run
    assert (
        nsim(*SMALL, "--range", "--out", tmp_path / "out", "--seed", 3).stdout.splitlines()[:-1]
        == text.splitlines()[:-1]
    )
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes(), file.name
    nsim(*SMALL, "--out", tmp_path / "other", "--seed", 4)
    assert (folder / "timesteps.csv").read_bytes() != (tmp_path / "other" / "timesteps.csv").read_bytes()


def test_evaluated_outputs_are_written(tmp_path):
    np.save(tmp_path / "frames.npy", np.ones((3, 8), np.int8))
    done = nsim(*SMALL[:-2], "--input", tmp_path / "frames.npy", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    assert np.load(tmp_path / "out" / "outputs.npy").shape == (3 + 2, 8)  # and what empties the pipeline


def test_an_earlier_result_is_replaced_and_other_files_are_not(tmp_path):
    assert nsim(*SMALL, "--out", tmp_path / "out").returncode == 0
    assert nsim(*SMALL, "--out", tmp_path / "out").returncode == 0
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    assert "holds other files" in refused(*SMALL, "--out", tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_lists():
    assert "loihi2" in nsim("chips").stdout
    assert "pilotnet" in nsim("networks").stdout
    shown = nsim("chips", "loihi").stdout
    assert "actions.synop_dense.latency_ps" in shown
    assert "fitted" in shown


def test_a_users_own_chip_file_works_where_a_name_does(tmp_path):
    from nsim.chip.file import available_chips

    text = available_chips()["loihi"].read_text().replace("columns = 8", "columns = 2")
    (tmp_path / "mine.toml").write_text(text)
    done = nsim("run", "mlp:width=8,depth=2,inputs=8", "--chip", "./mine.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "of 32 cores" in done.stdout


def test_types_are_said_to_be_there():
    """The mark of PEP 561, without which a type checker ignores what a package annotates."""
    assert (files("nsim") / "py.typed").is_file()


def test_readme_python_example_runs(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.S)
    assert len([line for line in block.splitlines() if line]) == 4
    exec(compile(block, "README", "exec"), {})
    assert "layers" in capsys.readouterr().out


def test_help_names_the_commands():
    text = nsim("--help").stdout
    assert all(command in text for command in ("run", "chips", "networks"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("run", "mlp", "--chip", "loihy2"), "loihi2"),
        (("run", "pilotnett", "--chip", "loihi2"), "'pilotnet'"),
        (("run", "mlp:wdth=3", "--chip", "loihi2"), "'width'"),
        (("run", "mlp:width=0", "--chip", "loihi2"), "width"),
        (("run", "mlp:width=many", "--chip", "loihi2"), "'many'"),
        (("run", "mlp", "--chip", "loihi2", "--engine", "verilog"), "simpy"),
        (("run", "mlp", "--chip", "loihi2", "--timesteps", "0"), "timesteps is 0"),
        (("run", "mlp", "--chip", "loihi2", "--samples", "-1"), "samples is -1"),
        (("run", "mlp", "--chip", "loihi2", "--dt", "nan"), "dt is nan"),
        (("run", "mlp", "--chip", "loihi2", "--seed", "-1"), "seed is -1"),
        (("run", "mlp", "--chip", "loihi2", "--activity", "1.5"), "1.5"),
        (("run", "mlp", "--chip", "loihi2", "--activity", "fc9=0.5"), "'fc9'"),
        (("run", "mlp", "--chip", "loihi2", "--activity", "fc0=0.5"), "input"),
        (("run", "mlp", "--chip", "loihi2", "--activity", "lots"), "'lots'"),
        (("run", "mlp", "--chip", "loihi2", "--activity", "fc0=0.1,fc0=0.2"), "'fc0' is given twice"),
        (("run", "mlp", "--chip", "loihi2", "--partition", "even:fc0=1,fc0=2"), "'fc0' is given twice"),
        (("run", "mlp:width=8,width=9", "--chip", "loihi2"), "'width' is given twice"),
        (("run", "mlp", "--chip", "loihi2", "--activity", "missing.toml"), "missing.toml"),
        (("run", "mlp", "--chip", "loihi2", "--input", "missing.npy"), "missing.npy"),
        (("run", "mlp", "--chip", "loihi2", "--partition", "even:0"), "0"),
        (("run", "mlp", "--chip", "loihi2", "--partition", "even:1000"), "128"),
        (("run", "mlp", "--chip", "loihi2", "--partition", "evne:4"), "even"),
        (("run", "mlp", "--chip", "loihi2", "--partition", "missing.toml"), "missing.toml"),
        (("run", "mlp", "--chip", "loihi2", "--placement", "randomly"), "greedy"),
        (("reproduce", "sparse_fromat"), "did you mean sparse_format"),
        (("reproduce", "3", "--seed", "-1"), "seed is -1"),
        (("reproduce", "3", "--out", "/dev/null/here"), "cannot write results"),
        (("run", "mlp", "--chip", "loihi2", "--weight-format", "csr"), "sparse"),
        (("run", "pilotnet", "--chip", "loihi"), "graded"),
        (("run", "missing.nir", "--chip", "loihi2"), "missing.nir"),
        (("run", "missing.net", "--chip", "loihi2"), "missing.net"),
        (("chips", "missing.toml"), "missing.toml"),
    ],
)
def test_wrong_words_are_refused_in_one_line(arguments, says, tmp_path):
    assert says in refused(*arguments, cwd=tmp_path)


def test_a_network_that_does_not_fit_names_the_smallest_split():
    line = refused("run", "mlp:width=4096,inputs=64,depth=1", "--chip", "loihi", "--partition", "even:1")
    assert "fc0" in line
    assert "at least" in line


def edited_chip(tmp_path, old, new):
    from nsim.chip.file import available_chips

    text = available_chips()["loihi"].read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    return path


def test_zero_cores_and_negative_costs(tmp_path):
    assert "cores_per_router" in refused(
        *SMALL[:3], edited_chip(tmp_path, "cores_per_router = 4", "cores_per_router = 0")
    )
    assert "-30_000" in refused(
        *SMALL[:3], edited_chip(tmp_path, "latency_ps = 30_000", "latency_ps = -30_000")
    ).replace("-30000", "-30_000")


def nir_file(path, **changes):
    weight = changes.pop("weight", np.ones((2, 3)))
    lif = {"tau": np.full(2, 0.01), "r": np.ones(2), "v_leak": np.zeros(2), "v_threshold": np.ones(2)}
    graph = nir.NIRGraph.from_list(
        nir.Input(np.array([3])), nir.Linear(weight), nir.LIF(**lif), nir.Output(np.array([2]))
    )
    nir.write(path, graph)
    return path


def test_nir_needs_dt_and_runs_with_it(tmp_path):
    path = nir_file(tmp_path / "net.nir")
    assert "--dt" in refused("run", path, "--chip", "loihi2", "--activity", "0.5")
    done = nsim("run", path, "--chip", "loihi2", "--activity", "0.5", "--dt", "1e-3")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("suffix", [".nir", ".net"])
@pytest.mark.parametrize("content", [b"", b"not HDF5", b"\x89HDF\r\n\x1a\n" + bytes(100)])
def test_files_that_are_not_hdf5(tmp_path, suffix, content):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(content)
    assert path.name in refused("run", path, "--chip", "loihi2", "--dt", "1e-3", "--activity", "0.1")


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_truncated_nir(tmp_path, share):
    path = nir_file(tmp_path / "net.nir")
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    assert "net.nir" in refused("run", path, "--chip", "loihi2", "--dt", "1e-3", "--activity", "0.1")


def test_nir_with_a_missing_node(tmp_path):
    path = nir_file(tmp_path / "net.nir")
    with h5py.File(path, "a") as file:
        del file["node/nodes/lif"]
    assert "lif" in refused("run", path, "--chip", "loihi2", "--dt", "1e-3", "--activity", "0.1")


def test_nan_weights(tmp_path):
    path = nir_file(tmp_path / "net.nir", weight=np.full((2, 3), np.nan))
    assert "NaN" in refused("run", path, "--chip", "loihi2", "--dt", "1e-3", "--activity", "0.1")


def test_wrong_input_shape_and_pickles(tmp_path):
    np.save(tmp_path / "wrong.npy", np.ones((3, 5)))
    line = refused(*SMALL[:4], "--input", tmp_path / "wrong.npy")
    assert "wrong.npy" in line
    assert "5" in line
    np.save(tmp_path / "pickled.npy", np.array([{"a": 1}], object), allow_pickle=True)
    assert "pickled.npy" in refused(*SMALL[:4], "--input", tmp_path / "pickled.npy")


def test_a_file_that_declares_more_than_it_holds(tmp_path):
    header = {"descr": "<f8", "fortran_order": False, "shape": (10**9, 8)}
    with (tmp_path / "huge.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
    assert "huge.npy" in refused(*SMALL[:4], "--input", tmp_path / "huge.npy")
    with h5py.File(tmp_path / "huge.net", "w") as file:
        file.create_dataset("layer/0/weight", shape=(1 << 20, 1 << 20), chunks=(1024, 1024), dtype="f8")
    assert "huge.net" in refused("run", tmp_path / "huge.net", "--chip", "loihi2", "--activity", "0.1")


def test_out_that_cannot_be_written_is_refused_before_the_run(tmp_path):
    (tmp_path / "file").write_text("in the way")
    assert "file" in refused(*SMALL, "--out", tmp_path / "file")
    assert "cannot write" in refused(*SMALL, "--out", tmp_path / "file" / "below")
    assert "cannot write" in refused(*SMALL, "--out", "/proc/nowhere")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_leaves_nothing_behind(tmp_path, monkeypatch):
    """Writing fails with ENOSPC half-way: no folder, no partial files, one line."""
    from nsim.errors import OutputError
    from nsim.result import folder as module

    def fill(_, folder, what_if, command):
        (folder / "summary.json").write_text("{}")
        with Path("/dev/full").open("w") as file:
            file.write("x" * 100_000)

    monkeypatch.setattr(module, "write_files", fill)
    with pytest.raises(OutputError, match="No space left"), module.OutputFolder(tmp_path / "out") as folder:
        folder.write(None)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "network"), [("compiled", "pilotnet"), ("simpy", "mlp:width=32,inputs=32")])
def test_ctrl_c_keeps_the_finished_timesteps(tmp_path, engine, network):
    assert nsim("run", network, "--chip", "loihi2", "--timesteps", 1, "--engine", engine).returncode == 0  # compiles
    arguments = ["run", network, "--chip", "loihi2", "--timesteps", "20000", "--out", str(tmp_path / "out")]
    running = subprocess.Popen(
        [*NSIM, *arguments, "--engine", engine], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 60
    while not list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.1)
    time.sleep(8)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=60)
    assert running.returncode == 130
    (line,) = error.splitlines()
    done = int(re.search(r"interrupted after ([\d,]+) of 20,000 timesteps", line).group(1).replace(",", ""))
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["spans"], summary["spans_planned"]) == (done, 20_000)
    timesteps = pd.read_csv(tmp_path / "out" / "timesteps.csv")
    assert len(timesteps) == done
    assert timesteps["synops"].sum() == summary["synops"]


def test_ctrl_c_before_the_first_timestep_leaves_nothing_behind(tmp_path, monkeypatch):
    from nsim.machine.compiled import timesteps as engine_compiled

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(engine_compiled.Engine, "run", interrupted)
    done = nsim(*SMALL, "--out", tmp_path / "out")
    assert done.returncode == 130
    assert "no results" in done.stderr
    assert not list(tmp_path.iterdir())


def test_trace_holds_every_service(tmp_path):
    """As many rows as there are services; both engines write the same."""
    for engine in ("compiled", "simpy"):
        out = tmp_path / engine
        assert nsim(*SMALL, "--samples", 2, "--out", out, "--trace", "messages", "--engine", engine).returncode == 0
    trace = pd.read_parquet(tmp_path / "compiled" / "messages.parquet")
    assert trace.equals(pd.read_parquet(tmp_path / "simpy" / "messages.parquet"))
    links = pd.read_csv(tmp_path / "compiled" / "links.csv")["messages"].sum()
    synapses = json.loads((tmp_path / "compiled" / "summary.json").read_text())["messages"]
    assert trace["kind"].isin(["core_to_router", "mesh", "router_to_core"]).sum() == links
    assert (trace["kind"] == "synapses").sum() == synapses
    durations = trace.groupby(["sample", "timestep"])["end_ps"].max()
    timesteps = pd.read_csv(tmp_path / "compiled" / "timesteps.csv")
    assert (
        durations.tolist() == (timesteps["duration_ps"] - timesteps["barrier_ps"] - timesteps["management_ps"]).tolist()
    )


def test_bad_traces(tmp_path):
    assert "messages" in refused(*SMALL, "--trace", "everything", "--out", tmp_path / "out")
    assert "--out" in refused(*SMALL, "--trace", "messages")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_trace_that_fills_the_disk(tmp_path, monkeypatch):
    from nsim.machine.trace import table as trace

    real = trace.ServiceTrace.__init__
    monkeypatch.setattr(trace.ServiceTrace, "__init__", lambda self, _, mapping: real(self, "/dev/full", mapping))
    assert "No space left" in refused(*SMALL, "--trace", "messages", "--out", tmp_path / "out")
    assert not list(tmp_path.iterdir())


def test_floorline_says_what_limits_a_network_and_draws_it(tmp_path):
    figure = tmp_path / "plot.svg"
    options = ("--chip", "loihi2", "--timesteps", 3, "--partition", "even:4", "--partition", "even:8")
    done = nsim("floorline", "mlp", *options, "--plot", figure)
    assert done.returncode == 0, done.stderr
    for word in ("memory", "compute", "traffic", "barrier", "by floorline", "by critical path", "by sensitivity"):
        assert word in done.stdout
    assert "Split its layer" in " ".join(done.stdout.split())
    drawn = figure.read_text()
    assert drawn.startswith("<?xml") and drawn.rstrip().endswith("</svg>")


@pytest.mark.parametrize(("name", "problem"), [("plot.gif", "end its name in"), ("no/plot.png", "does not exist")])
def test_a_figure_that_cannot_be_written_is_refused_before_the_run(name, problem, tmp_path):
    assert problem in refused("floorline", "mlp", "--chip", "loihi2", "--plot", tmp_path / name)


@pytest.mark.parametrize("threads", [0, 10_000])
def test_threads_that_the_machine_does_not_have(threads):
    assert f"threads is {threads}" in refused(*SMALL, "--threads", threads)


def test_no_word_about_this_machine():
    """Nothing in the product names a folder of the machine it was made on."""
    root = README.parent
    tracked = [
        p for pattern in ("nsim/**/*.py", "chips/*", "*.md", "*.toml") for p in root.glob(pattern) if p.is_file()
    ]
    assert tracked
    assert not [p.name for p in tracked if re.search(r"[\"' =(]/(work|home|root)/", p.read_text())]


def test_environment_is_not_needed(tmp_path):
    """The entry point works from any folder and without a home."""
    environment = {k: v for k, v in os.environ.items() if k not in ("HOME", "PYTHONPATH")}
    done = subprocess.run([*NSIM, "chips"], capture_output=True, text=True, cwd=tmp_path, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("network", "options", "words"),
    [
        ("cnn", ("--chip", "akd1000", "--mode", "minimal"), ("programming", "More NPs", "frames behind each other")),
        (
            "speck-gesture",
            ("--chip", "speck", "--core-options", "decimate.conv1=4", "--input", "edges:rate=2e4,seconds=0.02"),
            ("input", "keeps up"),
        ),
    ],
)
def test_floorline_of_frames_and_streams(network, options, words, tmp_path):
    figure = tmp_path / "plot.png"
    done = nsim("floorline", network, *options, "--plot", figure)
    assert done.returncode == 0, done.stderr
    for word in (*words, "memory", "compute", "traffic", "by floorline", "by critical path", "by sensitivity"):
        assert word in " ".join(done.stdout.split())
    assert figure.stat().st_size > 10_000


@pytest.mark.parametrize("target", ["1x", "x", "nan", "-3x", "inf", "three"])
def test_a_target_that_is_no_gain(tmp_path, target):
    assert "above 1, as in 3x" in refused("floorline", "mlp", "--chip", "loihi2", "--target", target)


def test_floorline_says_which_sparsity_a_target_takes(tmp_path):
    options = ("--chip", "loihi2", "--timesteps", 2, "--plot", tmp_path / "it.png")
    done = nsim("floorline", "mlp", *options, "--target", "1.5x")
    assert done.returncode == 0, done.stderr
    for word in ("1.5 times faster", "no gain below", "Fewer messages", "Fewer weights"):
        assert word in done.stdout
    assert "chips with timesteps" in refused("floorline", "cnn", "--chip", "akd1000", "--target", "2x")


def test_floorline_refuses_options_of_other_chips(tmp_path):
    assert "partition 'even:4'" in refused("floorline", "cnn", "--chip", "akd1000", "--partition", "even:4")
    assert "mode 'minimal'" in refused("floorline", "mlp", "--chip", "loihi2", "--mode", "minimal")


def test_what_numpy_warns_of_stands_beside_no_error(tmp_path):
    """A signalling NaN, of which a cast warns, in the weights of a file."""
    onnx = pytest.importorskip("onnx")
    weights = np.ones((3, 4), np.float32)
    weights.view(np.uint32)[0, 0] = 0x7FA00000
    tensor = onnx.TensorProto(name="w", data_type=onnx.TensorProto.FLOAT, dims=[3, 4], raw_data=weights.tobytes())
    ends = [onnx.helper.make_tensor_value_info(name, 1, [1, size]) for name, size in (("x", 4), ("y", 3))]
    node = onnx.helper.make_node("Gemm", ["x", "w"], ["y"], transB=1)
    onnx.save(
        onnx.helper.make_model(onnx.helper.make_graph([node], "g", ends[:1], ends[1:], [tensor])), tmp_path / "n.onnx"
    )
    command = [*NSIM, "run", str(tmp_path / "n.onnx"), "--chip", "loihi2", "--activity", "0.3"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "NaN" in done.stderr, done.stderr
