"""HDF5 files from outside: a look at what they declare comes first, so that a bad one costs a line, not the memory.

A few hundred bytes of HDF5 can declare petabytes: space is set aside when it is written, fill values need none, and
gzip shrinks zeros about a thousandfold. Links may lead out of the file, or round in circles.
Source: HDF5 file format specification 3.0; the ratio is deflate's, RFC 1951 (1032:1, see zlib's technical notes).
"""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py

from nsim.errors import NetworkError, NsimError, available_bytes, check_no_pointer

HARMLESS_BYTES = 1 << 20  # a dataset up to this size may declare more than it stores
MAX_RATIO = 2_000  # declared to stored bytes; gzip reaches 1032
DENSE_RATIO = 100  # what compresses better than this is nearly empty, and may take NEARLY_EMPTY_BYTES
NEARLY_EMPTY_BYTES = 1 << 28
_HEAP = b"GCOL\x01\0\0\0"
_DAMAGE = (OSError, RuntimeError, KeyError, ValueError, TypeError)  # what h5py raises on damaged structures


@contextmanager
def checked_hdf5(
    path: str | Path, *, error: type[NsimError] = NetworkError, limit_bytes: int | None = None
) -> Iterator[h5py.File]:
    """The HDF5 file at `path`, open for reading, after everything in it was found to be readable in size and place.

    error        what to raise, always with one line that names the file
    limit_bytes  what all datasets together may declare; default: the memory available now. A dataset reached by
                 several links counts for each. Data of variable length count as if each were as long as the longest.
    raises       `error` if the file is missing, no file, not readable, not HDF5, cut short or damaged; if a link in
                 it dangles, leaves the file or leads back to a group seen before; if data lie in other files; if a
                 dataset declares more bytes than the limit or than the file can hold
    Damage that HDF5 notices only while the caller reads, inside the `with`, becomes `error` too.
    """
    path = Path(path)
    _check_is_file(path, error)
    try:
        file = h5py.File(path, "r")
    except _DAMAGE as problem:
        raise error(_why_not_opened(path, problem)) from None
    with file:
        longest = _longest_in_heaps(path, error)
        _check_contents(path, file, error, available_bytes() if limit_bytes is None else limit_bytes, longest)
        try:
            yield file
        except _DAMAGE as problem:  # also datatypes that NumPy lacks
            raise error(f"{path}: damaged HDF5 file ({_one_line(problem)}): fetch or write it again") from None


def _check_is_file(path: Path, error: type[NsimError]) -> None:
    try:
        if not path.exists():
            raise error(f"{path}: no such file: check the path")
        if path.is_dir():
            raise error(f"{path}: is a directory: give a file in it")
        if not path.is_file():
            raise error(f"{path}: is no regular file: copy its contents to one")
        check_no_pointer(path, error)
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or _one_line(problem)
        raise error(f"{str(path)!r}: cannot be read ({reason}): check the path and its permissions") from None


