"""How much memory there is, so that files which declare more are refused before anything is allocated."""

from __future__ import annotations

import os
from pathlib import Path

from nsim.errors import NsimError


def available_bytes() -> int:
    """Memory that can still be taken, in bytes; where the system does not tell, half of all, or else no limit."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):  # unlike SC_AVPHYS_PAGES it counts the file cache as free
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    for pages, share in (("SC_AVPHYS_PAGES", 1.0), ("SC_PHYS_PAGES", 0.5)):
        try:
            return int(os.sysconf(pages) * os.sysconf("SC_PAGE_SIZE") * share)
        except (AttributeError, ValueError, OSError):
            continue
    return 1 << 62


def check_fits(needed_bytes: int, what: str, cure: str, error: type[NsimError]) -> None:
    """Refuse with this error what takes more memory than there is: "WHAT take ... bytes, but ...: CURE"."""
    free = available_bytes()
    if needed_bytes > free:
        raise error(f"{what} take {needed_bytes:,} bytes, but {free:,} bytes of memory are free: {cure}")
