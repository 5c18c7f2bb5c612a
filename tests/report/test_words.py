"""What screens say: every number with a unit is that of summary.json, lines are short, tables fit their width."""

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from nsim.chip.file import available_chips
from tests.generators.commands import nsim
from tests.generators.pages import OTHERS
from tests.generators.quantities import head_lines, quantities

GOLDEN = Path(__file__).parents[1] / "golden"
MLP = ("run", "mlp:width=64,depth=2,inputs=16", "--chip", "loihi2", "--timesteps", "7", "--samples", "2")
RUNS = {
    "barrier": MLP,
    "frame": (*OTHERS["frame"], "--critical-path"),
    "stream": (*OTHERS["stream"], "--critical-path"),
    "overloaded": ("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=3e6,seconds=0.0004"),
    "tick": (
        *("run", "random:p1=0.9,p3=0.3", "--chip", GOLDEN / "mosaic_with_costs.toml", "--grid", "4x4"),
        *("--neurons-per-tile", "8", "--activity", "0.3", "--timesteps", "4", "--shared-lines"),
    ),
}
TIMES, ENERGIES = ("time_low_ps", "time_high_ps"), ("energy_low_fj", "energy_high_fj")
THREE_DIGITS = 6e-3  # 1.00 may be 0.995 to 1.005
TWO_DIGITS = 6e-2


def expected(facts, stations):
    """By head line: what its numbers must be, in order; a line may leave out some, and say no others."""
    if "cores_used" not in facts:
        said = of_ticks(facts)
    elif "input_events" in facts:
        said = of_a_stream(facts, stations)
    else:
        said = of_frames(facts, stations) if facts["span"] == "frame" else of_timesteps(facts, stations)
    return said | {"ranges": effects(facts, "time", 1e-12, "s") + effects(facts, "energy", 1e-15, "J")}


def effects(facts, of, scale, unit):
    """How far the constant that matters most moves time or energy."""
    first = next((each for each in facts["range_constants"] if each["of"] == of), None)
    return [] if first is None else [(first[end] * scale, unit) for end in ("low", "high")]


def seconds(*keys):
    return lambda facts: [(facts[key] * 1e-12, "s") for key in keys if facts[key] is not None]


def joules(*keys):
    return lambda facts: [(facts[key] * 1e-15, "J") for key in keys if facts[key] is not None]


def on_path(facts, stations):
    """Parts of the critical path, largest first, and the part of its largest station."""
    path = facts["critical_path_ps"]
    parts = sorted((time / max(1, sum(path.values())) for time in path.values()), reverse=True)
    return [(part, "%") for part in [*parts, *stations[:1]]]


def of_timesteps(facts, stations):
    static = facts["known_energy_per_timestep_fj"] - facts["known_dynamic_energy_per_timestep_fj"]
    dynamic = joules("known_energy_per_timestep_fj", *ENERGIES, "known_dynamic_energy_per_timestep_fj")(facts)
    works, over = (facts["busiest_core_utilisation"], "%"), (facts["busiest_core_synops_over_mean"], "x")
    return {
        "time": seconds("time_per_timestep_ps", *TIMES, "longest_timestep_ps", "time_per_sample_ps")(facts),
        "energy": [*dynamic, (static * 1e-15, "J")],
        "limit": [works, over, *((part, "%") for part in stations[:1]), *on_path(facts, [])],
        "manage": [
            (facts["management_per_timestep_ps"] * 1e-12, "s"),
            (facts["management_per_timestep_ps"] / facts["time_per_timestep_ps"], "%"),
        ],
        "use": [(facts["mean_core_utilisation"], "%"), (facts["mean_memory_utilisation"], "%")],
    }


def of_frames(facts, stations):
    limit = facts["bottleneck"]
    energy = ("known_energy_per_frame_fj", *ENERGIES, "known_dynamic_energy_per_frame_fj", "static_energy_per_frame_fj")
    latency, low, high, interval = seconds("latency_ps", *TIMES, "interval_ps")(facts)
    return {
        "time": [latency, (facts["frames_per_s"], "frames/s"), low, high, interval],
        "energy": joules(*energy)(facts),
        "limit": [(limit["cycles_per_frame"], "cycles"), (limit["share"], "%")],
        "path": on_path(facts, stations),
        "program": seconds("program_time_ps")(facts),
    }


