"""Sweeps: the points that a file asks for, what they give, and everything that can go wrong on the way."""

import itertools
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import duckdb
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim import load_chip, load_network, map_network, simulate
from nsim.chip.chip import changed
from nsim.errors import InputError, SweepError
from nsim.sweep.evaluate import Cache, Done, Task, code_version, evaluate, evaluate_chunk, key_of
from nsim.sweep.points import Point, Points
from nsim.sweep.run import chunk_size
from nsim.sweep.schedules import densities
from nsim.sweep.spec import Spec, load_spec
from nsim.sweep.store import FIRST_LINE, Store
from nsim.sweep.table import schema_of, write_table
from tests.generators.commands import NSIM, nsim
from tests.generators.sweeps import SMALL, written

SWEEPS = Path(__file__).parents[2] / "benchmarks" / "sweeps"
MLP = "mlp:width=8,depth=2,inputs=8"


def options(**given):
    return tuple(given.items())


def block(**values) -> dict:
    return {"networks": [MLP], "chips": ["loihi2"], "timesteps": 2, **values}


def points(**values) -> Points:
    return Points(Spec.model_validate({"points": [block(**values)]}))


@given(st.lists(st.integers(1, 3), min_size=3, max_size=3))
def test_a_grid_is_the_product_of_its_axes(sizes):
    weights, activities, seeds = ([number / 4 for number in range(size)] for size in sizes)
    seeds = [int(4 * seed) for seed in seeds]
    found = points(weight_sparsity=weights, activation_sparsity=activities, seeds=seeds)
    asked = [(p.weight_sparsity, p.activation_sparsity, p.seed) for p in found]
    assert asked == list(itertools.product(weights, activities, seeds))


def test_a_list_takes_values_together():
    found = points(kind="list", seeds=[3, 1, 2], partitions=["default", "even:2", "even:3"], placements=["greedy"])
    assert [(p.seed, p.option("partition"), p.option("placement")) for p in found] == [
        (3, "default", "greedy"),
        (1, "even:2", "greedy"),
        (2, "even:3", "greedy"),
    ]


def test_a_latin_hypercube_has_one_point_in_every_stratum():
    """Of n points, one lies in each n-th of every range, on the scale of the range, and lists are shared evenly."""
    count = 24
    ranges = {"activation_sparsity": {"low": 0.1, "high": 0.9}, "seeds": [0, 1, 2, 3]}
    key = "links.east_west.bandwidth_gbps"
    found = points(
        kind="latin-hypercube",
        count=count,
        **ranges,
        chip_parameters={key: {"low": 1.0, "high": 100.0, "scale": "log"}},
    )
    linear = sorted((p.activation_sparsity - 0.1) / 0.8 * count for p in found)
    log = sorted(np.log10(dict(p.chip_parameters)[key]) / 2 * count for p in found)
    for places in (linear, log):
        assert np.floor(places).astype(int).tolist() == list(range(count))
    assert [sum(p.seed == seed for p in found) for seed in range(4)] == [count / 4] * 4
    assert list(found) == list(
        points(
            kind="latin-hypercube",
            count=count,
            **ranges,
            chip_parameters={key: {"low": 1.0, "high": 100.0, "scale": "log"}},
        )
    )


@pytest.mark.parametrize(
    ("given_range", "values"),
    [
        ({"low": 1, "high": 9, "count": 3}, [1, 5, 9]),
        ({"low": 1.0, "high": 2.0, "count": 3}, [1.0, 1.5, 2.0]),
        ({"low": 1, "high": 100, "count": 3, "scale": "log"}, [1, 10, 100]),
    ],
)
def test_ranges_go_from_end_to_end(given_range, values):
    found = [p.chip_parameters[0][1] for p in points(chip_parameters={"buffers.link": given_range})]
    assert found == values and [type(v) for v in found] == [type(v) for v in values]


