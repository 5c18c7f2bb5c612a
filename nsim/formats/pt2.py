"""Networks that torch.export wrote (.pt2): one row of convolutions, dense layers, pools and rectifiers.

The archive is a zip with the graph of ATen operations as JSON and every tensor as plain bytes. Both are read here,
without PyTorch. What torch.export pickles beside them, the sample inputs, is never opened, and a tensor that is stored
pickled is refused.
Source: torch/_export/serde/schema.py and torch/export/pt2_archive of PyTorch 2.8 to 2.13 (archive version 0).
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError, available_bytes, check_no_pointer
from nsim.formats.layer_shape import layer_shape
from nsim.formats.row import Pair, Row, evenly_padded
from nsim.network.layers import Network

MAX_GRAPH_BYTES = 1 << 26
KINDS = {1: "u1", 2: "i1", 3: "<i2", 4: "<i4", 5: "<i8", 6: "<f2", 7: "<f4", 8: "<f8", 12: "?"}  # torch's ScalarType
PASSING = ("dropout", "feature_dropout", "contiguous", "clone", "alias", "detach", "identity", "to", "_to_copy")
SHAPING = ("flatten", "view", "reshape", "_unsafe_view", "squeeze", "unsqueeze")
SOFTMAX = ("softmax", "log_softmax", "_softmax", "_log_softmax")


def read_pt2(path: str | Path) -> Network:
    """The network of a file that torch.export.save wrote, named after the file.

    raises   NetworkError, one line that names the file and the operation, if it cannot be read or is not one row of
             Conv1d, Conv2d, Linear, BatchNorm, ReLU, MaxPool2d, AvgPool2d, Flatten and Dropout in evaluation mode
    """
    path = Path(path)
    try:
        check_no_pointer(path, NetworkError)
        with path.open("rb") as file:
            return network_of_archive(file, path.stem)
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None
    except OSError as problem:
        raise NetworkError(f"{path} cannot be read: {problem.strerror}: check the path and its permissions") from None


def network_of_archive(file: IO[bytes], name: str) -> Network:
    """The same of an open file."""
    try:
        with zipfile.ZipFile(file) as archive:
            return _Program(archive).network(name)
    except (NetworkError, MemoryError):
        raise
    except Exception as problem:  # of zipfile, and of JSON that holds anything
        reason = " ".join(str(problem).split())[:120] or type(problem).__name__
        raise NetworkError(
            f"cannot be read as an archive of torch.export ({type(problem).__name__}: {reason}): export it again with "
            "torch 2.8 or later"
        ) from None


class _Program:
    """The graph of an archive, and its tensors by the names that the graph has for them."""

    def __init__(self, archive: zipfile.ZipFile) -> None:
        self.archive = archive
        names = archive.namelist()
        models = [name for name in names if "/models/" in name and name.endswith(".json")]
        if len(models) != 1:
            raise NetworkError(
                f"holds {len(models)} graphs where one is expected: give one that torch.export.save of torch 2.8 wrote"
            )
        self.root = models[0].split("/models/")[0]
        module = self._json(models[0])["graph_module"]
        self.graph, signature = module["graph"], module["signature"]
        self.parameters: dict[str, str] = {}  # the graph's names, and those of the module
        self.given: list[str] = []
        for spec in signature["input_specs"]:
            ((kind, content),) = spec.items()
            if kind == "user_input":
                self.given.append(content["arg"]["as_tensor"]["name"])
            else:
                self.parameters[content["arg"]["name"]] = next(
                    content[key] for key in ("parameter_name", "buffer_name", "tensor_constant_name") if key in content
                )
        self.stored: dict[str, tuple[str, Any]] = {}
        for folder, config in (("weights", "model_weights_config"), ("constants", "model_constants_config")):
            where = f"{self.root}/data/{folder}/"
            if f"{where}{config}.json" in names:
                listed = self._json(f"{where}{config}.json")["config"]
                self.stored |= {key: (where, entry) for key, entry in listed.items()}

    def _json(self, name: str) -> Any:
        return json.loads(self._read(name, MAX_GRAPH_BYTES))

    def _read(self, name: str, most: int) -> bytes:
        size = self.archive.getinfo(name).file_size
        if size > most:
            raise NetworkError(f"{name!r} has {size:,} bytes, more than {most:,} that fit: split the network")
        return self.archive.read(name)

    def network(self, name: str) -> Network:
        """raises NetworkError for what is not one row"""
        if len(self.given) != 1:
            raise NetworkError(f"takes {len(self.given)} inputs where one is expected: export a module of one input")
        row = Row(self._shape(self.given[0]))
        row.vector = len(self.sizes(self.given[0])) == 2
        notes: list[str] = []
        current = self.given[0]
        for node in self.graph["nodes"]:
            made = [each["as_tensor"]["name"] for each in node["outputs"] if "as_tensor" in each]
            if not made:
                continue  # sizes and checks
            _Step(self, row, node, current, made[0], notes).take()
            current = made[0]
            self._check_shape(row, current)
        read = [each["as_tensor"]["name"] for each in self.graph["outputs"]]
        if read != [current]:
            raise NetworkError(f"returns {len(read)} results, {read[:3]}: export a module that returns its last one")
        return row.network(name, notes)

    def sizes(self, name: str) -> list[int]:
        """Of a tensor, with the batch."""
        sizes = self.graph["tensor_values"][name]["sizes"]
        return [int(size["as_int"]) if "as_int" in size else 0 for size in sizes]

    def _shape(self, name: str) -> tuple[int, int, int]:
        sizes = self.sizes(name)
        if len(sizes) < 2:
            raise NetworkError(f"takes an input of shape {tuple(sizes)}: export it with a sample of a batch, (1, ...)")
        if 0 in sizes[1:]:
            raise NetworkError("has sizes that are not fixed beyond the batch: export it without those dynamic shapes")
        return layer_shape("its input", sizes[1:])

    def _check_shape(self, row: Row, name: str) -> None:
        sizes = self.sizes(name)[1:]
        if [size for size in sizes if size > 1] != [size for size in row.shape if size > 1] and not (
            row.vector and math.prod(sizes) == math.prod(row.shape)
        ):
            raise NetworkError(f"{name!r} has shape {tuple(sizes)}, here {row.shape}: flatten all but the batch")

    def is_weight(self, argument: Mapping[str, Any]) -> bool:
        """Whether an argument is a parameter, buffer or constant."""
        return argument.get("as_tensor", {}).get("name") in self.parameters

    def tensor(self, name: str) -> NDArray:
        """A parameter, buffer or constant as float64."""
        if name not in self.parameters or self.parameters[name] not in self.stored:
            raise NetworkError(f"a weight is computed, {name!r}: fold that into the parameters")
        where, entry = self.stored[self.parameters[name]]
        meta = entry["tensor_meta"]
        shape, strides = ([int(size["as_int"]) for size in meta[key]] for key in ("sizes", "strides"))
        if entry["use_pickle"] or meta["dtype"] not in KINDS:
            raise NetworkError(
                f"{self.parameters[name]!r} is stored pickled or in a type that NumPy lacks: export it as .float()"
            )
        kind = np.dtype(KINDS[meta["dtype"]])
        data = self._read(where + entry["path_name"], available_bytes() // 16)
        values = np.frombuffer(data[: len(data) // kind.itemsize * kind.itemsize], kind)
        values = values[int(meta["storage_offset"]["as_int"]) :]
        last = sum((size - 1) * stride for size, stride in zip(shape, strides, strict=True))
        if min([*shape, 1]) < 1 or min([*strides, 0]) < 0 or last >= values.size:
            raise NetworkError(f"{self.parameters[name]!r} of shape {shape} is cut short: export it again")
        steps = [stride * kind.itemsize for stride in strides]
        return np.lib.stride_tricks.as_strided(values, shape, steps, writeable=False).astype(np.float64)


class _Step:
    """One node of the graph on its way into a row of layers."""

    def __init__(
        self, program: _Program, row: Row, node: Mapping[str, Any], current: str, made: str, notes: list[str]
    ) -> None:
        self.program, self.row, self.notes, self.made = program, row, notes, made
        self.target = node["target"]
        self.operation = self.target.removeprefix("torch.ops.aten.").split(".")[0].removesuffix("_")
        self.arguments = {each["name"]: each["arg"] for each in node["inputs"]}
        tensors = [arg["as_tensor"]["name"] for arg in self.arguments.values() if "as_tensor" in arg]
        moving = [name for name in tensors if name not in program.parameters]
        self.name = node.get("name") or made
        if moving != [current]:
            raise NetworkError(
                f"{self.name!r} takes {moving}, where {current!r} came last: only one row of layers is read, without "
                "skips; give networks with skips as NIR"
            )
        weights = [program.parameters[name] for name in tensors if name in program.parameters]
        if weights:
            self.name = weights[0].rpartition(".")[0] or self.name

    def take(self) -> None:
        """Raises NetworkError for what no layer can be."""
        if self.notes and self.operation not in PASSING:
            raise NetworkError(
                f"{self.name!r} follows a softmax, which only the host can do: end the network before it"
            )
        method: Callable[[], None] | None = getattr(self, f"_{self.operation}", None)
        if self.operation in PASSING:
            self._check_off("train")
        elif self.operation in SHAPING:
            self._reshape()
        elif self.operation in SOFTMAX:
            self.notes.append(f"{self.name} at the end is left to the host: outputs are what goes into it")
        elif self.operation in TAKEN and method is not None:
            method()
        else:
            raise NetworkError(
                f"{self.name!r} is {self.target}, which no layer here can be: use Conv1d, Conv2d, Linear, BatchNorm, "
                "ReLU, MaxPool2d, AvgPool2d, Flatten or Dropout"
            )

    def _check_off(self, key: str) -> None:
        if self._value(key, False):
            raise NetworkError(f"{self.name!r} was exported in training mode: call .eval() before torch.export.export")

    def _value(self, key: str, default: Any) -> Any:
        """An argument that is no tensor."""
        found = self.arguments.get(key, {"as_none": True})
        ((kind, value),) = found.items()
        if kind == "as_none":
            return default
        if kind == "as_sym_ints":
            return [each["as_int"] for each in value]
        return value

    def _tensor(self, key: str) -> NDArray | None:
        found = self.arguments.get(key, {})
        return self.program.tensor(found["as_tensor"]["name"]) if self.program.is_weight(found) else None

    def _pair(self, key: str, default: Any) -> Pair:
        values = self._value(key, None) or default
        values = [values] if isinstance(values, int) else list(values)
        if not all(isinstance(value, int) and 0 <= value < 1 << 31 for value in values) or not 1 <= len(values) <= 2:
            raise NetworkError(f"{key} of {self.name!r} is {values}: expected one or two whole numbers")
        return values[0], values[-1]

    def _weights(self) -> tuple[NDArray, NDArray | None]:
        weight = self._tensor("weight")
        if weight is None:
            raise NetworkError(f"{self.name!r} has no weights of its own: give it parameters")
        return weight, self._tensor("bias")

    def _linear(self) -> None:
        self.row.matrix(self.name, *self._weights())

    def _conv2d(self) -> None:
        kernel, bias = self._weights()
        padding, dilation = self._value("padding", [0, 0]), self._pair("dilation", [1, 1])
        if isinstance(padding, str):
            kernel, padding = _same(self.name, kernel, dilation) if padding == "same" else (kernel, (0, 0))
        self.arguments["padding"] = {"as_ints": padding}
        stride, groups = self._pair("stride", [1, 1]), self._value("groups", 1)
        self.row.convolution(self.name, kernel, bias, stride, self._pair("padding", [0, 0]), dilation, groups)

    def _conv1d(self) -> None:
        kernel, bias = self._weights()
        (_, stride), (_, dilation) = self._pair("stride", [1]), self._pair("dilation", [1])
        kernel, padding = kernel[:, :, None], self._value("padding", [0])
        if isinstance(padding, str):
            kernel, padding = _same(self.name, kernel, (1, dilation)) if padding == "same" else (kernel, (0,))
        self.arguments["padding"] = {"as_ints": padding}
        pads = (0, self._pair("padding", [0])[1])
        self.row.convolution(self.name, kernel, bias, (1, stride), pads, (1, dilation), self._value("groups", 1))

    def _batch_norm(self) -> None:
        self._check_off("training")
        mean, variance = self._tensor("running_mean"), self._tensor("running_var")
        if mean is None or variance is None:
            raise NetworkError(f"{self.name!r} has no running mean and variance: train it with track_running_stats")
        weight, bias = self._tensor("weight"), self._tensor("bias")
        factors = (1 if weight is None else weight) / np.sqrt(variance + self._value("eps", 1e-5))
        self.row.normalise(self.name, factors, (0 if bias is None else bias) - mean * factors)

    def _add(self) -> None:
        self._constant(lambda value: (1.0, value * self._value("alpha", 1)))

    def _sub(self) -> None:
        self._constant(lambda value: (1.0, -value * self._value("alpha", 1)))

    def _mul(self) -> None:
        self._constant(lambda value: (value, 0.0))

    def _div(self) -> None:
        self._constant(lambda value: (1 / value, 0.0))

    def _constant(self, meaning: Callable[[Any], tuple[Any, Any]]) -> None:
        """With a number or a parameter: what moves comes first."""
        found = self._tensor("other")
        value = self._value("other", None) if found is None else found
        if isinstance(value, bool | str) or value is None or self.program.is_weight(self.arguments["self"]):
            raise NetworkError(f"{self.name!r} joins two results: only one row of layers is read; give skips as NIR")
        with np.errstate(all="ignore"):  # what is not finite is refused behind it
            self.row.scale(self.name, *meaning(np.asarray(value, np.float64)))

    def _relu(self) -> None:
        self.row.rectify(self.name)

    def _max_pool2d(self) -> None:
        size = self._pair("kernel_size", [0])
        if any(self._pair("padding", [0])) or self._pair("dilation", [1]) != (1, 1):
            raise NetworkError(f"{self.name!r} pools with padding or dilation: leave them out")
        result = self.program.sizes(self.made)
        self.row.maximum(self.name, size, self._pair("stride", list(size)), (result[-2], result[-1]))

    def _avg_pool2d(self) -> None:
        size, padding = self._pair("kernel_size", [0]), self._pair("padding", [0])
        even = self._value("count_include_pad", True) or not any(padding)
        if not even or self._value("ceil_mode", False) or self._value("divisor_override", None):
            raise NetworkError(f"{self.name!r} divides by less at its borders: use count_include_pad and no ceil_mode")
        self.row.average(self.name, size, self._pair("stride", list(size)), padding)

    def _adaptive_avg_pool2d(self) -> None:
        result = self._pair("output_size", [1])
        if any(not n or size % n for size, n in zip(self.row.shape[1:], result, strict=True)):
            raise NetworkError(f"{self.name!r} makes {result} of {self.row.shape[1:]}: give sizes that divide it")
        size = self.row.shape[1] // result[0], self.row.shape[2] // result[1]
        self.row.average(self.name, size, size)

    def _mean(self) -> None:
        """Over rows and columns."""
        axes = {axis % 4 for axis in self._value("dim", [])}
        if len(self.program.sizes(self.arguments["self"]["as_tensor"]["name"])) != 4 or axes != {2, 3}:
            raise NetworkError(f"{self.name!r} is a mean over other axes than rows and columns: use AvgPool2d")
        self.row.average(self.name, self.row.shape[1:], self.row.shape[1:])
        if not self._value("keepdim", False):
            self.row.flatten()

    def _reshape(self) -> None:
        """To a vector, or to the same but for sizes of 1: a row keeps the order of its neurons."""
        sizes = self.program.sizes(self.made)[1:]
        if len(sizes) == 1 and sizes[0] == math.prod(self.row.shape):
            self.row.flatten()
        elif [size for size in sizes if size > 1] != [size for size in self.row.shape if size > 1] or self.row.vector:
            raise NetworkError(
                f"{self.name!r} makes {tuple(sizes)} of {self.row.shape}: only flattening all but the batch is read"
            )


TAKEN = (
    *("linear", "conv2d", "conv1d", "batch_norm", "relu", "max_pool2d", "avg_pool2d", "adaptive_avg_pool2d", "mean"),
    *("add", "sub", "mul", "div"),
)


def _same(name: str, kernel: NDArray, dilation: Pair) -> tuple[NDArray, Pair]:
    """Padding 'same': of an odd number of zeros the larger half comes last."""
    reach = [dilation[axis] * (kernel.shape[2 + axis] - 1) for axis in (0, 1)]
    before = reach[0] // 2, reach[1] // 2
    return evenly_padded(name, kernel, before, (reach[0] - before[0], reach[1] - before[1]), dilation)
