"""What all commands have in common: --json and --quiet, sections of the help, completion, and exit codes."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest
import typer
from rich.console import Console

from nsim.cli.experiments import Experiment, Outcome, Verdict
from nsim.cli.help import of_options
from nsim.cli.main import COMMANDS, app
from nsim.errors import InterruptedRunError, NsimError
from nsim.report import screen
from nsim.report.answer import Answer, answering, one_line
from nsim.report.units import pace
from tests.generators.commands import NSIM, nsim, refused, the_line
from tests.generators.quantities import quantities
from tests.generators.sanafe_files import SMALL, architecture

MLP = ("mlp:width=8,depth=2,inputs=8", "--chip", "loihi2")
TILES = ("random:p1=0.9", "--chip", "mosaic", "--grid", "3x3", "--neurons-per-tile", "4")
SWEEP = '[[points]]\nnetworks = ["mlp:width=8,depth=2,inputs=8"]\nchips = ["loihi2"]\ntimesteps = 2\n'
QUICK = {  # by name of the test: words of the command, and keys that scripts rely on
    "run": (("run", *MLP, "--timesteps", 2), {"time_per_timestep_ps", "known_energy_per_timestep_fj", "notes"}),
    "run of frames": (("run", "cnn", "--chip", "akd1000", "--samples", 1), {"latency_ps", "notes"}),
    "run of events": (
        ("run", "speck-gesture", "--chip", "speck", "--input", "edges:rate=1e4,seconds=0.001"),
        {"notes"},
    ),
    "run of tiles": (("run", *TILES, "--activity", "0.1", "--timesteps", 2), {"mappable", "notes"}),
    "sweep": (("sweep", "sweep.toml", "--workers", 1), {"points", "done", "failed", "out"}),
    "sweep, dry": (("sweep", "sweep.toml", "--workers", 1, "--dry-run"), {"points", "seconds_per_point"}),
    "noc": (("noc", "traffic.csv", "--chip", "loihi2"), {"latency_ps", "notes"}),
    "floorline": (("floorline", *MLP, "--timesteps", 2), {"points", "notes", "plot"}),
    "step": (("step", *MLP, "--timesteps", 1, "--commands", "steps.txt"), {"commands"}),
    "report": (("report", "a"), {"report", "verdict", "figures"}),
    "compare": (("compare", "a", "b"), {"runs", "differences"}),
    "compare-chips": (("compare-chips", MLP[0], "--chips", "loihi2,speck", "--timesteps", 2), {"network", "chips"}),
    "reproduce": (("reproduce", "7", "--quick"), {"experiments"}),
    "optimize": (
        ("optimize", *MLP, "--timesteps", 2, "--budget", 3, "--processes", 1),
        {"time_per_timestep_ps", "speedup", "moves", "front", "notes"},
    ),
    "advise": (("advise", MLP[0], "--chips", "loihi2,speck", "--timesteps", 2), {"network", "chips"}),
    "map": (("map", *TILES), {"mappable", "provisioned_elements", "notes"}),
    "chips": (("chips",), {"chips"}),
    "chips, one": (("chips", "loihi"), {"values", "sources"}),
    "chips, a value": (("chips", "loihi", "actions.spike", "--set", "actions.spike.latency_ps=1"), {"values"}),
    "networks": (("networks",), {"networks"}),
    "import": (
        ("import", "sanafe", "arch.yaml", "net.yaml", "--out", "imported"),
        {"fields", "not_exact", "spikes_may_differ", "command"},
    ),
    "schema": (("schema", "chip"), {"$schema"}),
    "schema, file": (("schema", "sweep", "--out", "schema.json"), {"schema"}),
}
ELSEWHERE = {  # they take long: tests/training has test_training_report, _sparsity_training, _speech, _recordings
    "train sparsity-aware",
    "train routing-aware",
    "train routing-sweep",
    "data spoken-digits",
    "data recordings",
}
cases = pytest.mark.parametrize("case", QUICK)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Input of all commands."""
    folder = tmp_path_factory.mktemp("commands")
    (folder / "sweep.toml").write_text(SWEEP)
    (folder / "steps.txt").write_text("break queue full\ncontinue\nshow\nquit\n")
    (folder / "arch.yaml").write_text(architecture())
    (folder / "net.yaml").write_text(SMALL)
    (folder / "traffic.csv").write_text("time_ps,source_core,destination_core,bits\n0,0,9,64\n")
    for name, timesteps in (("a", 2), ("b", 3)):
        assert nsim("run", *MLP, "--timesteps", timesteps, "--out", folder / name).returncode == 0
    return folder