def test_blocks_follow_each_other_and_points_are_those_of_the_sequence():
    found = Points(load_spec(SWEEPS / "mlp_on_loihi2.toml"))
    assert len(found) == 2 * 3 * 2 * 3 * 4 * 5 + 240 + 4
    assert found[720].option("critical_path") and not found[719].option("critical_path")
    assert found[963].option("placement") == "random:2"
    with pytest.raises(IndexError):
        found[964]


@given(st.sampled_from(["even", "front-loaded", "back-loaded", "random", "random:5"]), st.floats(0, 0.25))
def test_every_schedule_has_the_mean_that_was_asked_for(schedule, mean):
    """Over neurons, not over layers."""
    network = load_network("mlp:width=8,depth=3,inputs=40")
    found = densities(network, schedule, mean, seed=3)
    sending = [layer for layer in network.layers if network.sends(layer)]
    fired = sum(found[layer.name] * layer.neurons for layer in sending)
    assert fired / sum(layer.neurons for layer in sending) == pytest.approx(mean)
    assert all(0 <= value <= 1 for value in found.values())


def test_front_loaded_falls_and_impossible_means_are_refused():
    network = load_network("mlp:width=8,depth=3,inputs=8")
    front, back = (list(densities(network, name, 0.2, 0).values()) for name in ("front-loaded", "back-loaded"))
    sending = sum(network.sends(layer) for layer in network.layers)
    assert front[:sending] == sorted(front[:sending], reverse=True) and back[:sending] == front[:sending][::-1]
    with pytest.raises(InputError, match=r"above 1: raise activation_sparsity to 0\.\d+ or more"):
        densities(network, "front-loaded", 0.9, 0)


def test_a_point_is_a_run_with_timesteps():
    parameters = {"actions.synop_dense.latency_ps": 5_000, "mesh.columns": 3}
    point = Point(
        MLP,
        "loihi2",
        tuple(parameters.items()),
        0.5,
        0.6,
        seed=4,
        options=options(partition="even:2", placement="greedy", timesteps=3),
    )
    mapping = map_network(load_network(MLP, density=0.5), changed(load_chip("loihi2"), parameters), "even:2", "greedy")
    direct = simulate(mapping, activity=0.4, timesteps=3, seed=4).summary()
    found = evaluate(Task("00", point))
    assert found.error is None
    assert {name: direct[name] for name in found.measures if name in direct} == {
        name: value for name, value in found.measures.items() if name != "energy_is_complete"
    }


def test_a_point_is_a_run_of_frames_and_of_events():
    frames = evaluate(
        Task("00", Point("cnn", "akd1000", options=options(mode="minimal", clock_mode="economy", samples=1)))
    )
    mapping = map_network(load_network("cnn"), load_chip("akd1000"), mode="minimal", clock_mode="economy")
    direct = simulate(mapping, samples=1).summary()
    assert frames.measures["latency_ps"] == direct["latency_ps"]
    events = "edges:rate=1e4,seconds=0.005"
    stream = evaluate(
        Task("00", Point("speck-gesture", "speck", input=events, seed=6, options=options(core_options="core.conv1=2")))
    )
    mapping = map_network(load_network("speck-gesture"), load_chip("speck"), core_options="core.conv1=2")
    direct = simulate(mapping, f"{events},seed=6").summary()
    assert stream.measures["latency_p99_ps"] == direct["latency_p99_ps"]
    assert stream.measures["time_ps"] == direct["time_ps"]


def test_points_with_an_input_share_its_evaluation(tmp_path):
    frames = (np.random.default_rng(0).random((4, 8)) < 0.5).astype(np.float32)
    file = tmp_path / "frames.npy"
    np.save(file, frames)
    for partition in ("even:1", "even:2"):
        found = evaluate(
            Task("00", Point(MLP, "loihi2", input=str(file), options=options(partition=partition, timesteps=4)))
        )
        direct = simulate(map_network(load_network(MLP), load_chip("loihi2"), partition), file, timesteps=4)
        assert found.measures["spikes"] == direct.summary()["spikes"] > 0
        assert found.measures["time_ps"] == direct.time_ps


