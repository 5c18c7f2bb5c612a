"""checked_hdf5: whatever is wrong with a file becomes one line of the error class asked for, before memory is taken."""

import os
import re

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nsim.errors import InputError, NetworkError, available_bytes
from nsim.formats.hdf5 import checked_hdf5


@pytest.fixture
def path(tmp_path):
    return tmp_path / "data.h5"


def write_example(path):
    """All the layouts: compact scalars, contiguous, chunked with gzip, variable length, nested groups, empty."""
    with h5py.File(path, "w") as file:
        file["contiguous"] = np.arange(500.0)
        file.create_dataset("a/b/zipped", data=np.arange(3_000) % 7, compression="gzip")
        file["a/text"] = "relu"
        ragged = file.create_dataset("ragged", (3,), h5py.vlen_dtype(np.float32))
        ragged[0], ragged[2] = [1.0, 2.0], [3.0]
        file["a/nothing"] = h5py.Empty("f4")


def read_all(file):
    values = {}
    file.visititems(lambda name, x: values.update({name: x[()]}) if isinstance(x, h5py.Dataset) else None)
    return values


def refusal(path, error=NetworkError, **options):
    with pytest.raises(error) as caught, checked_hdf5(path, error=error, **options) as file:
        read_all(file)
    line = str(caught.value)
    assert "\n" not in line and path.name in line
    return line


def test_a_good_file_reads_as_it_was_written(path):
    write_example(path)
    with checked_hdf5(path) as file:
        values = read_all(file)
    np.testing.assert_array_equal(values["contiguous"], np.arange(500.0))
    np.testing.assert_array_equal(values["a/b/zipped"], np.arange(3_000) % 7)
    np.testing.assert_array_equal(values["ragged"][0], [1.0, 2.0])


def test_no_file_no_hdf5(path, tmp_path):
    assert "no such file" in refusal(path)
    assert "directory" in refusal(tmp_path)
    path.write_bytes(b"")
    assert "not an HDF5 file (0 bytes)" in refusal(path)
    path.write_text("weights: 1 2 3\n" * 100)
    assert "not an HDF5 file" in refusal(path)
    assert re.search("cannot be read|no such file", refusal(tmp_path / ("x" * 5_000)))  # the latter from Python 3.14 on


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_refused_and_not_waited_for(path):
    os.mkfifo(path)
    assert "no regular file" in refusal(path)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_no_permission(path):
    write_example(path)
    path.chmod(0)
    assert "cannot be read" in refusal(path)


def test_the_caller_chooses_the_error(path):
    refusal(path, error=InputError)


@given(share=st.floats(0, 1, exclude_max=True))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_every_prefix_of_a_file_is_refused(path, share):
    if not (whole := path.with_name("whole.h5")).exists():
        write_example(whole)
    data = whole.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    refusal(path)


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_every_short_prefix_is_refused_in_both_superblock_versions(path, libver):
    with h5py.File(path, "w", libver=libver) as file:
        file["x"] = np.arange(10)
    data = path.read_bytes()
    for cut in (*range(120), len(data) // 2, len(data) - 1):
        path.write_bytes(data[:cut])
        refusal(path)


def test_the_superblock_says_cut_short(path):
    write_example(path)
    path.write_bytes(path.read_bytes()[:-100])
    assert re.search(r"cut short at \d+ bytes", refusal(path))


def test_damaged_chunks_are_found_while_reading(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("x", data=np.random.default_rng(0).integers(0, 9, 1_000), compression="gzip")
        start = file["x"].id.get_chunk_info(0).byte_offset
    data = bytearray(path.read_bytes())
    data[start : start + 50] = b"\xff" * 50
    path.write_bytes(data)
    assert "damaged" in refusal(path)


def test_a_broken_heap_is_refused_and_not_followed_for_ever(path):
    """Strings of variable length are in a global heap; an object in it whose size is wrong once made HDF5 loop."""
    with h5py.File(path, "w") as file:
        file["names"] = ["input", "lif", "output"]
    good = path.read_bytes()
    heap = good.index(b"GCOL")
    for size in (0, 2**16, 2**64 - 16, 2**64 - 1):
        data = bytearray(good)
        rest = heap + 16 + 3 * 24  # three objects of a head of 16 bytes and up to 8 of text, then the free rest
        data[rest + 8 : rest + 16] = size.to_bytes(8, "little")
        path.write_bytes(data)
        assert "damaged" in refusal(path)


@pytest.mark.parametrize("options", [{}, {"chunks": (100, 100), "compression": "gzip"}, {"fillvalue": 1.0}])
@pytest.mark.parametrize("side", [1_000, 10**6, 2**30])
def test_a_dataset_that_was_only_declared(path, options, side):
    with h5py.File(path, "w") as file:
        file.create_dataset("deep/down/bomb", (side, side), "f4", **options)
    line = refusal(path)
    assert "deep/down/bomb" in line and str(side * side * 4) in line


def test_a_dataset_with_one_chunk_of_many(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("bomb", (10**5, 10**5), "f4", chunks=(10, 10), compression="gzip")[:10, :10] = 1
    assert "'/bomb' declares 40000000000 bytes" in refusal(path)


def test_what_gzip_can_really_do_is_accepted(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("zeros", data=np.zeros(4_000_000), chunks=(4_000_000,), compression="gzip")
        assert file["zeros"].nbytes > 900 * file["zeros"].id.get_storage_size()
    with checked_hdf5(path) as file:
        assert not file["zeros"][()].any()


def test_a_small_dataset_may_be_all_fill_value(path):
    with h5py.File(path, "w") as file:
        file.create_dataset("fill", (100,), "f4", fillvalue=2.0)
    with checked_hdf5(path) as file:
        assert (file["fill"][()] == 2).all()


def test_more_than_memory_takes(path):
    with h5py.File(path, "w") as file:
        file["first"], file["second"] = np.zeros(1_000), np.zeros(1_000)
    with checked_hdf5(path, limit_bytes=16_000):
        pass
    line = refusal(path, limit_bytes=15_999)
    assert "16000" in line and "15999" in line
    assert available_bytes() > 1 << 20


@pytest.mark.parametrize(
    "link", [h5py.SoftLink("/nowhere"), h5py.SoftLink("/link"), h5py.ExternalLink("other.h5", "/x")]
)
def test_links_that_dangle_or_leave(path, link):
    with h5py.File(path.with_name("other.h5"), "w") as file:
        file["x"] = 1
    with h5py.File(path, "w") as file:
        file["link"] = link
    assert "'/link'" in refusal(path)


def test_a_group_that_holds_itself(path):
    with h5py.File(path, "w") as file:
        inner = file.create_group("a/b")
        inner["again"] = file["a"]
    assert "linked a second time" in refusal(path)


def test_links_to_data_inside_the_file_count_each_time(path):
    with h5py.File(path, "w") as file:
        file["x"] = np.zeros(1_000)
        file["hard"], file["soft"] = file["x"], h5py.SoftLink("/x")
    with checked_hdf5(path, limit_bytes=24_000):
        pass
    refusal(path, limit_bytes=23_999)


def test_data_kept_in_other_files(path):
    other = path.with_name("other.h5")
    with h5py.File(other, "w") as file:
        file["x"] = np.zeros(10)
    with h5py.File(path, "w") as file:
        layout = h5py.VirtualLayout((10,), "f8")
        layout[:] = h5py.VirtualSource(other, "x", (10,))
        file.create_virtual_dataset("virtual", layout)
    assert "outside the file" in refusal(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("raw", (10,), "f8", external=[(str(path.with_name("raw.bin")), 0, 80)])
    assert "outside the file" in refusal(path)
