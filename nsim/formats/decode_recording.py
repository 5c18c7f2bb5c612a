"""Run as a program: decode one camera recording with faery and write its events as .npy.

    python -P decode_recording.py RECORDING TYPE RESULT BYTES

TYPE is faery's name of the format (aedat, dat or evt), BYTES the memory that may be taken. With exit code 3 standard
error says what faery says of the recording; code 4 is too little memory, code 5 a faery that cannot be imported. See
`nsim.formats.recordings` for why this is a program of its own.
"""

from __future__ import annotations

import sys
from contextlib import suppress
from importlib import import_module
from types import ModuleType

import numpy as np

LARGEST = 2048  # pixels a side that EVT addresses; for recordings whose header gives no size


def limit_memory(limit_bytes: int) -> None:
    """Let an allocation beyond the limit fail, where the system can: a packet may inflate a thousandfold."""
    try:
        import resource
    except ImportError:  # not on Windows
        return
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        limit_bytes = min(limit_bytes, hard)
    with suppress(OSError, ValueError):  # some systems know this limit, but do not let it be set
        resource.setrlimit(resource.RLIMIT_AS, (limit_bytes, hard))


def decode(faery: ModuleType, recording: str, kind: str, result: str) -> None:
    """Write all events as one structured array with t in microseconds, x, y and p."""
    stream = faery.events_stream_from_file(recording, dimensions_fallback=(LARGEST, LARGEST), file_type=kind)
    packets = [packet.copy() for packet in stream]
    np.save(result, np.concatenate(packets) if packets else np.zeros(0, faery.EVENTS_DTYPE))


def leave(code: int, fault: Exception) -> None:
    sys.stderr.write(" ".join(str(fault).split())[:160] or type(fault).__name__)
    sys.exit(code)


if __name__ == "__main__":
    try:
        library = import_module("faery")
        limit_memory(int(sys.argv[4]))
        decode(library, *sys.argv[1:4])
    except ImportError as fault:
        leave(5, fault)
    except MemoryError as fault:
        leave(4, fault)
    except Exception as fault:
        leave(3, fault)
