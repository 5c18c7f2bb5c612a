"""nsim against SANA-FE: the same networks, mappings, Loihi 1 costs and spikes, one thread each and two threads each.

    pip install '.[bench]' && python benchmarks/speed/against_sanafe.py

Expected: at least 12 times the messages per second of SANA-FE's `detailed` timing on every network with one thread
each (35 times on `random`), 15 times with two threads each; a tenth of its loading time and of its memory.

Every measurement is a process of its own. nsim's time is all of `simulate` (evaluation, counts, timing) and the energy;
SANA-FE's is all of `sim`. Best of several runs, without the first one. Compilation is reported apart. On a machine with
other work, the ratio by processor time (one thread) is the one to trust.
The work is compared before the times: spikes and synops of every timestep, messages of the run. Where a count of the
two sides differs by more than 1 %, no ratio is printed. SANA-FE is installed, called and not copied: it is GPL.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import machine
import nets
import numpy as np
from rich.console import Console
from rich.table import Table

HERE = Path(__file__).parent
SAME = 0.01  # counts that differ by more are different work
SPEED_ONE_THREAD = {"random": 35.0}
SPEED_ONE_THREAD_ELSE, SPEED_TWO_THREADS, LOAD, MEMORY = 12.0, 15.0, 10.0, 10.0
console = Console(width=120)


def measure(side: str, net: Path, folder: Path, **options: Any) -> dict[str, Any]:
    """Run one side in a fresh process and return what it measured."""
    out = folder / "answer.json"
    command = [sys.executable, str(HERE / "side.py"), side, str(net), "--out", str(out)]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    environment = os.environ | one | {"NUMBA_CACHE_DIR": str(folder / "compiled")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{side} on {net.stem} failed:\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}")
    return json.loads(out.read_text(encoding="utf-8"))


def compare(net: nets.Net, folder: Path, chip: Path, repeat: int, threads: list[int]) -> dict[str, Any]:
    """All measurements on one network."""
    path = folder / f"{net.name}.pickle"
    net.save(path)
    place = folder / f"{net.name}.npz"
    console.print(f"[dim]{net.name}: nsim, first call ...")
    cold = measure("nsim", path, folder, chip=chip, repeat=1, save_mapping=place)
    answer: dict[str, Any] = {"compile_s": max(0.0, cold["first"]["wall_s"] - best(cold)), "threads": {}}
    for number in threads:
        console.print(f"[dim]{net.name}: {number} thread{'s' * (number > 1)} each ...")
        ours = measure("nsim", path, folder, chip=chip, threads=number, repeat=3 * repeat)
        theirs = measure("sanafe", path, folder, mapping=place, threads=number, repeat=repeat)
        answer["threads"][number] = {"nsim": ours, "sanafe": theirs} | ratios(ours, theirs)
        del ours["spikes"], ours["synops"], theirs["spikes"], theirs["synops"]
    return answer


def best(side: dict[str, Any]) -> float:
    return min(run["wall_s"] for run in side["runs"])


def ratios(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """Counts of both sides, rates, and the ratios if the work is the same."""
    counts: dict[str, Any] = {}
    for name in ("spikes", "synops"):
        a, b = np.array(ours[name]), np.array(theirs[name])
        counts[name] = {"nsim": int(a.sum()), "sanafe": int(b.sum()), "timesteps_that_differ": int((a != b).sum())}
    counts["messages"] = {"nsim": ours["messages_total"], "sanafe": theirs["messages_total"]}
    same = all(abs(c["nsim"] - c["sanafe"]) <= SAME * max(c["nsim"], c["sanafe"], 1) for c in counts.values())
    for side in (ours, theirs):
        side["messages_per_s"] = side["messages_total"] / best(side)
        side["synops_per_s"] = sum(side["synops"]) / best(side)
        side["messages_per_processor_s"] = side["messages_total"] / min(run["cpu_s"] for run in side["runs"])
    made = {
        "speed": ours["messages_per_s"] / theirs["messages_per_s"],
        "speed_by_processor_time": ours["messages_per_processor_s"] / theirs["messages_per_processor_s"],
        "load": theirs["load_s"] / ours["load_s"],
        "memory": theirs["peak_mb"] / ours["peak_mb"],
        "simulated_time": ours["simulated_step_us"] / theirs["simulated_step_us"],
    }
    return {"timesteps": len(ours["spikes"]), "counts": counts, "same_work": same, "ratios": made if same else None}


def required(name: str, quantity: str, threads: int) -> float:
    if quantity == "load":
        return LOAD
    if quantity == "memory":
        return MEMORY
    return SPEED_ONE_THREAD.get(name, SPEED_ONE_THREAD_ELSE) if threads == 1 else SPEED_TWO_THREADS


def show(results: dict[str, Any]) -> None:
    counts = Table("network", "count per timestep", "nsim", "SANA-FE", "timesteps that differ", title="The same work")
    rates = Table(title="Rates, load and memory")
    for column in ("network", "threads", "side", "messages/s", "synops/s", "load s", "peak MB", "step, us", "setting"):
        rates.add_column(column, justify="left" if column in ("network", "side", "setting") else "right")
    verdicts = Table("network", "threads", "nsim better in", "times", "required", "holds", title="Ratios")
    verdicts.add_column("by processor time", justify="right")
    for name, result in results.items():
        for threads, pair in result["threads"].items():
            steps = pair["timesteps"]
            if threads == min(result["threads"]):
                for count, values in pair["counts"].items():
                    differing = values.get("timesteps_that_differ", "-")
                    row = f"{values['nsim'] / steps:,.1f}", f"{values['sanafe'] / steps:,.1f}", f"{differing}"
                    counts.add_row(name, count, *row)
            for title, side in (("nsim", pair["nsim"]), ("SANA-FE", pair["sanafe"])):
                setting = side["setting"].replace("processing_threads", "p").replace("scheduler_threads", "s")
                rates.add_row(
                    name,
                    str(threads),
                    title,
                    f"{side['messages_per_s']:,.0f}",
                    f"{side['synops_per_s'] / 1e6:,.1f} M",
                    f"{side['load_s']:.2f}",
                    f"{side['peak_mb']:,.0f}",
                    f"{side['simulated_step_us']:.1f}",
                    setting,
                )
            if not pair["same_work"]:
                verdicts.add_row(name, str(threads), "[red]different work: no ratios", "-", "-", "-", "-")
                continue
            for quantity in ("speed", "load", "memory") if threads == 1 else ("speed",):
                ratio, least = pair["ratios"][quantity], required(name, quantity, threads)
                holds = "[green]yes" if ratio >= least else f"[red]no, {ratio / least:.2f} of it"
                alone = quantity == "speed" and threads == 1
                other = f"{pair['ratios']['speed_by_processor_time']:.1f}" if alone else "-"
                verdicts.add_row(name, str(threads), quantity, f"{ratio:.1f}", f"{least:.0f}", holds, other)
    for table in (counts, rates, verdicts):
        console.print(table)
    for name, result in results.items():
        times = " · ".join(
            f"{threads} thread{'s' * (threads > 1)} {pair['ratios']['simulated_time']:.2f}"
            for threads, pair in result["threads"].items()
            if pair["same_work"]
        )
        console.print(
            f"{name}: first call compiled for {result['compile_s']:.1f} s; simulated time of nsim over SANA-FE's, for "
            f"information (the models differ): {times}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer timesteps, one run")
    parser.add_argument("--json", type=Path, default=HERE / "against_sanafe.json", help="where to save the figures")
    parser.add_argument("--nets", nargs="+", choices=nets.NAMES, default=nets.NAMES)
    parser.add_argument("--threads", nargs="+", type=int, choices=(1, 2), default=[1, 2])
    options = parser.parse_args()
    facts = machine.describe("sanafe", "numba", "numpy")
    console.print(machine.headline(facts))
    results = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        chip = nets.write_chip(folder)
        console.print(
            "Chip: chips/loihi.toml without its limit of 4,096 outgoing axons, which SANA-FE does not check and `dvs` "
            "breaks on this mapping (15,360). All costs are those of SANA-FE's own Loihi."
        )
        for each in options.nets:
            net = nets.build(each, options.quick)
            results[each] = compare(net, folder, chip, 1 if options.quick else 3, sorted(options.threads))
            text = json.dumps({"machine": facts, "results": results}, indent=1)
            options.json.write_text(text + "\n", encoding="utf-8")
    show(results)
    console.print(f"saved: {options.json}")


if __name__ == "__main__":
    main()
