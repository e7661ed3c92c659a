"""Ways in which candles come to be wrong, each put into true ones at a place that the generator chooses.

Every kind is made as a downloader, a parser or a venue makes it, and stays as well-formed as it can: a bad tick widens its
bar's range, an interpolated bar has a volume, a shifted page has stamps on the grid. Runs nothing by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace

import numpy as np

from heliograph.core.market import Candles
from heliograph.core.resample import resample
from heliograph.core.timeframe import HOUR_MS, TIMEFRAMES, Timeframe

PRICES = ("open", "high", "low", "close")
COLUMNS = (*PRICES, "volume")


@dataclass(frozen=True, slots=True)
class Source:
    """What an injector may draw on.

    Attributes:
        candles: true ones.
        other: another asset's candles, for a swapped symbol.
    """

    candles: Candles
    timeframe: Timeframe
    other: Candles


@dataclass(frozen=True, slots=True)
class Injected:
    """Wrong candles, and where they are wrong: ``[start_ms, end_ms)``."""

    candles: Candles
    start_ms: int
    end_ms: int


Injector = Callable[[Source, np.random.Generator], Injected]


def _page(source: Source, rng: np.random.Generator, least: int = 300, most: int = 1_000) -> slice:
    """A page's worth of rows, not among the first or last tenth."""
    n = len(source.candles)
    length = int(rng.integers(min(least, n // 12), min(most, n // 8)))
    first = int(rng.integers(n // 10, n - n // 10 - length))
    return slice(first, first + length)


def _row(source: Source, rng: np.random.Generator, *, moving: bool = True) -> int:
    """A row that moved and was traded, not among the first or last tenth."""
    c, n = source.candles, len(source.candles)
    while True:
        row = int(rng.integers(n // 10, n - n // 10))
        if not moving or (c.high[row] > c.low[row] and c.volume[row] > 0 and c.open[row] != c.close[row]):
            return row


def _with(source: Source, rows: slice | int, **columns: object) -> Injected:
    """The candles with some columns replaced at some rows."""
    rows = slice(rows, rows + 1) if isinstance(rows, int) else rows
    changed = {f.name: getattr(source.candles, f.name).copy() for f in fields(source.candles)}
    for name, values in columns.items():
        changed[name][rows] = values
    return _at(source, Candles(**changed), rows)


def _at(source: Source, candles: Candles, rows: slice) -> Injected:
    ts = source.candles.open_ts_ms[rows]
    return Injected(candles, int(ts[0]), source.timeframe.next(int(ts[-1])))


def _scaled(source: Source, rows: slice | int, factor: float) -> Injected:
    rows = slice(rows, rows + 1) if isinstance(rows, int) else rows
    scale = _decimals(source.candles.close)
    return _with(source, rows, **{n: np.round(getattr(source.candles, n)[rows] * factor, scale + 2) for n in PRICES})


def _decimals(prices: np.ndarray) -> int:
    return next((d for d in range(9) if (np.round(prices, d) == prices).mean() > 0.9), 8)


def bad_tick(source: Source, rng: np.random.Generator) -> Injected:
    """One trade at 1.05 to 10 times the price, or that much below it, as the close or as a wick."""
    row, c = _row(source, rng), source.candles
    factor = float(np.exp(rng.uniform(np.log(1.05), np.log(10.0)))) ** rng.choice([-1, 1])
    tick = float(np.round(c.close[row] * factor, _decimals(c.close)))
    high, low = max(c.high[row], tick), min(c.low[row], tick)
    return _with(source, row, high=high, low=low, close=tick if rng.random() < 0.5 else c.close[row])


def decimal_slip(source: Source, rng: np.random.Generator) -> Injected:
    """One bar with the point in the wrong place."""
    return _scaled(source, _row(source, rng), float(rng.choice([10.0, 100.0, 0.1, 0.01])))


def swapped_symbol(source: Source, rng: np.random.Generator) -> Injected:
    """A page of another asset."""
    rows = _page(source, rng)
    first = int(rng.integers(0, len(source.other) - (rows.stop - rows.start)))
    taken = source.other.take(slice(first, first + rows.stop - rows.start))
    return _with(source, rows, **{name: getattr(taken, name) for name in COLUMNS})


def shifted_zone(source: Source, rng: np.random.Generator) -> Injected:
    """A page whose stamps were read as another zone's: each bar shows what happened hours before or after."""
    bars = max(1, round(float(rng.choice([1, 2, 3, 5, 8, 9, 12])) * HOUR_MS / source.timeframe.ms))
    bars = min(bars, len(source.candles) // 10)
    return _displaced(source, _page(source, rng, 500), bars * int(rng.choice([-1, 1])))


def shifted_bar(source: Source, rng: np.random.Generator) -> Injected:
    """A page stamped with its bars' closes: each bar shows the one before."""
    return _displaced(source, _page(source, rng, 500), -1)


def shifted_series(source: Source, rng: np.random.Generator) -> Injected:
    """The whole series an hour or more late, or one bar."""
    bars = round(float(rng.choice([1, 2, 8])) * HOUR_MS / source.timeframe.ms) if rng.random() < 0.7 else 1
    whole = slice(max(bars, 1), len(source.candles))
    return _displaced(source, whole, -max(bars, 1))


def _displaced(source: Source, rows: slice, bars: int) -> Injected:
    taken = source.candles.take(slice(max(rows.start + bars, 0), rows.stop + bars))
    return _with(source, rows, **{name: getattr(taken, name) for name in COLUMNS})


def stale(source: Source, rng: np.random.Generator) -> Injected:
    """A feed that stands still for 15 to 120 bars: flat without volume, or the last bar again and again."""
    rows, c = _page(source, rng, 15, 120), source.candles
    if rng.random() < 0.5:
        return _with(source, rows, **dict.fromkeys(PRICES, c.close[rows.start - 1]), volume=0.0)
    return _with(source, rows, **{name: getattr(c, name)[rows.start - 1] for name in COLUMNS})


def unit_change(source: Source, rng: np.random.Generator) -> Injected:
    """A page whose volume is in quote units or in contracts of a thousandth; half of the time to the series' end."""
    rows, c = _page(source, rng), source.candles
    if rng.random() < 0.5:
        rows = slice(rows.start, len(c))
    price = c.close[rows]
    factor = price if price[0] > 50 and rng.random() < 0.5 else float(rng.choice([1_000.0, 0.001]))
    return _with(source, rows, volume=np.round(c.volume[rows] * factor, 8))


def revised(source: Source, rng: np.random.Generator) -> Injected:
    """A bar as it was before the venue mended it: another volume, and half of the time another close and range."""
    row, c = _row(source, rng), source.candles
    volume = np.round(c.volume[row] * rng.uniform(0.5, 0.98), _decimals(c.volume))
    if rng.random() < 0.5:
        return _with(source, row, volume=volume)
    close = float(np.round(c.low[row] + rng.uniform(0.1, 0.9) * (c.high[row] - c.low[row]), _decimals(c.close)))
    return _with(source, row, volume=volume, close=close, high=max(c.open[row], close), low=min(c.open[row], close))


def half_bar(source: Source, rng: np.random.Generator) -> Injected:
    """A bar taken before it closed: part of the way, part of the range, part of the volume."""
    row, c, share = _row(source, rng), source.candles, float(rng.uniform(0.1, 0.9))
    scale = _decimals(c.close)
    close = float(np.round(c.open[row] + share * (c.close[row] - c.open[row]), scale))
    high = float(np.round(max(c.open[row], close) + share * (c.high[row] - max(c.open[row], c.close[row])), scale))
    low = float(np.round(min(c.open[row], close) - share * (min(c.open[row], c.close[row]) - c.low[row]), scale))
    volume = np.round(c.volume[row] * share, _decimals(c.volume))
    return _with(
        source, row, high=max(high, c.open[row], close), low=min(low, c.open[row], close), close=close, volume=volume
    )


def duplicated_page(source: Source, rng: np.random.Generator) -> Injected:
    """The page before once more, under the next stamps."""
    rows = _page(source, rng)
    return _displaced(source, rows, -(rows.stop - rows.start))


def truncated_page(source: Source, rng: np.random.Generator) -> Injected:
    """A page of which the venue sent only the first part: the rest is absent."""
    rows = _page(source, rng, 100)
    keep = np.ones(len(source.candles), dtype=np.bool_)
    keep[rows] = False
    return _at(source, source.candles.take(keep), rows)


def wrong_scale(source: Source, rng: np.random.Generator) -> Injected:
    """A page read with one decimal too many or too few."""
    return _scaled(source, _page(source, rng), float(rng.choice([10.0, 0.1])))


def high_low_swapped(source: Source, rng: np.random.Generator) -> Injected:
    """A page with the columns high and low exchanged."""
    rows, c = _page(source, rng), source.candles
    return _with(source, rows, high=c.low[rows], low=c.high[rows])


def open_close_swapped(source: Source, rng: np.random.Generator) -> Injected:
    """A page with the columns open and close exchanged, as by the venues that send O C H L."""
    rows, c = _page(source, rng), source.candles
    return _with(source, rows, open=c.close[rows], close=c.open[rows])


def not_positive(source: Source, rng: np.random.Generator) -> Injected:
    """A price of zero, or with a minus sign."""
    row, c = _row(source, rng), source.candles
    name = str(rng.choice(PRICES))
    return _with(source, row, **{name: 0.0 if rng.random() < 0.5 else -getattr(c, name)[row]})


def not_a_number(source: Source, rng: np.random.Generator) -> Injected:
    """A number that is none."""
    return _with(source, _row(source, rng), **{str(rng.choice(COLUMNS)): float(rng.choice([np.nan, np.inf]))})


def out_of_order(source: Source, rng: np.random.Generator) -> Injected:
    """A page that stands in the wrong place of the answer."""
    rows, n = _page(source, rng, 20, 200), len(source.candles)
    order = np.concatenate([np.arange(rows.start), np.arange(rows.stop, n), np.arange(rows.start, rows.stop)])
    return _at(source, source.candles.take(order), rows)


def repeated_stamp(source: Source, rng: np.random.Generator) -> Injected:
    """A bar that was sent twice, with other numbers the second time."""
    row = _row(source, rng)
    order = np.sort(np.append(np.arange(len(source.candles)), row))
    twice = source.candles.take(order)
    volume = twice.volume.copy()
    volume[row + 1] *= 1.5
    return _at(source, replace(twice, volume=volume), slice(row, row + 1))


def interpolated(source: Source, rng: np.random.Generator) -> Injected:
    """Ten to 120 bars that never were, on a straight line, with a mean volume; to the tick or not."""
    rows, c = _page(source, rng, 10, 120), source.candles
    line = np.linspace(c.close[rows.start - 1], c.open[rows.stop], rows.stop - rows.start + 2)
    line = np.round(line, _decimals(c.close)) if rng.random() < 0.3 else line
    opened, closed = line[:-2], line[1:-1]
    volume = np.full(closed.size, np.round(c.volume[rows.start - 5 : rows.start].mean(), _decimals(c.volume)))
    high, low = np.maximum(opened, closed), np.minimum(opened, closed)
    return _with(source, rows, open=opened, high=high, low=low, close=closed, volume=volume)


def volume_lost(source: Source, rng: np.random.Generator) -> Injected:
    """A page without its volumes."""
    return _with(source, _page(source, rng, 20, 500), volume=0.0)


def inverted(source: Source, rng: np.random.Generator) -> Injected:
    """A page of the inverse pair: 1/price, high and low exchanged."""
    rows, c = _page(source, rng), source.candles
    inverse = {
        n: np.round(1.0 / getattr(c, m)[rows], 12)
        for n, m in zip(PRICES, ("open", "low", "high", "close"), strict=True)
    }
    return _with(source, rows, **inverse)


def mixed_timeframe(source: Source, rng: np.random.Generator) -> Injected:
    """Bars of five times the length among the others: instead of every fifth, or instead of all."""
    rows, c, frame = _page(source, rng, 100), source.candles, source.timeframe
    if frame.ms == TIMEFRAMES["1h"].ms:
        long = TIMEFRAMES["4h"]
    else:
        long = next(t for t in TIMEFRAMES.values() if t.ms in (5 * frame.ms, 3 * frame.ms, 7 * frame.ms))
    held = c.take(rows)
    bars = resample(replace(held, volume=np.round(held.volume, 6)), long)
    bars = bars.take(slice(1, -1))
    if rng.random() < 0.5:
        at = np.isin(c.open_ts_ms, bars.open_ts_ms)
        merged = Candles.concat([c, bars.take(np.isin(bars.open_ts_ms, c.open_ts_ms[at]))])
    else:
        outside = (c.open_ts_ms < bars.open_ts_ms[0]) | (c.open_ts_ms >= bars.open_ts_ms[-1] + long.ms)
        merged = Candles.concat([c.take(outside), bars])
    return Injected(merged, int(bars.open_ts_ms[0]), int(bars.open_ts_ms[-1]) + long.ms)


def rounding_loss(source: Source, rng: np.random.Generator) -> Injected:
    """A page whose prices lost one or two digits."""
    rows, c = _page(source, rng), source.candles
    scale = _decimals(c.close) - int(rng.integers(1, 3))
    return _with(source, rows, **{n: np.round(getattr(c, n)[rows], scale) for n in PRICES})


def split(source: Source, rng: np.random.Generator) -> Injected:
    """A contract's multiplier changes and its candles with it, up to the end."""
    rows = slice(_page(source, rng).start, len(source.candles))
    return _scaled(source, rows, float(rng.choice([1_000.0, 100.0, 0.001, 0.01])))


def reversed_page(source: Source, rng: np.random.Generator) -> Injected:
    """A page sent newest first and stamped oldest first."""
    rows, c = _page(source, rng), source.candles
    return _with(source, rows, **{name: getattr(c, name)[rows][::-1] for name in COLUMNS})


def off_grid(source: Source, rng: np.random.Generator) -> Injected:
    """A page whose stamps carry seconds."""
    rows, c = _page(source, rng), source.candles
    shift = int(rng.integers(1_000, source.timeframe.ms - 1_000))
    return _with(source, rows, open_ts_ms=c.open_ts_ms[rows] + shift)


KINDS: dict[str, Injector] = {
    f.__name__: f
    for f in (
        bad_tick, decimal_slip, swapped_symbol, shifted_zone, shifted_bar, shifted_series, stale, unit_change, revised,
        half_bar, duplicated_page, truncated_page, wrong_scale, high_low_swapped, open_close_swapped, not_positive,
        not_a_number, out_of_order, repeated_stamp, interpolated, volume_lost, inverted, mixed_timeframe, rounding_loss,
        split, reversed_page, off_grid,
    )
}  # fmt: skip
"""Every kind by its name."""
