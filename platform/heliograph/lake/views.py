"""What is computed from the raw candles and never stored: filled bars, derived timeframes, doubles for SQL.

Three lines open the lake in Polars; ``hours`` is a `polars.DataFrame`:

    from heliograph.config.settings import LakeSettings
    from heliograph.lake import read
    hours = read.scan(LakeSettings(uri="var/lake"), timeframe="1h", symbols=("BTC/USDT",)).collect()
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from heliograph.config.settings import LakeSettings
from heliograph.core import calendars
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.resample import resample
from heliograph.core.schema import HAVE
from heliograph.core.timeframe import Timeframe
from heliograph.lake import coverage, read
from heliograph.lake.coverage import Interval, merge
from heliograph.lake.ticks import sum_runs

EXPLAINED = (HAVE, "no_trades", "venue_outage", "not_listed", "delisted")
"""Coverage under which a derived bar is what the venue itself would draw: nothing that was traded is lacking."""

DOUBLES_SQL = """\
SELECT
  venue, timeframe, symbol, open_ts_ms,
  open_ticks / power(10, price_scale) AS open,
  (greatest(open_ticks, close_ticks) + upper_wick_ticks) / power(10, price_scale) AS high,
  (least(open_ticks, close_ticks) - lower_wick_ticks) / power(10, price_scale) AS low,
  close_ticks / power(10, price_scale) AS close,
  volume_ticks / power(10, volume_scale) AS volume
FROM {source}"""
"""The raw table as doubles, for DuckDB, Spark and Polars; `doubles_sql` fills in the source. The symbol is the slug,
``BTC-USDT``. Numbers of more than 15 digits may differ from the API's in the last bit."""


@dataclass(frozen=True, slots=True)
class Derived:
    """Candles that no venue sent: made here out of shorter ones.

    Attributes:
        timeframe: of the candles, on the venue's own calendar.
        base: the stored timeframe that they were made of.
    """

    candles: Candles
    timeframe: Timeframe
    base: str


def filled(candles: Candles, grid: Timeframe, have: Iterable[Interval]) -> tuple[Candles, npt.NDArray[np.bool_]]:
    """Candles without holes where we know that nothing was traded, and which of them are filled in.

    A filled bar is flat at the close before it and has no volume. Bars are filled only inside a covered interval and
    after its first candle: what was before is unknown there.

    Args:
        grid: that the candles stand on.
        have: covered intervals: those that are ``have``, and ``no_trades`` beside them where they shall count.

    Returns:
        The candles with the filled ones among them, and bool[n], True where a bar is filled.

    >>> seen = Candles.of([[0, 5, 6, 4, 5.5, 1], [180_000, 5, 5, 5, 5, 1]])
    >>> whole, is_filled = filled(seen, calendars.grid("okx", "1m"), [(0, 240_000)])
    >>> whole.close.tolist(), is_filled.tolist()
    ([5.5, 5.5, 5.5, 5.0], [False, True, True, False])
    """
    wanted = [candles.open_ts_ms]
    for start, end in merge(have):
        inside = candles.between(start, end).open_ts_ms
        if inside.size:
            wanted.append(grid.opens(int(inside[0]), end))
    times = np.unique(np.concatenate(wanted))
    before = np.searchsorted(candles.open_ts_ms, times, side="right") - 1
    is_filled = candles.open_ts_ms[before] != times
    bars = candles.take(before)
    flat = {name: np.where(is_filled, bars.close, getattr(bars, name)) for name in ("open", "high", "low")}
    return replace(bars, open_ts_ms=times, **flat, volume=np.where(is_filled, 0.0, bars.volume)), is_filled


def derived(
    settings: LakeSettings,
    venue: str,
    symbol: str,
    timeframe: str,
    *,
    start_ms: int = 0,
    end_ms: int | None = None,
    as_of: int | None = None,
    base: str = "1m",
) -> Derived:
    """Bars of a longer timeframe out of stored ones, on the venue's own calendar, that open in ``[start_ms, end_ms)``.

    A bar counts only where the coverage of its whole span is `EXPLAINED`. Volumes are added as the decimals that the
    venue printed, exactly.

    Args:
        symbol: unified, ``BTC/USDT``.
        as_of: a version of the candles table; None takes the newest.
        base: a stored timeframe that divides ``timeframe``.

    Raises:
        ConfigError: the lake is empty, the version is not there, or the base is not shorter.
        CorruptPart: a part of the base does not hold what its name promises.
    """
    grid, fine = calendars.grid(venue, timeframe), calendars.grid(venue, base)
    if fine.ms >= grid.ms:
        raise ConfigError(f"{timeframe} bars can't be made of {base} ones: give a shorter base")
    end = None if end_ms is None else grid.ceil(end_ms)
    start = grid.ceil(start_ms)
    raw = read.candles(settings, venue, symbol, base, start_ms=start, end_ms=end, as_of=as_of)
    bars = _resampled(raw, grid)
    key = (venue, base, symbol)
    rows = coverage.of_market(coverage.read(settings, as_of=as_of), key)
    known = coverage.index(rows, EXPLAINED).get(key, [])
    return Derived(bars.take(_is_within(bars.open_ts_ms, grid, known)), grid, base)


def doubles_sql(source: str) -> str:
    """A SELECT of the candles as doubles.

    Args:
        source: what holds the raw table: ``delta_scan('<lake.uri>/candles')`` for DuckDB, ``delta.`<lake.uri>/candles```
            for Spark.

    >>> doubles_sql("delta_scan('var/lake/candles')").splitlines()[-1]
    "FROM delta_scan('var/lake/candles')"
    """
    return DOUBLES_SQL.format(source=source)


def _resampled(raw: Candles, grid: Timeframe) -> Candles:
    bars = resample(replace(raw, volume=np.zeros(len(raw))), grid)
    first = np.searchsorted(raw.open_ts_ms, bars.open_ts_ms)
    return replace(bars, volume=sum_runs(raw.volume, first))


def _is_within(opens: npt.NDArray[np.int64], grid: Timeframe, known: list[Interval]) -> npt.NDArray[np.bool_]:
    """Which bars lie in one of the intervals with their whole span."""
    if not known or not opens.size:
        return np.zeros(opens.size, dtype=np.bool_)
    starts, ends = np.asarray(known, dtype=np.int64).T
    closes = np.asarray([grid.next(int(ts)) for ts in opens])
    place = np.searchsorted(starts, opens, side="right") - 1
    return np.asarray((place >= 0) & (ends[place] >= closes))
