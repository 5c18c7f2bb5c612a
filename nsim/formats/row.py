"""One row of operations on frames, as frameworks write them, in layers of rectifiers.

Linear operations between two rectifiers compose to one connection and one bias. A rectifier ends a layer; a largest
value is found of the sums before it, or of what it sends, which is the same. What ends without a rectifier is read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from nsim.errors import NetworkError, counted
from nsim.formats.linear_maps import Form, applied, compose, synapses
from nsim.network.layers import Connection, Layer, Network
from nsim.network.neurons import Activation, Relay
from nsim.network.pooling import Pool
from nsim.network.synapses import Convolution, Shape, convolved_shape

Pair = tuple[int, int]


class Row:
    """Layers that grow operation by operation; every method names the operation first, for errors and layers.

    shape    of what the next operation takes, (channels, rows, columns)
    raises   NetworkError, one line that names the operation, for what no layer can be
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.layers = [Layer("input", shape, Relay(), on_chip=False)]
        self.connections: list[Connection] = []
        self.vector = shape[1:] == (1, 1)
        self._begin()

    def _begin(self) -> None:
        self.form: Form = None
        self.bias: NDArray = np.zeros(math.prod(self.shape))
        self.pool: Pool | None = None
        self.named: str | None = None  # after the first operation with weights

    @property
    def pending(self) -> bool:
        """Whether something came since the last rectifier."""
        return self.form is not None or self.pool is not None

    def matrix(self, name: str, weight: NDArray, bias: NDArray | None) -> None:
        """weight [targets, sources]; bias [targets]"""
        if not self.vector or weight.ndim != 2 or weight.shape[1] != math.prod(self.shape):
            raise NetworkError(
                f"{name!r} has weights of shape {weight.shape}, but shape {self.shape} arrives: flatten it before, and "
                f"give (outputs, {math.prod(self.shape)})"
            )
        self._linear(name, weight, (len(weight), 1, 1), bias)

    def convolution(
        self,
        name: str,
        kernel: NDArray,
        bias: NDArray | None,
        stride: Pair = (1, 1),
        padding: Pair = (0, 0),
        dilation: Pair = (1, 1),
        groups: int = 1,
    ) -> None:
        """kernel [out, in / groups, rows, columns]; bias [out]"""
        try:
            target = convolved_shape(self.shape, kernel, stride, padding, dilation)
            form = Convolution(kernel, self.shape, target, stride, padding, dilation, groups)
        except (NetworkError, ZeroDivisionError, IndexError) as problem:
            raise NetworkError(f"{name!r}: {problem}") from None
        self._linear(name, form, target, bias)

    def average(self, name: str, size: Pair, stride: Pair, padding: Pair = (0, 0)) -> None:
        """Of windows; what lies outside counts as zeros."""
        kernel = np.full((self.shape[0], 1, *size), 1 / math.prod(size))
        named = self.named
        self.convolution(name, kernel, None, stride, padding, groups=self.shape[0])
        self.named = named

    def normalise(self, name: str, factors: NDArray, offsets: NDArray) -> None:
        """One factor and one offset by channel."""
        channels = math.prod(self.shape) if self.vector else self.shape[0]
        area = math.prod(self.shape) // channels
        if factors.shape != (channels,) or offsets.shape != (channels,):
            raise NetworkError(f"{name!r} has {factors.size} factors for {channels} channels: give one each")
        _check_finite(f"the factors of {name!r} have", factors)
        _check_finite(f"the offsets of {name!r} have", offsets)
        if self.pool is None:
            self._linear(name, np.repeat(factors, area), self.shape, offsets)
        elif (factors > 0).all():  # the largest stays the largest
            self.form = compose(self.form, np.repeat(factors, math.prod(self.pool.shape[1:])))
            self.bias = self.bias * np.repeat(factors, area) + np.repeat(offsets, area)
        else:
            raise NetworkError(f"{name!r} turns signs between {self._what} and a rectifier: normalise before the pool")

    def scale(self, name: str, factors: NDArray | float, offsets: NDArray | float) -> None:
        """Factors and offsets that spread over (channels, rows, columns), or over a vector, as NumPy spreads them."""
        own = (math.prod(self.shape),) if self.vector else self.shape
        try:
            spread = [
                np.broadcast_to(np.asarray(values, np.float64), (1, *own)).ravel() for values in (factors, offsets)
            ]
        except ValueError:
            raise NetworkError(f"{name!r} has constants that do not spread over {own}: give one each") from None
        for values in spread:
            _check_finite(f"the constants of {name!r} make", values)
        self._linear(name, spread[0], self.shape, None)
        self.bias = self.bias + spread[1]

    def _linear(self, name: str, form: NDArray | Convolution, target: Shape, bias: NDArray | None) -> None:
        if self.pool is not None:
            raise NetworkError(f"{name!r} follows {self._what} without a rectifier between them: put one there")
        if bias is not None and bias.shape != (target[0],):
            raise NetworkError(f"bias of {name!r} has shape {bias.shape}: expected ({target[0]},)")
        _check_finite(f"the weights of {name!r} have", form.kernel if isinstance(form, Convolution) else form)
        if bias is not None:
            _check_finite(f"the bias of {name!r} has", bias)
        self.form, self.bias = compose(self.form, form), applied(form, self.bias)
        if bias is not None:
            self.bias = self.bias + np.repeat(bias, math.prod(target[1:]))
        self.shape, self.vector = target, self.vector or (isinstance(form, np.ndarray) and form.ndim == 2)
        self.named = self.named or name

    def maximum(self, name: str, size: Pair, stride: Pair, result: Pair) -> None:
        """Of windows without padding; result: rows and columns that the framework gives."""
        try:
            pool = Pool("max", size, stride, self.shape)
        except NetworkError as problem:
            raise NetworkError(f"{name!r}: {problem}") from None
        if pool.pooled_shape[1:] != result:
            raise NetworkError(
                f"{name!r} makes {result} of {self.shape[1:]}, a pool here {pool.pooled_shape[1:]}: give rows and "
                "columns that its stride divides"
            )
        before = self.layers[-1]
        if self.pool is not None or (not self.pending and (before.pool is not None or not self.connections)):
            raise NetworkError(f"{name!r} pools {'twice' if self.connections else 'the input'}: let weights precede")
        if self.pending:
            self.pool, self.shape = pool, pool.pooled_shape
            self.bias = _pooled(name, self.bias, pool)
            return
        assert isinstance(before.neuron, Activation)
        neuron = Activation(bias=_pooled(name, np.broadcast_to(before.neuron.bias, math.prod(self.shape)), pool))
        self.layers[-1] = Layer(before.name, pool.pooled_shape, neuron, pool=pool)
        self.shape = pool.pooled_shape
        self._begin()

    @property
    def _what(self) -> str:
        return f"the pool behind {self.named!r}"

    def rectify(self, name: str) -> None:
        if self.pending or not self.connections:
            self._end(name, rectify=True)

    def flatten(self) -> None:
        """Row-major: no neuron moves, and layers keep their shape."""
        self.vector = True

    def network(self, name: str, notes: Sequence[str] = ()) -> Network:
        """The layers so far, and one to read if no rectifier came last."""
        if self.pending:
            self._end("output", rectify=False)
        if not self.connections:
            raise NetworkError("it has no weights: nothing is left to simulate")
        ends = "input", self.layers[-1].name
        return Network(name, tuple(self.layers), tuple(self.connections), *ends, notes=tuple(notes), exported=True)

    def _end(self, name: str, rectify: bool) -> None:
        sums = self.shape if self.pool is None else self.pool.shape
        called = self._free(self.named or name)
        _check_finite(f"what is added to the sums of {called!r} has", self.bias)
        source = self.layers[-1]
        self.connections.append(Connection(source.name, called, synapses(self.form, source.shape, sums)))
        neuron = Activation(rectify, self.bias.astype(np.float32))
        self.layers.append(Layer(called, self.shape, neuron, pool=self.pool))
        self._begin()

    def _free(self, name: str) -> str:
        taken = {layer.name for layer in self.layers}
        return next(each for each in (name, *(f"{name}_{k}" for k in range(2, 9999))) if each not in taken)