def test_the_cache_keeps_what_was_used_last():
    made = []

    def make(key, size=40):
        return lambda: (made.append(key), (size, key))[1]

    cache = Cache(100)
    for key in "abacab":
        assert cache.get(key, make(key)) == key
    assert made == ["a", "b", "c", "b"]  # c pushed b out, which had been used before a
    assert cache.get("x", make("x", 1_000)) == "x" and not cache.held


def test_keys_tell_contents_apart(tmp_path):
    file = tmp_path / "frames.npy"
    file.write_bytes(b"1")
    base = Point(MLP, "loihi2", input=str(file))
    keys = [key_of(base, {}), key_of(Point(MLP, "loihi", input=str(file)), {})]
    keys += [key_of(Point(MLP, "loihi2", (("buffers.link", value),), input=str(file)), {}) for value in (1, 2)]
    keys += [key_of(Point(MLP, "loihi2", input=str(file), seed=1), {}), key_of(base, {str(file): "another content"})]
    assert len(set(keys)) == len(keys) and keys[0] == key_of(base, {})


def test_chunks_are_large_enough_for_speed_and_small_enough_to_share():
    assert chunk_size(0.005, 10**6, 2) == 100
    assert chunk_size(0.005, 80, 2) == 3
    assert chunk_size(100.0, 80, 2) == 1
    assert chunk_size(0.0, 10**6, 2) == 500


def test_the_table_is_the_same_whatever_the_workers(tmp_path):
    file = written(tmp_path)
    for workers in (1, 2):
        done = nsim("sweep", file, "--out", tmp_path / f"{workers}.parquet", "--workers", workers)
        assert done.returncode == 0, done.stderr
        assert "12 points; about" in done.stdout and "12 points done, 0 failed" in done.stdout
    one, two = ((tmp_path / f"{workers}.parquet").read_bytes() for workers in (1, 2))
    assert one == two
    table = pd.read_parquet(tmp_path / "1.parquet")
    assert table["point"].tolist() == list(range(12)) and (table["status"] == "done").all()
    assert [*zip(table["chip"], table["activation_sparsity"], table["seed"], strict=True)] == list(
        itertools.product(["loihi", "loihi2"], [0.5, 0.9], [0, 1, 2])
    )
    query = f"select chip, avg(time_per_timestep_ps) from '{tmp_path / '1.parquet'}' group by chip order by chip"
    means = table.groupby("chip")["time_per_timestep_ps"].mean()
    assert duckdb.sql(query).fetchall() == [(chip, pytest.approx(mean)) for chip, mean in means.items()]


def test_all_kinds_of_time_in_one_table(tmp_path):
    done = nsim("sweep", SWEEPS / "disciplines.toml", "--out", tmp_path / "out.parquet", "--workers", 1)
    assert done.returncode == 0, done.stderr
    table = pd.read_parquet(tmp_path / "out.parquet")
    assert (table["status"] == "done").all() and len(table) == 4 + 4 + 8
    for chips, column in (
        (["loihi", "loihi2"], "time_per_timestep_ps"),
        (["akd1000"], "latency_ps"),
        (["speck"], "drain_ps"),
    ):
        assert (table[column].notna() == table["chip"].isin(chips)).all()


def test_a_finished_point_is_never_computed_again(tmp_path, monkeypatch):
    computed = []
    original = evaluate

    def counted(task):
        computed.append(task.point)
        return original(task)

    monkeypatch.setattr("nsim.sweep.evaluate.evaluate", counted)
    file, out = written(tmp_path), tmp_path / "out.parquet"
    assert nsim("sweep", file, "--out", out, "--workers", 1).returncode == 0
    assert len(computed) == len(set(computed)) == 12
    first = out.read_bytes()
    out.unlink()
    assert nsim("sweep", file, "--out", out, "--workers", 1).returncode == 0
    assert len(computed) == 12 and out.read_bytes() == first
    more = written(tmp_path, SMALL.replace("[0, 1, 2]", "[2, 3, 2]"))
    done = nsim("sweep", more, "--out", out, "--workers", 1)
    assert "12 points, 8 finished before or equal to others" in done.stdout
    assert len(computed) == 16 and len(pd.read_parquet(out)) == 12


