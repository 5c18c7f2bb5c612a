"""One mean of activity, spread over the parts of a network in different ways."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import nearest
from nsim.errors import InputError
from nsim.network.layers import Network

NAMED = ("even", "front-loaded", "back-loaded")
MOST_DRAWS = 1_000  # of random schedules until no density is above 1


def shape_of(schedule: str, parts: int) -> NDArray[np.float64]:
    """Relative densities of the parts: all the same, or on a straight line that falls or rises by 51 times."""
    ramp = np.linspace(1, 0, parts) + 0.02
    return {"even": np.ones(parts), "front-loaded": ramp, "back-loaded": ramp[::-1]}[schedule]


def random_shape(parts: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Relative densities with mean 1, from nearly even to very uneven."""
    return rng.dirichlet(np.full(parts, 10 ** rng.uniform(-0.5, 1.5))) * parts


def check_schedule(schedule: str) -> None:
    """Refuse a name that is not known.

    raises   InputError
    """
    name, colon, seed = schedule.partition(":")
    if schedule in NAMED or (name == "random" and (not colon or seed.isdecimal())):
        return
    known = (*NAMED, "random")
    raise InputError(f"no schedule {schedule!r}{nearest(name, known)}: give {', '.join(known)} or random:SEED")


def densities(network: Network, schedule: str, mean: float, seed: int) -> dict[str, float]:
    """Message density of every layer, such that the mean over all neurons that can send is `mean`.

    schedule   even, front-loaded, back-loaded, random (drawn with `seed`) or random:SEED
    raises     InputError if the mean is so large that a layer would have a density above 1
    """
    check_schedule(schedule)
    sending = [layer for layer in network.layers if network.sends(layer)]
    neurons = np.array([layer.neurons for layer in sending], np.float64)

    def scaled(shape: NDArray[np.float64]) -> NDArray[np.float64]:
        return shape * (mean * neurons.sum() / (shape @ neurons))

    if schedule in NAMED:
        found = np.full(len(sending), mean) if schedule == "even" else scaled(shape_of(schedule, len(sending)))
    else:
        rng = np.random.default_rng(int(schedule.partition(":")[2] or seed))
        found = scaled(random_shape(len(sending), rng))
        for _ in range(MOST_DRAWS):
            if found.max() <= 1:
                break
            found = scaled(random_shape(len(sending), rng))
    if found.max(initial=0.0) > 1:
        worst = sending[int(found.argmax())].name
        raise InputError(
            f"schedule {schedule} with activation sparsity {1 - mean:g} asks layer {worst!r} of {network.name!r} for a "
            f"density of {found.max():.3g}, above 1: raise activation_sparsity to {1 - mean / found.max():.3g} or more"
        )
    by_name = dict(zip((layer.name for layer in sending), found.tolist(), strict=True))
    return {layer.name: by_name.get(layer.name, 0.0) for layer in network.layers}
