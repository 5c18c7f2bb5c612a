"""One NIR node: what its fields hold, and the operation or the neuron that it is.

NIR is written in continuous time; here the equations take one step per timestep, by `nir_rules.Rules`. Plain ones:
  LIF      v += dt/tau * (v_leak - v + r * sum); fires if v > v_threshold, then v = v_reset
  CubaLIF  i += dt/tau_syn * (w_in * sum - i) first, then v += dt/tau_mem * (v_leak - v + r * i)
  LI and CubaLI are the same without threshold
  IF, I    v += r * sum: what arrives in a timestep is an impulse, so dt cancels and the timestep is the unit of time
A bias is part of the sum.

Sources: Pedersen et al. 2024, "Neuromorphic intermediate representation", Nature Communications 15:8122, and the
docstrings of the nir package; pooling and padding as in PyTorch, which NIR's definitions refer to.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import nir
import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from nsim.errors import NetworkError
from nsim.formats.layer_shape import layer_shape, printed
from nsim.formats.linear_maps import Form
from nsim.formats.nir_rules import Rules
from nsim.network.layers import MAX_DELAY
from nsim.network.neurons import Lif, Neuron, Threshold
from nsim.network.synapses import Convolution, Shape, convolved_shape

NEURONS = (nir.LIF, nir.CubaLIF, nir.IF, nir.LI, nir.CubaLI, nir.I, nir.Threshold)
LINEAR = (
    *(nir.Linear, nir.Affine, nir.Scale, nir.Conv1d, nir.Conv2d, nir.SumPool2d, nir.AvgPool2d),
    *(nir.Flatten, nir.Delay, nir.Input, nir.Output),  # ends of sub-graphs pass on what they get
)
PLAIN = Rules()
SPARSE, ZEROS = "sparse", "zeros"  # keys of a Linear's or Affine's metadata


@dataclass(frozen=True, eq=False)
class Operation:
    """A linear node, with the shape it has in this graph.

    target_shape  of what leaves it
    bias          float64[targets], or None
    delay         extra timesteps, int or int64[sources]
    """

    name: str
    target_shape: Shape
    form: Form = None
    bias: NDArray | None = None
    delay: NDArray | int = 0

    @property
    def is_identity(self) -> bool:
        return self.form is None and not np.any(self.delay)

    @property
    def keeps_index(self) -> bool:
        """Whether neuron k of the source reaches neuron k of the target, and no other."""
        return self.form is None or (isinstance(self.form, np.ndarray) and self.form.ndim == 1)


def called(name: str, node: nir.NIRNode) -> str:
    """A node as errors call it."""
    return f"node {name!r} ({type(node).__name__})"


def agree(first: Shape, second: Shape) -> bool:
    """Whether two shapes hold the same neurons in the same order: alike up to sizes of 1, or one is a vector."""
    squeezed = [[size for size in shape if size > 1] for shape in (first, second)]
    return squeezed[0] == squeezed[1] or (
        min(map(len, squeezed)) <= 1 and math.prod(squeezed[0]) == math.prod(squeezed[1])
    )


def _more_spatial(first: Shape, second: Shape) -> Shape:
    return second if sum(size > 1 for size in second) > sum(size > 1 for size in first) else first


def mismatch(name: str, node: nir.NIRNode, arriving: Shape, expected, what: str = "takes") -> NetworkError:
    expected = tuple(int(size) for size in expected)
    return NetworkError(
        f"{called(name, node)} {what} shape {expected}, {math.prod(expected)} elements, but shape "
        f"{arriving}, {math.prod(arriving)} elements, arrives: mend the node or the edges"
    )


def own_shape(name: str, node: nir.NIRNode, arriving: Shape) -> Shape:
    """The shape of a neuron node by its parameters, of an end by its type; one value stands for any shape."""
    if isinstance(node, nir.Input | nir.Output):
        declared = node.input_type.get("input")
        own = arriving if declared is None else layer_shape(called(name, node), declared)
    else:
        own = arriving
        for field in _fields(node):
            if np.size(value := np.asarray(getattr(node, field))) > 1:
                own = layer_shape(f"{field} of {called(name, node)}", np.shape(value))
                break
    if not agree(arriving, own):
        raise mismatch(name, node, arriving, own, "has")
    return _more_spatial(arriving, own)


def _fields(node: nir.NIRNode) -> list[str]:
    """The parameters of a neuron node."""
    return [name for name in node.__dataclass_fields__ if name not in ("input_type", "output_type", "metadata")]


def _numbers(name: str, node: nir.NIRNode, field: str) -> NDArray:
    """A parameter as float64, finite in float32; a threshold may be infinite, it then is never reached."""
    where = f"{field} of {called(name, node)}"
    raw = np.asarray(getattr(node, field))
    if raw.dtype.kind not in "fiub" or raw.size == 0:
        raise NetworkError(f"{where} is no array of numbers (dtype {raw.dtype}, shape {raw.shape}): export it again")
    with np.errstate(invalid="ignore"):  # some kinds of NaN warn; they are refused below
        values = raw.astype(np.float64)
    fine = np.abs(values) <= np.finfo(np.float32).max
    if field in ("threshold", "v_threshold"):
        fine |= values == np.inf
    if not fine.all():
        raise NetworkError(
            f"{where} has {int((~fine).sum())} of {values.size} values that are NaN, infinite or too large for "
            f"float32: train again or mend the file"
        )
    return values


def _parameter(name: str, node: nir.NIRNode, field: str, shape: Shape) -> NDArray:
    """A parameter per neuron or for all: float64[neurons] or [1]."""
    values = _numbers(name, node, field)
    if values.size > 1:
        own = layer_shape(f"{field} of node {name!r}", values.shape)
        if not agree(own, shape):
            raise mismatch(name, node, shape, values.shape, f"has {field} of")
    return values.ravel()


def _per_channel(name: str, node: nir.NIRNode, field: str, shape: Shape) -> NDArray | None:
    """A bias by output channel (or row of a matrix), spread over the neurons: float64[neurons]."""
    if getattr(node, field, None) is None:
        return None
    values = _numbers(name, node, field).ravel()
    if values.size not in (1, shape[0]):
        raise mismatch(name, node, shape, np.shape(getattr(node, field)), f"has {field} of")
    return np.repeat(np.broadcast_to(values, shape[0]), shape[1] * shape[2])


def _whole_pair(name: str, node: nir.NIRNode, field: str, least: int) -> tuple[int, int]:
    """One or two whole numbers, for rows and columns; in one dimension the rows are single."""
    values = _numbers(name, node, field).ravel()
    if values.size > 2 or (values != np.rint(values)).any() or values.min() < least or values.max() >= 2**31:
        shown = printed(getattr(node, field))
        raise NetworkError(
            f"{field} of {called(name, node)} is {shown}: expected one or two whole numbers from {least} up"
        )
    rows, columns = values if values.size == 2 else (values[0], values[0])
    return int(rows), int(columns)


def true_or_false(value: object, where: str) -> bool:
    """A flag of the metadata."""
    flag = np.asarray(value)
    if flag.ndim or flag.dtype.kind not in "biu":
        raise NetworkError(f"{where} is {str(value)[:40]!r}: expected true or false")
    return bool(flag)


def operation(name: str, node: nir.NIRNode, arriving: Shape, dt: float | None) -> Operation:
    """What a linear node does with what arrives."""
    if isinstance(node, nir.Linear | nir.Affine):
        return _matrix_operation(name, node, arriving)
    if isinstance(node, nir.Conv1d | nir.Conv2d):
        return _convolution_operation(name, node, arriving)
    if isinstance(node, nir.SumPool2d | nir.AvgPool2d):
        return _pool_operation(name, node, arriving)
    if isinstance(node, nir.Scale):
        return Operation(name, arriving, _scale_factors(name, node, arriving))
    if isinstance(node, nir.Delay):
        assert dt is not None  # a graph with Delay nodes has a timestep
        return Operation(name, arriving, delay=_delay_steps(name, node, arriving, dt))
    return _identity_operation(name, node, arriving)


def _identity_operation(name: str, node: nir.NIRNode, arriving: Shape) -> Operation:
    """Flatten, or an end of a sub-graph: row-major flattening moves no neuron, whatever its dimensions."""
    declared = node.input_type.get("input") if node.input_type else None
    if declared is not None and not agree(expected := layer_shape(f"node {name!r}", declared), arriving):
        raise mismatch(name, node, arriving, expected)
    if not isinstance(node, nir.Flatten):
        return Operation(name, arriving)
    flat = flattened(name, node, arriving)
    return Operation(name, flat[0] if len(flat) == 1 else (math.prod(arriving), 1, 1))


def flattened(name: str, node: nir.Flatten, arriving: Shape) -> list[Shape]:
    """The shapes that a Flatten may leave: exporters disagree on whether its dimensions count one of the batch.

    NIR's types have none, PyTorch's do; one shape if both readings agree or only one is possible.
    """
    declared = node.input_type.get("input") if node.input_type else None
    sizes = [int(size) for size in np.ravel(arriving if declared is None else declared)]
    found: list[Shape] = []
    for batch in ([], [1]):
        first, last = (_dimension(name, node, field, len(batch + sizes)) for field in ("start_dim", "end_dim"))
        if first is None or last is None or not len(batch) <= first <= last:
            continue
        whole = batch + sizes
        left = [*whole[:first], math.prod(whole[first : last + 1]), *whole[last + 1 :]]
        shape = layer_shape(f"node {name!r}", left[len(batch) :])
        found += [shape] if shape not in found else []
    if not found:
        raise NetworkError(
            f"{called(name, node)} has start_dim {node.start_dim} and end_dim {node.end_dim}, but shape "
            f"{tuple(sizes)} arrives: give dimensions that it has"
        )
    return found


def _dimension(name: str, node: nir.Flatten, field: str, dimensions: int) -> int | None:
    """A dimension counted from 0, or None if there are not so many."""
    given = np.asarray(getattr(node, field))
    if given.dtype.kind not in "iu" or given.size != 1:
        raise NetworkError(f"{field} of {called(name, node)} is {printed(given)!r}, no whole number: export it again")
    number = int(given.ravel()[0])
    return number % dimensions if -dimensions <= number < dimensions else None


def _matrix_operation(name: str, node: nir.Linear | nir.Affine, arriving: Shape) -> Operation:
    weight = _numbers(name, node, "weight")
    if weight.ndim != 2:
        raise NetworkError(f"weight of {called(name, node)} has shape {weight.shape}: expected (outputs, inputs)")
    if weight.shape[1] != math.prod(arriving) == weight.shape[0]:
        raise NetworkError(
            f"weight of {called(name, node)} has shape {weight.shape}, inputs first: NIR has (outputs, inputs), "
            "transpose it"
        )
    if weight.shape[1] != math.prod(arriving):
        raise mismatch(name, node, arriving, weight.shape[1:])
    target = (weight.shape[0], 1, 1)
    flagged = true_or_false(node.metadata.get(SPARSE, False), f"{SPARSE!r} in the metadata of {called(name, node)}")
    form = _stored(name, node, weight) if flagged else weight
    return Operation(name, target, form, _per_channel(name, node, "bias", target))


def _stored(name: str, node: nir.Linear | nir.Affine, weight: NDArray) -> sparse.csr_array:
    """The weights that are not zero, and the zeros that the node lists as synapses."""
    zeros = np.asarray(node.metadata.get(ZEROS, np.zeros(0, np.int64)))
    if zeros.dtype.kind not in "iu" or (zeros.size and not 0 <= zeros.min() <= zeros.max() < weight.size):
        raise NetworkError(
            f"{ZEROS!r} in the metadata of {called(name, node)} are no places in {weight.size} weights: give numbers "
            f"from 0 to {weight.size - 1}"
        )
    stored = weight != 0
    stored.ravel()[zeros.ravel().astype(np.int64)] = True
    rows, columns = np.nonzero(stored)
    return sparse.csr_array((weight[rows, columns], (rows, columns)), shape=weight.shape)


def _scale_factors(name: str, node: nir.Scale, arriving: Shape) -> NDArray:
    """float64[n]. One factor for all, one per element, or a shape with ones where it repeats, such as (C, 1, 1)."""
    factors = _numbers(name, node, "scale")
    if factors.size > 1:
        own = layer_shape(f"scale of node {name!r}", factors.shape)
        if agree(own, arriving):
            return factors.ravel()
        if factors.ndim < 2 or any(a not in (1, b) for a, b in zip(own, arriving, strict=True)):
            raise mismatch(name, node, arriving, factors.shape)
        factors = factors.reshape(own)
    return np.broadcast_to(factors, arriving).ravel()


def _convolution_operation(name: str, node: nir.Conv1d | nir.Conv2d, arriving: Shape) -> Operation:
    kernel = _numbers(name, node, "weight")
    dimensions = 1 if isinstance(node, nir.Conv1d) else 2
    if kernel.ndim != dimensions + 2:
        raise NetworkError(
            f"weight of {called(name, node)} has shape {kernel.shape}: expected (out, in / groups) "
            f"and {dimensions} kernel sizes"
        )
    kernel = kernel.reshape(*kernel.shape[:2], -1, kernel.shape[-1])  # Conv1d: a kernel of one row
    stride, dilation = _whole_pair(name, node, "stride", 1), _whole_pair(name, node, "dilation", 1)
    groups = _whole_pair(name, node, "groups", 1)[0]
    kernel, padding = _padded(name, node, kernel, stride, dilation)
    if dimensions == 1:
        stride, dilation, padding = (1, stride[1]), (1, dilation[1]), (0, padding[1])
    expected = (kernel.shape[1] * groups, *arriving[1:])
    if node.input_shape is not None:
        own = layer_shape(f"input_shape of node {name!r}", (1, *np.atleast_1d(node.input_shape)))
        expected = (expected[0], *own[1:])
    if expected != arriving:
        raise mismatch(name, node, arriving, expected)
    form = _convolution(name, node, kernel, arriving, stride, padding, dilation, groups)
    bias = _per_channel(name, node, "bias", form.target_shape)
    return Operation(name, form.target_shape, form, bias)


def _padded(
    name: str, node, kernel: NDArray, stride: tuple[int, int], dilation: tuple[int, int]
) -> tuple[NDArray, tuple[int, int]]:
    """The kernel, and zeros before the first row and column, as many as after the last.

    'same' with an even kernel pads one zero more after the last, as PyTorch does: a tap of zeros in front of the
    kernel's own makes that one on both sides.
    """
    if not isinstance(node.padding, str):
        return kernel, _whole_pair(name, node, "padding", 0)
    if node.padding == "valid":
        return kernel, (0, 0)
    axes = (1,) if isinstance(node, nir.Conv1d) else (0, 1)
    reach = [dilation[axis] * (kernel.shape[2 + axis] - 1) for axis in (0, 1)]
    if any(stride[axis] != 1 for axis in axes):
        raise NetworkError(
            f"{called(name, node)} has padding 'same' with stride {stride}: 'same' needs stride 1, "
            f"give the padding in numbers"
        )
    odd = [axis in axes and reach[axis] % 2 for axis in (0, 1)]
    if any(odd[axis] and dilation[axis] > 1 for axis in (0, 1)):
        raise NetworkError(
            f"{called(name, node)} has padding 'same' with a kernel {kernel.shape[2:]} and dilation "
            f"{dilation}, which pads one side more than the other: use an odd kernel, or padding in numbers"
        )
    kernel = np.pad(kernel, ((0, 0), (0, 0), (int(odd[0]), 0), (int(odd[1]), 0)))
    return kernel, ((reach[0] + 1) // 2, (reach[1] + 1) // 2)


def _pool_operation(name: str, node: nir.SumPool2d | nir.AvgPool2d, arriving: Shape) -> Operation:
    """A pool is a depthwise convolution of equal weights. An average counts the zeros of its padding, as PyTorch's."""
    size = _whole_pair(name, node, "kernel_size", 1)
    stride, padding = _whole_pair(name, node, "stride", 1), _whole_pair(name, node, "padding", 0)
    if any(k > s + 2 * p for k, s, p in zip(size, arriving[1:], padding, strict=True)):
        raise mismatch(name, node, arriving, size, "has a kernel of")
    layer_shape(f"the kernel of node {name!r}", (arriving[0], *size))  # before it takes memory
    weight = 1 / math.prod(size) if isinstance(node, nir.AvgPool2d) else 1.0
    kernel = np.full((arriving[0], 1, *size), weight)
    form = _convolution(name, node, kernel, arriving, stride, padding, (1, 1), groups=arriving[0])
    return Operation(name, form.target_shape, form)


