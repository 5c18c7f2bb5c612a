"""S5 networks as files that numpy.savez writes, named .s5: NIR and lava-dl's format have no complex eigenvalues.

Arrays, of numbers that are used as they are: encoder_weight [H, inputs], encoder_bias [H]; for every block, from 0,
block0_eigenvalues and so on with the names of `nsim.network.builtin.s5.S5Block`; decoder_weight [outputs, H],
decoder_bias [outputs]; weight_bits, one integer.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from nsim.errors import InputError, NetworkError, OutputError
from nsim.formats.numpy_files import read_npz
from nsim.network.builtin.s5 import S5Block, Vector, s5_network
from nsim.network.layers import Network

BLOCK_FIELDS = tuple(field.name for field in fields(S5Block))
ENDS = ("encoder_weight", "encoder_bias", "decoder_weight", "decoder_bias", "weight_bits")
Arrays = dict[str, NDArray]


def write_s5(
    path: Path,
    encoder: tuple[NDArray, Vector],
    blocks: list[S5Block],
    decoder: tuple[NDArray, Vector],
    weight_bits: int,
) -> None:
    """Write an archive that `read_s5` reads back. raises OutputError"""
    arrays = dict(zip(ENDS, (*encoder, *decoder, weight_bits), strict=True))
    for number, block in enumerate(blocks):
        arrays |= {f"block{number}_{name}": getattr(block, name) for name in BLOCK_FIELDS}
    try:
        with path.open("wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
    except OSError as error:
        raise OutputError(f"cannot write network {path}: {error}") from None


def read_s5(path: str | Path) -> Network:
    """The network of an archive, named after the file.

    raises   NetworkError if the file cannot be read, an array is missing or of another shape or kind, or a number is
             not finite
    """
    path = Path(path)
    try:
        arrays = read_npz(path, lambda names: [name for name in names if name in ENDS or name.startswith("block")])
    except InputError as error:
        raise NetworkError(str(error)) from None
    if "encoder_weight" not in arrays:
        raise NetworkError(
            f"{path} has no array 'encoder_weight': it is no S5 network as nsim train sparsity-aware writes it"
        )
    count = len({name.partition("_")[0] for name in arrays if name.startswith("block")})
    wanted = [*ENDS, *(f"block{number}_{name}" for number in range(count) for name in BLOCK_FIELDS)]
    for name in wanted:
        if name not in arrays:
            raise NetworkError(f"{path} has no array {name!r}, but {count} blocks: write it again")
    _check(path, {name: arrays[name] for name in wanted})
    blocks = [S5Block(**{name: arrays[f"block{number}_{name}"] for name in BLOCK_FIELDS}) for number in range(count)]
    ends = ((arrays[f"{end}_weight"], arrays[f"{end}_bias"]) for end in ("encoder", "decoder"))
    try:
        return s5_network(path.stem, next(ends), blocks, next(ends), int(arrays["weight_bits"]))
    except NetworkError as error:
        raise NetworkError(f"{path}: {error}") from None


def _check(path: Path, arrays: Arrays) -> None:
    """Kinds and shapes: the sizes are those of the encoder's rows, the decoder's, and every block's eigenvalues."""
    for name, array in arrays.items():
        kinds = {"weight_bits": "iu"}.get(name, "iufc" if name.endswith("eigenvalues") else "iuf")
        if array.dtype.kind not in kinds:
            raise NetworkError(f"{path}: array {name!r} holds {array.dtype}: expected numbers of kind {kinds}")
        if not np.isfinite(array).all():
            bad = np.count_nonzero(~np.isfinite(array))
            raise NetworkError(f"{path}: array {name!r} has {bad} values that are NaN or infinite: train again")
    for end in ("encoder_weight", "decoder_weight"):
        if arrays[end].ndim != 2 or 0 in arrays[end].shape:
            raise NetworkError(f"{path}: array {end!r} has shape {arrays[end].shape}: expected two axes")
    model, outputs = len(arrays["encoder_weight"]), len(arrays["decoder_weight"])
    for name, array in arrays.items():
        block, _, field = name.partition("_")
        states = 2 * arrays[f"{block}_eigenvalues"].size if block.startswith("block") else 0
        expected = {
            "encoder_weight": (model, arrays["encoder_weight"].shape[1]),
            "decoder_weight": (outputs, model),
            "decoder_bias": (outputs,),
            "weight_bits": (),
        }.get(name) or {
            "eigenvalues": (states // 2,),
            "input_weight": (states, model),
            "output_weight": (model, states),
            "gate_weight": (model, model),
        }.get(field, (model,))
        if array.shape != (() if name == "weight_bits" else expected):
            raise NetworkError(f"{path}: array {name!r} has shape {array.shape}: expected {expected}")
    if not 1 <= int(arrays["weight_bits"]) <= 64:
        raise NetworkError(f"{path}: weight_bits is {int(arrays['weight_bits'])}: expected 1 to 64")
