"""The training loop: what it learns, what a resumed run is, and how it stops."""

import json

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("optax")

from nsim.errors import InterruptedRunError, NetworkError, OutputError, TrainingError
from nsim.training.routing.loop import train
from nsim.training.routing.options import Choice
from nsim.training.routing.samples import load_samples
from nsim.training.routing.settings import Settings, profile_of
from tests.generators.spoken_files import write_digits
from tests.generators.trainings import tiny


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits") / "digits.h5")


@pytest.fixture(scope="module")
def samples(data):
    return load_samples(tiny(data))


def contents(folder):
    return {file.name: file.read_bytes() for file in sorted(folder.iterdir())}


def stop_after(epoch):
    def report(row):
        if row["epoch"] == epoch:
            raise KeyboardInterrupt

    return report


@pytest.mark.parametrize("method", ["deepr-profile", "deepr"])
def test_a_resumed_run_ends_with_the_same_bytes(data, samples, tmp_path, method):
    settings = tiny(data, method)
    whole = train(settings, samples, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(settings, samples, tmp_path / "parts", report=stop_after(2))
    resumed = train(settings, samples, tmp_path / "parts", resume=True)
    assert contents(tmp_path / "whole") == contents(tmp_path / "parts")
    np.testing.assert_array_equal(whole.weights, resumed.weights)
    assert whole.epoch == resumed.epoch and len(resumed.history) == 4


def test_it_learns_and_keeps_the_best_validated_epoch_that_meets_the_profile(data, samples, tmp_path):
    settings = tiny(data, epochs=15, learning_rate=0.02, decay="epochs")
    found = train(settings, samples, tmp_path)
    accuracy = [row["validation_accuracy"] for row in found.history]
    assert max(accuracy) >= 0.75  # four words: 0.25 by chance
    assert accuracy[found.epoch - 1] == max(accuracy)
    assert settings.method(found.layout).violated(found.mask, 1.0) is None
    assert not found.weights[~found.mask].any()
    assert found.history[-1]["loss"] < found.history[0]["loss"]


def test_it_stops_at_a_plateau_and_a_resumed_run_stops_there_too(data, samples, tmp_path):
    """With no learning rate to speak of no epoch is better than the first one, so it waits for two and stops."""
    settings = tiny(data, epochs=9, patience=2, learning_rate=1e-12)
    whole = train(settings, samples, tmp_path / "whole")
    accuracy = [row["validation_accuracy"] for row in whole.history]
    assert whole.epoch == 1 and accuracy == [accuracy[0]] * 3
    with pytest.raises(KeyboardInterrupt):
        train(settings, samples, tmp_path / "parts", report=stop_after(2))
    for _ in range(2):  # a finished run, taken up again, stays as it is
        train(settings, samples, tmp_path / "parts", resume=True)
        assert contents(tmp_path / "whole") == contents(tmp_path / "parts")
    assert len(train(tiny(data, epochs=5, patience=0, learning_rate=1e-12), samples, tmp_path / "0").history) == 5


def test_the_test_samples_change_nothing(data, samples, tmp_path):
    from dataclasses import replace

    other = replace(samples, test=replace(samples.test, labels=(samples.test.labels + 1) % 4))
    runs = [train(tiny(data, epochs=2), s, tmp_path / str(k)) for k, s in enumerate((samples, other))]
    np.testing.assert_array_equal(runs[0].weights, runs[1].weights)


def test_l1_ends_with_the_count_that_it_was_given(data, samples, tmp_path):
    settings = tiny(data, "l1", epochs=4)
    found = train(settings, samples, tmp_path)
    assert found.epoch >= 3  # before, more connections than allowed were left
    assert settings.method(found.layout).violated(found.mask, 1.0) is None


def test_ctrl_c_keeps_the_last_epoch_and_says_how_to_go_on(data, samples, tmp_path, monkeypatch):
    from nsim.training.routing import loop

    train(tiny(data), samples, tmp_path / "run", report=None)
    calls = []

    def interrupted(self, weights, part):
        calls.append(part)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return real(self, weights, part)

    real = loop.Evaluator.__call__
    monkeypatch.setattr(loop.Evaluator, "__call__", interrupted)
    with pytest.raises(InterruptedRunError, match=r"epoch 3 of 4.*holds epoch 2.*--resume"):
        train(tiny(data), samples, tmp_path / "stopped")
    monkeypatch.undo()
    train(tiny(data), samples, tmp_path / "stopped", resume=True)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "run")


def test_weights_that_are_not_finite_are_one_line_and_the_checkpoint_stays(data, samples, tmp_path):
    """Weights of 1e38 overflow in the second step, and then nobody spikes: the loss alone would not tell."""
    with pytest.raises(TrainingError, match="not finite: train with a --learning-rate below 1e\\+38") as error:
        train(tiny(data, learning_rate=1e38, decay="epochs"), samples, tmp_path)
    assert "\n" not in str(error.value)


def test_folders_of_other_runs_are_refused(data, samples, tmp_path):
    run, settings = tmp_path / "run", tiny(data, epochs=1)
    train(settings, samples, run)
    with pytest.raises(TrainingError, match=r"holds a run.*--resume"):
        train(settings, samples, run)
    with pytest.raises(TrainingError, match=r"begun with learning_rate 0\.0025, not 0\.01"):
        train(tiny(data, epochs=1, learning_rate=0.01), samples, run, resume=True)
    with pytest.raises(TrainingError, match="other samples"):
        train(settings, load_samples(tiny(data, window_s=1.0)), run, resume=True)
    facts = json.loads((run / "checkpoint.json").read_text())
    (run / facts["arrays"]).write_bytes(b"PK")
    with pytest.raises(TrainingError, match=r"checkpoint\.json or its arrays cannot be read"):
        train(settings, samples, run, resume=True)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    with pytest.raises(OutputError, match="holds other files"):
        train(settings, samples, tmp_path / "other")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"epochs": 0}, "epochs is 0"),
        ({"batch": 0}, "batch is 0"),
        ({"seed": -1}, "seed is -1"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"tau_ms": 0.0}, "tau_ms is 0.0"),
        ({"rate_weight": -1.0}, "--rate-weight is -1.0"),
        ({"decay": "days"}, "no decay 'days'"),
        ({"patience": -1}, "patience is -1"),
        ({"weight_gain": 0.0}, "weight_gain is 0.0"),
        ({"weight_gain": float("inf")}, "weight_gain is inf"),
        ({"method": "l1", "epochs": 1}, "--epochs 2 or more"),
    ],
)
def test_settings_that_make_no_sense_are_refused(changes, message):
    with pytest.raises(TrainingError, match=message):
        tiny("digits.h5", **changes)


def test_profiles_are_read_or_refused():
    assert profile_of("p3=0.1,p1=0.95") == ((1, 0.95), (3, 0.1))
    for text in ("p1", "0.5", "p1=x", "q1=1"):
        with pytest.raises(TrainingError, match=r"as in p1=0\.95"):
            profile_of(text)
    with pytest.raises(NetworkError, match="p2"):
        settings = Settings("x", Choice("deepr-profile", profile=((2, 0.5),)))
        settings.method(settings.layout(20))