@pytest.fixture(autouse=True)
def one_experiment(monkeypatch):
    """An experiment that takes no time, and finds a number that JSON has no word for."""
    outcome = Outcome([{"time_us": float("nan")}], [Verdict("it holds", True, "by far")], lambda figure: None)
    made = Experiment("nothing", 7, "Nothing", "Is there anything?", lambda quick, seed: outcome)
    monkeypatch.setattr("nsim.cli.experiments.experiments", lambda root: [made])


def leaves(command, path=()):
    """Every command that does something, by its words."""
    if not hasattr(command, "commands"):
        return {" ".join(path): command}
    found = {}
    for name, inner in command.commands.items():
        found |= leaves(inner, (*path, name))
    return found


@cases
def test_json_is_one_line_and_nothing_else(case, folder):
    words, keys = QUICK[case]
    done = nsim(*words, "--json", cwd=folder)
    assert done.returncode == 0, done.stderr
    assert keys <= set(the_line(done))
    assert not done.stderr


@cases
def test_quiet_prints_nothing(case, folder):
    words, _ = QUICK[case]
    done = nsim(*words, "--quiet", cwd=folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_exit_code_says_what_quiet_does_not():
    """A network that takes more lines than ports have: the answer is no, and that is no error."""
    words = ("map", "random:p1=1,p3=1", "--chip", "mosaic", "--grid", "3x3")
    quiet, line = nsim(*words, "--quiet"), nsim(*words, "--json")
    assert (quiet.returncode, quiet.stdout, quiet.stderr) == (1, "", "")
    assert line.returncode == 1 and the_line(line)["mappable"] is False


def test_a_verdict_that_does_not_hold_is_a_no(monkeypatch):
    outcome = Outcome([{"time_us": 1.0}], [Verdict("it holds", False, "by far")], lambda figure: None)
    made = Experiment("nothing", 7, "Nothing", "Is there anything?", lambda quick, seed: outcome)
    monkeypatch.setattr("nsim.cli.experiments.experiments", lambda root: [made])
    assert nsim("reproduce", "7", "--quick").returncode == 1


def test_no_command_is_left_out():
    tested = {" ".join(words[: 1 + (words[0] == "import")]) for words, _ in QUICK.values()}
    assert tested | ELSEWHERE == set(leaves(typer.main.get_command(app)))
    for command in leaves(typer.main.get_command(app)).values():
        assert {"quiet", "json"} <= {param.name for param in command.params}


def test_the_line_of_a_run_is_its_summary(folder, tmp_path):
    line = the_line(nsim("run", *MLP, "--timesteps", 2, "--out", tmp_path / "out", "--json"))
    written = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert set(written) - set(line) == {"reproducibility"} and set(line) - set(written) == {"notes"}
    assert all(line[key] == written[key] for key in set(line) & set(written))


def test_the_screen_shows_the_numbers_of_the_line(folder):
    """The same command, read by a person and by a script."""
    words, _ = QUICK["floorline"]
    point = the_line(nsim(*words, "--json", cwd=folder))["points"]["default"]
    times = {round(value, 12) for value, unit in quantities(nsim(*words, cwd=folder).stdout) if unit == "s"}
    for key in ("floorline_ps", "simulated_ps"):
        assert any(shown == pytest.approx(point[key] * 1e-12, rel=5e-3) for shown in times)
    assert point["simulated_ps"] >= point["floorline_ps"] > 0
    assert point["over_floorline"] == pytest.approx(point["simulated_ps"] / point["floorline_ps"])
    words, _ = QUICK["optimize"]
    found = the_line(nsim(*words, "--json", cwd=folder))
    (first, *_) = quantities(nsim(*words, cwd=folder).stdout.split("Time")[1])
    assert first == (pytest.approx(found["time_per_timestep_ps"] * 1e-12, rel=5e-3), "s")
    assert found["speedup"] == pytest.approx(found["time_per_timestep_before_ps"] / found["time_per_timestep_ps"])


def test_errors_stay_errors(tmp_path):
    for option in ("--json", "--quiet"):
        assert "loihi2" in refused("run", "mlp", "--chip", "loihy2", option)
    line = refused("run", *MLP, "--json", "--quiet")
    assert "--quiet" in line and "--json" in line


def test_json_of_what_json_cannot_say(tmp_path):
    facts = {"nan": float("nan"), "inf": [np.float32("inf")], "count": np.int64(3), "path": tmp_path, 1: (np.nan,)}
    wanted = {"nan": None, "inf": [None], "count": 3, "path": str(tmp_path), "1": [None]}
    assert json.loads(one_line(facts)) == wanted


@pytest.mark.parametrize(
    ("per_second", "shown"),
    [(None, ""), (0.0, ""), (12_345.6, "12,346/s"), (123.0, "123/s"), (1.0, "1/s"), (0.5, "30/min"), (1e-3, "3.6/h")],
)
def test_pace_has_a_unit_that_suits(per_second, shown):
    assert pace(per_second) == shown


def test_progress_shows_rate_and_remaining_time_unless_quiet(monkeypatch):
    class Terminal(Console):
        def __init__(self, **options):
            super().__init__(**options, force_terminal=True, width=100, record=True)
            made.append(self)

    made: list[Terminal] = []
    monkeypatch.setattr(screen, "Console", Terminal)
    for wanted in (Answer.SCREEN, Answer.QUIET):
        with answering(wanted), screen.progress("frames") as report:
            for done in range(1, 5):
                report(done, 8)
    shown, quiet = (console.export_text() for console in made)
    assert re.search(r"4/8 frames [\d,.]+/s .*0:00:0\d left", shown)
    assert not quiet.strip()


def test_help_has_every_command_in_its_section():
    text = nsim("--help").stdout
    assert not re.search(r"^Commands:", text, re.M)
    for title, commands in COMMANDS.items():
        section = text.split(f"\n{title}:\n")[1].split("\n\n")[0]
        assert re.findall(r"^  (\S+)  ", section, re.M) == list(commands)


def test_help_of_a_run_has_its_options_in_sections():
    text = nsim("run", "--help").stdout
    (others,) = re.findall(r"^Options:\n((?:  .*\n?)+)", text, re.M)
    assert re.findall(r"--\S+", others) == ["--help"]
    for title in of_options():
        assert f"\n{title}:\n" in text
    assert len(re.findall(r"^  (?:-\w, )?--", text, re.M)) == len(leaves(typer.main.get_command(app))["run"].params)


def test_exit_codes_are_those_of_the_help():
    text = nsim("--help").stdout.split("Exit codes:")[1]
    documented = {int(code) for code in re.findall(r"^    (\d+) ", text, re.M)}
    kinds = {NsimError, *NsimError.__subclasses__()}
    assert documented == {0, 1} | {kind.exit_code for kind in kinds}
    assert InterruptedRunError.exit_code == 130


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("rnu",), "Did you mean 'run'"),
        (("train", "routing-awar"), "Did you mean 'routing-aware'"),
        (("run", "mlp", "--chp", "loihi2"), "--chip"),
        (("run",), "nsim run --help"),
        (("run", "mlp"), "'--chip'"),
        (("run", *MLP, "--timesteps", "x"), "'--timesteps'"),
        (("chips", "loihy"), "loihi"),
        (("schema", "chips"), "did you mean 'chip'"),
        (("optimize", *MLP, "--search", "evolv"), "evolve"),
        (("optimize", *MLP, "--precision", "flot"), "choose fixed or float"),
        (("optimize", "speck-gesture", "--chip", "speck", "--precision", "fixed"), "--precision fixed is not for chip"),
        (("run", *MLP, "--engine", "simp"), "simpy"),
        (("--show-completion", "zhs"), "did you mean zsh"),
    ],
)
def test_a_typo_is_refused_in_one_line_that_says_what_was_meant(words, says):
    assert says in refused(*words)


