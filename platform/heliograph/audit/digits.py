"""Checks of a series' numbers: how many decimals its prices have, and how large its volumes are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from heliograph.audit import robust
from heliograph.audit.finding import BoolArray, Mark, mark
from heliograph.core.market import Candles, FloatArray, IntArray
from heliograph.core.timeframe import DAY_MS, Timeframe

VOLUME_WORDS = "the volumes are {most:.3g} times those around, or that part of them"

_BLOCK = 32
_LEAST_BLOCKS = 16
_SIDE = 48  # blocks on either side that say what is usual
_MOST_SCALE, _LEAST_SCALE = 9, -3
_LASTING_MS = 60 * DAY_MS  # a coarser tick that lasts this long is the venue's own
_SURE = 5.0  # decimal exponent of the chance that a block looks rounded by accident


@dataclass(frozen=True, slots=True)
class Volumes:
    """Where volumes are of another size than around. Each n long.

    Attributes:
        where: bars of such blocks.
        size: how many times larger or smaller.
        sees: the least size that would have been noticed; infinite where nothing is known.
    """

    where: BoolArray
    size: FloatArray
    sees: FloatArray


def check(candles: Candles, timeframe: Timeframe) -> list[Mark]:
    """Marks of the checks here; none for fewer than sixteen blocks of 32."""
    if len(candles) < _LEAST_BLOCKS * _BLOCK:
        return []
    volumes = volume_scale(candles)
    found = (
        decimals(candles, timeframe),
        off_tick(candles),
        mark("volume_scale", volumes.where, VOLUME_WORDS, volumes.size),
    )
    return [m for m in found if m.where.any()]


def decimals(candles: Candles, timeframe: Timeframe) -> Mark:
    """Blocks whose prices have fewer or more decimals, and significant digits, than the blocks before and after.

    A tick that the venue changes stays changed, and one that hangs on the price level keeps the number of significant
    digits, so neither is marked. Fewer decimals count where the block has so many different prices that chance is out
    of the question, and for less than sixty days; more decimals where hardly a block of the series has them.
    """
    n = len(candles)
    close = candles.close[: n - n % _BLOCK].reshape(-1, _BLOCK)
    scales = _scales(close)
    significant = _significant(close, scales)
    usual, finest = np.sort(scales, axis=1)[:, [3 * _BLOCK // 4, -1]].T
    usual_digits, most_digits = np.sort(significant, axis=1)[:, [3 * _BLOCK // 4, -1]].T
    coarse = _below(finest, usual) & _below(most_digits, usual_digits)
    coarse &= _distinct(close) * -np.log10(_share_of_rounded(scales, usual)) > _SURE
    stretch = robust.longest(coarse)
    coarse = (stretch >= 2) & (stretch * _BLOCK * timeframe.ms < _LASTING_MS)
    fine = _below(-finest, -finest) & _below(-most_digits, -most_digits)
    fine &= np.searchsorted(np.sort(-finest), -finest, side="right") < 0.01 * finest.size
    bad = coarse[:, None] | (fine[:, None] & (scales == finest[:, None]))
    return mark("digits", np.append(bad.ravel(), np.zeros(n % _BLOCK, dtype=np.bool_)))


def off_tick(candles: Candles) -> Mark:
    """Bars that open or close between two ticks, where all but one in a thousand keep to them.

    Prices with no more significant digits than the others have are spared: some venues' ticks shrink with the price.
    """
    step = tick(candles.close)
    off = np.zeros(len(candles), dtype=np.bool_)
    for prices in (candles.open, candles.close):
        strays = np.flatnonzero(~_is_multiple(prices, step))
        if strays.size <= 0.001 * prices.size:
            usual = prices[:: max(1, prices.size // 4_096)]
            most = int(_significant(usual[_is_multiple(usual, step)]).max(initial=0))
            off[strays[_significant(prices[strays]) > most]] = True
    return mark("digits", off, f"a price is no multiple of the tick {step:g}")


def tick(prices: FloatArray) -> float:
    """The largest of 10**k, 2 * 10**k and 5 * 10**k that 98 % of the prices are multiples of, at least 1e-9."""
    sample = prices[:: max(1, prices.size // 4_096)]
    for scale in range(_LEAST_SCALE, _MOST_SCALE + 1):
        for step in (5.0, 2.0, 1.0):
            if _is_multiple(sample, step * 10.0**-scale).mean() > 0.98:
                return float(step * 10.0**-scale)
    return 1e-9


def _is_multiple(prices: FloatArray, step: float) -> BoolArray:
    ticks = prices / step
    multiple: BoolArray = np.abs(np.rint(ticks) - ticks) <= 1e-6 + 1e-14 * ticks
    return multiple


def volume_scale(candles: Candles, reference: FloatArray | None = None) -> Volumes:
    """Blocks whose volumes are fifty times (with a reference: twenty times) those around, or less than that part.

    Args:
        reference: float64[n], volumes of the same bars elsewhere; 0 where there is none.
    """
    n = len(candles)
    logs = _log(candles.volume) if reference is None else _log(candles.volume) - _log(reference)
    known = np.flatnonzero(np.isfinite(logs))
    judged = Volumes(np.zeros(n, dtype=np.bool_), np.zeros(n), np.full(n, np.inf))
    if known.size < _LEAST_BLOCKS * _BLOCK:
        return judged
    medians = robust.block_medians(logs[known], _BLOCK)
    noise = robust.MAD * float(np.median(np.abs(medians - robust.middle(medians, 9))))
    limit = max(float(np.log(50.0 if reference is None else 20.0)), 8.0 * noise)
    off = np.repeat(np.maximum(_off_both(medians), _steps(medians)), _BLOCK)[: known.size]
    judged.where[known] = off > limit
    judged.size[known] = np.exp(np.minimum(off, 60.0))
    judged.sees[known] = np.exp(min(limit, 60.0))
    return judged


def _log(values: FloatArray) -> FloatArray:
    logs = np.full(values.size, np.nan)
    np.log(values, out=logs, where=values > 0.0)
    return logs


def _off_both(values: FloatArray) -> FloatArray:
    """How far each block is from the medians before it and after it, whichever is nearer; 0 where a side is lacking."""
    before, after = _sides(values)
    off = np.minimum(np.abs(values - before), np.abs(values - after))
    return np.nan_to_num(off)


def _steps(values: FloatArray) -> FloatArray:
    """How far apart the four blocks before and the four from each block on lie, where the step comes at once; else 0."""
    steps = np.zeros(values.size)
    four = np.median(np.lib.stride_tricks.sliding_window_view(values, 4), axis=1)
    steps[4:-3] = np.minimum(np.abs(four[4:] - four[:-4]), np.abs(np.diff(values))[3:-3])
    return steps


def _below(values: IntArray, usual: IntArray) -> BoolArray:
    """Blocks below what is usual on both sides."""
    before, after = _sides(usual.astype(np.float64))
    below: BoolArray = (values < before) & (values < after)  # NaN is never above
    return below


def _sides(values: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Medians of the blocks before and after each block: of 48, near an edge of 12; NaN where there are fewer."""
    before, after = np.full(values.size, np.nan), np.full(values.size, np.nan)
    for k in (max(1, _SIDE // 4), _SIDE):
        if k < values.size:
            rolling = np.median(np.lib.stride_tricks.sliding_window_view(values, k), axis=1)
            before[k:] = rolling[:-1]
            after[:-k] = rolling[1:]
    return before, after


def _scales(prices: FloatArray) -> IntArray:
    """Decimals that each price has, from nine down to minus three, which is full thousands."""
    scales = np.full(prices.shape, _MOST_SCALE, dtype=np.int64)
    for scale in range(_MOST_SCALE - 1, _LEAST_SCALE - 1, -1):
        scales[np.round(prices, scale) == prices] = scale
    return scales


def _significant(prices: FloatArray, scales: IntArray | None = None) -> IntArray:
    """Digits from each price's first to its last, less one."""
    significant: IntArray = (_scales(prices) if scales is None else scales) + np.floor(np.log10(prices)).astype(
        np.int64
    )
    return significant


def _share_of_rounded(scales: IntArray, usual: IntArray) -> float:
    """How often a price of this market has fewer decimals than its block, by chance; between 0.05 and 0.9."""
    return min(max(float((scales < usual[:, None]).mean()), 0.05), 0.9)


def _distinct(prices: FloatArray) -> IntArray:
    """Different prices in each block."""
    count: IntArray = np.count_nonzero(np.diff(np.sort(prices, axis=1), axis=1), axis=1) + 1
    return count
