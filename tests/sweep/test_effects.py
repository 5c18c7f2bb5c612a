"""The end of a sweep: best points, fronts and main effects against laws and naive twins, on the screen and the page."""

import itertools
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nsim.sweep.effects import MISSING, Kind, kinds_of, levels_of, read_sweep
from tests.generators.commands import nsim, refused
from tests.generators.pages import Page
from tests.generators.sweeps import SMALL, written

PARTITIONS = {"default": 1.0, "even:2": 0.5, "even:4": 0.4}
CHIPS = {"loihi": 3.0, "loihi2": 1.0}


def table(rows):
    """A sweep's table of timesteps; rows: of what varies, time and energy."""
    own = [
        {"point": number, "status": "done", "network": "mlp", "chip": "loihi2"} | row for number, row in enumerate(rows)
    ]
    return pd.DataFrame(own).rename(columns={"time": "time_per_timestep_ps", "energy": "known_energy_per_timestep_fj"})


def grid(noise=0.0):
    """Every combination of partitions and chips, whose factors multiply; energy is the chip's alone."""
    return table(
        [
            {"partition": p, "chip": c, "time": 1e6 * a * b * math.exp(noise * k), "energy": 5.0 * b, "seed": k}
            for (p, a), (c, b), k in itertools.product(PARTITIONS.items(), CHIPS.items(), (0, 1, 2))
        ]
    )


def only(found):
    (kind,) = kinds_of(found)
    return kind


def test_factors_that_multiply_are_found_exactly():
    kind = only(grid())
    assert set(kind.swept) == {"chip", "partition", "seed"}
    by = {(each.target, each.column): each for each in kind.effects()}
    assert by["time_ps", "partition"].times == pytest.approx(1.0 / 0.4)
    assert by["time_ps", "chip"].times == pytest.approx(3.0)
    assert by["energy_fj", "chip"].times == pytest.approx(3.0)
    assert by["energy_fj", "chip"].explained == pytest.approx(1.0)
    assert set(by) == {("time_ps", "partition"), ("time_ps", "chip"), ("energy_fj", "chip")}  # a seed moves nothing
    assert sum(by["time_ps", name].explained for name in ("partition", "chip")) == pytest.approx(1.0)
    levels = by["time_ps", "partition"].levels
    assert [level.value for level in levels] == ["even:4", "even:2", "default"]
    assert [level.points for level in levels] == [6, 6, 6]
    assert levels[0].mean == pytest.approx(1e6 * 0.4 * math.sqrt(3.0))


@given(st.integers(0, 2**32 - 1))
def test_main_effects_against_a_naive_twin(seed):
    """Unbalanced tables, too: a level's mean is over its points."""
    rng = np.random.default_rng(seed)
    rows = [
        {
            "partition": str(rng.choice(["a", "b", "c"])),
            "seed": int(rng.integers(3)),
            "time": float(rng.uniform(1, 9)) * 1e6,
        }
        for _ in range(int(rng.integers(2, 20)))
    ]
    found = only(table([row | {"energy": 0.0} for row in rows]))
    for effect in found.effects():
        key = effect.column
        groups = {}
        for row in rows:
            groups.setdefault(str(row[key]), []).append(math.log(row["time"]))
        means = {name: math.exp(sum(logs) / len(logs)) for name, logs in groups.items()}
        assert {level.value: level.mean for level in effect.levels} == pytest.approx(means)
        assert effect.times == pytest.approx(max(means.values()) / min(means.values()))
        assert -1e-9 <= effect.explained <= 1 + 1e-9


@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), min_size=1, max_size=30))
def test_the_front_is_what_nothing_beats(values):
    """Against all pairs; of equal points one is enough, and what is not known is not on it."""
    found = only(table([{"time": float(time), "energy": float(energy)} for time, energy in values]))
    known = [pair for pair in values if min(pair) > 0]
    front = {a for a in known if not any(b[0] <= a[0] and b[1] <= a[1] and b != a for b in known)}
    shown = [(time, energy) for time, energy in zip(found.front()["time_ps"], found.front()["energy_fj"], strict=True)]
    assert shown == sorted(front) and len(set(shown)) == len(shown)


def test_many_numbers_become_quarters():
    values = pd.Series(np.linspace(0, 1, 100))
    names = levels_of(values)
    assert [names.count(name) for name in dict.fromkeys(names)] == [25, 25, 25, 25]
    assert names[0] == "0 to 0.2424" and names[-1] == "0.7576 to 1"
    assert levels_of(pd.Series([0.5, None, 0.25])) == ["0.5", MISSING, "0.25"]
    assert levels_of(pd.Series([*range(20), None]))[-1] == MISSING


