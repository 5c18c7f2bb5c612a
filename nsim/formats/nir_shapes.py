"""The shape of what leaves every node of a NIR graph, following the data, and the operation of its linear nodes.

Exporters disagree on whether the dimensions of a Flatten count one of the batch. Both readings leave the same values in
the same order, so nodes that only pass values on keep both; a node whose result depends on the shape decides, if it
fits one of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import nir
import numpy as np

from nsim.errors import NetworkError
from nsim.formats.layer_shape import layer_shape
from nsim.formats.nir_nodes import Operation, agree, called, flattened, mismatch, operation, own_shape
from nsim.network.synapses import Shape

Made = TypeVar("Made")
SPATIAL = (nir.Conv1d, nir.Conv2d, nir.SumPool2d, nir.AvgPool2d)


class Nodes(Protocol):
    """A graph, as far as shapes need it."""

    @property
    def nodes(self) -> Mapping[str, nir.NIRNode]: ...

    @property
    def successors(self) -> Mapping[str, list[str]]: ...

    @property
    def inputs(self) -> tuple[str, ...]: ...

    def ends_path(self, name: str) -> bool: ...


@dataclass(frozen=True)
class Reading:
    """The shapes that what leaves a node may have; several only behind a Flatten, of which it keeps name and input."""

    shapes: Sequence[Shape]
    flatten: str | None = None
    flattens: Shape | None = None

    @property
    def shape(self) -> Shape:
        """The one shape, or a vector where several are possible."""
        return self.shapes[0] if len(self.shapes) == 1 else (int(np.prod(self.shapes[0])), 1, 1)


def shapes_and_operations(graph: Nodes, dt: float | None) -> tuple[dict[str, Shape], dict[str, Operation]]:
    """The shape of what leaves each node, and the operation of each linear node.

    dt       seconds per timestep, for delays
    raises   NetworkError, one line that names the node, for shapes that do not meet or that nothing decides
    """
    readings = {name: Reading([_declared(graph.nodes[name], name)]) for name in graph.inputs}
    arrived: dict[str, Reading] = {}
    operations: dict[str, Operation] = {}
    waiting = deque(graph.inputs)
    while waiting:
        source = waiting.popleft()
        for name in graph.successors[source]:
            node, arriving = graph.nodes[name], readings[source]
            if name in arrived:
                if not agree(arrived[name].shape, arriving.shape):
                    raise mismatch(name, node, arriving.shape, arrived[name].shape, "already takes")
                continue
            arrived[name] = arriving
            if graph.ends_path(name):
                readings[name] = _of_neurons(name, node, arriving)
            else:
                operations[name], readings[name] = _of_linear(name, node, arriving, graph.nodes, dt)
            waiting.append(name)
    return {name: reading.shape for name, reading in readings.items()}, operations


def _declared(node: nir.NIRNode, name: str) -> Shape:
    return layer_shape(called(name, node), node.input_type.get("input"))


def _of_neurons(name: str, node: nir.NIRNode, arriving: Reading) -> Reading:
    """Neurons keep the order; parameters with a shape of their own decide."""
    found, problem = _each(arriving.shapes, lambda shape: own_shape(name, node, shape))
    if not found:
        if len(arriving.shapes) == 1:
            raise problem
        found = [own_shape(name, node, arriving.shape)]
    return replace(arriving, shapes=list(dict.fromkeys(found)))


def _of_linear(
    name: str, node: nir.NIRNode, arriving: Reading, nodes: Mapping[str, nir.NIRNode], dt: float | None
) -> tuple[Operation, Reading]:
    if isinstance(node, nir.Flatten):
        left = dict.fromkeys(shape for each in arriving.shapes for shape in flattened(name, node, each))
        return operation(name, node, arriving.shape, dt), Reading(list(left), name, arriving.shape)
    if isinstance(node, nir.Linear | nir.Affine):
        arriving = Reading([arriving.shape])
    if arriving.flatten is not None and isinstance(node, SPATIAL):
        arriving = replace(arriving, shapes=[_decided(name, node, arriving, nodes[arriving.flatten], dt)])
    made, problem = _each(arriving.shapes, lambda shape: operation(name, node, shape, dt))
    if not made:
        raise problem
    shapes = list(dict.fromkeys(each.target_shape for each in made))
    return made[0], replace(arriving, shapes=shapes, flatten=arriving.flatten if made[0].keeps_index else None)


def _each(shapes: Sequence[Shape], make: Callable[[Shape], Made]) -> tuple[list[Made], NetworkError]:
    """What is made of the shapes that it can be made of; and the first problem."""
    made, problems = [], []
    for shape in shapes:
        try:
            made.append(make(shape))
        except NetworkError as problem:
            problems.append(problem)
    return made, next(iter(problems), NetworkError(""))


def _decided(name: str, node: nir.NIRNode, arriving: Reading, flatten: nir.NIRNode, dt: float | None) -> Shape:
    """Of the readings of a Flatten the one that a convolution or a pool fits."""
    channels = _channels(node)
    fitting = [shape for shape in arriving.shapes if channels in (None, shape[0])]
    if len(fitting) > 1 or channels is None:
        fitting = [shape for shape in fitting if _each([shape], lambda each: operation(name, node, each, dt))[0]]
    if len(fitting) == 1:
        return fitting[0]
    assert isinstance(flatten, nir.Flatten) and arriving.flatten is not None
    shapes = " or ".join(str((shape[0], *(size for size in shape[1:] if size > 1))) for shape in arriving.shapes)
    takes = "windows of rows and columns" if channels is None else f"{channels} channels"
    raise NetworkError(
        f"{called(name, node)} takes {takes}, but {called(arriving.flatten, flatten)} with start_dim "
        f"{flatten.start_dim} and end_dim {flatten.end_dim} makes {shapes} of {arriving.flattens}: give the "
        f"dimensions that leave {'them' if channels is None else 'its channels'}"
    )


def _channels(node: nir.NIRNode) -> int | None:
    """That a convolution takes; None of a pool, which takes any, and of malformed weights."""
    weight, groups = np.shape(getattr(node, "weight", ())), np.ravel(getattr(node, "groups", 1))
    fine = len(weight) > 1 and groups.size and groups.dtype.kind in "iu"
    return weight[1] * int(groups[0]) if fine else None
