"""Golden runs: small runs of every discipline in both engines; screens, tables, traces and pages must not change.

Expected are the files of `tests/golden/RUN`, the same for both engines: what is short as text, what is long by digest.
Where a change of results is meant, `python tests/test_golden.py [RUN ...]` writes them anew.
Runs go through the command line alone: nothing here knows what is inside of nsim.
"""

from __future__ import annotations

import difflib
import gzip
import hashlib
import html
import io
import json
import os
import re
import shlex
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import chdir, contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from nsim.cli.main import main
from nsim.result.folder import MANIFEST

GOLDEN = Path(__file__).parent / "golden"
ENGINES = ("compiled", "simpy")
PLAIN = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb"}
COLOURS = ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE")


@dataclass(frozen=True)
class Run:
    """One command line, and the traces that its second invocation writes."""

    arguments: str
    traces: str = ""
    threads: bool = False  # whether the chip takes --threads: then the two invocations have 1 and 2
    names: bool = False  # whether the screen names constants (-v)
    ranges: bool = False  # whether the first invocation finds out what ranges do: 0.1 to 3 s


SPARSE_CNN = "cnn --chip akd1000 --samples 3 --activity 0.005"
GESTURE = "speck-gesture --chip speck --input"
TILES = "--chip mosaic_with_costs.toml --grid 4x4 --neurons-per-tile 8"
RUNS = {
    "timesteps-mlp": Run(
        "mlp:width=64,depth=2,inputs=48 --chip loihi2 --input frames.npy --samples 2",
        "messages,perfetto",
        True,
        True,
        ranges=True,
    ),
    "timesteps-s5": Run(
        "s5:d_model=16,states=8,depth=2 --chip loihi2 --timesteps 5 --placement random:5 --weight-format sparse "
        "--critical-path",
        threads=True,
    ),
    "timesteps-pilotnet": Run(
        "pilotnet:neuron=lif --chip loihi2 --timesteps 2 --activity 0.001 --placement greedy --seed 3",
        "messages,perfetto",
        True,
    ),
    "timesteps-loihi": Run(
        "mlp:width=64,depth=2,inputs=48 --chip loihi --timesteps 4 --samples 2 --activity 0.1 --partition even:4",
        "perfetto",
        True,
    ),
    "frames-all": Run(SPARSE_CNN, "perfetto"),
    "frames-minimal": Run(
        f"{SPARSE_CNN} --mode minimal:columns=16,rows=32,filters=64 --clock-mode economy --critical-path", "perfetto"
    ),
    "frames-images": Run("cnn --chip akd1000 --input images.npy --mode minimal", "perfetto", names=True, ranges=True),
    "frames-akidanet": Run(
        "akidanet:width=0.25,size=160 --chip akd1000 --samples 2 --activity 0.001 --mode minimal:filters=40 --seed 5",
        "perfetto",
    ),
    "streams-slow": Run(f"{GESTURE} edges:rate=1e5,seconds=0.005 --critical-path", "perfetto", ranges=True),
    "streams-crowded": Run(f"{GESTURE} edges:rate=3e6,seconds=0.0004,seed=4,jitter=1e-4 --critical-path", "perfetto"),
    "streams-options": Run(
        f"{GESTURE} edges:rate=5e5,seconds=0.002 --dt 1e-3 "
        "--core-options decimate.conv1=4,balance.conv1=on,core.conv3=1",
        "perfetto",
        names=True,
    ),
    "ticks-published": Run("random:p1=0.95,p3=0.1 --chip mosaic --activity 0.1 --timesteps 5 --grid 3x3", names=True),
    "ticks-lines": Run(
        f"random:p1=0.9,p3=0.3 {TILES} --activity 0.3 --timesteps 4 --shared-lines --seed 2", ranges=True
    ),
    "ticks-annealed": Run(
        f"matrix.npy {TILES} --activity 0.2 --timesteps 4 --shared-lines --place annealed --routes balanced"
    ),
}


def write_inputs(folder: Path) -> None:
    """The files that runs read, and the chip with costs."""
    rng = np.random.default_rng(1)
    np.save(folder / "frames.npy", (rng.random((2, 12, 48)) < 0.2).astype(np.int8))
    images = np.where(rng.random((2, 3, 32, 32)) < 0.1, rng.integers(0, 256, (2, 3, 32, 32)), 0)
    np.save(folder / "images.npy", images.astype(np.uint8))
    order = rng.permutation(96)  # neighbours on a ring, whose numbers say nothing of it: a placement can gain
    distance = np.abs(order[:, None] - order[None, :])
    np.save(folder / "matrix.npy", (np.minimum(distance, 96 - distance) < 12) & (rng.random((96, 96)) < 0.6))
    shutil.copy(GOLDEN / "mosaic_with_costs.toml", folder)


@contextmanager
def plain_folder() -> Iterator[None]:
    """In a folder of its own with a short name, with a terminal of fixed width and without colours."""
    with tempfile.TemporaryDirectory() as folder, chdir(folder), patch.dict(os.environ, PLAIN):
        for name in COLOURS:
            os.environ.pop(name, None)
        yield


def nsim(words: str) -> str:
    """What `nsim WORDS` prints; it must succeed, and say nothing on standard error."""
    out, error = io.StringIO(), io.StringIO()
    with patch.object(sys, "argv", ["nsim", *shlex.split(words)]), redirect_stdout(out), redirect_stderr(error):
        try:
            main()
        except SystemExit as end:
            assert not end.code, f"nsim {words}: {error.getvalue()}"
    assert not error.getvalue()
    return out.getvalue()


