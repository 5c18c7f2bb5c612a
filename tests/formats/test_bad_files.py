"""Files that are none: pipes, devices, bombs, types that NumPy lacks. One line each, soon, and in little memory."""

import os
import subprocess
import sys
import zipfile
from itertools import pairwise

import h5py
import nir
import numpy as np
import pytest

from nsim.errors import InputError, NetworkError, NsimError, read_toml
from nsim.formats.hdf5 import checked_hdf5
from nsim.formats.netx import read_netx
from nsim.formats.nir_graph import read_nir
from nsim.formats.numpy_files import read_arrays
from nsim.formats.spikes import load_input
from tests.generators.commands import refused
from tests.generators.strange_files import PLANTS, datasets, planted

F = np.float32
GIB = 1 << 30


def one_line(error):
    text = str(error.value)
    assert "\n" not in text and len(text) < 700, text
    return text


# What is no file of a disk


@pytest.fixture(params=["fifo", "zero", "kmsg", "folder"])
def strange(request, tmp_path):
    places = {"zero": "/dev/zero", "kmsg": "/proc/kmsg", "folder": "folder.toml", "fifo": "pipe.toml"}
    path = tmp_path / places[request.param]
    if request.param == "fifo":
        os.mkfifo(path)
    if request.param == "folder":
        path.mkdir()
    if not path.exists():
        pytest.skip(f"no {path} on this system")
    return path


def test_text_is_read_of_regular_files_only(strange):
    with pytest.raises(
        InputError, match=r"cannot read activity file .* \((is no regular file|is a directory)\): cure"
    ) as e:
        read_toml(strange, "activity file", "cure", InputError)
    one_line(e)


@pytest.mark.parametrize("option", ["--partition", "--activity", "--chip"])
def test_options_that_name_files(strange, tmp_path, option):
    """Under another name, since a suffix says what kind of file it is."""
    path = strange
    if strange.suffix != ".toml":
        path = tmp_path / "link.toml"
        path.symlink_to(strange)
    given = {"--chip": "loihi2", option: str(path)}
    line = refused("run", "mlp", *[word for pair in given.items() for word in pair])
    assert "regular file" in line or "directory" in line


def test_traces_that_are_no_file(strange):
    assert "message trace" in refused("noc", strange, "--chip", "loihi2")


def test_packed_traces_are_no_text(tmp_path):
    import gzip

    with gzip.open(tmp_path / "trace.csv.gz", "wb") as file:
        file.write(b"time_ps,source_core,destination_core,bits\n" + b"0,1,2,3\n" * 1000)
    assert "message trace" in refused("noc", tmp_path / "trace.csv.gz", "--chip", "loihi2")


@pytest.mark.parametrize(
    "content",
    [b"a = " + b"[" * 50_000, b"a = " + b"9" * 5_000, b"\xff\xfe", b"a = 1\na = 2", b"# " + b"x" * 10_000_001],
    ids=["deep", "digits", "bytes", "twice", "large"],
)
def test_toml_that_is_none(tmp_path, content):
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(InputError, match="cannot read partition file") as error:
        read_toml(tmp_path / "a.toml", "partition file", "cure", InputError)
    one_line(error)


def test_names_that_are_too_long(tmp_path):
    name = "a" * 5_000
    for words in (("run", f"{name}.nir"), ("run", f"{name}.net"), ("run", "mlp", "--input", f"{name}.npy")):
        refused(*words, "--chip", "loihi2")
    refused("run", "mlp", "--chip", f"./{name}.toml")
    refused("run", "mlp", "--chip", "loihi2", "--partition", f"{name}.toml")
    refused("run", "mlp", "--chip", "loihi2", "--activity", f"{name}.toml")
    refused("noc", f"{name}.csv", "--chip", "loihi2")


# Bombs


