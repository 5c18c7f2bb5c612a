"""What limits frames, asked in three ways: the floorline predicts it, the critical path shows it, lower costs tell."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nsim.chip import changed
from nsim.frame.chip import FrameChip
from nsim.frame.floorline import STATES, FrameBounds, frame_bounds
from nsim.frame.result import FrameResult, core_name
from nsim.plots import Workload
from nsim.sensitivity import LOWER

ACTIONS = {
    "memory": ("frame", "event", "step", "synop", "synop_input"),
    "compute": ("neuron_update", "spike"),
    "traffic": ("message_out", "message_in"),
}


@dataclass(frozen=True, eq=False)
class FrameBottleneck:
    """A run in one hardware sequence and its three witnesses, all of one frame alone.

    saved   share of the latency saved by a tenth lower costs, by state
    """

    result: FrameResult
    bounds: FrameBounds
    saved: dict[str, float]

    @property
    def simulated(self) -> str:
        """State by the critical path: its largest share."""
        return max(STATES, key=lambda state: self.result.states[state])

    @property
    def sensitive(self) -> str:
        """State whose costs shorten the frame most when they fall."""
        return max(self.saved, key=self.saved.__getitem__)

    def named(self, cores: tuple[int, ...]) -> list[str]:
        """Cores as "conv_1 (NP 2 of node (3,1))"."""
        (run,) = self.result.runs
        layers = {part.core: part.layer for part in run.mapping.parts}
        return [f"{layers[core]} ({core_name(self.result.chip, core)})" for core in cores if core in layers]

    @property
    def advice(self) -> str:
        """What to change for more frames per second."""
        names = self.named(self.bounds.cores)
        if self.bounds.run_ps["traffic"] > self.bounds.least_run_ps * 0.999:
            return "the rate is traffic-bound: fewer copies of messages (fewer processors), or sparser activations"
        if len(names) == 2:
            return (
                f"the rate is set by {names[0]} and {names[1]}, which take turns with one input buffer between them. "
                "Make the tiles of the second small enough for two frames, or give both more processors"
            )
        return (
            f"the rate is set by {names[0]}. Give its layer more processors (fewer filters each), smaller kernels, or "
            "sparser input"
        )

    def workload(self, label: str) -> Workload:
        """Its point on the floorline plot, per frame of the run."""
        result, bounds = self.result, self.bounds
        energy = result.energy
        return Workload(
            label,
            bounds.max_synops,
            result.time_per_frame_ps,
            energy.known_fj / result.done_frames if energy.known_fj else None,
            bounds.synop_ps,
            bounds.run_ps["compute"] / bounds.frames,
            self.simulated,
        )


def cheaper(chip: FrameChip, state: str, factor: float = LOWER) -> FrameChip:
    """The chip with the clocks of the actions behind this state multiplied by `factor`; those of links stay whole."""
    keys = {f"actions.{name}.clocks": getattr(chip.actions, name).clocks * factor for name in ACTIONS[state]}
    return changed(chip, keys)


def find_bottleneck(chip: FrameChip, simulate: Callable[[FrameChip, bool], FrameResult]) -> FrameBottleneck:
    """Run a network, and again with each group of costs a tenth lower.

    simulate   maps and runs the same frames on a chip; True: all of them and with the critical path, False: the first
    """
    result = simulate(chip, True)
    (run,) = result.runs
    saved = {state: 1 - simulate(cheaper(chip, state), False).latency_ps / result.latency_ps for state in STATES}
    return FrameBottleneck(result, frame_bounds(run.counts, run.mapping, run.machine), saved)
