"""What was measured on Loihi against the simulator: constants of its chip file alone.

Of no network that was measured on it layers and activity are known. Reproduces: barrier times, and the slopes of the
microbenchmarks; expects them back exactly. SANA-FE's authors report errors of 11.7 % in energy and 24.3 % in latency
for the costs that the file takes from them.

    python -m benchmarks.validation.loihi [--csv FILE] [--engine NAME]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.validation import microbenchmarks
from benchmarks.validation.comparison import INPUT, Row, row, script
from benchmarks.validation.loihi2 import slopes
from nsim.chip.timesteps import BarrierChip

SANAFE = "SANA-FE, arch/loihi.yaml"
BARRIERS = ((1, 600), (2, 1000), (4, 1400), (29, 1800))  # tiles, ns


def barriers(chip: BarrierChip, engine: str) -> Iterator[Row]:
    for tiles, published_ns in BARRIERS:
        found = microbenchmarks.measure_ps(microbenchmarks.barrier(chip, tiles), engine) / 1000
        yield row(
            "Barrier", f"over {tiles} tiles", "ns", published_ns, found, INPUT, "in the file", SANAFE, tolerance=0.01
        )


NOT_COMPARABLE = (
    ("errors of 11.7 % in energy, 24.3 % in latency", "Boyle et al., SANA-FE", "networks and single values not found"),
    (
        "x86 power: 18 mW + 6.0 mW x share of time",
        "five power probes",
        "in the chip file; layers of the network not found",
    ),
    ("0.065 mW per powered core", "five power probes", "the same"),
    ("table 2: costs before silicon", "Davies et al. 2018", "superseded by the fit to silicon"),
)


def all_rows(chip: BarrierChip, quick: bool, engine: str) -> Iterator[Row]:
    yield from barriers(chip, engine)
    yield from slopes(chip, engine)


if __name__ == "__main__":
    script("loihi", all_rows, NOT_COMPARABLE)
