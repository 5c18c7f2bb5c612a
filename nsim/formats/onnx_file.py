"""ONNX files: one row of convolutions, dense layers, pools and rectifiers in real numbers.

Source: the operators of ONNX, opset 7 to 24, https://onnx.ai/onnx/operators.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError, available_bytes, check_no_pointer, open_regular
from nsim.formats.layer_shape import layer_shape
from nsim.formats.row import Pair, Row, evenly_padded
from nsim.network.layers import Network

PASSING = ("Identity", "Dropout", "Cast", "Squeeze", "Unsqueeze")
SOFTMAX = ("Softmax", "LogSoftmax")


def read_onnx(path: str | Path) -> Network:
    """The network of an ONNX file, named after the file.

    raises   NetworkError, one line that names the file and the node, if the package onnx is missing, or if the file
             cannot be read or is not one row of Conv, Gemm, MatMul, Add, Mul, BatchNormalization, Relu, MaxPool,
             AveragePool, GlobalAveragePool, ReduceMean, Flatten, Reshape and Dropout
    """
    path = Path(path)
    try:
        return _network(_loaded(path), path.stem)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None


def _loaded(path: Path) -> Any:
    """The model's graph; data in other files are refused, so that a model cannot name any file."""
    try:
        import onnx  # an extra: only those who have such files need it
    except ImportError:
        raise NetworkError("an ONNX file needs the package onnx: pip install 'nsim-neuromorphic[onnx]'") from None
    try:
        check_no_pointer(path, NetworkError)
        with open_regular(path) as file:
            size, free = path.stat().st_size, available_bytes()
            if size * 4 > free:
                raise NetworkError(f"has {size:,} bytes, and {free:,} are free for 4 times as much: split the network")
            graph = onnx.load_model_from_string(file.read()).graph
    except OSError as problem:
        raise NetworkError(f"cannot be read ({problem.strerror}): check the path and its permissions") from None
    except NetworkError:
        raise
    except Exception as problem:  # of protobuf
        raise NetworkError(f"is no ONNX file ({' '.join(str(problem).split())[:100]}): export it again") from None
    if any(onnx.external_data_helper.uses_external_data(each) for each in graph.initializer):
        raise NetworkError("keeps its weights in other files: save it with save_as_external_data=False")
    return graph


def _network(graph: Any, name: str) -> Network:
    constants = {each.name: _array(each.name, each) for each in graph.initializer}
    given = [each for each in graph.input if each.name not in constants]
    if len(given) != 1 or not graph.node:
        raise NetworkError(f"takes {len(given)} inputs where one is expected: export a model of one input and no loop")
    sizes = [int(size.dim_value) for size in given[0].type.tensor_type.shape.dim]
    if len(sizes) < 2 or min(sizes[1:]) < 1:
        raise NetworkError(f"takes an input of shape {tuple(sizes)}, batch first: export it with sizes that are fixed")
    row, current = Row(layer_shape("its input", sizes[1:])), given[0].name
    row.vector = len(sizes) == 2
    notes: list[str] = []
    for node in graph.node:
        if node.op_type == "Constant":
            constants[node.output[0]] = _constant(node)
            continue
        _Node(row, node, current, constants, notes).take()
        current = node.output[0]
    read = [each.name for each in graph.output]
    if read != [current]:
        raise NetworkError(f"returns {read[:3]}, but {current!r} comes last: export a model that returns that")
    return row.network(name, notes)


def _array(name: str, tensor: Any) -> NDArray:
    from onnx import numpy_helper  # there, since the file was read

    try:
        values = numpy_helper.to_array(tensor)
    except Exception as problem:  # sizes and types that contradict each other
        raise NetworkError(f"{name!r} is malformed ({' '.join(str(problem).split())[:100]}): export it again") from None
    if values.dtype.kind not in "biuf":
        raise NetworkError(f"{name!r} holds {values.dtype}, no plain numbers: export the model in float32")
    return values


def _constant(node: Any) -> NDArray:
    for attribute in node.attribute:
        if attribute.name == "value":
            return _array(node.name, attribute.t)
        if attribute.name in ("value_float", "value_int", "value_floats", "value_ints"):
            return np.asarray(_value(attribute))
    raise NetworkError(f"constant {node.name!r} holds no numbers: export it again")


def _value(attribute: Any) -> Any:
    """A number, a text or a list of numbers."""
    by_type: Mapping[int, Callable[[], Any]] = {
        1: lambda: float(attribute.f),
        2: lambda: int(attribute.i),
        3: lambda: attribute.s.decode(errors="replace"),
        6: lambda: [float(x) for x in attribute.floats],
        7: lambda: [int(x) for x in attribute.ints],
    }
    return by_type.get(attribute.type, lambda: None)()


