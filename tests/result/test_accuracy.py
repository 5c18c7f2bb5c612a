"""Accuracy of a run against counting by hand, labels from every kind of file, and what is wrong with them."""

import h5py
import numpy as np
import pytest

from nsim import load_chip, map_network, simulate
from nsim.errors import InputError
from nsim.formats.labels import read_labels
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, FixedIf, QuantizedInput, QuantizedRelu, Relay
from nsim.network.synapses import Dense
from nsim.result.accuracy import accuracy
from nsim.result.neurobench import export
from tests.generators.commands import nsim, refused

LOIHI2 = load_chip("loihi2")
IN, OUT = (6, 1, 1), (3, 1, 1)


def repeater(neuron=None, weights=None):
    """Output k fires with input k, if nothing else is said; inputs 3 to 5 lead nowhere."""
    layers = Layer("input", IN, Relay(binary=True), on_chip=False), Layer("out", OUT, neuron or FixedIf(1))
    own = np.eye(3, 6, dtype=np.int64) if weights is None else weights
    return Network("net", layers, (Connection("input", "out", Dense(own, IN, OUT)),), "input", "out")


def frames_of(counts, steps=5):
    """A sample a row: input k fires in the first counts[k] timesteps."""
    return np.array([[[step < count for count in (*row, 0, 0, 0)] for step in range(steps)] for row in counts])


def test_most_spikes_of_a_sample_whatever_is_still_under_way():
    """The last spike arrives in the silence that drains the pipeline, and decides the second sample."""
    frames = frames_of([(3, 1, 0), (2, 2, 1), (0, 0, 4), (1, 5, 4)])
    frames[1, 4, 1] = True  # 2, 3, 1: by a spike in the last timestep
    result = simulate(map_network(repeater(), LOIHI2), frames, labels=np.array([0, 1, 2, 2]))
    assert result.summary()["accuracy"] == 0.75 and result.summary()["accuracy_by"] == "most spikes"
    assert export(result)["ClassificationAccuracy"] == 0.75
    assert "ClassificationAccuracy" not in export(result)["nsim"]["absent"]


def test_the_last_value_of_a_layer_that_holds_one():
    """The readout shows the last frame alone, whatever came before."""
    frames = np.zeros((2, 4, 6), bool)
    frames[0, :3, 0] = frames[0, 3, 1] = frames[1, :, 2] = True
    network = repeater(Activation(rectify=False), np.eye(3, 6))
    summary = simulate(map_network(network, LOIHI2), frames, labels=np.array([1, 2])).summary()
    assert summary["accuracy"] == 1 and summary["accuracy_by"] == "largest last value"
    assert simulate(map_network(network, LOIHI2), frames, labels=np.array([0, 2])).summary()["accuracy"] == 0.5


def test_of_several_largest_the_first_counts_and_it_is_said():
    frames = frames_of([(2, 2, 0), (0, 0, 0), (0, 1, 0)])
    summary = simulate(map_network(repeater(), LOIHI2), frames, labels=np.array([0, 1, 1])).summary()
    assert summary["accuracy"] == pytest.approx(2 / 3)
    assert summary["accuracy_by"] == "most spikes, 2 of 3 samples undecided"


def test_of_an_interrupted_run_only_whole_samples_count():
    outputs = np.eye(3, dtype=int)[[0, 0, 1, 1, 2]]
    assert accuracy(outputs, [2, 2, 2], np.array([0, 2, 2]), holds=False).facts["accuracy"] == 0.5
    assert accuracy(outputs[:1], [2, 2, 2], np.array([0, 2, 2]), holds=False) is None


def test_the_first_samples_take_the_first_labels():
    frames = frames_of([(3, 0, 0), (0, 3, 0), (0, 0, 3)])
    labels = np.array([0, 1, 0])
    assert simulate(map_network(repeater(), LOIHI2), frames, samples=2, labels=labels).summary()["accuracy"] == 1


def test_without_labels_there_is_no_such_key():
    summary = simulate(map_network(repeater(), LOIHI2), frames_of([(3, 0, 0)])).summary()
    assert not [key for key in summary if "accuracy" in key]


