"""Reader of lava-dl's `.net` files (HDF5): trained networks in Loihi's fixed-point arithmetic.

Source of the format: lava-dl's netx loader (BSD-3), as it behaves, not as its code reads.
Weights hold real weight x 64. Beyond the format, which does not know them, files may hold layers of integers for
  chips with frames    neurons of type QUANTIZED with `bits` (of an input, or of a level; 0: not rectified) and `step`,
                       see nsim.network.neurons.QuantizedRelu; `max_pool` of a convolution, whose `shape` is that
  behind it chips without steps  neurons of type IF with `threshold`, see nsim.network.neurons.FixedIf, and an input of
                       that type, which takes events; `sum_pool` before a convolution
and `weight_bits` of a layer, where its weights need fewer than they are stored with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError
from nsim.formats.hdf5 import checked_hdf5
from nsim.network.layers import MAX_DELAY, Connection, Layer, Network
from nsim.network.neurons import FixedIf, FixedLif, FixedSigmaDelta, Neuron, QuantizedInput, QuantizedRelu, Relay
from nsim.network.pooling import Pool
from nsim.network.synapses import Convolution, Dense, Shape

REFUSED = ("average", "pool", "convT", "unpool", "concat")  # by the format's own loader too
KNOWN = ("input", "conv", "dense", "dense_rec", "flatten")
LARGEST_WEIGHT = 1 << 23
LARGEST_THRESHOLD = 1 << 17


def read_netx(
    path: str | Path,
    *,
    reset_interval: int | None = None,
    reset_offset: int = 0,
    num_layers: int | None = None,
    skip_layers: int = 0,
) -> Network:
    """Read a `.net` file; layers are named by type and index in the file ("conv1", "dense6").

    A file that begins with another layer than an input, or whose first ones are skipped, gets an input that the host
    sends in: what the first layer would have heard.

    reset_interval, reset_offset   timesteps; LIF layer k is reset before every step t with
                                   t mod interval = (offset + k + 1) mod interval. None: never
    num_layers, skip_layers        of the file, from its start; layers beyond num_layers and before skip_layers are left
                                   out
    raises   NetworkError for files that are not HDF5, are cut short, or hold what Loihi's loader refuses
    """
    if reset_interval is not None and reset_interval < 1:
        raise NetworkError(f"reset_interval is {reset_interval}: give a number of timesteps of at least 1")
    with checked_hdf5(path) as file:
        content = _value(file)
    layers = content.get("layer")
    if not isinstance(layers, dict):
        raise NetworkError(f"{path} has no group 'layer': it is HDF5, but not a lava-dl .net file; export it again")
    numbers = [str(number) for number in range(len(layers))]
    stray = next((name for name in layers if name not in numbers), None)
    if stray is not None:
        raise NetworkError(
            f"{path} has {len(layers)} layers and one is named layer/{stray}: a lava-dl .net file numbers its layers "
            f"0, 1, ... without a gap"
        )
    last = len(numbers) if num_layers is None else num_layers
    if (skip_layers or num_layers is not None) and not 0 <= skip_layers < last <= len(numbers):
        raise NetworkError(
            f"{path} has {len(numbers)} layers, of which {skip_layers} are to be skipped and {last} to be read: give "
            "0 <= skip_layers < num_layers, and at most as many as there are"
        )
    reader = _Reader(str(path), reset_interval, reset_offset)
    if skip_layers:
        reader.skip(skip_layers, layers[str(skip_layers - 1)])
    for number in range(skip_layers, last):
        if number == last - 1 and _is_average(layers[numbers[number]]):
            reader.notes.append(f"layer {number} (average) is left to the host: it is no layer of the chip")
        else:
            reader.add(number, layers[numbers[number]])
    return reader.network()


def _is_average(fields: Any) -> bool:
    return isinstance(fields, dict) and _word(fields.get("type")) == "average"


def _value(item: Any) -> Any:
    """A dataset as array, a group as dictionary, byte strings as text."""
    if hasattr(item, "items"):
        return {key: _value(child) for key, child in item.items()}
    value = item[()]
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO" and value.size == 1:
        value = value.ravel()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _word(value: Any) -> str:
    """The name of a type, as errors can show it."""
    return " ".join(str(value).split())[:40]


def _binary(fields: Mapping[str, Any]) -> bool:
    """Whether a layer of this kind of neurons hears spikes without a value: all but sigma-delta ones."""
    neuron = fields.get("neuron")
    return not (isinstance(neuron, dict) and _word(neuron.get("type")) in ("SDNN", "QUANTIZED"))


class _Reader:
    """Collects layers and connections in file order; each layer connects to the one before it."""

    def __init__(self, path: str, reset_interval: int | None, reset_offset: int) -> None:
        self.path = path
        self.reset = reset_interval, reset_offset
        self.layers: list[Layer] = []
        self.connections: list[Connection] = []
        self.notes: list[str] = []
        self.flattened = False

    def network(self) -> Network:
        if len(self.layers) < 2:
            raise NetworkError(
                f"{self.path} holds {len(self.layers)} layers of neurons: a network needs an input and one more"
            )
        return Network(
            name=Path(self.path).stem,
            layers=tuple(self.layers),
            connections=tuple(self.connections),
            input=self.layers[0].name,
            output=self.layers[-1].name,
            notes=tuple(self.notes),
        )

    def skip(self, count: int, fields: Any) -> None:
        """Begin with an input in place of the first layers, of which the last has these fields."""
        number = count - 1
        if not isinstance(fields, dict) or _word(self._field(fields, "type", number)) not in KNOWN:
            raise NetworkError(f"{self.path}: layer {number} is of no known type: skip one less or one more")
        kind = _word(fields["type"])
        if kind == "flatten":
            raise NetworkError(f"{self.path}: layer {number} is a flatten layer, which has no neurons: skip one less")
        shape = self._shape(kind, fields, number)
        self.layers.append(Layer("input", shape, Relay(binary=_binary(fields)), on_chip=False))
        self.notes.append(f"layers 0 to {number} are skipped: the host sends what layer {number} would")

    def begin(self, number: int, kind: str, fields: dict[str, Any]) -> None:
        """The input of a file that has none: as many as the first layer's weights have columns."""
        if kind not in ("dense", "dense_rec"):
            raise NetworkError(
                f"{self.path}: layer {number} is {kind!r}: a .net file starts with its only 'input' or a dense layer"
            )
        weights = np.asarray(self._field(fields, "weight", number)).size
        sources = max(1, weights // math.prod(self._shape(kind, fields, number)))
        self.layers.append(Layer("input", (sources, 1, 1), Relay(binary=_binary(fields)), on_chip=False))
        self.notes.append(f"the file has no input layer: the host sends {sources} inputs to layer {number}")

    def add(self, number: int, fields: Any) -> None:
        if not isinstance(fields, dict):
            raise NetworkError(f"{self.path}: layer/{number} is a dataset: expected a group with the layer's fields")
        kind = _word(self._field(fields, "type", number))
        if kind in REFUSED:
            raise NetworkError(
                f"{self.path}: layer {number} is of type {kind!r}, as Loihi's own loader refuses: use another"
            )
        if kind not in KNOWN:
            raise NetworkError(f"{self.path}: layer {number} is of unknown type {kind!r}: expected {', '.join(KNOWN)}")
        if kind == "input" and self.layers:
            raise NetworkError(f"{self.path}: layer {number} is {kind!r}: a .net file starts with its only 'input'")
        if kind != "input" and not self.layers:
            self.begin(number, kind, fields)
        if kind == "flatten":
            self.flattened = True
            return
        name = "input" if kind == "input" else f"{kind}{number}"
        shape = self._shape(kind, fields, number)
        neuron = self._neuron(kind, fields, number, shape)
        on_chip = kind != "input" or isinstance(neuron, FixedLif)
        layer = Layer(name, shape, neuron, on_chip, self._pool(kind, fields, number, shape))
        if self.layers:
            self._connect(kind, fields, self.layers[-1], layer)
        self.layers.append(layer)
        self.flattened = False

    def _field(self, fields: Mapping[str, Any], name: str, number: int) -> Any:
        if name not in fields:
            raise NetworkError(
                f"{self.path}: layer {number} has no field {name!r}: the file is incomplete, export it again"
            )
        return fields[name]

    def _shape(self, kind: str, fields: dict[str, Any], number: int) -> Shape:
        shape = np.asarray(self._field(fields, "shape", number)).ravel()
        if shape.dtype.kind not in "iu" or shape.size not in (1, 3) or (shape < 1).any():
            raise NetworkError(
                f"{self.path}: layer {number} has shape {_word(shape.tolist())}: expected (C, H, W) or (n)"
            )
        if kind in ("dense", "dense_rec") or shape.size == 1:
            return int(np.prod(shape)), 1, 1
        return int(shape[0]), int(shape[1]), int(shape[2])

    def _integers(self, fields: Mapping[str, Any], name: str, where: str) -> NDArray[np.int64]:
        """A field as integers: files hold floats with integer values, converted by truncation."""
        values = np.asarray(fields[name])
        if values.dtype.kind not in "iuf":
            raise NetworkError(f"{self.path}: {where} {name} holds {values.dtype}, not numbers: export it again")
        if values.dtype.itemsize > 8:
            values = values.astype(np.float64)
        bad = int(np.count_nonzero(~np.isfinite(values)))
        if bad:
            raise NetworkError(
                f"{self.path}: {where} {name} has {bad} values that are NaN or infinite: train again or mend the file"
            )
        if values.size and not -LARGEST_WEIGHT <= values.min() <= values.max() <= LARGEST_WEIGHT:
            raise NetworkError(
                f"{self.path}: {where} {name} spans {values.min():g} to {values.max():g}, beyond Loihi's 24 bits: "
                "scale it down"
            )
        return values.astype(np.int64)

    def _integer(self, fields: Mapping[str, Any], name: str, where: str) -> int:
        """A field of one number."""
        values = self._integers(fields, name, where)
        if values.size != 1:
            raise NetworkError(f"{self.path}: {where} {name} has {values.size} values: expected one")
        return int(values.ravel()[0])

    def _neuron(self, kind: str, fields: dict[str, Any], number: int, shape: Shape) -> Neuron:
        where = f"layer {number}"
        parameters = fields.get("neuron", {})
        if not isinstance(parameters, dict):
            raise NetworkError(f"{self.path}: {where} has a dataset 'neuron': expected a group of parameters")
        bias: NDArray[np.int64] | int = 0
        if "bias" in fields and kind != "input":  # an input's scaling is already applied to the data
            bias = self._bias(self._integers(fields, "bias", where).ravel(), shape, where)

        def number_of(name: str, default: int | None = None) -> int:
            if name not in parameters and default is not None:
                return default
            self._field(parameters, name, number)
            return self._integer(parameters, name, f"{where} neuron")

        if kind == "input" and "neuron" not in fields:
            return Relay()
        model = _word(parameters.get("type", "none" if kind == "dense" else "missing"))
        wraps = kind == "conv"
        if model == "IF":
            return self._integrating(kind, parameters, number, bias)
        if model == "QUANTIZED":
            return self._quantized(kind, parameters, number, bias)
        if model == "SDNN":
            role = "input" if kind == "input" else "hidden"
            if bool(np.any(parameters.get("sigma_output", False))):
                role = "output"
            binary = number_of("messageBits", 16) == 0
            return FixedSigmaDelta(role, self._threshold(number_of("vThMant"), where), bias, wraps, binary)
        if model in ("LOIHI", "CUBA", "none"):
            interval, offset = self.reset
            lif = FixedLif(0, 4096, 1 << 17, bias, interval, offset + len(self.layers) + 1, wraps, kind == "input")
            if model == "none":
                return lif
            decays = number_of("iDecay"), number_of("vDecay")
            if not all(0 <= decay <= 4096 for decay in decays):
                raise NetworkError(f"{self.path}: {where} has decays {decays}: expected 0..4096")
            threshold = self._threshold(number_of("vThMant"), where)
            return replace(lif, current_decay=decays[0], voltage_decay=decays[1], threshold=threshold)
        known = ", resonate-and-fire, which no chip here has" if model.upper().startswith("RF") else ""
        raise NetworkError(
            f"{self.path}: {where} has neurons of type {model!r}{known}: this reader knows "
            "SDNN, LOIHI, CUBA, QUANTIZED and IF"
        )

    def _quantized(self, kind: str, parameters: Mapping[str, Any], number: int, bias: NDArray | int) -> Neuron:
        """An input of so many bits, or a rectifier: bits 0 stand for none."""
        self._field(parameters, "bits", number)
        bits = self._integer(parameters, "bits", f"layer {number} neuron")
        try:
            if kind == "input":
                return QuantizedInput(bits=bits)
            step = self._integer({"step": 1, **parameters}, "step", f"layer {number} neuron")
            return QuantizedRelu(bits or None, step, bias)
        except NetworkError as error:
            raise NetworkError(f"{self.path}: layer {number}: {error}") from None

    def _integrating(self, kind: str, parameters: Mapping[str, Any], number: int, bias: NDArray | int) -> Neuron:
        """An input of events, or neurons that subtract their threshold."""
        if kind == "input":
            return Relay(binary=True)
        self._field(parameters, "threshold", number)
        try:
            return FixedIf(self._integer(parameters, "threshold", f"layer {number} neuron"), bias)
        except NetworkError as error:
            raise NetworkError(f"{self.path}: layer {number}: {error}") from None

    def _pool(self, kind: str, fields: Mapping[str, Any], number: int, shape: Shape) -> Pool | None:
        """Max pooling in squares, of quantised layers only; sums beyond the last whole square are refused."""
        if "max_pool" not in fields:
            return None
        size = self._integer(fields, "max_pool", f"layer {number}")
        if kind != "conv" or fields.get("neuron", {}).get("type") != "QUANTIZED" or size < 1:
            raise NetworkError(
                f"{self.path}: layer {number} is {kind!r} with max_pool {size}: only convolutions with QUANTIZED "
                "neurons have it, from 1 up"
            )
        return Pool("max", (size, size), (size, size), (shape[0], shape[1] * size, shape[2] * size))

    def _weight_bits(self, fields: Mapping[str, Any], weight: NDArray[np.int64], where: str) -> int:
        """As the file says, else as many as its weights need."""
        return self._integer(fields, "weight_bits", where) if "weight_bits" in fields else stored_bits(weight)

    def _threshold(self, mantissa: int, where: str) -> int:
        if not 0 <= mantissa <= LARGEST_THRESHOLD:
            raise NetworkError(
                f"{self.path}: {where} has threshold {mantissa}: expected 0..{LARGEST_THRESHOLD} (17 bits)"
            )
        return mantissa

    def _bias(self, bias: NDArray[np.int64], shape: Shape, where: str) -> NDArray[np.int64]:
        if bias.size not in (1, shape[0]):
            raise NetworkError(
                f"{self.path}: {where} has {bias.size} biases for {shape[0]} channels: expected one each"
            )
        return np.repeat(np.broadcast_to(bias, (shape[0],)), shape[1] * shape[2])

    def _connect(self, kind: str, fields: dict[str, Any], source: Layer, layer: Layer) -> None:
        where = f"layer {layer.name!r}"
        self._field(fields, "weight", len(self.layers))
        weight = self._integers(fields, "weight", where)
        if kind == "conv":
            convolution = self._convolution(weight, fields, source, layer)
            bits = self._weight_bits(fields, weight, where)
            self.connections.append(Connection(source.name, layer.name, convolution, weight_bits=bits))
            return
        matrix = self._matrix(weight, source.neurons, layer)
        delays = self._delays(fields, source, layer) if kind == "dense" else {}
        dense = Dense(matrix, source.shape, layer.shape)
        bits = self._weight_bits(fields, matrix, where)
        self.connections.append(Connection(source.name, layer.name, dense, weight_bits=bits, **delays))
        if kind == "dense_rec":
            if np.any(fields.get("delay", 0)):
                self.notes.append(f"{where}: delays of recurrent layers are not applied, as in the format's loader")
            self._field(fields, "weight_rec", len(self.layers))
            recurrent = self._matrix(self._integers(fields, "weight_rec", where), layer.neurons, layer)
            loop = Dense(recurrent, layer.shape, layer.shape)
            self.connections.append(Connection(layer.name, layer.name, loop, weight_bits=stored_bits(recurrent)))

    def _convolution(self, weight: NDArray, fields: dict[str, Any], source: Layer, layer: Layer) -> Convolution:
        where = f"layer {layer.name!r}"
        if self.flattened:
            raise NetworkError(f"{self.path}: {where} is a convolution behind a flatten layer")
        if weight.ndim == 5 and weight.shape[4] == 1:
            weight = weight[..., 0]
        if weight.ndim != 4:
            raise NetworkError(f"{self.path}: {where} has a kernel of shape {weight.shape}: expected 4 axes")

        def pair(name: str, default: int) -> tuple[int, int]:
            value = self._integers({name: default, **fields}, name, where).ravel()
            least = 0 if name == "padding" else 1
            if value.size not in (1, 2) or (value < least).any():
                raise NetworkError(
                    f"{self.path}: {where} has {name} {_word(value.tolist())}: expected one or two numbers from {least}"
                )
            return int(value[0]), int(value[-1])

        geometry = pair("stride", 1), pair("padding", 0), pair("dilation", 1)
        groups = self._integer({"groups": 1, **fields}, "groups", where)
        return Convolution(weight, source.shape, layer.sums_shape, *geometry, groups, pair("sum_pool", 1))

    def _matrix(self, weight: NDArray[np.int64], sources: int, layer: Layer) -> NDArray[np.int64]:
        if weight.size != layer.neurons * sources:
            raise NetworkError(
                f"{self.path}: layer {layer.name!r} has weights of shape {weight.shape}, but joins {sources} to "
                f"{layer.neurons} neurons: expected {layer.neurons * sources} values"
            )
        matrix = weight.reshape(layer.neurons, sources)
        if matrix.size and matrix.min() < 0 < matrix.max():
            return np.clip(matrix, -256, 254)  # what the loader's bit optimiser leaves of a mixed-sign matrix
        lowest = -int(matrix.min()) if matrix.size else 0
        if lowest > 0 and matrix.max() < 0 and lowest & (lowest - 1) == 0:
            self.notes.append(
                f"layer {layer.name!r}: all weights are negative and the lowest is -{lowest}, a power of two; "
                "the format's loader may store it with a smaller magnitude, here it is used as it is"
            )
        return matrix

    def _delays(self, fields: dict[str, Any], source: Layer, layer: Layer) -> dict[str, Any]:
        if "delay" not in fields:
            return {}
        delay = np.minimum(self._integers(fields, "delay", f"layer {layer.name!r}").ravel(), MAX_DELAY)
        if (delay < 0).any():
            raise NetworkError(
                f"{self.path}: layer {layer.name!r} has a delay of {delay.min()}: expected 0..{MAX_DELAY}"
            )
        if delay.size == 1:
            return {"source_delay": int(delay[0])}
        if delay.size == layer.neurons:
            return {"target_delay": delay}
        if delay.size == source.neurons:
            return {"source_delay": delay}
        raise NetworkError(
            f"{self.path}: layer {layer.name!r} has {delay.size} delays: expected 1, {layer.neurons} (its neurons) or "
            f"{source.neurons} (its inputs)"
        )


def stored_bits(weights: NDArray[np.int64]) -> int:
    """Bits that a stored weight needs, a common power of two left out and a sign counted where signs are mixed."""
    magnitude = np.abs(weights[weights != 0])
    if magnitude.size == 0:
        return 1
    shift = int(np.bitwise_or.reduce(magnitude))
    trailing = (shift & -shift).bit_length() - 1
    signed = int(weights.min() < 0 < weights.max())
    return int(magnitude.max() >> trailing).bit_length() + signed