def golden_files(name: str, engine: str) -> dict[str, str]:
    """Run twice: for the screen, the tables and the page; and for the line of JSON and the traces. By file name."""
    run = RUNS[name]
    several = min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    threads = (" --threads 1", f" --threads {several}") if run.threads else ("", "")
    traces = f" --trace {run.traces}" if run.traces else ""
    ranges = "" if run.ranges else " --no-range"
    with plain_folder():
        write_inputs(Path())
        command = f"run {run.arguments} --engine {engine}"
        screen = nsim(f"{command}{threads[0]}{' -v' if run.names else ''}{ranges} --out out --report page.html")
        answer = nsim(f"{command}{threads[1]} --no-range --out traced --json{traces}")
        digests = {
            "page.html": digest(Path("page.html")),
            **{path.as_posix(): digest(path) for top in ("out", "traced") for path in files_below(Path(top))},
        }
        page = Path("page.html").read_text(encoding="utf-8")
        summary = Path("out/summary.json").read_text(encoding="utf-8")
    return {
        "screen.txt": scrubbed(screen),
        "page.txt": words_of(page),
        "answer.json": scrubbed(answer),
        "summary.json": scrubbed(summary),
        "digests.json": json.dumps(digests, indent=1) + "\n",
    }


def files_below(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)


def words_of(page: str) -> str:
    """What a reader of the page sees, line by line, but for what its scripts draw."""
    text = re.sub(r"<(script|style)\b.*?</\1>", "", scrubbed(page), flags=re.DOTALL)
    return re.sub(r"\s*\n\s*", "\n", html.unescape(re.sub(r"<[^>]+>", " ", text))).strip() + "\n"


def scrubbed(text: str) -> str:
    """The text without what may vary: the engine's name, versions of Python and packages, matplotlib's figures."""
    for pattern, kept in SCRUBBED:
        text = re.sub(pattern, kept, text, flags=re.DOTALL)
    return text


SCRUBBED = (
    (r"\nnsim \d[\w.+]*, seed", "\nnsim VERSION, seed"),
    (r"--engine (?:compiled|simpy)", "--engine ENGINE"),
    (r" --threads \d+", ""),
    (r"<svg .*?</svg>", "FIGURE"),
    (r'(<th scope="row">engine</th>\s*<td>)(?:compiled|simpy)<', r"\1ENGINE<"),
    (r"nsim chips \S*/(mosaic_with_costs\.toml)", r"nsim chips FOLDER/\1"),
    (r'("engine": )"(?:compiled|simpy)"', r'\1"ENGINE"'),
    (r'("(?:python|nsim|simpy|numpy|numba|pandas)": )"\d[^"]*"', r'\1"VERSION"'),
)


def digest(path: Path) -> dict[str, str | list[str]]:
    """SHA-256 of what is in a file: of text scrubbed, of a table in Parquet by its columns; and the header of a CSV."""
    if path.suffix == ".csv":
        text = path.read_text(encoding="utf-8")
        return {"columns": text.partition("\n")[0].split(","), "rows": str(text.count("\n") - 1), "sha256": sha(text)}
    if path.suffix == ".parquet":
        return parquet_digest(path)
    if path.suffix == ".gz":
        return {"sha256": hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()}
    if path.suffix == ".npy":
        array = np.load(path)
        return {"array": f"{array.dtype.str} {array.shape}", "sha256": hashlib.sha256(array.tobytes()).hexdigest()}
    return {"sha256": sha(scrubbed(path.read_text(encoding="utf-8")))}


def parquet_digest(path: Path) -> dict[str, str | list[str]]:
    table = pytest.importorskip("pyarrow.parquet").read_table(path)
    content = {name: table.column(name).to_pylist() for name in table.column_names}
    columns = [f"{field.name}: {field.type}" for field in table.schema]
    return {"columns": columns, "rows": str(table.num_rows), "sha256": sha(json.dumps(content))}


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def differences(name: str, found: dict[str, str]) -> str:
    """A diff to the golden files of a run; empty if there is none."""
    lines: list[str] = []
    for file, text in found.items():
        expected = (GOLDEN / name / file).read_text(encoding="utf-8")
        if file == "answer.json":
            expected, text = by_line(expected), by_line(text)
        old, new = expected.splitlines(keepends=True), text.splitlines(keepends=True)
        lines += difflib.unified_diff(old, new, f"golden/{name}/{file}", file, n=1)
    return "".join(lines)


def by_line(answer: str) -> str:
    """One line of JSON with a line per value, if it is what `json.dumps` writes; else as it is."""
    facts = json.loads(answer)
    return json.dumps(facts, indent=1) if json.dumps(facts) + "\n" == answer else answer


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("name", RUNS)
def test_golden(name: str, engine: str) -> None:
    if changed := differences(name, golden_files(name, engine)):
        pytest.fail(f"{name} is not as it was:\n{changed}", pytrace=False)


def test_every_golden_folder_belongs_to_a_run() -> None:
    assert {path.name for path in GOLDEN.iterdir() if path.is_dir()} == set(RUNS)


def write_golden(name: str) -> None:
    """Write the golden files of a run, and print in what the other engine differs from them."""
    compiled, simpy = (golden_files(name, engine) for engine in ENGINES)
    (GOLDEN / name).mkdir(parents=True, exist_ok=True)
    for file, text in compiled.items():
        (GOLDEN / name / file).write_text(text, encoding="utf-8")
    print(differences(name, simpy) or f"{name}: written")


if __name__ == "__main__":
    for chosen in sys.argv[1:] or RUNS:
        write_golden(chosen)
