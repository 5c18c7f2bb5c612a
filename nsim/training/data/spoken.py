"""Spoken digits as spikes: loaded, split and binned for training.

The data are files in the layout of the Spiking Heidelberg Digits (SHD): the genuine ones, or synthetic ones, which
their attribute `generator` marks. Results on those are no SHD results: `name` says which it is.

Layout, beyond `nsim.formats.shd`: /extra/speaker, one speaker per sample; /extra/keys, the word of each class; and in
generated files /extra/split, 0 for training and 1 for test (SHD has two files). A file ending in .gz is unpacked first.

Sources: Cramer et al., IEEE TNNLS 2020, arXiv:1910.07407, and its files' README. Binning and sub-sampling of channels:
the program published with Mosaic (Nature Communications 2024).
"""

from __future__ import annotations

import gzip
import hashlib
import shutil
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, available_bytes, check_fits
from nsim.formats.hdf5 import checked_hdf5
from nsim.formats.shd import Spikes, read_shd

CHANNELS = 700
SYNTHETIC = "synthetic spoken digits"
RECORDINGS = "nsim recordings"  # how the attribute generator begins in files of nsim data recordings
READY_SET = Path(__file__).with_name("spoken_digits.h5.gz")  # made by nsim data spoken-digits
SHD_FILES = ("shd_train.h5", "shd_test.h5")
SHD_SAMPLES = ({8156, 8332}, {2264, 2088})  # of training and test: both divisions have been published
# Of the archives, by the loader of tonic (tonic/datasets/hsd.py)
SHD_ARCHIVES_MD5 = {
    "shd_train.h5.zip": "f3252aeb598ac776c1b526422d90eecb",
    "shd_test.h5.zip": "1503a5064faa34311c398fb0a1ed0a6f",
}
CLIPS_SHARE = 0.1  # held out for validation where all speakers are known: assumed
SHD_SITE = "https://zenkelab.org/datasets/"


@dataclass(frozen=True, eq=False)
class SpokenDigits:
    """Samples of spoken digits, each a train of spikes on 700 channels; channel 0 has the highest frequency.

    name        "SHD" for the genuine files only, "synthetic spoken digits" for generated ones, "recordings in FOLDER"
                for those of nsim data recordings, else the file's name
    times_s     per sample float32[spikes], ascending
    units       per sample int32[spikes], 0..699
    labels      int64[samples], indices of `words`
    speakers    int64[samples]
    words       word of each class
    attributes  of the file: for generated ones all parameters; and "md5", what is known of the file's
    """

    name: str
    times_s: list[NDArray[np.float32]]
    units: list[NDArray[np.int32]]
    labels: NDArray[np.int64]
    speakers: NDArray[np.int64]
    words: tuple[str, ...]
    attributes: dict[str, Any]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: NDArray[Any]) -> SpokenDigits:
        """The samples of these indices, or where this mask is true."""
        indices = np.arange(len(self))[chosen]
        return replace(
            self,
            times_s=[self.times_s[sample] for sample in indices],
            units=[self.units[sample] for sample in indices],
            labels=self.labels[indices],
            speakers=self.speakers[indices],
        )


def load_spoken(path: str | Path) -> SpokenDigits:
    """All samples of a file in SHD layout: integers and floats of any width, times in any order, .h5 or .h5.gz.

    raises  InputError if the file is missing, damaged or of another layout, differs from the md5 that its folder's
            md5sums.txt gives for it, or if a time, channel, label or speaker in it is impossible
    """
    return _load(Path(path))[0]