class _Node:
    """One node of the graph on its way into a row of layers."""

    def __init__(self, row: Row, node: Any, current: str, constants: dict[str, NDArray], notes: list[str]) -> None:
        self.row, self.notes = row, notes
        self.operation = str(node.op_type)
        self.inputs = [constants.get(name) if name else None for name in node.input]
        self.values = {attribute.name: _value(attribute) for attribute in node.attribute}
        weights = [name for name in node.input if name in constants]
        self.name = (node.name or node.output[0]).removeprefix("/") or self.operation
        moving = [name for name in node.input if name and name not in constants]
        if moving != [current]:
            raise NetworkError(
                f"node {self.name!r} ({self.operation}) takes {moving}, where {current!r} came last: only one row of "
                "layers is read, without skips; give networks with skips as NIR"
            )
        if weights and weights[0].endswith((".weight", "_weight", "/kernel")):
            self.name = weights[0][: -len(".weight")] if "/" not in weights[0] else weights[0].rpartition("/")[0]

    def take(self) -> None:
        """Raises NetworkError for what no layer can be."""
        method = getattr(self, f"_{self.operation.lower()}", None)
        if self.operation in PASSING:
            return
        if self.notes:
            raise NetworkError(f"{self.name!r} follows a softmax, which the host does: end the network before it")
        if self.operation in SOFTMAX:
            self.notes.append(f"{self.name} at the end is left to the host: outputs are what goes into it")
        elif self.operation in TAKEN and method is not None:
            method()
        else:
            raise NetworkError(
                f"node {self.name!r} is {self.operation}, which no layer here can be: use Conv, Gemm, MatMul, Add, "
                "BatchNormalization, Relu, MaxPool, AveragePool, Flatten or Dropout"
            )

    def _weight(self, place: int) -> NDArray:
        found = self.inputs[place] if place < len(self.inputs) else None
        if found is None:
            raise NetworkError(f"{self.name!r} has weights that are computed: fold constants when exporting")
        return found.astype(np.float64)

    def _optional(self, place: int) -> NDArray | None:
        found = self.inputs[place] if place < len(self.inputs) else None
        return None if found is None else found.astype(np.float64)

    def _spatial(self, key: str, default: int) -> Pair:
        """Rows and columns; of one dimension the rows are single."""
        values = self.values.get(key) or [default] * 2
        if not isinstance(values, list) or not 1 <= len(values) <= 2 or not all(0 <= v < 1 << 31 for v in values):
            raise NetworkError(f"{key} of {self.name!r} is {values}: expected one or two whole numbers")
        return (values[0], values[1]) if len(values) == 2 else (default, values[0])

    def _padding(self, reach: Pair, stride: Pair) -> tuple[Pair, Pair]:
        """Zeros before and after; reach: that a window covers."""
        automatic, pads = self.values.get("auto_pad", "NOTSET"), self.values.get("pads") or [0, 0, 0, 0]
        if automatic in ("SAME_UPPER", "SAME_LOWER"):
            sizes = self.row.shape[1:]
            more = [max((-(-n // s) - 1) * s + k - n, 0) for n, s, k in zip(sizes, stride, reach, strict=True)]
            less, rest = [n // 2 for n in more], [n - n // 2 for n in more]
            before, after = (less, rest) if automatic == "SAME_UPPER" else (rest, less)
        elif not isinstance(pads, list) or len(pads) not in (2, 4) or min(pads) < 0 or max(pads) >= 1 << 31:
            raise NetworkError(f"pads of {self.name!r} are {pads}: expected zeros before and after each axis")
        else:
            before, after = (pads[:2], pads[2:]) if len(pads) == 4 else ([0, pads[0]], [0, pads[1]])
        return (before[0], before[1]), (after[0], after[1])

    def _conv(self) -> None:
        kernel, bias = self._weight(1), self._optional(2)
        if kernel.ndim == 3:
            kernel = kernel[:, :, None]
        if kernel.ndim != 4:
            raise NetworkError(f"{self.name!r} has a kernel of shape {kernel.shape}: give one or two dimensions")
        stride, dilation = self._spatial("strides", 1), self._spatial("dilations", 1)
        reach = [(kernel.shape[2 + axis] - 1) * dilation[axis] + 1 for axis in (0, 1)]
        before, after = self._padding((reach[0], reach[1]), stride)
        kernel, padding = evenly_padded(self.name, kernel, before, after, dilation)
        self.row.convolution(self.name, kernel, bias, stride, padding, dilation, int(self.values.get("group", 1)))

    def _gemm(self) -> None:
        weight = self._weight(1) * self.values.get("alpha", 1.0)
        if self.values.get("transA", 0):
            raise NetworkError(f"{self.name!r} transposes what arrives: export it with the batch first")
        bias = self._optional(2)
        if bias is not None:
            bias = np.broadcast_to(bias.ravel() * self.values.get("beta", 1.0), weight.shape[self._outputs(weight)])
        self.row.matrix(self.name, weight if self.values.get("transB", 0) else weight.T, bias)

    def _outputs(self, weight: NDArray) -> int:
        """The axis of a matrix that counts outputs."""
        if weight.ndim != 2:
            raise NetworkError(f"{self.name!r} has weights of shape {weight.shape}: give a matrix")
        return 0 if self.values.get("transB", 0) else 1

    def _matmul(self) -> None:
        self.row.matrix(self.name, self._weight(1).T, None)

    def _add(self) -> None:
        self._constant(lambda value: (1.0, value))

    def _sub(self) -> None:
        if self.inputs[0] is not None:
            raise NetworkError(f"{self.name!r} takes the result from a constant: negate the weights before it")
        self._constant(lambda value: (1.0, -value))

    def _mul(self) -> None:
        self._constant(lambda value: (value, 0.0))

    def _div(self) -> None:
        if self.inputs[0] is not None:
            raise NetworkError(f"{self.name!r} divides by the result, which no layer here can: leave it out")
        self._constant(lambda value: (1 / value, 0.0))

    def _constant(self, meaning: Callable[[NDArray], tuple[Any, Any]]) -> None:
        value = self._weight(0 if self.inputs[0] is not None else 1)
        with np.errstate(all="ignore"):  # what is not finite is refused behind it
            self.row.scale(self.name, *meaning(value))

    def _batchnormalization(self) -> None:
        factors = self._weight(1) / np.sqrt(self._weight(4) + self.values.get("epsilon", 1e-5))
        self.row.normalise(self.name, factors, self._weight(2) - self._weight(3) * factors)

    def _relu(self) -> None:
        self.row.rectify(self.name)

    def _maxpool(self) -> None:
        size, stride = self._spatial("kernel_shape", 1), self._spatial("strides", 1)
        before, after = self._padding(size, stride)
        if any((*before, *after)) or self._spatial("dilations", 1) != (1, 1):
            raise NetworkError(f"{self.name!r} pools with padding or dilation: leave them out")
        up = -1 if self.values.get("ceil_mode", 0) else 1  # floor, or ceiling as minus the floor of minus
        rows, columns = (
            up * (up * (n - k) // max(s, 1)) + 1 for n, k, s in zip(self.row.shape[1:], size, stride, strict=True)
        )
        self.row.maximum(self.name, size, stride, (rows, columns))

    def _averagepool(self) -> None:
        size, stride = self._spatial("kernel_shape", 1), self._spatial("strides", 1)
        before, after = self._padding(size, stride)
        uneven = before != after or (any(before) and not self.values.get("count_include_pad", 0))
        if uneven or self.values.get("ceil_mode", 0):
            raise NetworkError(f"{self.name!r} divides by less at its borders: use count_include_pad and no ceil_mode")
        self.row.average(self.name, size, stride, before)

    def _globalaveragepool(self) -> None:
        self.row.average(self.name, self.row.shape[1:], self.row.shape[1:])

    def _reducemean(self) -> None:
        """Over rows and columns."""
        axes = self.values.get("axes") or [int(axis) for axis in np.ravel(self._weight(1))]
        if self.row.vector or {axis % 4 for axis in axes} != {2, 3}:
            raise NetworkError(f"{self.name!r} is a mean over other axes than rows and columns: use AveragePool")
        self._globalaveragepool()
        if not self.values.get("keepdims", 1):
            self.row.flatten()

    def _flatten(self) -> None:
        if self.values.get("axis", 1) != 1:
            raise NetworkError(f"{self.name!r} flattens from axis {self.values['axis']}: flatten all but the batch, 1")
        self.row.flatten()

    def _reshape(self) -> None:
        sizes = [int(size) for size in np.ravel(self._weight(1))]
        if len(sizes) != 2 or sizes[1] not in (-1, math.prod(self.row.shape)):
            raise NetworkError(f"{self.name!r} reshapes to {sizes}: only flattening all but the batch is read")
        self.row.flatten()


TAKEN = (
    *("Conv", "Gemm", "MatMul", "Add", "Sub", "Mul", "Div", "BatchNormalization", "Relu", "MaxPool", "AveragePool"),
    *("GlobalAveragePool", "ReduceMean", "Flatten", "Reshape"),
)
