"""The verdict: what limits a run, in one sentence, and what another partition was measured to give."""

from __future__ import annotations

from nsim.report.content import digits
from nsim.report.run_folder import Run

STAGES = {"memory": "synaptic operations", "compute": "neuron updates"}  # of the busiest core, by state
STATIONS = {"link": "the link", "synapses": "the synapses", "send": "the send stage", "sensor": "the sensor"}


def verdict(run: Run) -> str:
    """One sentence (or two), from the numbers of summary.json alone and the what-if that was simulated."""
    return {"barrier": _timesteps, "frame": _frames, "stream": _stream, "tick": _ticks}[run.discipline](run)


def _timesteps(run: Run) -> str:
    facts = run.summary
    core, layers = facts["busiest_core"], facts["busiest_core_layers"]
    if facts["state"] is None:
        return (
            f"Core {core} ({layers}) is the busiest, {facts['busiest_core_utilisation']:.0%} of the time with "
            f"{facts['busiest_core_stage']}; the critical path was not recorded, so what limits the run is not known."
        )
    state, total = facts["state"], sum(facts["critical_path_ps"].values())
    share = facts["critical_path_ps"][state] / max(1, total)
    where = f"core {core} does {facts['busiest_core_synops_over_mean']:.1f}x the mean synops"
    if facts["busiest_core_stage"] == STAGES.get(state):
        on, said = f" on {layers}", where
    elif state != "barrier" and "critical_path" in run.tables:
        on, said = "", f"most at {run.tables['critical_path']['station'].iloc[0]}"
    else:
        on, said = "", "no core or link is busy for as long as the barrier"
    return f"{state.capitalize()}-bound{on} ({share:.0%} of the critical path): {said}; {what_if(run)}."


def what_if(run: Run) -> str:
    """What was measured of another partition; that nothing was, if so."""
    tried = run.facts["what_if"]
    if tried is None:
        return "no other partition was tried"
    gain = tried["before_ps"] / tried["time_ps"]
    verb = "gives" if gain > 1 else "does not help:"
    return (
        f"splitting {tried['layer']} over {tried['parts']} cores instead of {tried['cores']} {verb} {gain:.2f}x the "
        "speed (simulated again, same activity)"
    )


def _frames(run: Run) -> str:
    rate, path = digits(run.summary["frames_per_s"]), _path(run, " of the first frame alone")
    return f"At {rate} frames per second, {run.summary['bottleneck']}; {path}no other partition was tried."


def _path(run: Run, of: str) -> str:
    """The state that takes most of a recorded critical path, as the end of a clause."""
    path_ps = run.summary["critical_path_ps"]
    if not path_ps:
        return ""
    state = max(path_ps, key=path_ps.__getitem__)
    return f"{state} takes {path_ps[state] / max(1, sum(path_ps.values())):.0%} of the critical path{of}; "


def _stream(run: Run) -> str:
    worst, factor = run.summary["bottleneck"], run.summary["fitting_input_factor"]
    at = f" of core {worst['core']} ({worst['layer']})" if worst["core"] is not None else ""
    busiest = f"{STATIONS.get(worst['station'], worst['station'])}{at}"
    room = "" if factor is None else f"; the same events would just fit at {factor:.3g} times the rate"
    if worst["load"] > 1:
        said = f"does not keep up with its input: {busiest} limits it, with a load of {worst['load']:.2f}"
    else:
        said = f"keeps up, so its input limits the time; the highest load is {worst['load']:.2f}, {busiest}"
    return f"The chip {said}; {_path(run, '')}".removesuffix("; ") + f"{room}."


def _ticks(run: Run) -> str:
    facts = run.summary
    if not facts["mappable"]:
        return (
            f"The network does not fit this chip: {facts['violated_ports']} ports of its routers lack "
            f"{facts['excess_lines']} lines (wires for one neuron each) in all. All counts assume that they are there."
        )
    if facts["engine"] is None:
        missing = ", ".join(facts["missing_keys"])
        return f"The network fits its tiles; how long a tick takes is not known, since the chip file lacks {missing}."
    waits = f"most at {facts['most_waited_port']}" if facts["most_waited_port"] else "no spike waits for a line"
    return f"The network fits its tiles; the longest tick takes {facts['longest_timestep_ps'] / 1e3:,.3g} ns, {waits}."