def _check_finite(of: str, values: NDArray) -> None:
    bad = int(np.count_nonzero(~np.isfinite(values)))
    if bad:
        raise NetworkError(f"{of} NaN or infinity in {bad:,} of {counted(values.size, 'value')}: train again")


def _pooled(name: str, bias: NDArray, pool: Pool) -> NDArray:
    """A bias behind a pool of largest values: the same, if it is one for each channel."""
    by_channel = bias.reshape(pool.shape[0], -1)
    if (by_channel != by_channel[:, :1]).any():
        raise NetworkError(
            f"{name!r} pools sums whose bias differs within a channel, as an offset before a padded convolution makes "
            "it: give inputs that have the offset already"
        )
    return np.repeat(by_channel[:, 0], math.prod(pool.pooled_shape[1:]))


def evenly_padded(name: str, kernel: NDArray, before: Pair, after: Pair, dilation: Pair) -> tuple[NDArray, Pair]:
    """A kernel with as many zeros on both sides of the image: taps of zeros make up for the side with fewer.

    kernel         [out, in, rows, columns]
    before, after  zeros before the first and after the last row and column
    """
    more = [after[axis] - before[axis] for axis in (0, 1)]
    if any(more[axis] % dilation[axis] for axis in (0, 1)):
        raise NetworkError(f"{name!r} is padded by {before} and {after} with dilation {dilation}: use an odd kernel")
    taps = [(max(more[k] // dilation[k], 0), max(-more[k] // dilation[k], 0)) for k in (0, 1)]
    kernel = np.pad(kernel, ((0, 0), (0, 0), *taps))
    return kernel, (max(before[0], after[0]), max(before[1], after[1]))
