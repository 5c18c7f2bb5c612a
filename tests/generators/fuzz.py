"""Damaged files and extreme options for the command line, drawn from a seeded generator.

A case is a list of words for `nsim`, in a folder with one file of every kind, of which one may be damaged.
"""

import os
import re
import shutil
import signal
import time
import traceback
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py
import nir
import numpy as np
import onnx

from tests.generators.commands import nsim
from tests.generators.netx_files import dense, input_layer, loihi, write_net
from tests.generators.rows import archive, node, tensor
from tests.generators.strange_files import PLANTS, STRANGE, datasets, planted

F = np.float32
PILOT = "mlp:width=8,depth=2,inputs=8"
SHORT = ("--timesteps", "2", "--no-range")
READERS = {  # by file: a command that reads it
    "net.net": ("run", "net.net", "--chip", "loihi2", "--activity", "0.3", *SHORT),
    "net.nir": ("run", "net.nir", "--chip", "loihi2", "--activity", "0.3", *SHORT),
    "net.pt2": ("run", "net.pt2", "--chip", "loihi2", "--activity", "0.3", *SHORT),
    "net.onnx": ("run", "net.onnx", "--chip", "loihi2", "--activity", "0.3", *SHORT),
    "model.py": ("run", "model.py:net", "--chip", "loihi2", "--activity", "0.3", *SHORT),
    "frames.npy": ("run", PILOT, "--chip", "loihi2", "--input", "frames.npy", "--no-range"),
    "frames.npz": ("run", PILOT, "--chip", "loihi2", "--input", "frames.npz", "--no-range"),
    "events.h5": ("run", PILOT, "--chip", "loihi2", "--input", "events.h5", "--bin", "1e-3", "--no-range"),
    "digit.bin": ("run", "speck-gesture", "--chip", "speck", "--input", "digit.bin", "--no-range"),
    "v2e.txt": ("run", "speck-gesture", "--chip", "speck", "--input", "v2e.txt", "--no-range"),
    "chip.toml": ("run", PILOT, "--chip", "./chip.toml", *SHORT),
    "partition.toml": ("run", PILOT, "--chip", "loihi2", "--partition", "partition.toml", *SHORT),
    "activity.toml": ("run", PILOT, "--chip", "loihi2", "--activity", "activity.toml", *SHORT),
    "sweep.toml": ("sweep", "sweep.toml", "--out", "out.csv"),
    "traffic.csv": ("noc", "traffic.csv", "--chip", "loihi2"),
    "weights.npy": ("map", "weights.npy", "--chip", "mosaic"),
    "run/summary.json": ("report", "run"),
    "run/layers.csv": ("compare", "run", "run"),
}
OPTIONS = {  # by command without files: options that take a value
    ("run", PILOT, "--chip", "loihi2", "--no-range"): (
        *("timesteps", "samples", "seed", "threads", "activity", "partition", "placement", "weight-format", "dt"),
        *("warm-up", "embedded-us", "per-sample-us", "runtime", "engine", "trace", "input", "record", "labels"),
    ),
    ("run", "cnn", "--chip", "akd1000", "--no-range"): ("samples", "mode", "clock-mode", "activity", "calibrate"),
    ("run", "speck-gesture", "--chip", "speck", "--no-range"): ("input", "seconds", "core-options", "dt", "start"),
    ("run", "random:p1=0.5", "--chip", "mosaic", "--no-range"): ("grid", "neurons-per-tile", "place", "routes"),
    ("optimize", PILOT, "--chip", "loihi2", "--budget", "3"): ("objective", "search", "cores", "evaluated", "tiles"),
    ("floorline", PILOT, "--chip", "loihi2", "--timesteps", "2"): ("partition", "plot", "activity"),
    ("run",): ("chip",),
}
NUMBERS = ("nan", "-1", "0", "1e400", "-inf", "1" + "0" * 30, "9" * 4400, "0x10", "1e-320", "", "None", "3.5", "2,2")
WORDS = (
    "default",
    "even:0",
    "even:999999",
    "conv0=2",
    "mlp",
    "a" * 5000,
    "\u2603",
    "'",
    "../..",
    "/dev/zero",
    "[",
    "=",
    ":",
)
LARGE = ("1" + "0" * 30, "9" * 20, "1000000000", "4294967296", "1e30", "-" + "9" * 20)
LISTS = (NUMBERS, WORDS, LARGE)  # of which a value is drawn
MEMORY_BYTES = 4 << 30