def of_a_stream(facts, stations):
    static = facts["energy_fj"] - facts["dynamic_energy_fj"]
    known, low, high, dynamic = joules("energy_fj", *ENERGIES, "dynamic_energy_fj")(facts)
    first, delay = seconds("first_late_event_ps", "longest_delay_ps")(facts) if facts["late_events"] else (None, None)
    return {
        "time": seconds("latency_median_ps", *TIMES, "latency_p99_ps", "drain_ps")(facts),
        "energy": [known, (facts["mean_power_mw"] * 1e-3, "W"), low, high, dynamic, (static * 1e-15, "J")],
        "limit": [(facts["bottleneck"]["load"], "%"), *facts.get("rates", ())],
        "late": [delay, first, (facts["sensor_blocked_share"], "%")],
        "fits": [
            (facts["fitting_input_events_per_s"], "events/s"),
            (facts["fitting_input_factor"], "x"),
            (facts["input_events_per_s"], ""),
        ],
        "path": on_path(facts, stations),
    }


def of_ticks(facts):
    steps, waited = facts["spans"], facts["waited_ps"]
    known = [energy for energy in facts["energy_by_action_fj"].values() if energy is not None]
    ranges = [facts[key] for key in ENERGIES]
    energy = [facts["known_energy_per_timestep_fj"], *ranges, *(energy / steps for energy in known)]
    at_port = [(facts["most_waited_ps"] / waited, "%")] if waited else []
    return {
        "time": seconds("time_per_timestep_ps", *TIMES, "longest_timestep_ps")(facts),
        "energy": [(energy_fj * 1e-15, "J") for energy_fj in energy],
        "limit": [*([(waited / steps * 1e-12, "s")] if waited else []), *at_port],
        "tick": seconds("tick_ps")(facts),
        "spikes": [(facts["spikes"] / (steps * facts["neurons"]), "%")],
    }


def unsaid(found, wanted):
    """What is said and is not among what must be said, in its order."""
    left, wrong = list(wanted), []
    for value, unit in found:
        near = TWO_DIGITS if unit == "%" else THREE_DIGITS
        while left and not (left[0][1] == unit and left[0][0] == pytest.approx(value, rel=near)):
            left.pop(0)
        if not left:
            wrong.append((value, unit))
    return wrong


def check(screen, facts, stations):
    """Every number of the head lines is one of the summary, and each line says its first one."""
    lines, wanted = head_lines(screen), expected(facts, stations)
    for name, said in lines.items():
        found = quantities(said)
        if name == "traffic" or name == "try":
            continue
        assert not unsaid(found, wanted.get(name, [])), f"{name}: {said}"
        if name in ("time", "energy") and "unknown" not in said:
            assert found[0] == (pytest.approx(wanted[name][0][0], rel=THREE_DIGITS), wanted[name][0][1])
    assert {"time", "energy", "limit"} <= set(lines)


@pytest.fixture(scope="module", params=RUNS)
def run(request, tmp_path_factory):
    """Screen and folder of a run of a discipline."""
    folder = tmp_path_factory.mktemp("run") / "out"
    done = nsim(*RUNS[request.param], "-v", "--range", "--out", folder)
    assert done.returncode == 0, done.stderr
    return done.stdout, folder


def read(folder):
    """The summary of a run, with the rates of the core of the highest load, and parts of its critical stations."""
    facts = json.loads((folder / "summary.json").read_text())
    if "input_events" in facts:
        cores = pd.read_csv(folder / "cores.csv").set_index("core")
        worst = cores.loc[facts["bottleneck"]["core"]]
        facts["rates"] = [(worst["synops_per_s_asked_for"], ""), (worst["synops_per_s_ceiling"], "synops/s")]
    path = folder / "critical_path.csv"
    return facts, pd.read_csv(path)["share"].tolist() if path.is_file() else []


def test_numbers_on_the_screen_are_those_of_the_summary(run):
    screen, folder = run
    check(screen, *read(folder))


@pytest.mark.parametrize(("unit", "other"), [("us", "ms"), ("ns", "us"), ("uJ", "nJ"), ("ms", "us"), ("nJ", "pJ")])
def test_a_wrong_unit_is_found(run, unit, other):
    """The check itself: a screen of which one unit is off by a thousand does not pass."""
    screen, folder = run
    title, rest = screen.split("\n", 1)
    head = rest.split("\n\n")[0]
    if not re.search(rf"\d {unit}\b", head):
        pytest.skip("has no such unit")
    with pytest.raises(AssertionError):
        check(title + "\n" + re.sub(rf"(\d) {unit}\b", rf"\1 {other}", head, count=1), *read(folder))