def test_no_words_at_all_give_the_help():
    done = nsim()
    assert done.returncode == 2 and "Simulate:" in done.stderr and not done.stdout


def completed(monkeypatch, line):
    """What bash offers for the last word."""
    words = line.split(" ")
    monkeypatch.setenv("_NSIM_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    return nsim().stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("nsim ru", ["run"]),
        ("nsim run pil", ["pilotnet"]),
        ("nsim run mlp --chip loi", ["loihi", "loihi2"]),
        ("nsim floorline mlp --engine ", ["compiled", "simpy"]),
        ("nsim train routing", ["routing-aware", "routing-sweep"]),
        ("nsim train routing-aware x --method l", ["l1"]),
        ("nsim optimize mlp --objective en", ["energy", "energy-delay"]),
        ("nsim reproduce sparse", ["sparse_format"]),
        ("nsim chips akd", ["akd1000", "akd1500"]),
        ("nsim run mlp --quie", ["--quiet"]),
        ("nsim run mlp --out ", []),  # then the shell offers files
        ("nsim --show-completion z", ["zsh"]),
    ],
)
def test_completion(monkeypatch, line, offered):
    assert completed(monkeypatch, line) == offered


def test_completion_of_files(monkeypatch, tmp_path):
    for name in ("mine.net", "mine.nir", "mine.txt", "mine.toml"):
        (tmp_path / name).touch()
    (tmp_path / "minerals").mkdir()
    assert completed(monkeypatch, f"nsim run {tmp_path}/mi") == [
        f"{tmp_path}/{name}" for name in ("mine.net", "mine.nir", "minerals/")
    ]
    assert f"{tmp_path}/mine.toml" in completed(monkeypatch, f"nsim run mlp --chip {tmp_path}/mi")


