"""Frames to train on: pictures (Fashion-MNIST and its kin, scikit-learn's digits), a road video that is drawn, with its
true angles, and the generated spoken digits.

Pixels are unsigned integers 0..64: 64 stands for 1.0, which is how an input of Loihi's sigma-delta neurons is scaled.
"""

from __future__ import annotations

import difflib
import gzip
import struct
import zlib
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError
from nsim.training.data.spoken import SpokenDigits, binned, load_split, validation_split

FULL_SCALE = 64  # input that stands for 1.0
FASHION_MNIST = Path("/usr/share/datasets/fashion-mnist")  # Debian's package dataset-fashion-mnist
NAMES = ("fashion-mnist", "digits", "road-video", "spoken-digits", "spoken-pictures")
IDX_UNSIGNED_BYTES = 0x08
VALIDATION_SHARE = 6  # one in so many training pictures is for validation


@dataclass(frozen=True, eq=False)
class Split:
    """Samples of one purpose.

    inputs    uint8[samples, timesteps, C, H, W], 0..64
    targets   int64[samples] classes, or float32[samples, timesteps, outputs]
    """

    inputs: NDArray[np.uint8]
    targets: NDArray

    def __len__(self) -> int:
        return len(self.inputs)

    def first(self, samples: int | None) -> Split:
        return self if samples is None else Split(self.inputs[:samples], self.targets[:samples])


@dataclass(frozen=True, eq=False)
class Data:
    """A task. classes: number of them; None for a task whose targets are numbers."""

    name: str
    train: Split
    validation: Split
    test: Split
    classes: int | None

    def limited(self, samples: int | None) -> Data:
        """With at most so many samples to train on, and as many each for validation and test."""
        parts = {part: getattr(self, part).first(samples) for part in ("train", "validation", "test")}
        return replace(self, **parts)