def save(path, labels):
    if path.suffix == ".npy":
        np.save(path, np.array(labels, np.uint8)[:, None])
    elif path.suffix == ".npz":
        np.savez(path, x=np.zeros((3, 4)), labels=np.array(labels, np.int16))
    elif path.suffix == ".csv":
        path.write_text("label\n" + "\n".join(map(str, labels)) + "\n")
    elif path.suffix == ".txt":
        path.write_text("\n".join(map(str, labels)))
    else:
        with h5py.File(path, "w") as file:
            file["labels"] = np.array(labels, np.uint16)
    return path


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".txt", ".h5"])
def test_labels_of_every_kind_of_file(tmp_path, suffix):
    path = save(tmp_path / f"labels{suffix}", [2, 0, 1])
    assert read_labels(path, 3, 3, part=False).tolist() == [2, 0, 1]
    assert read_labels(path, 2, 3, part=True).tolist() == [2, 0]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 1], "labels has 2 labels, but the run has 3 samples: give one each"),
        ([0, 1, 2, 0], "labels has 4 labels, but the run has 3 samples"),
        ([0, 1, 3], "labels has class 3, but the output layer has 0 to 2"),
        ([0, -1, 2], "labels has class -1, but"),
        ([0.0, 1.0, 2.0], "labels holds float64 of shape"),
        (np.eye(3, dtype=int), "labels holds int64 of shape"),
    ],
)
def test_labels_that_do_not_fit(labels, words):
    frames = frames_of([(3, 0, 0), (0, 3, 0), (0, 0, 3)])
    with pytest.raises(InputError, match=words):
        simulate(map_network(repeater(), LOIHI2), frames, labels=np.array(labels))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("labels.csv", b"label\n1\ntwo\n", "line 3 is 'two': give one whole number a line"),
        ("labels.csv", b"1,2,3\n1,2\n", "line 2 is '1,2'"),
        ("labels.csv", b"9" * 400, "line 1 is '999"),
        ("labels.xyz", b"1", "unknown suffix '.xyz'"),
        ("labels.h5", b"no HDF5", "not an HDF5 file"),
        ("labels.npy", b"no array", "is no .npy array"),
        ("labels.csv", b"", "is empty"),
    ],
)
def test_files_that_hold_no_labels(tmp_path, name, content, words):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as error:
        read_labels(tmp_path / name, 3, 3, part=False)
    assert words in str(error.value) and "\n" not in str(error.value)


def test_an_archive_with_several_labels(tmp_path):
    np.savez(tmp_path / "in.npz", labels=np.zeros(3, int), target=np.zeros(3, int))
    with pytest.raises(InputError, match="has 2 arrays of labels among"):
        read_labels(tmp_path / "in.npz", 3, 3, part=False)


def test_on_the_command_line(tmp_path):
    frames = (np.random.default_rng(3).random((4, 4, 8)) < 0.5).astype(np.int8)
    np.savez(tmp_path / "in.npz", x=frames, labels=np.array([0, 1, 2, 3]))
    run = ("run", "mlp:width=8,depth=2,inputs=8", "--chip", "loihi2")
    shown = nsim(*run, "--input", "in.npz", "--labels", "in.npz", cwd=tmp_path).stdout
    assert "accuracy" in shown and "of 4 samples" in shown and "most spikes" in shown
    assert "drawn activity has no right answer" in refused(*run, "--labels", "in.npz", cwd=tmp_path)
    assert "labels 'x.npy' is not for chip 'speck'" in refused(
        "run", "speck-gesture", "--chip", "speck", "--labels", "x.npy"
    )


def test_frames_have_a_class_each():
    layers = Layer("input", (3, 1, 1), QuantizedInput(bits=4), on_chip=False), Layer("out", OUT, QuantizedRelu(None))
    synapses = Dense(np.eye(3, dtype=np.int64), (3, 1, 1), OUT)
    network = Network("net", layers, (Connection("input", "out", synapses, weight_bits=2),), "input", "out")
    frames = np.array([[9, 0, 1], [0, 9, 1], [0, 1, 9], [9, 1, 0]], np.uint8).reshape(4, 1, 3, 1, 1)
    mapping = map_network(network, load_chip("akd1000"))
    summary = simulate(mapping, frames, labels=np.array([0, 1, 2, 1])).summary()
    assert summary["accuracy"] == 0.75 and summary["accuracy_by"] == "largest last value"
    with pytest.raises(InputError, match="has 3 labels, but the run has 4 samples"):
        simulate(mapping, frames, labels=np.array([0, 1, 2]))