def _convolution(name, node, kernel, arriving, stride, padding, dilation, groups) -> Convolution:
    target = convolved_shape(arriving, kernel, stride, padding, dilation)
    try:
        layer_shape("its result", target)
        return Convolution(kernel, arriving, target, stride, padding, dilation, groups)
    except NetworkError as error:
        raise NetworkError(f"{called(name, node)}: {error}") from None


def _delay_steps(name: str, node: nir.Delay, shape: Shape, dt_s: float) -> NDArray | int:
    delay_s = _parameter(name, node, "delay", shape)
    steps = np.rint(delay_s / dt_s)
    wrong = np.abs(delay_s / dt_s - steps) > 1e-6 * np.maximum(steps, 1)
    if wrong.any():
        raise NetworkError(
            f"{called(name, node)} delays by {delay_s[wrong][0]:g} s, which is no whole number of timesteps of "
            f"{dt_s:g} s: choose --dt so that it divides the delay"
        )
    if steps.min() < 0 or steps.max() > MAX_DELAY:
        far = steps.min() if steps.min() < 0 else steps.max()
        raise NetworkError(
            f"{called(name, node)} delays by {far:g} timesteps of {dt_s:g} s, but 0..{MAX_DELAY} are possible: "
            f"choose another --dt or shorten it"
        )
    return int(steps[0]) if (steps == steps[0]).all() else steps.astype(np.int64)


