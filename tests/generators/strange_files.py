"""Files that are not what their name says: HDF5 fields of any type, pipes, devices, packed and nested text."""

import gzip
import os
import tarfile

import h5py
import numpy as np


def unusual(group, name):
    """A datatype that NumPy lacks."""
    h5py.h5d.create(group.id, name.encode(), h5py.h5t.UNIX_D32LE, h5py.h5s.create_simple((2,)))


def committed(group, name):
    group.file["kind"] = np.dtype("i4")
    group.create_dataset(name, (2,), dtype=group.file["kind"])


PLANTS = {
    "time": unusual,
    "committed": committed,
    "reference": lambda group, name: group.__setitem__(name, group.ref),
    "empty": lambda group, name: group.__setitem__(name, h5py.Empty("f8")),
    "group": lambda group, name: group.create_group(name),
    "enumeration": lambda group, name: group.create_dataset(name, (2,), h5py.enum_dtype({"A": 1})),
    **{
        kind: lambda group, name, value=value: group.__setitem__(name, value)
        for kind, value in {
            "integer": 3,
            "negative": -1,
            "nothing": np.zeros(0),
            "compound": np.zeros(2, [("a", "i4"), ("b", "f8")]),
            "record": np.zeros((), [("a", "i4"), ("b", "f8")]),
            "text": "x",
            "bytes": np.array([b"a", b"b"]),
            "opaque": np.void(b"abc"),
            "unsigned": np.uint64(2**64 - 1),
            "lowest": np.int64(-(2**63)),
            "huge": 1e300,
            "nan": np.nan,
            "complex": 1j,
            "deep": np.zeros((1, 2, 3, 4, 5)),
        }.items()
    },
}


def datasets(path):
    found = []
    with h5py.File(path) as file:
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
    return found


def planted(source, target, name, plant):
    target.write_bytes(source.read_bytes())
    with h5py.File(target, "r+") as file:
        del file[name]
        plant(file[name.rpartition("/")[0] or "/"], name.rpartition("/")[2])


def _nested(path):
    path.write_text("x = " + "[" * 100_000)


def _digits(path):
    path.write_text("x = " + "9" * 5_000 + "\n")


def _bomb(path):
    """Zeros that are packed into next to nothing."""
    with path.open("wb") as file:
        np.savez_compressed(file, x=np.zeros(1 << 29, bool))


def _packed(path):
    path.write_bytes(gzip.compress(path.read_bytes()))


def _tar(path):
    whole = path.with_suffix(".tar")
    with tarfile.open(whole, "w") as archive:
        archive.add(path, path.name)
    whole.replace(path)


def _instead(make):
    def replaced(path):
        path.unlink()
        make(path)

    return replaced


STRANGE = {  # what takes the place of a file
    "a pipe": _instead(os.mkfifo),
    "a folder": _instead(os.mkdir),
    "/dev/zero": _instead(lambda path: path.symlink_to("/dev/zero")),
    "/proc/kmsg": _instead(lambda path: path.symlink_to("/proc/kmsg")),
    "a link to itself": _instead(lambda path: path.symlink_to(path)),
    "nothing": _instead(lambda path: path.touch()),
    "nested brackets": _nested,
    "a number of 5,000 digits": _digits,
    "a bomb of zeros": _bomb,
    "its gzip": _packed,
    "its tar": _tar,
}
