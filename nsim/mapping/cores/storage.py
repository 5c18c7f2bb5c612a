"""What the synapses of a connection take in a core's weight memory, by storage format.

dense    per source neuron one block with a weight for every neuron of the core that could be a target, zeros too
sparse   per source neuron one block with weight and index of every stored synapse
conv     one kernel for the core: a row of output-channel weights per kernel position and input channel
What becomes of zeros is the chip's (`zeros`): some store them where they are no synops.
Blocks start at a word, behind a header. Sources: loihi2.md sections 2.1 and 9.2 (lava-dl PilotNet logs, nengo-loihi).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nsim.chip.chip import MeshChip
from nsim.chip.timesteps import BarrierChip
from nsim.network.layers import Connection
from nsim.network.synapses import Box, Convolution

FORMATS = ("dense", "sparse", "conv")


def storage_format(connection: Connection, chip: BarrierChip, dense_layers: str | None = None) -> str:
    """The format a connection is stored in; `dense_layers` overrides the chip's choice for fully connected ones."""
    kind = connection.synapses.kind
    return (dense_layers or chip.format_default.dense_layers) if kind == "dense" else kind


def box_reached(connection: Connection, box: Box) -> Box:
    """What the connection reaches of a slice as it is laid out: kernels go on beyond the layer, other weights end."""
    return box if connection.synapses.kind == "conv" else box.within(connection.synapses.target_shape)


def synops_per_message(connection: Connection, box: Box, form: str, chip: MeshChip) -> NDArray[np.int64]:
    """Synops of one message of each source neuron in the core that holds `box`: int64[sources]."""
    return connection.synapses.fan_out(box, stored=_adds_nonzero(connection, form, chip))


def _adds_nonzero(connection: Connection, form: str, chip: MeshChip) -> bool:
    """Whether zeros are no synops."""
    listed = connection.synapses.kind == "sparse"  # one by one: zeros among them are synapses
    return (form == "sparse" and not listed) or (form == "conv" and chip.skips_conv_zeros)


def stores_zeros(connection: Connection, chip: BarrierChip, dense_layers: str | None = None) -> bool:
    """Whether a fully connected layer's zeros are stored with indices: by the chip's compiler, if left to itself."""
    zeros = chip.zeros is not None and chip.zeros.sparse_stored
    return zeros and dense_layers is None and connection.synapses.kind == "dense"


def entries_per_message(connection: Connection, box: Box, form: str, zeros: bool) -> NDArray[np.int64]:
    """Weights that are stored for one message of each source neuron: int64[sources].

    zeros   whether the sparse format stores them too
    """
    return connection.synapses.fan_out(box, stored=_stores_nonzero(connection, form, zeros))


def _stores_nonzero(connection: Connection, form: str, zeros: bool) -> bool:
    """Whether zeros are not stored."""
    return form == "sparse" and not (zeros or connection.synapses.kind == "sparse")