@pytest.mark.parametrize("golden", sorted(path.name for path in GOLDEN.iterdir() if path.is_dir()))
def test_lines_are_short(golden):
    """State, cause, number, cure in at most 25 words; remarks in brackets beside. A command to try is no sentence."""
    lines = head_lines((GOLDEN / golden / "screen.txt").read_text())
    lines.pop("try", None)
    for name, said in lines.items():
        assert len(said.split("   (")[0].split()) <= 25, f"{name}: {said}"


LAYERS = {  # by heading of the screen's table: column of layers.csv, and whether it is a mean over the spans
    "barrier": {"neurons": ("neurons", False), "messages": ("messages", True), "synops": ("synops", True)},
    "frame": {"events": ("events", True), "synops": ("synops", True)},
}


@pytest.mark.parametrize("discipline", LAYERS)
def test_the_table_shows_the_layers(discipline, tmp_path):
    done = nsim(*RUNS[discipline], "--out", tmp_path / "out")
    facts, _ = read(tmp_path / "out")
    layers = pd.read_csv(tmp_path / "out" / "layers.csv").set_index("layer")
    spans = facts["spans"]
    (header, *rows) = done.stdout.split("\n\n")[1].splitlines()
    headings = re.split(r"\s{2,}", header.strip())
    checked = 0
    for row in rows:
        cells = re.split(r"\s{2,}", row.strip())
        if len(cells) != len(headings):
            continue  # a layer on the host has no core
        shown = dict(zip(headings, cells, strict=True))
        for heading, (column, mean) in LAYERS[discipline].items():
            value = layers.loc[shown["layer"], column] / (spans if mean else 1)
            text = shown[heading].replace(",", "")
            scale = {"k": 1e3, "M": 1e6}.get(text[-1], 1)
            assert float(text.rstrip(" kM")) * scale == pytest.approx(value, rel=THREE_DIGITS)
            checked += 1
    assert checked >= 4


ON_CHIPS = {
    "loihi2": ("s5:d_model=16,states=8,depth=1", "--timesteps", "2"),
    "akd1000": ("akidanet:width=0.25,size=160", "--samples", "1", "--activity", "0.001"),
    "akd1500": ("cnn", "--samples", "1", "--activity", "0.005"),
    "speck": ("speck-gesture", "--input", "edges:rate=3e6,seconds=0.0004"),
    "mosaic": ("random:p1=0.95,p3=0.1", "--timesteps", "2", "--activity", "0.1"),
}


@pytest.mark.parametrize("width", [80, 100])
@pytest.mark.parametrize("chip", sorted({*available_chips()} - {"vpx", "hala-point", "nahuku32"}))  # of boards one
def test_screens_fit_their_width(chip, width, monkeypatch):
    """On every chip, at two widths; the first column of the table is there, and no name of it is cut."""
    network, *options = ON_CHIPS.get(chip, ("mlp:width=64,depth=2,inputs=16", "--timesteps", "2"))
    monkeypatch.setenv("COLUMNS", str(width))
    done = nsim("run", network, "--chip", chip, *options)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= width
    assert re.search(r"^(layer|tile|fullest tiles) ", done.stdout, re.M)
    assert "…" not in done.stdout


def test_rates_below_one_are_not_printed_as_zero(tmp_path):
    """A count of the run over its timesteps, with three digits: 0.350 messages per timestep."""
    run = ("run", "mlp:width=8,depth=2,inputs=8", "--chip", "loihi2", "--activity", "0.01", "--timesteps", "100")
    done = nsim(*run, "--no-range", "--out", tmp_path / "out")
    layers = pd.read_csv(tmp_path / "out" / "layers.csv").set_index("layer")
    rows = {line.split()[0]: line.split() for line in done.stdout.splitlines() if line.startswith(("input", "fc"))}
    sent, synops = layers["messages"] / 100, layers["synops"] / 100
    assert 0 < sent["input"] < 1 and 0 < synops["fc1"] < 1
    assert f"{sent['input']:#.3g}" in rows["input"] and f"{synops['fc1']:#.3g}" in rows["fc1"]