def write_all(folder: Path) -> None:
    """One good file of every kind."""
    rng = np.random.default_rng(0)
    weights = rng.integers(-8, 8, (6, 8))
    write_net(folder / "net.net", [input_layer(8, 1, 1, neuron=loihi()), dense(weights, loihi())])
    nodes = {
        "input": nir.Input({"input": np.array([8])}),
        "fc": nir.Affine(weights.astype(F), np.ones(6, F)),
        "lif": nir.LIF(*(np.full(6, x, F) for x in (0.01, 1, 0, 1, 0))),
        "output": nir.Output({"output": np.array([6])}),
    }
    nir.write(folder / "net.nir", nir.NIRGraph(nodes, list(pairwise(nodes)), {"dt": 1e-3}, type_check=False))
    _write_rows(folder, weights.astype(F))
    frames = rng.random((2, 5, 8)) < 0.3
    np.save(folder / "frames.npy", frames)
    np.savez(folder / "frames.npz", frames=frames)
    with h5py.File(folder / "events.h5", "w") as file:
        for name, kind in (("times", np.float16), ("units", np.uint16)):
            entry = file.create_dataset(f"spikes/{name}", 2, h5py.vlen_dtype(kind))
            for sample in range(2):
                entry[sample] = np.sort(rng.integers(0, 8, 9)).astype(kind) / (100 if name == "times" else 1)
        file["labels"] = np.array([1, 2])
    events = ((k % 9, k % 7, k % 2 << 7, k, 0) for k in range(40))  # x, y, polarity and three bytes of time
    (folder / "digit.bin").write_bytes(bytes(byte for event in events for byte in event))
    (folder / "v2e.txt").write_text("# events\n" + "".join(f"{k * 1e-4:.6f} {k % 9} 3 {k % 2}\n" for k in range(40)))
    shutil.copy(Path(__file__).parents[2] / "chips" / "loihi2.toml", folder / "chip.toml")
    (folder / "partition.toml").write_text("[layers.fc0]\nneurons = [4, 4]\n[layers.fc1]\nneurons = [8]\n")
    (folder / "activity.toml").write_text("[density]\ninput = 0.2\nfc0 = [0.1, 0.3]\nfc1 = 0.5\n")
    (folder / "sweep.toml").write_text(
        f'[[points]]\nnetworks = ["{PILOT}"]\nchips = ["loihi2"]\nactivation_sparsity = [0.5, 0.9]\ntimesteps = 2\n'
    )
    (folder / "traffic.csv").write_text(
        "time_ps,source_core,destination_core,bits\n" + "".join(f"{k * 100},{k % 4},5,32\n" for k in range(9))
    )
    np.save(folder / "weights.npy", rng.random((64, 64)) * (rng.random((64, 64)) < 0.02))
    assert nsim("run", PILOT, "--chip", "loihi2", *SHORT, "--out", "run", cwd=folder).returncode == 0


def _write_rows(folder: Path, weights: np.ndarray) -> None:
    """One dense layer with a rectifier, as torch.export and ONNX have it, and a graph in a Python file."""
    nodes = [
        node("linear.default", "y", input=tensor("x"), weight=tensor("p_fc_weight")),
        node("relu.default", "z", self=tensor("y")),
    ]
    archive(folder / "net.pt2", nodes, {"x": (1, 8), "y": (1, 6), "z": (1, 6)}, {"fc.weight": weights})
    helper, value = onnx.helper, onnx.helper.make_tensor_value_info
    made = [helper.make_node("Gemm", ["x", "w"], ["y"], transB=1), helper.make_node("Relu", ["y"], ["z"])]
    ends = [value("x", 1, (1, 8))], [value("z", 1, (1, 6))]
    graph = helper.make_graph(made, "net", *ends, [onnx.numpy_helper.from_array(weights, "w")])
    (folder / "net.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    (folder / "model.py").write_text(
        "import nir, numpy\nfc, neurons = nir.Linear(numpy.ones((6, 8))), nir.Threshold(numpy.ones(6))\n"
        "net = nir.NIRGraph.from_list(fc, neurons)\n"
    )


@dataclass(frozen=True)
class Case:
    """What is asked, and what was done to which file before."""

    words: tuple[str, ...]
    damage: str = ""


