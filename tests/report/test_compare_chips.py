"""`nsim compare-chips`: rows are those of runs, accuracy is counted by hand, and who cannot take a network says why."""

from __future__ import annotations

import nir
import numpy as np
import pandas as pd
import pytest

from tests.generators.commands import nsim, refused, the_line

MLP = "mlp:width=16,inputs=16,depth=2"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A layer of real numbers that names the largest of its inputs, samples, and labels of which one is wrong."""
    folder = tmp_path_factory.mktemp("compare")
    rng = np.random.default_rng(0)
    weights = np.eye(4, 8, dtype=np.float32) * 0.7 + 0.01
    nodes = {
        "input": nir.Input({"input": np.array([8])}),
        "fc": nir.Affine(weights, np.zeros(4, np.float32)),
        "output": nir.Output({"output": np.array([4])}),
    }
    nir.write(folder / "net.nir", nir.NIRGraph(nodes, [("input", "fc"), ("fc", "output")]))
    samples = rng.integers(0, 16, (12, 8))
    scores = samples @ weights.T
    np.save(folder / "in.npy", samples[:, None, :].astype(np.uint8))
    labels = scores.argmax(axis=1)
    labels[0] = (labels[0] + 1) % 4
    np.save(folder / "labels.npy", labels)
    return folder


def test_accuracy_and_its_loss_on_every_chip(folder):
    words = ("--chips", "loihi2,akd1000,speck", "--input", "in.npy", "--labels", "labels.npy", "--dt", "1e-3")
    found = the_line(nsim("compare-chips", "net.nir", *words, "--json", cwd=folder))
    rows = {row["chip"]: row for row in found["chips"]}
    assert found["reference_accuracy"] == pytest.approx(11 / 12)  # the one label that is wrong
    assert rows["akd1000"]["how"] == "quantised on the input"
    for chip in ("loihi2", "akd1000"):
        run = ("run", "net.nir", "--chip", chip, *words[2:], "--json")
        assert rows[chip]["accuracy"] == the_line(nsim(*run, cwd=folder))["accuracy"]
        assert rows[chip]["accuracy_loss"] == pytest.approx(11 / 12 - rows[chip]["accuracy"])
    assert rows["speck"]["how"] == "rates over 100 timesteps" and rows["speck"]["of"] == "frame"
    assert rows["speck"]["accuracy"] == pytest.approx(11 / 12) and rows["speck"]["accuracy_loss"] == pytest.approx(0)
    whole = the_line(
        nsim("run", "net.nir", "--chip", "speck", "--input", "in.npy", "--dt", "1e-3", "--json", cwd=folder)
    )
    assert rows["speck"]["energy_fj"] == pytest.approx(whole["energy_fj"] / 12)
    assert rows["speck"]["time_ps"] == 100 * 10**9 + whole["latency_median_ps"]


def test_few_timesteps_lose_accuracy_on_speck(folder):
    """Rates of 2 timesteps tell three levels apart, the samples sixteen."""
    words = ("--chips", "loihi2,speck", "--input", "in.npy", "--labels", "labels.npy", "--dt", "1e-3")
    found = the_line(nsim("compare-chips", "net.nir", *words, "--rate-steps", 2, "--json", cwd=folder))
    assert found["chips"][1]["how"] == "rates over 2 timesteps" and found["chips"][1]["accuracy_loss"] > 0.2


def test_spikes_by_timestep_reach_speck_as_events(tmp_path):
    """Every input drives one output of threshold 1, so the classes can be counted from the spikes alone."""
    rng = np.random.default_rng(1)
    counts = rng.permuted(np.tile([[0, 3, 5, 9]], (6, 1)), axis=1)  # spikes of every input in every sample
    spikes = np.zeros((6, 10, 4, 1, 1), np.uint8)
    for sample, step_counts in enumerate(counts):
        for neuron, count in enumerate(step_counts):
            spikes[sample, rng.permutation(10)[:count], neuron] = 1
    labels = counts.argmax(axis=1)
    labels[5] = (labels[5] + 1) % 4
    np.save(tmp_path / "in.npy", spikes)
    np.save(tmp_path / "labels.npy", labels)
    nodes = {
        "input": nir.Input({"input": np.array([4, 1, 1])}),
        "conv": nir.Conv2d((1, 1), np.eye(4, dtype=np.float32)[:, :, None, None], 1, 0, 1, 1, np.zeros(4, np.float32)),
        "fire": nir.IF(np.ones((4, 1, 1)), np.full((4, 1, 1), 0.9), np.zeros((4, 1, 1))),
        "output": nir.Output({"output": np.array([4, 1, 1])}),
    }
    edges = [("input", "conv"), ("conv", "fire"), ("fire", "output")]
    nir.write(tmp_path / "net.nir", nir.NIRGraph(nodes, edges))
    words = ("--chips", "loihi2,speck", "--input", "in.npy", "--labels", "labels.npy", "--dt", "1e-3")
    done = nsim("compare-chips", "net.nir", *words, "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    found = the_line(done)
    rows = {row["chip"]: row for row in found["chips"]}
    assert not rows["speck"]["why_not"], rows["speck"]
    assert (
        found["reference_accuracy"] == rows["loihi2"]["accuracy"] == rows["speck"]["accuracy"] == pytest.approx(5 / 6)
    )
    assert rows["speck"]["accuracy_loss"] == 0


@pytest.mark.parametrize("width", [80, 100])
def test_table_figure_and_screen(folder, tmp_path, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    files = ("--out", "chips.csv", "--plot", "chips.svg")
    done = nsim("compare-chips", MLP, "--chips", "loihi2,loihi,speck", "--timesteps", 2, *files, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= width and "IF" in done.stdout
    table = pd.read_csv(tmp_path / "chips.csv").set_index("chip")
    run = the_line(nsim("run", MLP, "--chip", "loihi", "--timesteps", 2, "--json"))
    assert table.loc["loihi", "time_ps"] == run["time_per_timestep_ps"]
    drawn = (tmp_path / "chips.svg").read_text()
    assert "loihi2, per timestep" in drawn and "speck" not in drawn
    assert nsim("compare-chips", MLP, "--chips", "speck", "--quiet").returncode == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nosuch", "--chips", "loihi"), "no network 'nosuch'"),
        (("mlp", "--chips", "loihi,loihy"), "loihi"),
        (("mlp",), "--chips"),
        (("mlp", "--chips", "loihi", "--plot", "a.gif"), "end its name in"),
        (("mlp", "--chips", "loihi", "--out", "a.txt"), "end its name in .csv or .parquet"),
        (("mlp", "--chips", "speck,loihi", "--rate-steps", "0"), "give 1 to 100,000"),
        (("mlp", "--chips", "speck", "--plot", "a.png"), "there is nothing to draw"),
        (("mlp", "--chips", "loihi,loihi2", "--labels", "no.npy"), "--input"),
    ],
)
def test_bad_words_are_refused_in_one_line(words, says, tmp_path):
    assert says in refused("compare-chips", *words, cwd=tmp_path)
    assert not list(tmp_path.iterdir())