def load_split(path: str | Path | tuple[str | Path, str | Path]) -> tuple[SpokenDigits, SpokenDigits]:
    """Training and test samples, as the makers of the data divided them.

    path    a generated file, or "spoken-digits", the set of the distribution nsim-spoken-digits; a folder with
            shd_train.h5 and shd_test.h5, or one of these two files; or a pair of files
    raises  InputError, as `load_spoken`, and if one half is missing or the halves have different words
    """
    if isinstance(path, tuple):
        return _pair(Path(path[0]), Path(path[1]))
    if str(path) == "spoken-digits":
        if not READY_SET.exists():
            raise InputError(
                "the spoken digits are not installed: pip install ./spoken-digits in a clone of nsim, or make a set of "
                "your own (nsim data spoken-digits digits.h5) and give that file"
            )
        path = READY_SET
    path = Path(path)
    if path.is_dir() or path.name.removesuffix(".gz") in SHD_FILES:
        folder = path if path.is_dir() else path.parent
        return _pair(*(_shd_file(folder, name) for name in SHD_FILES))
    digits, split = _load(path)
    if split is None:
        raise InputError(f"{path} has no extra/split: give the folder of {SHD_FILES[0]} and {SHD_FILES[1]}, or a pair")
    if not 0 < np.count_nonzero(split) < len(split):
        raise InputError(f"{path} has {len(split)} samples, all of one split: extra/split takes 0 (train) and 1 (test)")
    return digits.take(split == 0), digits.take(split == 1)


