"""Weight memory of a layer on one processor, in bytes, as measured on the virtual device of akida 2.19.3."""

from __future__ import annotations

from math import ceil

from nsim.chip.frames import FrameChip, Granule


def convolution_bytes(chip: FrameChip, channels: int, filters: int, kernel: int, bits: int) -> int | None:
    """For so many filters on all input channels; None if the table of granules ends below."""
    granule: Granule = getattr(chip.granules, f"w{bits}k{kernel}")
    by_channel = granule.bytes_for(filters)
    return None if by_channel is None else by_channel * channels


def separable_bytes(chip: FrameChip, channels: int, filters: int, kernel: int, bits: int) -> int:
    """Depthwise weights of all input channels, in whole granules; for each channel the pointwise ones of the filters.

    Filters fill words in whole blocks; filters that do not fill a block take a word of their own.
    """
    limits = chip.separable
    granules = ceil(channels * limits.depthwise_words(bits, kernel) / limits.depthwise_granule_words)
    whole, partial = divmod(filters, limits.filter_block)
    pointwise = -(-whole * limits.filter_block * bits // limits.word_bits) + (partial > 0)
    return ceil((granules * limits.depthwise_granule_words + pointwise * channels) * limits.word_bytes)


def fully_connected_bytes(chip: FrameChip, inputs: int, units: int, bits: int) -> int:
    """Of all units: what each has beside its weights, and the blocks of its weights."""
    limits = chip.fully_connected
    block = limits.block_bytes[limits.weight_bits.index(bits)]
    return units * (limits.unit_bytes + -(-inputs // limits.block_inputs) * block)
