"""How much memory there is, so that files which declare more are refused before anything is allocated."""

from __future__ import annotations

import os
from pathlib import Path


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