def test_a_failed_point_is_a_row_and_the_others_go_on(tmp_path):
    text = SMALL + '[points.chip_parameters]\n"core.synapse_words" = [1, 4_096]\n'
    done = nsim("sweep", written(tmp_path, text), "--out", tmp_path / "out.parquet", "--workers", 1)
    assert done.returncode == 1 and "12 points done, 12 failed" in done.stdout
    assert sum(map(int, re.findall(r"^  (\d+) x .*available 1$", done.stdout, re.M))) == 12
    table = pd.read_parquet(tmp_path / "out.parquet").set_index("chip.core.synapse_words")
    assert (table.loc[1, "status"] == "failed").all()
    assert table.loc[1, "error"].str.contains("synap").all() and table.loc[1, "synops"].isna().all()
    assert (table.loc[4_096, "status"] == "done").all() and table.loc[4_096, "error"].isna().all()


def test_errors_that_may_pass_are_tried_again(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(
            "nsim.sweep.evaluate.simulator_of", lambda *_, **__: (_ for _ in ()).throw(MemoryError("too big"))
        )
        first = evaluate(Task("aa", Point(MLP, "loihi2", options=options(timesteps=1))))
    assert first.error == "MemoryError: too big" and first.passing
    with Store(tmp_path / "s") as store:
        store.add([first])
        assert "aa" not in store and store.get("aa")["error"] == first.error
        store.add([evaluate(Task("aa", Point(MLP, "loihi2", options=options(timesteps=1))))])
        assert "aa" in store and store.get("aa")["error"] is None
    with Store(tmp_path / "s") as store:
        assert "aa" in store and len(store) == 1


def test_a_dry_run_writes_nothing(tmp_path):
    file = written(tmp_path)
    done = nsim("sweep", file, "--dry-run", "--workers", 1, cwd=tmp_path)
    assert done.returncode == 0 and re.search(r"12 points; about .* s on 1 process, at [0-9.]+ m?s each", done.stdout)
    assert list(tmp_path.iterdir()) == [file]


def test_ctrl_c_keeps_finished_points(tmp_path):
    text = SMALL.replace("[0, 1, 2]", json.dumps(list(range(2_000)))).replace("timesteps = 2", "timesteps = 40")
    file, store = written(tmp_path, text), tmp_path / "out.parquet.store"
    command = [*NSIM, "sweep", str(file), "--out", str(tmp_path / "out.parquet"), "--workers", "1"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while (not store.exists() or store.stat().st_size < 20_000) and time.monotonic() < deadline:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, error = running.communicate(timeout=30)
    assert running.returncode == 130
    kept = int(re.search(r"interrupted with (\d+) of 8,000 points done, kept in .* the same command goes on", error)[1])
    assert error.count("\n") == 1 and not (tmp_path / "out.parquet").exists()
    with Store(store) as reopened:
        assert len(reopened) == kept > 0


def refused(folder: Path, text: str) -> str:
    done = nsim("sweep", written(folder, text), "--out", folder / "out.parquet", "--workers", 1)
    assert done.returncode == 2 and not (folder / "out.parquet").exists() and "Traceback" not in done.stderr
    return done.stderr


def test_everything_wrong_with_names_is_listed_at_once(tmp_path):
    error = refused(
        tmp_path,
        """
        [[points]]
        networks = ["mlp:width=8", "mpl", "mlp:widht=8"]
        chips = ["loihi2", "loihi3"]
        schedules = ["evn"]
        partitions = ["evn:4", "even:x", "even:0", "gone.toml"]
        placements = ["greed"]
        weight_formats = ["spars"]
        precisions = ["flaot"]
        modes = ["minimum"]
        clock_modes = ["eco"]
        core_options = ["decimat.conv1=4"]
        """,
    )
    head, *lines = error.strip().split("\n")
    assert "15 problems, nothing was run" in head and len(lines) == 15
    for words in ("did you mean 'mlp'", "did you mean 'width'", 'did you mean "loihi', 'mean "even"'):
        assert words in error
    for words in (
        "did you mean 'greedy'",
        "did you mean 'sparse'",
        "did you mean 'float'",
        "did you mean 'minimal'",
        "add activation_sparsity",
    ):
        assert words in error


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ('[points.chip_parameters]\n"links.eastwest.wire_ps" = [1]', 'did you mean "east_west"'),
        ('[points.chip_parameters]\n"mesh" = [1]', "is a table: name one of its values, columns"),
        ('[points.chip_parameters]\n"buffers.link" = [1, -3]', "buffers.link = -3: must be >= 1"),
        ('[points.chip_parameters]\n"buffers.link" = [1.5]', "must be a whole number"),
        ('[points.chip_parameters]\n"partition.conv_slice_neurons" = [999999]', "must be <= core.neurons"),
        ('partitions = ["even:fc7=2"]', "no 'fc7': did you mean 'fc1'"),
        ('modes = ["minimal"]', "mode = 'minimal' is not for chip 'loihi2', which works on timesteps"),
        ('core_options = ["decimate.fc0=2"]', "not for chip 'loihi2'"),
        ('inputs = ["gone.npy"]', "gone.npy: cannot be read (No such file"),
        ('activation_sparsity = [0.1]\nschedules = ["front-loaded"]', "raise activation_sparsity to"),
        ('networks = ["mlp:density=0.5"]\nweight_sparsity = [0.5]', "leave one out"),
    ],
)
def test_combinations_are_checked_before_anything_runs(tmp_path, lines, words):
    base = '[[points]]\nchips = ["loihi2"]\n' + ("" if "networks" in lines else f'networks = ["{MLP}"]\n')
    error = refused(tmp_path, base + lines)
    assert words in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("seed = [1]", 'points[0].seed = [1]: unknown key, did you mean "seeds"'),
        ("seeds = [-1]", "points[0].seeds[0] = -1: must be >= 0"),
        ("weight_sparsity = [nan]", "points[0].weight_sparsity[0] = nan: must be a finite number"),
        ("weight_sparsity = [1.0]", "weight_sparsity = 1.0: must be from 0 to below 1"),
        ("activation_sparsity = [-0.5]", "activation_sparsity = -0.5: must be from 0 to 1"),
        ("activation_sparsity = [inf]", "must be a finite number"),
        ("activation_sparsity = { low = 0.5, high = 0.1, count = 3 }", "must be below high"),
        ("activation_sparsity = { low = 0.5, high = 0.9 }", "needs the number of its values, as count = 5"),
        ("activation_sparsity = { low = 0.5, hgih = 0.9 }", 'unknown key, did you mean "high"'),
        ("timesteps = 0", "points[0].timesteps = 0: must be >= 1"),
        ('timesteps = "5"', "must be a whole number"),
        ('kind = "gird"', "points[0].kind = 'gird': must be 'grid', 'list' or 'latin-hypercube'"),
        ('kind = "latin-hypercube"', "count: missing"),
        ("count = 7", "leave it out of a grid"),
        ('kind = "list"\nseeds = [1, 2]\nplacements = ["greedy", "greedy", "greedy"]', "placements has 3, seeds has 2"),
        ("seeds = []", "must not be empty"),
        ("seeds = [1, 2", "not valid TOML"),
        ("seeds = { low = 1, high = 3 }", "must be a valid list"),
    ],
)
def test_a_wrong_file_is_one_line(tmp_path, lines, words):
    error = refused(tmp_path, f'[[points]]\nnetworks = ["{MLP}"]\nchips = ["loihi2"]\n{lines}\n')
    assert words in error and error.count("\n") == 1, error