def neuron(
    name: str,
    node: nir.NIRNode,
    shape: Shape,
    bias: NDArray | float,
    dt: float | None,
    rules: Rules = PLAIN,
    forgets: bool = False,
) -> Neuron:
    """The model of a neuron node.

    dt       timestep in the unit of the time constants
    rules    what NIR leaves open
    forgets  whether an Euler step may be a whole time constant
    """
    given = {field: _parameter(name, node, field, shape) for field in _fields(node)}
    if isinstance(node, nir.Threshold):
        return Threshold(_compact(given["threshold"]), bias, at_threshold=rules.threshold == "ge")
    if rules.spikes == "many" and "v_threshold" in given and given["v_threshold"].min() <= 0:
        raise NetworkError(
            f"v_threshold of {called(name, node)} is {given['v_threshold'].min():g}: spikes=many needs one above 0"
        )
    return Lif(
        **_integration(name, node, given, dt, rules, forgets),
        threshold=_compact(given["v_threshold"]) if "v_threshold" in given else None,
        reset=_compact(given.get("v_reset", np.zeros(1))),
        bias=bias,
        reset_by=rules.reset,
        at_threshold=rules.threshold == "ge",
        many=rules.spikes == "many",
        floor=rules.floor,
    )


def _integration(
    name: str, node: nir.NIRNode, given: dict[str, NDArray], dt: float | None, rules: Rules, forgets: bool
) -> dict[str, NDArray | float]:
    """Leaks and gains of the membrane, and of the current where there is one."""
    if isinstance(node, nir.IF | nir.I):
        if rules.charge == "impulse":
            return {"leak": 0.0, "gain": _compact(given["r"])}
        assert dt is not None  # a graph whose charges are currents has a timestep
        return {"leak": 0.0, "gain": _compact(given["r"] * dt)}
    assert dt is not None  # a graph with time constants has a timestep
    leak = _leak(name, node, "tau" if "tau" in given else "tau_mem", given, dt, rules, forgets)
    gain = given["r"] * leak
    if rules.gain == "whole":
        decayed = rules.current == "decayed" and isinstance(node, nir.LI)  # then v is itself a current
        gain = 1 - leak if decayed else np.ones(1)
    result = {"leak": _compact(leak), "gain": _compact(gain), "rest": _compact(given["v_leak"])}
    if "tau_syn" in given:
        filtering = _leak(name, node, "tau_syn", given, dt, rules, forgets)
        taken = {"filter": filtering, "jump": np.ones(1), "decayed": 1 - filtering}[rules.current]
        result |= {"current_leak": _compact(filtering), "current_gain": _compact(given["w_in"] * taken)}
    return result


def _leak(
    name: str, node: nir.NIRNode, field: str, given: dict[str, NDArray], dt: float, rules: Rules, forgets: bool
) -> NDArray:
    """What a step loses: dt / tau, below 1 or at most 1, or 1 - exp(-dt / tau)."""
    shortest = given[field].min()
    if shortest <= 0:
        raise NetworkError(f"{field} of {called(name, node)} is {shortest:g}: time constants must be positive")
    if rules.leak == "exponential":
        return -np.expm1(-dt / given[field])
    if dt > shortest * (1 + 1e-6) or (dt >= shortest and not forgets):
        raise NetworkError(
            f"{field} of {called(name, node)} is {shortest:g} s, but the timestep is {dt:g} s: an Euler step would "
            f"lose {dt / shortest:.3g} of the distance, 1 or more; give the --dt that it was trained with"
        )
    return np.minimum(dt / given[field], 1.0)


def _compact(values: NDArray) -> NDArray | float:
    """float32[neurons], or one number if a parameter was given once."""
    return float(values[0]) if values.size == 1 else values.astype(np.float32)
