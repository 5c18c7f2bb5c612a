"""`map_network`: a network on whatever kind of chip it is given."""

from __future__ import annotations

from collections.abc import Mapping as MappingABC
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from nsim.chip.chip import Chip
from nsim.chip.discipline import discipline_of, refuse_options
from nsim.errors import MappingError
from nsim.network.layers import Network

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from nsim.chip.events import StreamChip
    from nsim.chip.frames import FrameChip
    from nsim.chip.tiles import MosaicChip
    from nsim.mapping.cores.mapping import Mapping
    from nsim.mapping.cores.partition import Partition
    from nsim.mapping.events.mapping import StreamMapping
    from nsim.mapping.events.options import CoreOptions
    from nsim.mapping.frames.mapping import FrameMapping
    from nsim.mapping.tiles.mapping import MosaicMapping
    from nsim.mapping.tiles.read import ForTiles


@overload
def map_network(  # type: ignore[overload-overlap]
    network: Network,
    chip: FrameChip,
    *,
    mode: str | None = None,
    clock_mode: str | None = None,
    calibrate: str | Path | NDArray | None = None,
    samples: int | None = None,
    dt_s: float | None = None,
) -> FrameMapping: ...


@overload
def map_network(  # type: ignore[overload-overlap]
    network: Network, chip: StreamChip, *, core_options: str | CoreOptions | None = None
) -> StreamMapping: ...


@overload
def map_network(  # type: ignore[overload-overlap]
    network: ForTiles,
    chip: MosaicChip,
    *,
    grid: str | tuple[int, int] | None = None,
    neurons_per_tile: int | None = None,
    place: str | None = None,
    routes: str | None = None,
    seed: int | None = None,
) -> MosaicMapping: ...


@overload
def map_network(
    network: Network,
    chip: Chip,
    partition: str | Path | int | MappingABC[str, int] | Partition | None = None,
    placement: str | Sequence[int] | None = None,
    *,
    weight_format: str | None = None,
) -> Mapping: ...


def map_network(network: Any, chip: Chip, partition: Any = None, placement: Any = None, **options: Any) -> Any:
    """Put a network on a chip; `nsim.simulate` runs what comes out. What is left out (None) is the chip's choice.

    On chips with timesteps (a Mapping):
    partition     "default" (the vendor's compiler), a number of cores per layer or a dictionary of them by layer name,
                  "even:4" or "even:conv1=8,fc0=2", the path of a partition file, or the slices of every logical core
    placement     "row-major" (None, unless the partition file holds a placement), "greedy", "random:SEED", or the
                  physical core of every logical core
    weight_format  storage of fully connected layers, "dense" or "sparse"
    precision      of networks of real numbers: "fixed" (the chip's integers) or "float"; None: fixed for NIR graphs if
                   the chip has nothing else, see nsim/mapping/cores/precision.py

    On chips with frames (a FrameMapping), which compute with integers:
    mode          "minimal", "all-nps" (None) or "hw-pr", and limits of a processor
    clock_mode    of the chip
    calibrate     samples (a file or an array) that a network of real numbers is quantised on; the runs of this mapping
                  take inputs of the same kind. `nsim.quantize` does the same with more to choose
    samples, dt_s   of those: how many, and seconds per frame

    On chips without timesteps (a StreamMapping), for which a network of real numbers is rounded:
    core_options  text as "decimate.conv1=4,balance.conv2=on,core.conv1=0": decimators, balancers, and the core of a
                  layer that is to be on a certain one; the others are matched

    On chips of tiles (a MosaicMapping), whose networks are recurrent: a Network with one recurrent layer, a matrix
    [source, target], or "random:p1=0.9,p3=0.1":
    grid          rows x columns of neuron tiles, as "5x5"; neurons_per_tile of each
    place         "index" (None) or "annealed"; routes "published" (None), "balanced" or "fitting"
    seed          of a random network, and of annealing and balancing

    raises        MappingError if a limit of the chip is broken, or an option is for other chips; then NetworkError if
                  the timestep of the network is unknown
    """
    own = discipline_of(chip)
    given = {"partition": partition, "placement": placement, **options}
    mapping = own.part("map")(network, chip, **refuse_options(chip, given, MappingError, own.map_options))
    if isinstance(network, Network):
        network.check_complete()
    return mapping
