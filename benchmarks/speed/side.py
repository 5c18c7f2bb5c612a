"""One side of the comparison, in a process of its own: load one network, run it some times, write what it took.

Started by against_sanafe.py; by hand for a profile:
    python benchmarks/speed/side.py nsim NET.pickle --chip loihi --profile
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nets
import numpy as np

# of SANA-FE: (processing_threads, scheduler_threads). Without scheduler threads the timing runs in the main thread.
ONE_THREAD = [(1, 0)]
TWO_THREADS = [(2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]


def peak_mb() -> float:
    """The most memory this program has held. Not ru_maxrss where it can be avoided: that starts at the parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def timed(run: Callable[[], Any]) -> tuple[dict[str, float], Any]:
    """Wall and processor seconds of a call, and what it returned."""
    wall, cpu = time.perf_counter(), time.process_time()
    answer = run()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}, answer


def run_nsim(net: nets.Net, options: argparse.Namespace) -> dict[str, Any]:
    imported, _ = timed(_import_nsim)
    import_mb = peak_mb()
    from nsim import simulate

    loaded, mapping = timed(lambda: nets.to_nsim(net, options.chip))
    load_mb = peak_mb()
    frames = net.frames

    def run() -> Any:
        result = simulate(mapping, frames, timesteps=net.timesteps, threads=options.threads)
        return result, result.energy  # SANA-FE adds up energies as it goes

    first, (result, _) = timed(run)
    runs = [timed(run)[0] for _ in range(options.repeat)]
    if options.save_mapping:
        np.savez(options.save_mapping, core=mapping.core, slot=mapping.slot)
    counts = result.counts
    return {
        "import_s": imported["wall_s"],
        "import_mb": import_mb,
        "load_s": loaded["wall_s"],
        "load_cpu_s": loaded["cpu_s"],
        "load_mb": load_mb,
        "first": first,
        "runs": runs,
        "setting": f"threads={options.threads}",
        "spikes": counts.spikes.sum(axis=1).tolist(),
        "synops": counts.connection_synops.sum(axis=1).tolist(),
        "messages_total": int(counts.core_messages_in.sum()),
        "simulated_step_us": float(result.times.duration_ps.mean() + result.barrier_ps) / 1e6,
    }


def _import_nsim() -> None:
    import nsim.mapping.cores.mapping
    import nsim.result.run_timesteps  # noqa: F401


def run_sanafe(net: nets.Net, options: argparse.Namespace) -> dict[str, Any]:
    """Every setting of the threads once, the fastest of them again."""
    imported, _ = timed(_import_sanafe)
    import_mb = peak_mb()
    place = np.load(options.mapping)
    loaded, chip = timed(lambda: nets.to_sanafe(net, place["core"], place["slot"]))
    load_mb = peak_mb()

    def run(processing: int, scheduler: int, trace: bool = False) -> Any:
        return chip.sim(
            net.timesteps,
            timing_model="detailed",
            processing_threads=processing,
            scheduler_threads=scheduler,
            perf_trace=True if trace else None,
        )

    first, traced = timed(lambda: run(1, 0, trace=True))
    trace = traced["perf_trace"]
    answer: dict[str, Any] = {
        "import_s": imported["wall_s"],
        "import_mb": import_mb,
        "load_s": loaded["wall_s"],
        "load_cpu_s": loaded["cpu_s"],
        "load_mb": load_mb,
        "first": first,
        "spikes": [int(n) for n in trace["fired"]],
        "synops": [int(n) for n in trace["spikes"]],
        "messages_total": int(traced["packets_sent"]),
        "simulated_step_us": float(np.mean(trace["sim_time"])) * 1e6,
    }

    def measure(setting: tuple[int, int]) -> dict[str, float]:
        chip.reset()
        return timed(lambda: run(*setting))[0]

    settings = ONE_THREAD if options.threads == 1 else TWO_THREADS
    tried = {setting: [measure(setting)] for setting in settings}
    best = min(settings, key=lambda setting: tried[setting][0]["wall_s"])
    tried[best] += [measure(best) for _ in range(options.repeat - 1)]
    answer["setting"] = "processing_threads={}, scheduler_threads={}".format(*best)
    answer["tried_s"] = {f"{p}, {s}": tried[p, s][0]["wall_s"] for p, s in settings}
    answer["runs"] = tried[best]
    return answer


def _import_sanafe() -> None:
    import sanafe  # noqa: F401


def profile(net: nets.Net, options: argparse.Namespace) -> None:
    """Where nsim's time goes: cProfile of loading and of the second run. Compiled loops count as one function."""
    import cProfile
    import pstats

    from nsim import simulate

    def report(title: str, run: Callable[[], Any]) -> Any:
        profiler = cProfile.Profile()
        answer = profiler.runcall(run)
        print(f"\n{net.name}: {title}")
        pstats.Stats(profiler).sort_stats("tottime").print_stats(14)
        return answer

    mapping = report("loading", lambda: nets.to_nsim(net, options.chip))

    def run() -> Any:
        return simulate(mapping, net.frames, timesteps=net.timesteps, threads=1)

    run()
    report("simulate", run)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=("nsim", "sanafe"))
    parser.add_argument("net", type=Path)
    parser.add_argument("--chip", default="loihi", help="nsim's chip file")
    parser.add_argument("--mapping", type=Path, help="for SANA-FE: file with core and slot of every neuron")
    parser.add_argument("--save-mapping", type=Path)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    net = nets.Net.load(options.net)
    if options.profile:
        profile(net, options)
        return
    if options.threads == 2 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # two threads are two processors for both
    answer = (run_nsim if options.side == "nsim" else run_sanafe)(net, options)
    answer["peak_mb"] = peak_mb()
    options.out.write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