def _longest_in_heaps(path: Path, error: type[NsimError]) -> int:
    """Bytes of the longest object in global heaps, which hold strings and data of variable length; refuses broken ones.

    HDF5 2.0 follows such a list for ever when a size in it is wrong. Specification section III.E: a heap is "GCOL",
    version, 3 zeros, its size; then objects of index, references (2 bytes each), 4 zeros, size, and data filled up to
    8 bytes. Index 0 is the free rest, its size counts its head.
    """
    longest = 0
    if not path.stat().st_size:
        return longest
    with path.open("rb") as stream, mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as data:
        start = data.find(_HEAP)
        while start >= 0:
            place, end = start + 16, min(start + int.from_bytes(data[start + 8 : start + 16], "little"), len(data))
            while place + 16 <= end:
                size = int.from_bytes(data[place + 8 : place + 16], "little")
                is_object = data[place : place + 2] != b"\0\0"
                step = 16 + -(-size // 8) * 8 if is_object else size
                longest = max(longest, size if is_object else 0)
                if step < 16 or place + step > end:
                    raise error(f"{path}: damaged HDF5 file (heap at byte {start}): fetch or write it again")
                place += step
            start = data.find(_HEAP, max(start + 16, end))
    return longest


def _why_not_opened(path: Path, problem: Exception) -> str:
    size = path.stat().st_size
    text = _one_line(problem)
    if "truncated" in text or (size and "signature" not in text and size < 1024):
        return f"{path}: HDF5 file cut short at {size} bytes: fetch or write it again"
    if "signature" in text:
        return f"{path}: not an HDF5 file ({size} bytes): check that it is the right file"
    return f"{path}: cannot be opened as HDF5 ({text}): close other programs that write it, or write it again"


def _one_line(problem: BaseException) -> str:
    return " ".join(str(problem).split())[:200] or type(problem).__name__


def _check_contents(path: Path, file: h5py.File, error: type[NsimError], limit_bytes: int, longest: int) -> None:
    file_bytes = path.stat().st_size
    total = 0
    seen = {hash(file["/"])}
    waiting: list[h5py.Group] = [file["/"]]
    while waiting:
        group = waiting.pop()
        for key, item in _members(path, group, error):
            name = f"{group.name.rstrip('/')}/{key}"
            if isinstance(item, h5py.Group):
                if hash(item) in seen:
                    raise error(f"{path}: group {name!r} is linked a second time: write the file without such links")
                seen.add(hash(item))
                waiting.append(item)
            elif isinstance(item, h5py.Dataset):
                total += _checked_bytes(path, name, item, error, file_bytes, longest)
                if total > limit_bytes:
                    raise error(
                        f"{path}: dataset {name!r} brings the data to {total} bytes, but {limit_bytes} bytes of memory "
                        f"are available: use a machine with more memory"
                    )


def _members(path: Path, group: h5py.Group, error: type[NsimError]) -> Iterator[tuple[str, object]]:
    """Key and object of each link of a group, which must end inside this file."""
    try:
        keys = list(group)
    except _DAMAGE as problem:
        raise error(f"{path}: group {group.name!r} is damaged ({_one_line(problem)}): write it again") from None
    for key in keys:
        name = f"{group.name.rstrip('/')}/{key}"
        try:
            link = group.get(key, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise error(f"{path}: {name!r} links to another file, {link.filename!r}: copy its data into this one")
            yield key, group[key]
        except _DAMAGE as problem:
            reason = _one_line(problem)
            raise error(f"{path}: {name!r} leads nowhere or is damaged ({reason}): write the file again") from None


def _checked_bytes(
    path: Path, name: str, dataset: h5py.Dataset, error: type[NsimError], file_bytes: int, longest: int
) -> int:
    """Bytes that a dataset takes once read, if the file can hold them."""
    try:
        elsewhere = dataset.is_virtual or dataset.external
        extent = dataset.id.get_space().get_simple_extent_dims()
        count = 0 if extent is None else math.prod(map(int, extent))
        datatype, plist = dataset.id.get_type(), dataset.id.get_create_plist()
        declared = count * datatype.get_size()
        contiguous = plist.get_layout() == h5py.h5d.CONTIGUOUS
        chunked = plist.get_layout() == h5py.h5d.CHUNKED
        chunk = math.prod(plist.get_chunk()) * datatype.get_size() if chunked else 0
        stored = dataset.id.get_storage_size()
    except _DAMAGE as problem:
        raise error(f"{path}: dataset {name!r} is damaged ({_one_line(problem)}): write the file again") from None
    if elsewhere:
        raise error(f"{path}: dataset {name!r} keeps its data outside the file: copy them into it")
    possible = file_bytes if contiguous else MAX_RATIO * min(stored, file_bytes)
    if max(declared, chunk) > DENSE_RATIO * stored:
        possible = min(possible, NEARLY_EMPTY_BYTES)
    declared = max(declared, chunk)  # a chunk is unpacked as a whole
    if declared > max(possible, HARMLESS_BYTES):
        raise error(
            f"{path}: dataset {name!r} declares {declared} bytes, but stores {stored} in a file of {file_bytes}: "
            f"write the file again"
        )
    return declared + (count * longest if _varies(datatype) else 0)


def _varies(datatype: h5py.h5t.TypeID) -> bool:
    """Whether values, or members of them, lie in the heap and have any length."""
    if isinstance(datatype, h5py.h5t.TypeStringID):
        return datatype.is_variable_str()
    return datatype.detect_class(h5py.h5t.VLEN) or datatype.detect_class(h5py.h5t.STRING)
