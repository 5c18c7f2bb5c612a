"""Spoken digits that are made up, in SHD layout: every word has channels of its own, so a network can learn them."""

import h5py
import numpy as np


def write_digits(path, words=4, speakers=5, takes=3, seed=0):
    """The last speaker is the test. Spikes in 20 bins: the word says which channels, the bins are random."""
    rng = np.random.default_rng(seed)
    said = [(word, speaker) for speaker in range(speakers) for word in range(words) for _ in range(takes)]
    with h5py.File(path, "w") as file:
        for name, element in (("times", "f4"), ("units", "i2")):
            file.create_dataset(f"spikes/{name}", (len(said),), h5py.vlen_dtype(np.dtype(element)))
        for sample, (word, _) in enumerate(said):
            size = 400
            own = rng.integers(word * 700 // words, (word + 1) * 700 // words, size)
            units = np.where(rng.random(size) < 0.8, own, rng.integers(0, 700, size))
            file["spikes/times"][sample] = np.sort(rng.uniform(0, 1.3, size)).astype("f4")
            file["spikes/units"][sample] = units.astype("i2")
        labels, who = (np.array([each[k] for each in said], np.uint8) for k in range(2))
        file["labels"], file["extra/speaker"] = labels, who
        file["extra/keys"] = [f"word {word}" for word in range(words)]
        file["extra/split"] = (who == speakers - 1).astype(np.uint8)
        file.attrs["generator"] = "made up for a test"
    return path