def words_per_message(
    connection: Connection, box: Box, form: str, chip: BarrierChip, entries: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Memory words that one message of each source neuron reads in the core that holds `box`: int64[sources].

    entries   what `entries_per_message` gives
    """
    bits = connection.weight_bits
    if form == "conv":
        assert isinstance(connection.synapses, Convolution)
        row = -(-box.extent[0] * bits // chip.core.word_bits)
        return connection.synapses.taps(box) * row
    if form == "sparse":
        bits += index_bits(chip, box.neurons)
    header = getattr(chip.formats, form).header_bits
    return np.where(entries > 0, -(-(entries * bits + header) // chip.core.word_bits), 0)


def message_counts(
    connection: Connection,
    box: Box,
    chip: BarrierChip,
    dense_layers: str | None = None,
    among: NDArray[np.int64] | slice = slice(None),
) -> tuple[str, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What one message of each source neuron causes in the core that holds `box`, for those that cause anything there.

    box       as the core's slice is laid out: it may go beyond the layer
    among     source neurons to look at; all of them if left out
    returns   the storage format; then positions in `among`, synops, words read, and zeros stored that are no synops,
              each int64[sources that reach the box]
    """
    form = storage_format(connection, chip, dense_layers)
    box = box_reached(connection, box)
    zeros = stores_zeros(connection, chip, dense_layers)
    entries = every_synop = entries_per_message(connection, box, form, zeros)
    if _adds_nonzero(connection, form, chip) != _stores_nonzero(connection, form, zeros):
        every_synop = synops_per_message(connection, box, form, chip)
    words = words_per_message(connection, box, form, chip, entries)[among]
    source = np.flatnonzero(entries[among])
    synops = every_synop[among][source]
    return form, source, synops, words[source], entries[among][source] - synops


def message_work(
    connection: Connection,
    box: Box,
    chip: BarrierChip,
    dense_layers: str | None = None,
    among: NDArray[np.int64] | slice = slice(None),
) -> tuple[str, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The same with the time of it all in place of the zeros."""
    form, source, *counts = message_counts(connection, box, chip, dense_layers, among)
    return form, source, counts[0], counts[1], work_ps(chip, FORMATS.index(form), *counts)


def work_ps(
    chip: BarrierChip,
    form: int | NDArray[np.int64],
    synops: NDArray[np.int64],
    words: NDArray[np.int64],
    zeros: NDArray[np.int64],
) -> NDArray[np.int64]:
    """Time to read and to add what `message_counts` found; form: place in FORMATS."""
    synop_ps = np.array([getattr(chip.actions, f"synop_{name}").latency_ps for name in FORMATS])
    share = chip.zeros.time_share if chip.zeros else 0
    adding_ps = np.rint((synops + zeros * share) * synop_ps[form]).astype(np.int64)
    return np.maximum(words * chip.actions.word_read.latency_ps, adding_ps)


def stored_words(connection: Connection, box: Box, chip: BarrierChip, dense_layers: str | None = None) -> int:
    """Words of weight memory that the connection takes in the core that holds `box`."""
    form = storage_format(connection, chip, dense_layers)
    if form == "conv":
        assert isinstance(connection.synapses, Convolution)
        return connection.synapses.kernel_rows(box) * -(-box.extent[0] * connection.weight_bits // chip.core.word_bits)
    entries = entries_per_message(connection, box, form, stores_zeros(connection, chip, dense_layers))
    return int(words_per_message(connection, box, form, chip, entries).sum())


def axons_in(connection: Connection, box: Box, chip: BarrierChip, dense_layers: str | None = None) -> int:
    """Entries of the core's table of incoming axons.

    One per source neuron; a convolution slices one per phase of its stride along the width, as logged for PilotNet.
    """
    if isinstance(connection.synapses, Convolution):
        return connection.synapses.stride[1]
    form = storage_format(connection, chip, dense_layers)
    zeros = stores_zeros(connection, chip, dense_layers)
    return int(np.count_nonzero(entries_per_message(connection, box, form, zeros)))


class Work(NamedTuple):
    """What messages of a connection cause in the core that holds a box, for those that cause anything there.

    form           place in FORMATS
    source         int32[sources]   ascending
    synops, words, time_ps   int32 or int64[sources]
    stored_words   that the connection takes in weight memory there, unless it is a convolution
    """

    form: int
    source: NDArray[np.int32]
    synops: NDArray[Any]
    words: NDArray[Any]
    time_ps: NDArray[Any]
    stored_words: int


class Works:
    """What connections cause in slices and take there, found once for slices that are alike."""

    def __init__(self, chip: BarrierChip, dense_layers: str | None = None) -> None:
        self.chip, self.dense_layers = chip, dense_layers
        self.found: dict[tuple[int, int, Box], Work] = {}

    def work(self, connection: Connection, box: Box) -> Work:
        """Of messages; box: as the core's slice is laid out."""
        key = id(connection.synapses), connection.weight_bits, box
        if key not in self.found:
            form, source, *columns = message_work(connection, box, self.chip, self.dense_layers)
            stored = int(columns[1].sum())
            synops, words, time_ps = map(_halved, columns)
            self.found[key] = Work(FORMATS.index(form), source.astype(np.int32), synops, words, time_ps, stored)
        return self.found[key]

    def stored(self, connection: Connection, box: Box) -> tuple[int, int]:
        """`stored_words` and `axons_in`."""
        if isinstance(connection.synapses, Convolution):
            words = stored_words(connection, box, self.chip, self.dense_layers)
            return words, axons_in(connection, box, self.chip, self.dense_layers)
        work = self.work(connection, box)
        return work.stored_words, work.source.size


def _halved(column: NDArray[np.int64]) -> NDArray[Any]:
    """In 32 bits if they hold it."""
    return column.astype(np.int32) if column.max(initial=0) <= np.iinfo(np.int32).max else column


def index_bits(chip: BarrierChip, neurons: int) -> int:
    """Width of a stored synapse's target index: the narrowest the chip offers for this many neurons.

    Without one wide enough it is what would be needed; the partition's limits (`sparse_targets`) refuse such a slice.
    """
    needed = max(1, (neurons - 1).bit_length())
    return min((bits for bits in chip.formats.sparse.index_bits or () if bits >= needed), default=needed)


def sparse_targets(chip: BarrierChip) -> int:
    """How many neurons of a slice the chip's widest target index tells apart."""
    return 1 << max(chip.formats.sparse.index_bits or (0,))