def test_words_that_are_completed_are_in_the_help_of_their_option():
    for name, command in leaves(typer.main.get_command(app)).items():
        for param in command.params:
            complete = param._custom_shell_complete
            listed = param.name in ("name", "names", "chip", "chips") or (
                param.name == "network" and name[:5] != "train"
            )
            if listed:  # elsewhere, not in the help
                continue
            for item in complete(None, param, "") if complete else ():
                assert item.value in param.help, (name, param.name)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_show_completion_prints_the_script_of_that_shell(shell):
    done = nsim("--show-completion", shell)
    assert done.returncode == 0 and f"_NSIM_COMPLETE=complete_{shell}" in done.stdout


def test_install_completion_writes_where_the_shell_reads(tmp_path):
    environment = os.environ | {"HOME": str(tmp_path)}
    done = subprocess.run(
        [*NSIM, "--install-completion", "bash"], env=environment, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    (source,) = re.findall(r"^source '(.*)'$", (tmp_path / ".bashrc").read_text(), re.M)
    checked = subprocess.run(["bash", "-n", source], capture_output=True, timeout=60)
    assert checked.returncode == 0, checked.stderr


def test_help_imports_none_of_the_libraries_that_take_long():
    code = (
        "import sys; from nsim.cli.main import app; heavy = 'numpy', 'rich', 'numba', 'tomllib', 'nsim.cli.run'\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr


def test_a_run_without_a_page_loads_no_report():
    heavy = [
        "matplotlib",
        "scipy.special",
        "pandas",
        "nsim.report.page",
        "nsim.result.frames",
        "nsim.result.events",
    ]
    words = ["nsim", "run", "mlp:width=8,depth=2,inputs=8", "--chip", "loihi2", "--timesteps", "2", "--quiet"]
    code = f"import sys; sys.argv = {words}; from nsim.cli.main import main\n"
    code += f"try: main()\nexcept SystemExit: pass\nprint([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr
