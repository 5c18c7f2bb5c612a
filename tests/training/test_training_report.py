"""What a finished run writes, and that the simulator runs it: export, routing report, commands and sweeps."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

from nsim.errors import TrainingError
from nsim.formats.nir_graph import read_nir
from nsim.training.routing.export import compare_spikes, input_weights, recurrent_weights, write_nir
from nsim.training.routing.loop import Trained, train
from nsim.training.routing.options import PUBLISHED, Choice
from nsim.training.routing.report import mapped, write_report
from nsim.training.routing.samples import load_samples
from nsim.training.routing.settings import Settings
from nsim.training.routing.sweep import plan, split_list, sweep
from tests.generators.commands import nsim, refused, the_line
from tests.generators.spoken_files import write_digits
from tests.generators.trainings import tiny

SIZE = ["--grid", "3x3", "--neurons-per-tile", 8]
SMALL = [*SIZE, "--inputs", 16, "--bins", 20, "--shifts", "first", "--epochs", 2, "--batch", 6, "--tau-ms", 10]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits") / "digits.h5")


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    """A trained network with its report: folder, network, samples, summary."""
    settings = tiny(data, epochs=6, learning_rate=0.02, decay="epochs")
    out, samples = tmp_path_factory.mktemp("runs") / "run", load_samples(settings)
    trained = train(settings, samples, out)
    return out, trained, samples, write_report(trained, samples, out)


def test_the_simulator_spikes_as_the_trained_network(run):
    """The same float32 sums in another order: a spike may differ first only where v is a rounding from the threshold.

    Here v is below 10 and sums have at most 72 terms, so 72 * 10 * 2^-24 = 4e-5 bounds the rounding of a step; the
    leak forgets it at 1 / (1 - exp(-1/10)), a factor of 10.5.
    """
    out, trained, samples, _ = run
    found = compare_spikes(trained, read_nir(out / "network.nir"), samples.test.x)
    assert found.samples == 12 and found.trained_spikes > 500
    assert found.nearest_v < 5e-4
    assert found.differing_samples <= 2 and found.same_answers >= 10


def test_a_wrong_export_would_be_seen(run, tmp_path):
    """The comparison is no tautology: with another reset or leak, spikes differ far from the threshold."""
    _, trained, samples, _ = run
    for changes in ({"threshold": 1.1}, {"tau_ms": 12.0}):
        write_nir(tmp_path / "other.nir", replace(trained, settings=replace(trained.settings, **changes)))
        found = compare_spikes(trained, read_nir(tmp_path / "other.nir"), samples.test.x)
        assert found.differing_samples > 6 and found.nearest_v > 5e-4


def test_every_weight_is_exported_once(run):
    _, trained, _, _ = run
    layout, weights = trained.layout, trained.weights
    into, recurrent = input_weights(layout, weights), recurrent_weights(layout, weights, 1.0)
    assert into.shape == (72, 16) and recurrent.shape == (72, 72)
    np.testing.assert_array_equal(np.diag(recurrent)[:16], -1.0)  # input tiles have no recurrence of their own
    rebuilt = recurrent.T + np.eye(72, dtype=np.float32)
    rebuilt[:16] += into.T
    np.testing.assert_allclose(rebuilt, weights, atol=1e-6)


def test_what_is_written_agrees_with_itself(run):
    out, trained, _, summary = run
    assert json.loads((out / "summary.json").read_text()) == json.loads(json.dumps(summary))
    stored = np.load(out / "weights.npz")
    np.testing.assert_array_equal(stored["weights"], trained.weights)
    with (out / "curves.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 6
    assert float(rows[summary["epoch"] - 1]["validation_accuracy"]) == summary["validation_accuracy"]
    routing = json.loads((out / "routing" / "summary.json").read_text())
    assert routing["provisioned_elements"]["total"] == summary["provisioned_elements"]
    assert routing["connections"] == summary["connections"] == np.count_nonzero(trained.weights)
    assert summary["test_set"] == "synthetic spoken digits, test split" and "SHD" not in json.dumps(summary)
    assert summary["constraint"] is None and summary["data"] == "synthetic spoken digits"
    assert (out / "curves.png").stat().st_size > 10_000


def test_the_profile_of_the_trained_network_is_the_one_asked_for(run):
    """Counted by the mapper. 0.5 of 8 x tiles there, and 0.125: whole numbers, so rounding plays no part."""
    _, trained, _, summary = run
    profile = mapped(trained).link_profile
    assert profile[1] == pytest.approx(0.5, abs=0.01) and profile[3] == pytest.approx(0.125, abs=0.01)
    assert not any(share for distance, share in profile.items() if distance > 3)
    assert summary["mappable"] == (summary["violated_ports"] == 0)


def test_unmappable_networks_are_said_to_be(run):
    """All to all on 3 x 3 tiles takes more lines than R0s of 8 have."""
    _, trained, _, _ = run
    every = Trained(
        trained.settings,
        trained.layout,
        trained.layout.possible.astype(np.float32),
        trained.layout.possible,
        1,
        trained.history,
    )
    mapping = mapped(every)
    assert not mapping.mappable
    assert {mapping.fabric.cell_name(each.cell)[:2] for each in mapping.violations} >= {"R0"}


def test_commands_train_and_the_network_runs_on_both_chips(data, tmp_path):
    out = tmp_path / "run"
    options = ["--method", "deepr-profile", "--profile", "p1=0.5,p3=0.125", "--out", out]
    shown = nsim("train", "routing-aware", data, *options, *SMALL)
    assert shown.returncode == 0, shown.stderr
    assert "epoch   2 of 2" in shown.stdout and "synthetic spoken digits, test split" in shown.stdout
    assert "--resume" in refused("train", "routing-aware", data, *options, *SMALL)
    before = (out / "weights.npz").read_bytes()
    again = nsim("train", "routing-aware", data, *options, *SMALL, "--resume", "--json")
    assert again.returncode == 0, again.stderr
    assert the_line(again) == json.loads((out / "summary.json").read_text())
    assert (out / "weights.npz").read_bytes() == before
    inputs = ["--input", out / "test_inputs.npy", "--samples", 2]
    simulated = {}
    for chip, more in (("mosaic", SIZE), ("loihi2", ["--no-drain"])):
        folder = tmp_path / chip
        done = nsim("run", out / "network.nir", "--chip", chip, *inputs, *more, "--out", folder)
        assert done.returncode == 0, done.stderr
        simulated[chip] = np.load(folder / "outputs.npy")
    np.testing.assert_array_equal(simulated["mosaic"], simulated["loihi2"])
    assert simulated["mosaic"].shape == (2 * 21, 72) and simulated["mosaic"].any()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--method", "depr"], "did you mean deepr"),
        (["--profile", "p1"], "as in p1=0.95"),
        (["--grid", "3by3"], "rows x columns"),
        (["--l1", "-1"], "--l1 is -1"),
        (["--inputs", "12"], "multiple of 8"),
        (["--validation", "takes:3"], "give speakers:N, or clips:SHARE"),
        (["--recipe", "mine"], "no recipe 'mine'"),
        (["--weight-gain", "-1"], "weight_gain is -1.0"),
        (["--patience", "-1"], "patience is -1"),
    ],
)
def test_bad_options_are_one_line(data, tmp_path, options, complaint):
    given = ["--out", tmp_path / "run", *SMALL, "--profile", "p1=0.5", *options]
    assert complaint in refused("train", "routing-aware", data, *given)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("command", ["routing-aware", "routing-sweep"])
def test_without_the_extra_the_commands_say_what_to_install(tmp_path, monkeypatch, command):
    monkeypatch.setattr("nsim.training.find_spec", lambda name: None)
    assert "pip install 'nsim-neuromorphic[train]'" in refused(
        "train", command, "spoken-digits", "--out", tmp_path / "out"
    )


def settings_of(command, tmp_path, monkeypatch, *options):
    """What a command would train with."""
    caught = []

    def stop(settings, *_):
        caught.append(settings)
        raise TrainingError("stop")

    monkeypatch.setattr("nsim.training.routing.samples.load_samples", stop)
    monkeypatch.setattr("nsim.training.routing.sweep.plan", stop)
    more = ["--profile", "p1=0.5"] if command == "routing-aware" else []
    refused("train", command, "digits.h5", "--out", tmp_path / "out", *more, *options)
    return caught[0]


@pytest.mark.parametrize("command", ["routing-aware", "routing-sweep"])
def test_both_commands_take_every_option_of_the_dataclasses(tmp_path, monkeypatch, command):
    plain = settings_of(command, tmp_path, monkeypatch)
    assert plain == Settings("digits.h5", plain.choice) and plain.choice == replace(plain.choice, recipe="default")
    other = {
        "batch": 7,
        "weight_gain": 0.25,
        "window_s": 0.7,
        "tau_ms": 3.0,
        "grid": "2x4",
        "l1": 0.5,
        "hop_weight": 3.0,
    }
    words = [text for name, value in other.items() for text in (f"--{name.replace('_', '-')}", value)]
    found = settings_of(command, tmp_path, monkeypatch, *words)
    assert {name: getattr(found, name, getattr(found.choice, name, None)) for name in other} == other


def test_the_published_recipe_fills_in_what_was_not_typed(tmp_path, monkeypatch):
    found = settings_of("routing-aware", tmp_path, monkeypatch, "--recipe", "published", "--epochs", 30)
    expected = {**PUBLISHED, "epochs": 30}  # 30 is also the default: it was typed, so it stays
    assert {name: getattr(found, name) for name in expected} == expected
    assert found.choice.recipe == "published" and found.weight_gain is None


@pytest.mark.slow
def test_a_sweep_is_a_row_per_run_and_goes_on_where_it_was_stopped(data, tmp_path):
    """A run in a process gives what it gives alone; a finished one is left alone, one that fails has its error."""
    base, table = tiny(data, "dense", epochs=2), tmp_path / "table.csv"
    runs = plan(base, ["deepr-profile", "dense"], ["p1=0.5", "p1=0.5,p3=0.125"], 1, table)
    assert [run.folder.name for run in runs] == [
        "deepr-profile-p1=0.5-seed0",
        "deepr-profile-p1=0.5-p3=0.125-seed0",
        "dense-seed0",
    ]
    runs[2] = replace(runs[2], settings=replace(runs[2].settings, data=str(tmp_path / "nothing.h5")))
    samples = load_samples(base)
    write_report(train(runs[0].settings, samples, runs[0].folder), samples, runs[0].folder)
    ended = []
    assert sweep(runs, table, 1, lambda run, row: ended.append(run.folder.name)) == 1
    assert sorted(ended) == sorted(run.folder.name for run in runs[1:])
    with table.open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["method"], row["profile"]) for row in rows] == [
        ("deepr-profile", "p1=0.5"),
        ("deepr-profile", "p1=0.5,p3=0.125"),
        ("dense", ""),
    ]
    assert int(rows[0]["connections"]) < int(rows[1]["connections"]) and rows[0]["mappable"] == "True"
    assert "no such file" in rows[2]["error"] and not rows[0]["error"]
    alone = train(runs[1].settings, samples, tmp_path / "alone")
    np.testing.assert_allclose(np.load(runs[1].folder / "weights.npz")["weights"], alone.weights, atol=1e-5)


@pytest.mark.slow
def test_the_command_of_a_sweep_answers_scripts(data, tmp_path):
    table = tmp_path / "table.csv"
    words = ["train", "routing-sweep", data, "--out", table, "--methods", "dense", "--seeds", 1, "--workers", 1, *SMALL]
    found = the_line(nsim(*words, "--json"))
    assert (found["runs"], found["done"], found["failed"]) == (1, 1, 0)
    assert [row["method"] for row in found["rows"]] == ["dense"]
    again = nsim(*words, "--quiet")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


def test_sweeps_that_make_no_sense_are_refused(data, tmp_path):
    out = ["--out", tmp_path / "table.csv"]
    assert "--profiles" in refused("train", "routing-sweep", data, *out, "--methods", "deepr-profile")
    assert "did you mean dense" in refused("train", "routing-sweep", data, *out, "--methods", "dens")
    assert "0 seeds" in refused("train", "routing-sweep", data, *out, "--methods", "dense", "--seeds", 0)
    assert "workers are 0" in refused("train", "routing-sweep", data, *out, "--methods", "dense", "--workers", 0)
    assert split_list("p1=0.5;p1=0.5,p3=0.1  p1=1") == ["p1=0.5", "p1=0.5,p3=0.1", "p1=1"]


def test_results_of_other_settings_are_not_taken_for_ones_own(tmp_path):
    base = Settings("digits.h5", Choice("dense"))
    run = plan(base, ["dense"], [], 1, tmp_path / "table.csv")[0]
    run.folder.mkdir(parents=True)
    (run.folder / "summary.json").write_text(json.dumps({"settings": {**base.as_json(), "epochs": 31}}))
    with pytest.raises(TrainingError, match="other settings"):
        run.finished()