def load_data(name: str | Path, rng: np.random.Generator) -> Data:
    """A task by name (NAMES), or the folder of four idx files as MNIST and its kin have them.

    rng      draws which training samples are for validation, or the roads
    raises   InputError
    """
    if str(name) == "fashion-mnist":
        if not FASHION_MNIST.is_dir():
            raise InputError(
                f"no folder {FASHION_MNIST}: install Debian's package dataset-fashion-mnist, or give the folder that "
                "holds train-images-idx3-ubyte.gz and the other three files"
            )
        return idx_folder(FASHION_MNIST, rng, "fashion-mnist")
    drawn = {"digits": small_digits, "road-video": road_video, "spoken-digits": words, "spoken-pictures": word_pictures}
    if str(name) in drawn:
        return drawn[str(name)](rng)
    path = Path(name)
    if not path.exists():
        near = difflib.get_close_matches(str(name), NAMES, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]}? " if near else ""
        raise InputError(f"no data {str(name)!r}: {hint}give {', '.join(NAMES)}, or a folder of idx files")
    if not path.is_dir():
        raise InputError(f"{path} is a file: give the folder that holds the four idx files")
    return idx_folder(path, rng, path.name)


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an idx file of unsigned bytes, gzipped or not.

    Format: two zero bytes, a type (8: unsigned bytes), the number of axes, each extent as big-endian uint32, the data.
    Source: the description on the MNIST page of Y. LeCun.
    raises  InputError for another type, or a size that does not match the header
    """
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except (OSError, EOFError, zlib.error) as fault:
        raise InputError(f"{path} cannot be read ({fault}): fetch it again") from None
    if len(content) < 4 or content[:2] != b"\0\0":
        raise InputError(f"{path} starts with {content[:4]!r}, not with two zero bytes as idx files do: check the file")
    kind, axes = content[2], content[3]
    if kind != IDX_UNSIGNED_BYTES or not 1 <= axes <= 4:
        raise InputError(f"{path} holds type {kind:#x} with {axes} axes: expected unsigned bytes (0x8), 1 to 4 axes")
    start = 4 + 4 * axes
    if len(content) < start:
        raise InputError(f"{path} ends at byte {len(content)}, within its header of {start}: fetch it again")
    shape = struct.unpack(f">{axes}I", content[4:start])
    expected = int(np.prod([int(extent) for extent in shape], dtype=object))
    if len(content) - start != expected:
        raise InputError(
            f"{path} declares {shape}, {expected} bytes, but holds {len(content) - start}: it is cut short or damaged, "
            "fetch it again"
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)


def write_idx(path: Path, values: NDArray[np.uint8]) -> None:
    """The reverse of `read_idx`, not compressed."""
    head = bytes((0, 0, IDX_UNSIGNED_BYTES, values.ndim)) + struct.pack(f">{values.ndim}I", *values.shape)
    path.write_bytes(head + values.tobytes())


def idx_folder(folder: Path, rng: np.random.Generator, name: str) -> Data:
    """Training and test pictures with labels; a sixth of the training pictures is for validation."""
    train = _labelled(folder, "train")
    test = _labelled(folder, "t10k")
    if train.inputs.shape[1:] != test.inputs.shape[1:]:
        shapes = train.inputs.shape[2:], test.inputs.shape[2:]
        raise InputError(f"{folder} trains on pictures of {shapes[0]} and tests on {shapes[1]}: check the files")
    order = rng.permutation(len(train))
    held = max(1, len(order) // VALIDATION_SHARE)
    parts = [Split(train.inputs[chosen], train.targets[chosen]) for chosen in (order[held:], order[:held])]
    return Data(name, parts[0], parts[1], test, 1 + int(max(train.targets.max(), test.targets.max())))


def _labelled(folder: Path, part: str) -> Split:
    images = read_idx(_existing(folder, f"{part}-images-idx3-ubyte"))
    labels = read_idx(_existing(folder, f"{part}-labels-idx1-ubyte"))
    if images.ndim != 3 or labels.ndim != 1 or len(images) != len(labels) or len(images) < 2:
        raise InputError(
            f"{folder} has {part} pictures of shape {images.shape} and labels of shape {labels.shape}: expected "
            "(samples, rows, columns) and (samples), at least 2"
        )
    return Split(scaled(images)[:, None, None], labels.astype(np.int64))


def _existing(folder: Path, stem: str) -> Path:
    for path in (folder / stem, folder / f"{stem}.gz"):
        if path.is_file():
            return path
    raise InputError(f"{folder} has no file {stem} or {stem}.gz: give a folder of the four idx files")


def small_digits(rng: np.random.Generator) -> Data:
    """Scikit-learn's 1,797 handwritten digits of 8 x 8 pixels: a sixth each for test and validation.

    raises   InputError if scikit-learn is not installed
    """
    try:
        from sklearn.datasets import load_digits  # type: ignore[import-untyped]
    except ImportError:
        raise InputError(
            "digits come with scikit-learn, which is missing: pip install 'nsim-neuromorphic[train]'"
        ) from None
    found = load_digits()
    images = (found.images * (FULL_SCALE // 16)).astype(np.uint8)[:, None, None]  # pixels are 0..16
    order = rng.permutation(len(images))
    held = len(order) // VALIDATION_SHARE
    cuts = order[2 * held :], order[:held], order[held : 2 * held]
    train, validation, test = (Split(images[part], found.target[part].astype(np.int64)) for part in cuts)
    return Data("digits", train, validation, test, 10)


def scaled(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pixels 0..255 as 0..64, rounded."""
    return ((pixels.astype(np.uint16) * FULL_SCALE + 127) // 255).astype(np.uint8)


BINS, WINDOW_S = 32, 1.0  # of a word: frames of 32 ms
PICTURE_BINS = 16
WORD_INPUTS = 128  # of 700 channels: every sixth, in six phases that make as many samples of a word


def words(rng: np.random.Generator, bins: int = BINS) -> Data:
    """The generated spoken digits that come along, as frames of channels with and without a spike, 64 or 0.

    rng      draws the speakers whose words are for validation, and the order; test speakers are others still
    """

    def frames(part: SpokenDigits) -> Split:
        found, labels = binned(part, bins=bins, window_s=WINDOW_S, inputs=WORD_INPUTS)
        order = rng.permutation(len(labels))  # phases of a word are apart, so that the first samples are of many words
        return Split((found[order] * FULL_SCALE)[:, :, None, :, None], labels[order])

    known, test = load_split("spoken-digits")
    train, validation = validation_split(known, rng)
    return Data("spoken-digits", frames(train), frames(validation), frames(test), len(test.words))


def word_pictures(rng: np.random.Generator) -> Data:
    """The same as pictures, channels by time bins, that fill as the word goes on: frame t shows bins 0 to t."""
    heard = words(rng, PICTURE_BINS)

    def shown(split: Split) -> Split:
        picture = split.inputs[:, None, :, 0, :, 0].transpose(0, 1, 3, 2)[:, :, None]
        past = np.tri(PICTURE_BINS, dtype=np.uint8)[:, None, None]
        return Split(picture * past, split.targets)

    return Data("spoken-pictures", shown(heard.train), shown(heard.validation), shown(heard.test), heard.classes)


FRAMES = 8  # of a drive
ROWS, COLUMNS = 33, 100  # training shape of lava-dl's PilotNet SDNN
HORIZON = 12  # row above which there is no road
CAMERA_HEIGHT_M, FOCAL_PIXELS, HALF_LANE_M = 1.2, 60.0, 1.8
WHEELBASE_M = 2.7
SHARPEST_PER_M = 0.02  # curvature of a bend of 50 m
METRES_PER_FRAME = 1.0


def road_video(rng: np.random.Generator, drives: tuple[int, int, int] = (480, 120, 120)) -> Data:
    """Drives along roads of changing curvature, drawn in perspective, and the steering angle of every frame.

    drives   for training, validation and test
    The angle is that of a bicycle model on the road's curvature, atan(wheelbase x curvature), in units of the largest.
    """
    parts = [Split(*_drives(number, rng)) for number in drives]
    return Data("road-video", parts[0], parts[1], parts[2], None)


def _drives(number: int, rng: np.random.Generator) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    frames = np.empty((number, FRAMES, 3, ROWS, COLUMNS), np.uint8)
    angles = np.empty((number, FRAMES, 1), np.float32)
    largest = np.arctan(WHEELBASE_M * SHARPEST_PER_M)
    for drive in range(number):
        start, end = rng.uniform(-SHARPEST_PER_M, SHARPEST_PER_M, 2)
        offset_m, light, texture = rng.uniform(-0.4, 0.4), rng.uniform(0.7, 1.0), rng.uniform(0, 0.08, (64, 64))
        for frame, share in enumerate(np.linspace(0, 1, FRAMES)):
            curvature = start + share * (end - start)
            travelled_m = frame * METRES_PER_FRAME
            frames[drive, frame] = draw_road(curvature, offset_m, travelled_m, light, texture)
            angles[drive, frame] = np.arctan(WHEELBASE_M * curvature) / largest
    return frames, angles


def draw_road(
    curvature_per_m: float, offset_m: float, travelled_m: float, light: float, texture: NDArray
) -> NDArray[np.uint8]:
    """One picture uint8[3, ROWS, COLUMNS], 0..64: a flat ground seen by a pinhole camera above the road.

    curvature_per_m  of the road ahead, positive to the right: its middle is at curvature / 2 x distance^2
    offset_m         of the camera from the middle of the road
    travelled_m      shifts dashes and texture towards the camera
    texture          brightness of the ground in squares of a metre, repeated
    """
    row, column = np.mgrid[HORIZON:ROWS, 0:COLUMNS]
    distance_m = CAMERA_HEIGHT_M * FOCAL_PIXELS / (row - HORIZON + 0.5)
    across_m = (column - (COLUMNS - 1) / 2) * distance_m / FOCAL_PIXELS
    from_middle_m = across_m + offset_m - curvature_per_m / 2 * distance_m**2
    along_m = distance_m + travelled_m
    ground = texture[along_m.astype(int) % 64, np.floor(across_m).astype(int) % 64]
    on_road = np.abs(from_middle_m) < HALF_LANE_M
    edge = np.abs(np.abs(from_middle_m) - HALF_LANE_M) < 0.15
    dash = (np.abs(from_middle_m) < 0.1) & (along_m % 6 < 3)
    colour = np.where(
        on_road[None], np.array([0.3, 0.3, 0.32])[:, None, None], np.array([0.2, 0.5, 0.2])[:, None, None]
    )
    colour = np.where((edge | dash)[None], 0.95, colour + ground[None])
    picture = np.empty((3, ROWS, COLUMNS))
    picture[:, :HORIZON] = np.array([0.5, 0.65, 0.9])[:, None, None]
    picture[:, HORIZON:] = colour
    return np.round(np.clip(light * picture, 0, 1) * FULL_SCALE).astype(np.uint8)