def test_kinds_of_time_are_kept_apart():
    rows = grid()
    frames = pd.DataFrame(
        {
            **{"point": [100, 101], "status": "done", "network": "cnn", "chip": "akd1000", "mode": ["a", "b"]},
            **{"latency_ps": [4.0, 2.0], "known_dynamic_energy_per_frame_fj": [5.0, 6.0]},
            "static_energy_per_frame_fj": [1.0, np.nan],
        }
    )
    failed = pd.DataFrame({"point": [200], "status": "failed", "network": "mlp", "chip": "loihi2", "error": "why"})
    kinds = {kind.of: kind for kind in kinds_of(pd.concat([rows, frames, failed]))}
    assert set(kinds) == {"timestep", "frame"} and len(kinds["timestep"].rows) == len(rows)
    assert kinds["frame"].best("time_ps", 1)["point"].tolist() == [101]
    assert kinds["frame"].rows["energy_fj"].tolist() == [6.0, 6.0] and kinds["frame"].swept == ("mode",)
    assert kinds_of(failed) == []


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A small sweep in a folder, and what its end says."""
    folder = tmp_path_factory.mktemp("sweep")
    text = SMALL.replace("seeds = [0, 1, 2]", 'seeds = [0, 1]\nschedules = ["even", "back-loaded"]')
    file = written(folder, text)
    done = nsim("sweep", file, "--out", "out.parquet", "--workers", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done.stdout


def test_the_screen_shows_the_fastest_and_what_moved(swept):
    folder, shown = swept
    found = pd.read_parquet(folder / "out.parquet")
    fastest = found.sort_values("time_per_timestep_ps", kind="stable")["point"].iloc[:5].tolist()
    rows = shown.split("\n\n")[1].splitlines()
    assert [int(row.split()[0]) for row in rows[2:7]] == fastest
    effects = shown.split("\n\n")[2]
    assert re.search(r"^time: activation_sparsity +[\d.]+ x ", effects, re.M)
    logs = np.log(found["time_per_timestep_ps"]).groupby(found["activation_sparsity"]).mean()
    told = float(re.search(r"^time: activation_sparsity +([\d.]+) x", effects, re.M)[1])
    assert told == pytest.approx(math.exp(logs.max() - logs.min()), rel=6e-3)
    assert shown.rstrip().endswith("nsim report out.parquet") and max(map(len, shown.splitlines())) <= 80


def test_the_answer_for_scripts_has_them_too(swept):
    folder, _ = swept
    again = json.loads(nsim("sweep", folder / "spec.toml", "--out", "out.parquet", "--json", cwd=folder).stdout)
    (kind,) = again["kinds"]
    assert kind["of"] == "timestep" and len(kind["fastest"]) == 5
    assert {each["column"] for each in kind["effects"]} <= {"chip", "activation_sparsity", "schedule", "seed"}


@pytest.mark.parametrize("suffix", ["parquet", "csv"])
def test_the_page_of_a_sweep(swept, suffix):
    folder, _ = swept
    done = nsim("sweep", folder / "spec.toml", "--out", f"page.{suffix}", "--workers", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    made = nsim("report", f"page.{suffix}", "--force", cwd=folder)
    assert made.returncode == 0, made.stderr
    text = (folder / "page.html").read_text(encoding="utf-8")
    assert len(text) < 1e6 and Page(text).tags.count("table") == 3
    found = read_sweep(folder / f"page.{suffix}")
    kind = only(found)
    shown = Page(text).figures
    told = [re.fullmatch(r"point \d+: .*; ([\d.]+) us, ([\d.]+) uJ", each).groups() for each in shown["front-timestep"]]
    every, front = told[: len(found)], told[len(found) :]
    times = sorted(found["time_per_timestep_ps"] / 1e6)
    assert sorted(float(time_us) for time_us, _ in every) == pytest.approx(times, rel=1e-3)
    assert [float(energy) for _, energy in front] == pytest.approx((kind.front()["energy_fj"] / 1e9).tolist(), rel=1e-3)
    bars = [re.fullmatch(r"(\S+) (time|energy): ([\d.]+)", each).groups() for each in shown["effects-timestep"]]
    most = max(each.times for each in kind.effects() if each.target == "time_ps")
    assert max(float(value) for _, of, value in bars if of == "time") == pytest.approx(most, rel=1e-3)


def test_schedules_by_level_of_sparsity(swept):
    """Every bar is the geometric mean over chips and seeds."""
    folder, _ = swept
    nsim("report", "out.parquet", "--out", "bars.html", "--force", cwd=folder)
    text = (folder / "bars.html").read_text(encoding="utf-8")
    drawn = [
        re.fullmatch(r"(\S+) (\S+): ([\d.]+) us", each).groups() for each in Page(text).figures["schedules-timestep"]
    ]
    found = pd.read_parquet(folder / "out.parquet")
    assert {schedule for _, schedule, _ in drawn} == {"even", "back-loaded"}
    for level, schedule, value in drawn:
        own = found[(found["schedule"] == schedule) & (found["activation_sparsity"] == float(level))]
        assert float(value) == pytest.approx(math.exp(np.log(own["time_per_timestep_ps"] / 1e6).mean()), rel=1e-3)


def test_tables_that_are_no_sweep(swept, tmp_path):
    folder, _ = swept
    assert "does not exist: give a table that nsim sweep wrote" in refused("report", "none.parquet", cwd=tmp_path)
    (tmp_path / "bad.parquet").write_text("no")
    assert "bad.parquet is damaged (" in refused("report", "bad.parquet", cwd=tmp_path)
    pd.DataFrame({"a": [1]}).to_csv(tmp_path / "other.csv")
    assert "other.csv lacks point, network, chip, status" in refused("report", "other.csv", cwd=tmp_path)
    failed = pd.read_parquet(folder / "out.parquet").assign(status="failed", error="why")
    failed.to_parquet(tmp_path / "failed.parquet")
    assert "has no point that was done, of 16" in refused("report", "failed.parquet", cwd=tmp_path)
    assert "--figures pdf are of a run" in refused("report", folder / "out.parquet", "--figures", "pdf", cwd=tmp_path)
    (tmp_path / "mine.html").write_text("<p>mine")
    said = refused("report", folder / "out.parquet", "--out", "mine.html", cwd=tmp_path)
    assert "nsim did not make it" in said and (tmp_path / "mine.html").read_text() == "<p>mine"


def test_one_point_has_nothing_to_compare():
    kind = only(grid().head(1))
    assert isinstance(kind, Kind) and kind.effects() == [] and kind.swept == ()