def test_arrays_that_are_nearly_empty(tmp_path):
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("x.npy", "w", force_zip64=True) as member,
    ):
        np.lib.format.write_array_header_1_0(member, {"descr": "|b1", "fortran_order": False, "shape": (GIB,)})
        for _ in range(64):
            member.write(bytes(GIB // 64))
    with pytest.raises(InputError, match="nearly empty") as error:
        read_arrays(tmp_path / "bomb.npz")
    one_line(error)


def hdf5_refusal(path, words):
    with pytest.raises(NetworkError, match=words) as error, checked_hdf5(path):
        pass
    one_line(error)


def test_a_chunk_larger_than_its_dataset(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", (8,), "u1", maxshape=(None,), chunks=(GIB,), compression="gzip")
    hdf5_refusal(tmp_path / "a.h5", r"'/x' declares 1073741824 bytes, but stores 0")


def test_zeros_that_gzip_packs_away(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as file:
        data = file.create_dataset("x", (GIB // 2,), "u1", chunks=(1 << 24,), compression="gzip", compression_opts=1)
        chunk = np.zeros(1 << 24, np.uint8)
        for start in range(0, GIB // 2, 1 << 24):
            data[start : start + (1 << 24)] = chunk
    hdf5_refusal(tmp_path / "a.h5", r"'/x' declares 536870912 bytes")


def test_many_strings_that_are_one(tmp_path):
    """Each pointer of a dataset of strings may lead to the same long one."""
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("x", data=["y" * 1_000_000], dtype=h5py.string_dtype())
        file.create_dataset("z", (100_000_000,), h5py.string_dtype(), chunks=(1_000_000,), compression="gzip")
        file["z"][:4] = ""
    with pytest.raises(NetworkError, match=r"declares|brings the data to") as error, checked_hdf5(tmp_path / "a.h5"):
        pass
    one_line(error)


def test_refusing_takes_little_memory(tmp_path):
    test_a_chunk_larger_than_its_dataset(tmp_path)
    program = (
        "import resource, sys; resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))\n"
        "from nsim.formats.hdf5 import checked_hdf5\n"
        "try:\n    checked_hdf5(sys.argv[1]).__enter__()\nexcept Exception as e: print(type(e).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.h5"], capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "NetworkError", done.stderr


# Fields of the wrong type


@pytest.fixture(scope="module")
def nir_file(tmp_path_factory):
    """One node of every type that is read."""
    one = np.ones((3, 4, 4), F)
    nodes = {
        "input": nir.Input({"input": np.array([2, 4, 4])}),
        "conv": nir.Conv2d((4, 4), np.ones((3, 2, 3, 3), F), 1, 1, 1, 1, np.zeros(3, F)),
        "lif": nir.LIF(0.01 * one, one, 0 * one, one, 0 * one),
        "pool": nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        "scale": nir.Scale(np.full((3, 1, 1), 2.0)),
        "delay": nir.Delay(np.full((3, 2, 2), 1e-3)),
        "flat": nir.Flatten({"input": np.array([3, 2, 2])}, 0),
        "fc": nir.Affine(np.ones((5, 12), F), np.ones(5, F)),
        "cuba": nir.CubaLIF(*(np.full(5, x, F) for x in (0.005, 0.01, 1, 0, 1, 0, 1))),
        "fc2": nir.Linear(np.ones((4, 5), F)),
        "if": nir.IF(np.ones(4), np.ones(4)),
        "li": nir.LI(*(np.ones(4),) * 3),
        "over": nir.Threshold(np.ones(4)),
        "output": nir.Output({"output": np.array([4])}),
    }
    names = list(nodes)
    path = tmp_path_factory.mktemp("nir") / "whole.nir"
    edges = list(pairwise(names))
    nir.write(path, nir.NIRGraph(nodes, edges, {"dt": 1e-3}, type_check=False))
    read_nir(path)
    return path


def read_or_refused(read, path):
    """A network, or one line: nothing else."""
    try:
        read(path)
    except NsimError as error:
        assert "\n" not in str(error) and len(str(error)) < 700, str(error)


@pytest.mark.parametrize("kind", PLANTS)
def test_fields_of_nir_may_hold_anything(nir_file, tmp_path, kind):
    for name in datasets(nir_file)[list(PLANTS).index(kind) % 4 :: 4]:  # all kinds meet all types of node
        planted(nir_file, tmp_path / "bad.nir", name, PLANTS[kind])
        read_or_refused(read_nir, tmp_path / "bad.nir")


LOIHI = {"type": "LOIHI", "iDecay": 1, "vDecay": 1, "vThMant": 2}


@pytest.mark.parametrize("kind", PLANTS)
def test_fields_of_net_may_hold_anything(tmp_path, kind):
    path = tmp_path / "whole.net"
    with h5py.File(path, "w") as file:
        for number, fields in enumerate(
            (
                {"type": "input", "shape": [4, 1, 1], "neuron": LOIHI},
                {"type": "dense", "shape": [3], "weight": np.ones((3, 4)), "bias": np.ones(3), "delay": np.ones(3),
                 "neuron": LOIHI},
            )
        ):  # fmt: skip
            for key, value in fields.items():
                for inner, entry in value.items() if isinstance(value, dict) else [("", value)]:
                    file[f"layer/{number}/{key}/{inner}".rstrip("/")] = entry
    read_netx(path)
    for name in datasets(path):
        planted(path, tmp_path / "bad.net", name, PLANTS[kind])
        read_or_refused(read_netx, tmp_path / "bad.net")


# Recordings


def test_a_bit_flipped_in_a_clock(tmp_path):
    t = np.sort(np.random.default_rng(0).integers(0, 50_000, 100))
    t[-1] ^= 1 << 31
    np.savez(tmp_path / "rec.npz", times=t, units=np.zeros(100, int))
    with pytest.raises(InputError, match=r"no event from .* to 2147.*: check its clock, or give --start") as error:
        load_input(tmp_path / "rec.npz", (4, 1, 1), bin_s=1e-3)
    one_line(error)
    assert load_input(f"{tmp_path / 'rec.npz'}:stop=0.05", (4, 1, 1), bin_s=1e-3)[0].timesteps <= 50