def test_other_files_are_refused(tmp_path):
    assert "points: missing" in refused(tmp_path, "")
    for path, words in (
        ("gone.toml", "No such file"),
        (tmp_path, "is a directory"),
        ("/dev/zero", "is no regular file"),
    ):
        with pytest.raises(SweepError, match=words):
            load_spec(path)
    (tmp_path / "binary.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SweepError, match="not valid TOML"):
        load_spec(tmp_path / "binary.toml")


def test_too_many_points_are_refused_by_their_number(tmp_path):
    wide = "{ low = 0.1, high = 0.9, count = 10_000 }"
    error = refused(tmp_path, SMALL.replace("[0.5, 0.9]", wide) + f"weight_sparsity = {wide}\n")
    assert "the sweep has 600,000,000 points, and one may have 1,000,000" in error


def test_wrong_options_are_refused(tmp_path):
    file = written(tmp_path)
    for options, words in (
        (("--workers", 0), "workers is 0: this process may use 1 to"),
        (("--workers", 10_000), "workers is 10000"),
        (("--workers", 1, "--cluster", "local:2"), "exclude each other"),
        (("--cluster", "host:8786"), "no cluster 'host:8786'"),
        (("--cluster", "local:0"), "no cluster 'local:0'"),
        (("--out", tmp_path), "give a file in a folder that exists"),
        (("--out", tmp_path / "gone" / "out.parquet"), "give a file in a folder that exists"),
    ):
        done = nsim("sweep", file, *options)
        assert done.returncode == 2 and words in done.stderr and done.stderr.count("\n") == 1


def done_of(number: int, size: int = 0) -> Done:
    return Done(f"{number:064x}", {"value": number, "text": "x" * size}, None, False, 0.5)


@given(st.lists(st.integers(0, 5), max_size=12), st.integers(0, 400))
def test_a_store_that_is_cut_short_keeps_whole_lines(tmp_path_factory, numbers, cut):
    path = tmp_path_factory.mktemp("store") / "s"
    with Store(path) as store:
        for number in numbers:
            store.add([done_of(number)])
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - cut])
    whole = max(0, content[: len(content) - cut].count(b"\n") - 1)
    expected = list(dict.fromkeys(numbers))[:whole]
    with Store(path) as store:
        assert len(store) == len(expected)
        assert [store.get(f"{number:064x}")["measures"]["value"] for number in expected] == expected
        store.add([done_of(9)])
    with Store(path) as store:
        assert f"{9:064x}" in store


