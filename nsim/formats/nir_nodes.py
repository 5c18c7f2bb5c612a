"""One NIR node: what its fields hold, and the operation or the neuron that it is.

NIR is written in continuous time; here the equations take one forward Euler step per timestep:
  LIF      v += dt/tau * (v_leak - v + r * sum); fires if v > v_threshold, then v = v_reset
  CubaLIF  i += dt/tau_syn * (w_in * sum - i) first, then v += dt/tau_mem * (v_leak - v + r * i)
  LI and CubaLI are the same without threshold
  IF, I    v += r * sum: what arrives in a timestep is an impulse, so dt cancels and the timestep is the unit of time
A bias is part of the sum, from the first timestep on.

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
from nsim.formats.linear_maps import Form
from nsim.memory import available_bytes
from nsim.network import MAX_DELAY
from nsim.neurons import Lif, Neuron, Threshold
from nsim.synapses import Convolution, Shape, convolved_shape

NEURONS = (nir.LIF, nir.CubaLIF, nir.IF, nir.LI, nir.CubaLI, nir.I, nir.Threshold)
LINEAR = (
    *(nir.Linear, nir.Affine, nir.Scale, nir.Conv1d, nir.Conv2d, nir.SumPool2d, nir.AvgPool2d),
    *(nir.Flatten, nir.Delay, nir.Input, nir.Output),  # ends of sub-graphs pass on what they get
)
SPARSE = "sparse"  # key of a Linear's or Affine's metadata
NEEDS_DT = (nir.LIF, nir.CubaLIF, nir.LI, nir.CubaLI, nir.Delay)


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


# --- shapes ---------------------------------------------------------------------------------------------------


def layer_shape(where: str, shape) -> Shape:
    """(C, H, W) of NIR's shape: (n,) is (n, 1, 1), (C, N) is (C, 1, N); leading ones are a batch of one."""
    try:
        given = np.atleast_1d(shape).ravel()
        sizes = [int(size) for size in given]
        if any(size != exact for size, exact in zip(sizes, given, strict=True)):
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise NetworkError(f"{where} has no shape ({str(shape)[:40]!r}): export the graph with shapes") from None
    while len(sizes) > 3 and sizes[0] == 1:
        sizes.pop(0)
    if len(sizes) > 3 or min(sizes, default=1) < 1:
        raise NetworkError(f"{where} has shape {tuple(sizes)}: expected up to three positive sizes (C, H, W)")
    neurons, most = math.prod(sizes), min(2**31 - 1, available_bytes() // 64)
    if neurons > most:
        raise NetworkError(f"{where} has shape {tuple(sizes)}, {neurons} elements, but {most} fit: make it smaller")
    sizes[1:1] = [1] * (3 - len(sizes))
    channels, rows, columns = sizes
    return channels, rows, columns


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
            if np.size(value := getattr(node, field)) > 1:
                own = layer_shape(f"{field} of {called(name, node)}", np.shape(value))
                break
    if not agree(arriving, own):
        raise mismatch(name, node, arriving, own, "has")
    return _more_spatial(arriving, own)


# --- parameters -----------------------------------------------------------------------------------------------


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
        shown = str(getattr(node, field))[:40]
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


# --- linear nodes ---------------------------------------------------------------------------------------------


def operation(name: str, node: nir.NIRNode, arriving: Shape, dt_s: float | None) -> Operation:
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
        assert dt_s is not None  # a Delay is among NEEDS_DT
        return Operation(name, arriving, delay=_delay_steps(name, node, arriving, dt_s))
    return _identity_operation(name, node, arriving)


def _identity_operation(name: str, node: nir.NIRNode, arriving: Shape) -> Operation:
    """Flatten, or an end of a sub-graph.

    Row-major flattening moves no neuron, whatever its start_dim: exporters disagree on whether that counts a batch
    dimension, which NIR's types do not have. So only the number of elements is compared, by the node that follows.
    """
    declared = node.input_type.get("input") if node.input_type else None
    if declared is not None and not agree(expected := layer_shape(f"node {name!r}", declared), arriving):
        raise mismatch(name, node, arriving, expected)
    target = (math.prod(arriving), 1, 1) if isinstance(node, nir.Flatten) else arriving
    return Operation(name, target)


def _matrix_operation(name: str, node: nir.Linear | nir.Affine, arriving: Shape) -> Operation:
    weight = _numbers(name, node, "weight")
    if weight.ndim != 2:
        raise NetworkError(f"weight of {called(name, node)} has shape {weight.shape}: expected (outputs, inputs)")
    if weight.shape[1] != math.prod(arriving):
        raise mismatch(name, node, arriving, weight.shape[1:])
    target = (weight.shape[0], 1, 1)
    flagged = true_or_false(node.metadata.get(SPARSE, False), f"{SPARSE!r} in the metadata of {called(name, node)}")
    form = sparse.csr_array(weight) if flagged else weight
    return Operation(name, target, form, _per_channel(name, node, "bias", target))


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
    padding = _padding(name, node, kernel, stride, dilation)
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


def _padding(name: str, node, kernel: NDArray, stride: tuple[int, int], dilation: tuple[int, int]) -> tuple[int, int]:
    """Zeros before the first row and column, as many as after the last."""
    if not isinstance(node.padding, str):
        return _whole_pair(name, node, "padding", 0)
    if node.padding == "valid":
        return 0, 0
    axes = (1,) if isinstance(node, nir.Conv1d) else (0, 1)
    reach = [dilation[axis] * (kernel.shape[2 + axis] - 1) for axis in (0, 1)]
    if any(stride[axis] != 1 for axis in axes):
        raise NetworkError(
            f"{called(name, node)} has padding 'same' with stride {stride}: 'same' needs stride 1, "
            f"give the padding in numbers"
        )
    if any(reach[axis] % 2 for axis in axes):
        raise NetworkError(
            f"{called(name, node)} has padding 'same' with a kernel {kernel.shape[2:]} and dilation "
            f"{dilation}, which pads one side more than the other: use an odd kernel, or padding in numbers"
        )
    return reach[0] // 2, reach[1] // 2


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


# --- neurons --------------------------------------------------------------------------------------------------


def neuron(name: str, node: nir.NIRNode, shape: Shape, bias: NDArray | float, dt_s: float | None) -> Neuron:
    """The model of a neuron node; the equations are at the head of this module."""
    given = {field: _parameter(name, node, field, shape) for field in _fields(node)}
    if isinstance(node, nir.Threshold):
        return Threshold(_compact(given["threshold"]), bias)
    threshold = _compact(given["v_threshold"]) if "v_threshold" in given else None
    reset = _compact(given.get("v_reset", np.zeros(1)))
    if isinstance(node, nir.IF | nir.I):
        return Lif(0.0, _compact(given["r"]), threshold, reset=reset, bias=bias)
    leak = _leak(name, node, "tau" if "tau" in given else "tau_mem", given, dt_s)
    current_leak: NDArray | float | None = None
    current_gain: NDArray | float = 1.0
    if "tau_syn" in given:
        filtering = _leak(name, node, "tau_syn", given, dt_s)
        current_leak, current_gain = _compact(filtering), _compact(given["w_in"] * filtering)
    gain, rest = _compact(given["r"] * leak), _compact(given["v_leak"])
    return Lif(_compact(leak), gain, threshold, rest, reset, bias, current_leak, current_gain)


def _leak(name: str, node: nir.NIRNode, field: str, given: dict[str, NDArray], dt_s: float | None) -> NDArray:
    """dt / tau, where Euler's step is stable."""
    assert dt_s is not None  # nodes with time constants are among NEEDS_DT
    shortest = given[field].min()
    if shortest <= 0:
        raise NetworkError(f"{field} of {called(name, node)} is {shortest:g} s: time constants must be positive")
    if dt_s > 2 * shortest:
        raise NetworkError(
            f"{field} of {called(name, node)} is {shortest:g} s, but the timestep is {dt_s:g} s: "
            f"Euler steps longer than twice a time constant diverge, give --dt {2 * shortest:g} or less"
        )
    return dt_s / given[field]


def _compact(values: NDArray) -> NDArray | float:
    """float32[neurons], or one number if a parameter was given once."""
    return float(values[0]) if values.size == 1 else values.astype(np.float32)
