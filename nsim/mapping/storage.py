"""What the synapses of a connection take in a core's weight memory, by storage format.

dense    per source neuron one block with a weight for every neuron of the core that could be a target, zeros too
sparse   per source neuron one block with weight and index of every stored synapse
conv     one kernel for the core: a row of output-channel weights per kernel position and input channel
Blocks start at a word, behind a header. Sources: loihi2.md sections 2.1 and 9.2 (lava-dl PilotNet logs, nengo-loihi).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nsim.barrier_chip import BarrierChip
from nsim.network import Connection
from nsim.synapses import Box, Convolution

FORMATS = ("dense", "sparse", "conv")


def storage_format(connection: Connection, chip: BarrierChip, dense_layers: str | None = None) -> str:
    """The format a connection is stored in; `dense_layers` overrides the chip's choice for fully connected ones."""
    kind = connection.synapses.kind
    return (dense_layers or chip.format_default.dense_layers) if kind == "dense" else kind


def synops_per_message(connection: Connection, box: Box, form: str) -> NDArray[np.int64]:
    """Synops of one message of each source neuron in the core that holds `box`: int64[sources]."""
    return connection.synapses.fan_out(box, stored=form == "sparse")


def words_per_message(
    connection: Connection, box: Box, form: str, chip: BarrierChip, synops: NDArray[np.int64] | None = None
) -> NDArray[np.int64]:
    """Memory words that one message of each source neuron reads in the core that holds `box`: int64[sources].

    synops   what `synops_per_message` gives, if it is known already
    """
    bits = connection.weight_bits
    if form == "conv":
        assert isinstance(connection.synapses, Convolution)
        row = -(-box.extent[0] * bits // chip.core.word_bits)
        return connection.synapses.taps(box) * row
    if form == "sparse":
        bits += index_bits(chip, box.neurons)
    if synops is None:
        synops = synops_per_message(connection, box, form)
    header = getattr(chip.formats, form).header_bits
    return np.where(synops > 0, -(-(synops * bits + header) // chip.core.word_bits), 0)


def message_work(
    connection: Connection,
    box: Box,
    chip: BarrierChip,
    dense_layers: str | None = None,
    among: NDArray[np.int64] | slice = slice(None),
) -> tuple[str, NDArray[np.int64], NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """What one message of each source neuron causes in the core that holds `box`, for those that cause anything there.

    among     source neurons to look at; all of them if left out
    returns   the storage format; then positions in `among`, synops, words read, and time of both, each
              int64[sources that reach the box]
    """
    form = storage_format(connection, chip, dense_layers)
    every_synops = synops_per_message(connection, box, form)
    words = words_per_message(connection, box, form, chip, every_synops)[among]
    synops = every_synops[among]
    source = np.flatnonzero(synops)
    synops, words = synops[source], words[source]
    synop_ps = getattr(chip.actions, f"synop_{form}").latency_ps
    return form, source, synops, words, np.maximum(words * chip.actions.word_read.latency_ps, synops * synop_ps)


def stored_words(connection: Connection, box: Box, form: str, chip: BarrierChip) -> int:
    """Words of weight memory that the connection takes in the core that holds `box`."""
    if form == "conv":
        assert isinstance(connection.synapses, Convolution)
        return connection.synapses.kernel_rows(box) * -(-box.extent[0] * connection.weight_bits // chip.core.word_bits)
    return int(words_per_message(connection, box, form, chip).sum())


def axons_in(connection: Connection, box: Box, form: str) -> int:
    """Entries of the core's table of incoming axons.

    One per source neuron; a convolution shares one per phase of its stride along the width, as logged for PilotNet.
    """
    if isinstance(connection.synapses, Convolution):
        return connection.synapses.stride[1]
    return int(np.count_nonzero(synops_per_message(connection, box, form)))


def index_bits(chip: BarrierChip, neurons: int) -> int:
    """Width of a stored synapse's target index: the narrowest the chip offers for this many neurons.

    Without one wide enough it is what would be needed; the partition's limits (`sparse_targets`) refuse such a share.
    """
    needed = max(1, (neurons - 1).bit_length())
    return min((bits for bits in chip.formats.sparse.index_bits or () if bits >= needed), default=needed)


def sparse_targets(chip: BarrierChip) -> int:
    """How many neurons of a share the chip's widest target index tells apart."""
    return 1 << max(chip.formats.sparse.index_bits or (0,))