def test_a_damaged_store_names_the_line(tmp_path):
    path = tmp_path / "s"
    with Store(path) as store:
        store.add([done_of(number) for number in range(3)])
    content = bytearray(path.read_bytes())
    content[len(FIRST_LINE) + 150] ^= 1
    path.write_bytes(content)
    with pytest.raises(SweepError, match=r"is damaged at line 2 .* delete that line"), Store(path):
        pass
    path.write_bytes(b"something else altogether\n")
    with pytest.raises(SweepError, match="is not the store of a sweep"), Store(path):
        pass


def test_a_store_is_for_one_sweep_at_a_time(tmp_path):
    with Store(tmp_path / "s"), pytest.raises(SweepError, match="in use by another sweep"), Store(tmp_path / "s"):
        pass


def test_the_store_is_locked_by_the_other_system_call_too(tmp_path, monkeypatch):
    """A stand-in for the lock of Windows, which nobody else may read: it lies behind all that a store can hold."""
    locked = set()

    def locking(number, mode, length):
        place = os.fstat(number).st_ino, os.lseek(number, 0, os.SEEK_CUR)
        assert (mode, length) == (2, 1) and place[1] > 2**30
        if place in locked:
            raise PermissionError(13, "Permission denied")
        locked.add(place)

    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(locking=locking, LK_NBLCK=2))
    with Store(tmp_path / "s") as store:
        store.add([done_of(0)])
        with pytest.raises(SweepError, match="in use by another sweep"), Store(tmp_path / "s"):
            pass
    locked.clear()
    with Store(tmp_path / "s") as store:
        assert done_of(0).key in store


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_keeps_what_was_done(tmp_path):
    """No file of the process may grow beyond some kilobytes: first the store, then the table finds no room."""
    text = SMALL.replace("[0, 1, 2]", json.dumps(list(range(40))))
    file, out = written(tmp_path, text), tmp_path / "out.parquet"
    command = [*NSIM, "sweep", str(file), "--out", str(out), "--workers", "1"]

    def limited(size):
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size)),
        )

    done = limited(30_000)
    assert done.returncode == 2 and done.stderr.count("\n") == 1, done.stderr
    kept = int(re.search(r"cannot write the store .* \(File too large\): (\d+) points kept; free", done.stderr)[1])
    with Store(tmp_path / "out.parquet.store") as store:
        assert len(store) == kept > 0
    assert nsim("sweep", file, "--out", out, "--workers", 1).returncode == 0
    whole = out.read_bytes()
    out.unlink()
    done = limited(4_000)
    assert done.returncode == 2 and re.search(r"^error: cannot write \S+out.parquet \(File too large\)", done.stderr)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.parquet.store", "spec.toml"]
    assert nsim("sweep", file, "--out", out, "--workers", 1).returncode == 0 and out.read_bytes() == whole