def validation_split(
    train: SpokenDigits, rng: np.random.Generator, speakers: int | None = None
) -> tuple[SpokenDigits, SpokenDigits]:
    """Training samples without some speakers, and the samples of these; never touches the test file.

    speakers  to hold out; default one in five, as few as 1: 2 of the 10 in SHD's training file, like its 2 unseen ones
    raises    InputError if fewer than one speaker would remain
    """
    known = np.unique(train.speakers)
    count = max(1, len(known) // 5) if speakers is None else speakers
    if not 1 <= count < len(known):
        raise InputError(
            f"{train.name} has {len(known)} training speakers: hold out 1 to {len(known) - 1}, not {count}"
        )
    held_out = np.isin(train.speakers, rng.choice(known, count, replace=False))
    return train.take(~held_out), train.take(held_out)


def held_out(
    train: SpokenDigits, test: SpokenDigits, rng: np.random.Generator, how: str = ""
) -> tuple[SpokenDigits, SpokenDigits]:
    """Training samples without those for validation, and these.

    how      speakers:N, as `validation_split`, or clips:SHARE, so much of the samples, drawn whoever says them; empty:
             speakers if the test has one whom training has not, else one clip in ten, so that both are held out alike
    raises   InputError for another text, or a number that leaves nothing
    """
    unseen = not np.isin(test.speakers, train.speakers).all()
    kind, _, number = (how or ("speakers" if unseen else f"clips:{CLIPS_SHARE}")).partition(":")
    try:
        if kind == "speakers":
            return validation_split(train, rng, int(number) if number else None)
        share = float(number) if kind == "clips" else float("nan")
    except ValueError:
        share = float("nan")
    count = round(share * len(train)) if 0 < share < 1 else 0
    if not 0 < count < len(train):
        raise InputError(f"validation is {how!r}: give speakers:N, or clips:SHARE with a share between 0 and 1")
    chosen = np.zeros(len(train), bool)
    chosen[rng.choice(len(train), count, replace=False)] = True
    return train.take(~chosen), train.take(chosen)


def binned(
    samples: SpokenDigits,
    *,
    bins: int = 100,
    window_s: float = 1.4,
    inputs: int = 128,
    shifts: str = "all",
    rng: np.random.Generator | None = None,
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Whether there was a spike, by sample, time bin and input.

    shifts   "all": every phase of the sub-sampling is a sample of its own, neighbours in the order of phase, as
             published; "first": phase 0 only; "random": one phase per sample, drawn from `rng`
    returns  x, uint8[samples * phases, bins, inputs], 0 or 1; labels, int64[samples * phases]
    raises   InputError for a size or a way of shifting that makes no sense, or more than the free memory

    Channel u of phase p goes to input u // stride if u % stride == p, with stride = ceil(700 / inputs): 6 for 128
    inputs, of which 117 are used. Published are the edges, linspace(0, window_s, bins); which side of an edge a bin is
    on is assumed to be np.digitize's: bin k ends at edge k, so bin 0 stays empty and spikes from `window_s` on are
    dropped.
    """
    stride = _check_binning(bins, window_s, inputs, shifts, rng)
    phases = stride if shifts == "all" else 1
    rows = len(samples) * phases
    check_fits(rows * bins * inputs, f"{rows:,} x {bins} x {inputs} binned inputs", "shifts='first'", InputError)
    only = rng.integers(0, stride, len(samples)) if shifts == "random" and rng else np.zeros(len(samples), np.int64)
    x = np.zeros((rows, bins, inputs), np.uint8)
    edges_s = np.linspace(0, window_s, bins)
    for sample, (times_s, units) in enumerate(zip(samples.times_s, samples.units, strict=True)):
        when = np.searchsorted(edges_s, times_s, side="right")
        column, phase = np.divmod(units, stride)
        kept = when < bins
        if shifts != "all":
            kept &= phase == only[sample]
            phase = np.zeros_like(phase)
        x[sample * phases + phase[kept], when[kept], column[kept]] = 1
    return x, np.repeat(samples.labels, phases)


def _check_binning(bins: int, window_s: float, inputs: int, shifts: str, rng: np.random.Generator | None) -> int:
    """The stride of the sub-sampling, if the rest makes sense."""
    if bins < 2 or not 0 < window_s < float("inf"):
        raise InputError(f"{bins} bins over {window_s} s: give at least 2 bins and a positive window")
    if inputs < 1:
        raise InputError(f"{inputs} inputs: give at least 1 ({CHANNELS} for one per channel)")
    if shifts not in ("all", "first", "random"):
        raise InputError(f"shifts {shifts!r}: give 'all', 'first' or 'random'")
    if shifts == "random" and rng is None:
        raise InputError("shifts 'random' are drawn: give rng")
    return -(-CHANNELS // inputs)


def _shd_file(folder: Path, name: str) -> Path:
    for candidate in (folder / name, folder / f"{name}.gz"):
        if candidate.exists():
            return candidate
    archive = f"{name}.zip"
    raise InputError(
        f"{folder} has no {name}: unpack {archive} there, from {SHD_SITE} (CC BY 4.0; the archive's md5 is "
        f"{SHD_ARCHIVES_MD5[archive]})"
    )


def _pair(train: Path, test: Path) -> tuple[SpokenDigits, SpokenDigits]:
    halves = load_spoken(train), load_spoken(test)
    words = [half.words for half in halves]
    if words[0] != words[1]:
        raise InputError(f"{train} and {test} have different words in extra/keys: they are not halves of one set")
    return halves


def _md5_known(path: Path) -> str:
    """What the list that its server keeps beside the data says of a file; refuses one that differs."""
    try:
        lines = (path.parent / "md5sums.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    known = {name.lstrip("*"): value for value, name in (line.split() for line in lines if len(line.split()) == 2)}
    if path.name not in known:
        return "not known here"
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "md5").hexdigest()
    if found != known[path.name].lower():
        raise InputError(f"{path} has md5 {found}, but md5sums.txt says {known[path.name]}: fetch it again")
    return f"{found}, as in md5sums.txt"


@contextmanager
def _unpacked(path: Path) -> Iterator[Path]:
    """The file itself, or a temporary copy of what a .gz holds."""
    if path.suffix != ".gz" or not path.is_file():
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / path.stem
        try:
            _unpack(path, copy)
        except (OSError, EOFError, zlib.error) as fault:
            cause = getattr(fault, "strerror", None) or fault
            raise InputError(f"{path} cannot be unpacked ({cause}): fetch it again") from None
        yield copy


def _unpack(path: Path, copy: Path) -> None:
    room = min(available_bytes(), shutil.disk_usage(copy.parent).free)
    with gzip.open(path) as packed, copy.open("wb") as plain:
        while block := packed.read(1 << 20):
            room -= len(block)
            if room < 0:
                raise InputError(f"{path} unpacks to more than the free memory or disk: unpack it elsewhere")
            plain.write(block)


def _load(path: Path) -> tuple[SpokenDigits, NDArray[np.int64] | None]:
    md5 = _md5_known(path) if path.is_file() else ""
    with _unpacked(path) as plain:
        try:
            spikes, labels = read_shd(plain)
            with checked_hdf5(plain, error=InputError) as file:
                extra = _Extra.read(file, len(labels), path)
        except InputError as error:
            raise InputError(str(error).replace(str(plain), str(path))) from None
    times_s, units = _checked_spikes(spikes, path)
    _check_labels(labels, len(extra.words), path)
    name = _name(path, extra, len(labels))
    attributes = extra.attributes | {"md5": md5}
    return SpokenDigits(name, times_s, units, labels, extra.speakers, extra.words, attributes), extra.split


@dataclass(frozen=True, eq=False)
class _Extra:
    """What stands beside the spikes."""

    speakers: NDArray[np.int64]
    words: tuple[str, ...]
    split: NDArray[np.int64] | None
    attributes: dict[str, Any]

    @classmethod
    def read(cls, file: h5py.File, samples: int, path: Path) -> _Extra:
        try:
            speakers = _per_sample(file, "extra/speaker", samples, path)
            split = _per_sample(file, "extra/split", samples, path) if "extra/split" in file else None
            keys = _dataset(file, "extra/keys", path)[()]
            words = tuple(key.decode() if isinstance(key, bytes) else str(key) for key in np.atleast_1d(keys))
            attributes = {str(key): value for key, value in file.attrs.items()}
        except (KeyError, ValueError, TypeError) as fault:  # what h5py raises on damaged types and names
            cause = " ".join(str(fault).split())[:120]
            raise InputError(f"{path}: damaged HDF5 file ({cause}): fetch or write it again") from fault
        if (speakers < 0).any():
            raise InputError(f"{path} has speaker {speakers.min()}: speakers count from 0")
        if split is not None and not np.isin(split, (0, 1)).all():
            raise InputError(f"{path} has {split.max()} in extra/split: give 0 (train) or 1 (test)")
        return cls(speakers, words, split, attributes)


def _dataset(file: h5py.File, name: str, path: Path) -> h5py.Dataset:
    dataset = file.get(name)
    if not isinstance(dataset, h5py.Dataset):
        raise InputError(f"{path} has no dataset {name!r}: an SHD file holds extra/speaker and extra/keys")
    return dataset


def _per_sample(file: h5py.File, name: str, samples: int, path: Path) -> NDArray[np.int64]:
    dataset = _dataset(file, name, path)
    if dataset.dtype.kind not in "iu" or dataset.shape != (samples,):
        raise InputError(
            f"{path} has {name} of shape {dataset.shape}, {dataset.dtype}, but {samples} samples: give one integer each"
        )
    return dataset[()].astype(np.int64)


def _name(path: Path, extra: _Extra, samples: int) -> str:
    """SHD, if the file's name and its numbers of samples and words say so, and nothing says that it was made here."""
    if str(extra.attributes.get("generator", "")).startswith(RECORDINGS):
        return f"recordings in {extra.attributes.get('folder', 'a folder')}"
    if "generator" in extra.attributes:
        return SYNTHETIC
    name = path.name.removesuffix(".gz")
    genuine = name in SHD_FILES and samples in SHD_SAMPLES[SHD_FILES.index(name)] and len(extra.words) == 20
    return "SHD" if genuine else path.name


def _checked_spikes(spikes: list[Spikes], path: Path) -> tuple[list[NDArray[np.float32]], list[NDArray[np.int32]]]:
    all_times, all_units = [], []
    for sample in range(len(spikes)):
        times, units = spikes[sample]
        spikes[sample] = times[:0], units[:0]  # the wide copy goes at once: SHD as float64 and int64 takes 1 GB
        bad = ~np.isfinite(times) | (times < 0)
        if bad.any():
            raise InputError(
                f"{path}, sample {sample} has {np.count_nonzero(bad)} times that are negative, NaN or infinite "
                f"({times[bad.argmax()]}): write the file again"
            )
        outside = (units < 0) | (units >= CHANNELS)
        if outside.any():
            raise InputError(
                f"{path}, sample {sample} has unit {units[outside.argmax()]}, but SHD has {CHANNELS} channels, "
                f"0..{CHANNELS - 1}: write the file again"
            )
        all_times.append(times.astype(np.float32))
        all_units.append(units.astype(np.int32))
    return all_times, all_units


def _check_labels(labels: NDArray[np.int64], words: int, path: Path) -> None:
    bad = (labels < 0) | (labels >= words)
    if bad.any():
        sample = int(bad.argmax())
        raise InputError(
            f"{path}, sample {sample} has label {labels[sample]}, but extra/keys holds {words} words: "
            f"labels are 0..{words - 1}"
        )