def draw(rng: np.random.Generator, good: Path, folder: Path) -> Case:
    """A case in an empty folder."""
    shutil.copytree(good, folder)
    if rng.random() < 0.6:
        name = str(rng.choice(list(READERS)))
        return Case(READERS[name], f"{name}: {_damaged(rng, folder / name)}")
    words = list(OPTIONS)[int(rng.integers(len(OPTIONS)))]
    chosen = rng.choice(OPTIONS[words], min(len(OPTIONS[words]), int(rng.integers(1, 3))), replace=False)
    more = [word for name in chosen.tolist() for word in (f"--{name}", str(rng.choice(LISTS[int(rng.integers(3))])))]
    return Case((*words, *more))


def _damaged(rng: np.random.Generator, path: Path) -> str:
    if rng.random() < 0.1:
        what = str(rng.choice(list(STRANGE)))
        STRANGE[what](path)
        return f"is {what}"
    if path.suffix in {".net", ".nir", ".h5"} and rng.random() < 0.5:
        name, kind = str(rng.choice(datasets(path))), str(rng.choice(list(PLANTS)))
        whole = path.rename(path.with_name("whole"))
        planted(whole, path, name, PLANTS[kind])
        return f"{name} holds {kind}"
    data = path.read_bytes()
    text = path.suffix in {".toml", ".csv", ".json", ".txt", ".py"} and rng.random() < 0.7
    how, data = _damaged_text(rng, data.decode()) if text else _damaged_bytes(rng, data)
    path.write_bytes(data)
    return how


def _damaged_bytes(rng: np.random.Generator, data: bytes) -> tuple[str, bytes]:
    at, kind = int(rng.integers(len(data))), int(rng.integers(4))
    if kind == 0:
        return f"cut at byte {at}", data[:at]
    if kind == 1:
        flipped = bytearray(data)
        flipped[at] ^= 1 << int(rng.integers(8))
        return f"bit of byte {at} flipped", bytes(flipped)
    noise = rng.bytes(int(rng.integers(1, 64)))
    if kind == 2:
        return f"{len(noise)} bytes of noise at {at}", data[:at] + noise + data[at + len(noise) :]
    return f"{len(noise)} bytes inserted at {at}", data[:at] + noise + data[at:]


def _damaged_text(rng: np.random.Generator, text: str) -> tuple[str, bytes]:
    """A number or a word is another, or a line is missing or twice."""
    found = list(re.finditer(r"[\w.+-]+", text))
    token, lines = found[int(rng.integers(len(found)))], text.splitlines(keepends=True)
    at, kind = int(rng.integers(len(lines))), int(rng.integers(4))
    if kind == 0:
        return f"line {at + 1} left out", "".join(lines[:at] + lines[at + 1 :]).encode()
    if kind == 1:
        return f"line {at + 1} twice", "".join(lines[: at + 1] + lines[at:]).encode()
    other = str(rng.choice(NUMBERS + WORDS))
    return f"{token[0][:30]!r} is {other[:30]!r}", (text[: token.start()] + other + text[token.end() :]).encode()


def verdict(case: Case, folder: Path, seconds: float) -> str:
    """Run it in a child of this process; what is wrong with its answer, or nothing."""
    told = folder / "answer.txt"
    child = os.fork()
    if child == 0:
        os._exit(_answer(case, folder, told))
    status, used = _wait(child, seconds)
    if status is None:
        return f"no answer within {seconds:g} s"
    if used > MEMORY_BYTES:
        return f"took {used / 1e9:.1f} GB"
    return told.read_text(errors="replace") if told.exists() else f"ended with status {status}"


def _answer(case: Case, folder: Path, told: Path) -> int:
    try:
        done = nsim(*case.words, cwd=folder)
        lines = done.stderr.strip().splitlines()
        several = re.search(r": (\d+) problems, nothing was run$", lines[0]) if lines else None  # of a sweep file
        expected = 1 + int(several[1]) if several else 1
        bad = done.returncode not in (0, 1, 2) or (done.returncode == 2 and len(lines) != expected)
        told.write_text(f"exit code {done.returncode}, {len(lines)} lines: {done.stderr[:2000]}" if bad else "")
    except BaseException:
        told.write_text(traceback.format_exc()[-3000:])
    return 0


def _wait(child: int, seconds: float) -> tuple[int | None, int]:
    """Exit status, None if it had to be killed, and the most memory that it took in bytes."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pid, status, usage = os.wait4(child, os.WNOHANG)
        if pid:
            return status, usage.ru_maxrss * 1024
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.wait4(child, 0)
    return None, 0