def test_files_are_read_from_where_they_were_sent_to(tmp_path, monkeypatch):
    """A worker in another folder, without any of the files: chip, frames and partition come along by content."""
    own = load_chip("loihi2").path
    (tmp_path / "mine.toml").write_bytes(own.read_bytes())
    np.save(tmp_path / "frames.npy", np.ones((3, 8), np.float32))
    (tmp_path / "cut.toml").write_text('[[core]]\nlayers = ["fc0"]\n')
    monkeypatch.chdir(tmp_path)
    point = Point(MLP, "./mine.toml", input="frames.npy", options=options(timesteps=3))
    files: dict[str, str] = {}
    task = Task(key_of(point, files), point)
    contents = {path: Path(path).read_bytes() for path in files}
    assert set(files) == {"./mine.toml", "frames.npy"}
    (here,) = evaluate_chunk([task], code_version(), files)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    (there,) = evaluate_chunk([task], code_version(), files, contents)
    assert here.error is None and (there.measures, there.key) == (here.measures, here.key)


def test_what_fails_for_a_missing_file_is_tried_again(tmp_path):
    gone = evaluate(Task("aa", Point(MLP, "loihi2", input=str(tmp_path / "gone.npy"))))
    assert gone.error and gone.passing


def test_other_code_or_files_are_refused_by_workers(tmp_path):
    with pytest.raises(SweepError, match="another version of nsim"):
        evaluate_chunk([], "0" * 64, {})


@pytest.mark.slow
def test_a_thousand_points_in_a_minute(tmp_path):
    begin = time.perf_counter()
    command = [*NSIM, "sweep", str(SWEEPS / "mlp_on_loihi2.toml"), "--out", str(tmp_path / "out.parquet")]
    subprocess.run(command, check=True, env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)})
    assert time.perf_counter() - begin < 60
    assert len(pd.read_parquet(tmp_path / "out.parquet")) == 964


@pytest.mark.parametrize(
    ("package", "given", "says"),
    [
        ("joblib", (2, None), r"2 processes need joblib: pip install 'nsim-neuromorphic\[sweep\]', or give --workers"),
        ("distributed", (None, "local:2"), r"--cluster needs Dask: pip install 'nsim-neuromorphic\[cluster\]'"),
    ],
)
def test_a_missing_package_is_named_before_anything_runs(package, given, says, monkeypatch):
    from nsim.sweep import executors

    monkeypatch.setattr(executors, "available_threads", lambda: 2)
    monkeypatch.setattr(executors, "find_spec", lambda name: None if name == package else object())
    with pytest.raises(SweepError, match=says):
        executors.check_workers(*given)
    assert executors.check_workers(1, None) == 1


def test_csv_holds_what_parquet_does(tmp_path):
    schema = schema_of({"mesh.columns": {int}})
    rows = [{"point": 0, "network": 'mlp:a="b",c', "chip.mesh.columns": 4, "time_ps": 2**55 + 1}, {"point": 1}]
    for name in ("out.csv", "out.parquet"):
        write_table(tmp_path / name, schema, (dict(row) for row in rows))
    pd.testing.assert_frame_equal(
        pd.read_csv(tmp_path / "out.csv", dtype_backend="pyarrow"),
        pd.read_parquet(tmp_path / "out.parquet", dtype_backend="pyarrow"),
        check_dtype=False,
    )
