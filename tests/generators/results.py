"""Small runs of every discipline, by name."""

from pathlib import Path

from nsim import load_chip, load_network, map_network, simulate
from nsim.chip.discipline import DISCIPLINES

EVENTS = "edges:rate=1e5,seconds=0.002,seed=5"
COSTS = Path(__file__).parents[1] / "golden" / "mosaic_with_costs.toml"


def timesteps(**options):
    return simulate(map_network(load_network("mlp:width=16,depth=2"), load_chip("loihi2")), timesteps=3, **options)


def frames(mode="all-nps", **options):
    return simulate(map_network(load_network("cnn"), load_chip("akd1000"), mode=mode), samples=2, **options)


def stream(**options):
    return simulate(map_network(load_network("speck-gesture"), load_chip("speck")), EVENTS, **options)


def ticks(chip="mosaic", **options):
    own, loaded = DISCIPLINES["tick"], load_chip(chip)
    network = own.part("load")("random:p1=0.9,p3=0.3")
    return simulate(map_network(network, loaded, grid="3x3", neurons_per_tile=8), timesteps=3, **options)


RUNS = {
    "timesteps": timesteps,
    "timesteps, bare": lambda: timesteps(runtime="bare"),
    "timesteps, path": lambda: timesteps(critical_path=True),
    "timesteps, silent": lambda: timesteps(activity=0.0),
    "frames": lambda: frames(activity=0.05),
    "frames, path": lambda: frames("minimal", activity=0.05, critical_path=True),
    "frames, silent": lambda: frames(activity=0.0),
    "stream": stream,
    "stream, path": lambda: stream(critical_path=True),
    "stream, silent": lambda: stream(seconds=1e-9),
    "ticks": lambda: ticks(activity=0.2),
    "ticks, times": lambda: ticks(str(COSTS), activity=0.3, shared_lines=True, dt_s=1e-6),
    "ticks, silent": lambda: ticks(str(COSTS), activity=0.0),
}
