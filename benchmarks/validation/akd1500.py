"""Published measurements of BrainChip AKD1500 against the simulator: layer by layer, in all mapping modes, and energy.

Reproduces: BrainChip, developer hub (github.com/Brainchip-Inc/brainchip_devhub, commit 541abd9): clocks of each layer
of three networks (akd1500_measured.csv: latencies of the notebooks x 400 MHz; each is what the network takes with this
layer less what it takes without), clocks, processors, passes and energy of these and of YOLOv2 in their mapping modes.

Expects: every layer within 20 %, their median within 8 %; totals within 10 %; processors and passes exactly; dynamic
energy within 15 %. benchmarks/README.md says what that is worth.

    python -m benchmarks.validation.akd1500 [--quick] [--csv FILE] [--engine NAME]

`frozen/akd1500.csv` holds the rows as they are: a test compares them, so that none moves unseen; `--csv` writes it.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np

if not __package__:  # run as a script
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks.validation.comparison import FITTED, INDEPENDENT, INPUT, PARTLY, Row, row, script
from nsim.chip.frames import FrameChip
from nsim.mapping.frames.mapping import FrameMapping, map_frames
from nsim.network.builtin import build
from nsim.result.frames import FrameResult
from nsim.result.run_frames import simulate_frames

HUB = "BrainChip, developer hub"
MEASURED = Path(__file__).with_name("akd1500_measured.csv")
OPTIONS = {"ds-cnn-kws": {"classes": 12}}
# Clocks, processors with the input block, passes, dynamic and total mJ of a frame, by network and mode; None: not given
TOTALS = {
    ("plantvillage", "minimal"): (36_418_493, 34, 2, 3.948, 14.839),
    ("plantvillage", "all-nps"): (18_314_559, 59, 2, 3.887, 9.389),
    ("plantvillage", "hw-pr"): (10_658_000, None, None, None, 7.187),
    ("vww", "minimal"): (3_210_214, 17, 1, 0.203, None),
    ("vww", "all-nps"): (2_227_619, 29, 1, 0.204, None),
    ("ds-cnn-kws", "minimal"): (134_806, 6, 1, 0.008, 0.048),
    ("ds-cnn-kws", "all-nps"): (45_638, None, 1, 0.010, 0.026),
    ("yolov2", "minimal"): (46_298_642, 73, 3, 6.561, 20.193),
    ("yolov2", "all-nps"): (34_040_208, 83, 3, 6.491, 16.509),
    ("yolov2", "hw-pr"): (24_774_725, 118, 5, 6.413, 13.691),
}
QUICK = ("vww", "ds-cnn-kws")
LAYERS_FIT = "one of 32 rows that the times of value, filter and step are fitted to together"
FIRST_FIT = "the time of an output of the input block is fitted to three such layers"
CONNECTED_FIT = "the one row for weights in external memory"
SMALL_FIT = "the time of an input is fitted to this and to a layer of AKD1000"
PASS = "no constant: what is loaded between the passes, and the time of an input"
BETWEEN = "the time of a message between passes was chosen with this in sight"
SUM = "the sum of layers that were fitted"
HEAD = "backbone's activity is another network's, the head's is assumed"
RULE = "the rules of the mapping were measured on the vendor's virtual device"
ENERGY_FIT = "energies of a step and of an output of the input block are fitted to four rows"
OTHER_ENERGY = "energies are fitted to other networks"
FLOOR = "clocks and dynamic energy as above, and a floor of 115 mW; the measured time has the host's in it"


def measured_layers() -> Iterator[tuple[str, str, int]]:
    with MEASURED.open(encoding="utf-8", newline="") as file:
        for line in csv.DictReader(file):
            yield line["network"], line["layer"], int(line["clocks"])


def layer_clocks(result: FrameResult) -> dict[str, float]:
    """From the end of the layer before to the end of each, of the first frame alone; a later pass with its loading."""
    chip, found = result.chip, {}
    for run in result.runs:
        before = -result.program_ps_per_frame if run is not result.runs[0] else 0
        for layer in run.mapping.network.layers[1:]:
            own = [part.core for part in run.mapping.parts if part.layer == layer.name]
            end = int(run.alone.finished_ps[0, own].max())
            found[layer.name], before = chip.clocks(end - before), end
    return found


def layer_rows(name: str, result: FrameResult) -> Iterator[Row]:
    """Of the minimal mapping, which is what was measured."""
    part, simulated, errors = f"{name}, layers", layer_clocks(result), []
    for network, layer, clocks in measured_layers():
        if network != name:
            continue
        constants, why = FITTED, LAYERS_FIT
        if layer == "conv_0":
            why = FIRST_FIT
        elif layer == "fc_1":
            why = CONNECTED_FIT
        elif layer == "predictions":
            constants, why = (FITTED, SMALL_FIT) if name == "vww" else (INDEPENDENT, PASS)
        yield row(part, layer, "clk", clocks, round(simulated[layer]), constants, why, HUB, tolerance=0.2)
        errors.append(abs(simulated[layer] / clocks - 1))
    median = round(float(np.median(errors)), 4)
    yield row(part, "median of the errors", "", 0.08, median, FITTED, LAYERS_FIT, HUB, "<=")


def total_rows(name: str, mode: str, mapping: FrameMapping, result: FrameResult) -> Iterator[Row]:
    clocks, processors, passes, dynamic_mj, total_mj = TOTALS[name, mode]
    part, facts = f"{name}, {mode}", result.summary()
    kind, why = FITTED, SUM if mode == "minimal" else LAYERS_FIT
    if name == "yolov2":
        kind, why = INDEPENDENT, HEAD
    elif mode == "hw-pr":
        kind, why = PARTLY, BETWEEN
    yield row(part, "clocks", "clk", clocks, round(facts["latency_cycles"]), kind, why, HUB, tolerance=0.1)
    if processors:
        yield row(part, "processors", "", processors, mapping.processors + 1, PARTLY, RULE, HUB)
    if passes:
        yield row(part, "passes", "", passes, len(mapping.sequences), PARTLY, RULE, HUB)
    fitted = name in ("plantvillage", "vww")
    kind, why = (FITTED, ENERGY_FIT) if fitted else (INDEPENDENT, OTHER_ENERGY)
    simulated_mj = facts["known_dynamic_energy_per_frame_fj"] / 1e12
    if dynamic_mj:
        tolerance = 0.15 if dynamic_mj > 0.05 else 0.4  # one digit is published
        rounded = float(f"{simulated_mj:.4g}")
        yield row(part, "dynamic energy", "mJ", dynamic_mj, rounded, kind, why, HUB, tolerance=tolerance)
    if total_mj:
        whole = simulated_mj + result.chip.static_mw * facts["latency_ps"] / 1e12
        kind = INPUT if fitted and mode != "hw-pr" else PARTLY if fitted else INDEPENDENT
        yield row(part, "energy", "mJ", total_mj, float(f"{whole:.4g}"), kind, FLOOR, HUB, "<=")


NOT_COMPARABLE = (
    ("VWW, 68 % zeros: 1,743,040 and 1,325,867 clocks", HUB, "zeros by layer not in the sources used here"),
    ("AkidaNet-1.0: an additional pass, 4.5 to 5.9 M clocks", HUB, "derived from totals without activity by layer"),
    ("arrhythmia, bearings: clocks and energy", HUB, "networks that are not built in"),
    ("last layer of speech commands, 600 clocks", HUB, "there a convolution of 1 x 1, here fully connected"),
)


def all_rows(chip: FrameChip, quick: bool, engine: str) -> Iterator[Row]:
    """quick: the two small networks only."""
    for name, mode in TOTALS:
        if quick and name not in QUICK:
            continue
        mapping = map_frames(build(name, **OPTIONS.get(name, {})), chip, mode)
        result = simulate_frames(mapping, samples=1, engine=engine)
        if mode == "minimal" and name != "yolov2":
            yield from layer_rows(name, result)
        yield from total_rows(name, mode, mapping, result)


if __name__ == "__main__":
    script("akd1500", all_rows, NOT_COMPARABLE)
