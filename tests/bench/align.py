"""Minutes to higher timeframes and row pointers back, beside Polars in the same run: JSON lines, CPU seconds, best of 5.

Both take one market after the other and keep nothing. Polars has one thread: CPU seconds of a pool count its waiting.

Run: PYTHONPATH=platform:. python tests/bench/align.py
"""

from __future__ import annotations

import os

os.environ["POLARS_MAX_THREADS"] = "1"  # read once, when Polars is imported

from collections.abc import Sequence
from functools import reduce

import numpy as np
import numpy.typing as npt
import polars as pl
from tests.bench.measure import cpu_s, report
from tests.unit.features.candles import market

from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles
from heliograph.core.timeframe import MINUTE_MS
from heliograph.features.align import Cascade, Higher, closes, known_counts

BASE = timeframes.parse("1m")
TARGETS = tuple(timeframes.parse(name) for name in ("5m", "15m", "1h", "4h", "1d"))
SIZES = ((1, 1_000_000), (20, 200_000))
"""Markets, and minutes of each."""
LIVE_BARS = 20_000
TIMES = 5
PRICES = ("open", "high", "low", "close", "volume")
IntArray = npt.NDArray[np.int64]


def resampled(candles: Candles) -> dict[str, Higher]:
    """Ours: all timeframes, with pointers, since they come of the same pass."""
    return Cascade(BASE, TARGETS).advance(candles)


def framed(candles: Candles) -> pl.DataFrame:
    """The candles as Polars likes them best: sorted datetimes."""
    ts = pl.Series("ts", candles.open_ts_ms).cast(pl.Datetime("ms")).set_sorted()
    return pl.DataFrame([ts, *(pl.Series(name, getattr(candles, name)) for name in PRICES)])


def grouped(frame: pl.DataFrame) -> list[pl.DataFrame]:
    """Polars: the same cascade, each timeframe of the one below."""
    made = [frame]
    for target in TARGETS:
        made.append(
            made[-1]
            .group_by_dynamic("ts", every=target.name)
            .agg(
                pl.col("open").first(),
                pl.col("high").max(),
                pl.col("low").min(),
                pl.col("close").last(),
                pl.col("volume").sum(),
            )
        )
    return made[1:]


def joined(rows: pl.DataFrame, sides: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Polars: as-of joins, one after the other."""
    return reduce(lambda left, right: left.join_asof(right, on="known"), sides, rows)


def resample(candles: Sequence[Candles]) -> None:
    """Million minutes a CPU second into five timeframes."""
    frames = [framed(each) for each in candles]
    for found, frame in zip(resampled(candles[0]).values(), grouped(frames[0]), strict=True):
        for name in ("open", "high", "low", "close"):
            assert np.array_equal(getattr(found.candles, name), frame[name].to_numpy()[: len(found.candles)])
    rows = sum(map(len, candles)) / 1e6
    ours = rows / cpu_s(lambda: sum(len(resampled(each)) for each in candles), TIMES)
    theirs = rows / cpu_s(lambda: sum(len(grouped(frame)) for frame in frames), TIMES)
    report("resample", markets=len(candles), mrows_per_cpu_s=ours, polars_mrows_per_cpu_s=theirs, ratio=ours / theirs)


def align(candles: Sequence[Candles]) -> None:
    """Million minutes a CPU second beside five timeframes.

    Row pointers against Polars' joins of row numbers; the same with one column gathered of each timeframe; and Polars'
    joins of all five columns of each, which is what the pointers stand for.
    """
    rows = [closes(BASE, each.open_ts_ms) for each in candles]
    higher = [[found.candles for found in resampled(each).values()] for each in candles]
    known = [[closes(target, bars.open_ts_ms) for target, bars in zip(TARGETS, those, strict=True)] for those in higher]
    column = [[np.append(np.nan, bars.close) for bars in those] for those in higher]
    frames = [pl.DataFrame({"known": each}).set_sorted("known") for each in rows]
    sides = {
        what: [
            [side(k, times, bars, what) for k, (times, bars) in enumerate(zip(*those, strict=True))]
            for those in zip(known, higher, strict=True)
        ]
        for what in ("row", "close", "every")
    }

    def pointers(i: int) -> list[IntArray]:
        return [known_counts(times, rows[i]) for times in known[i]]

    def gathered(i: int) -> list[npt.NDArray[np.float64]]:
        return [values[counts] for values, counts in zip(column[i], pointers(i), strict=True)]

    def as_of(what: str) -> int:
        return sum(len(joined(frames[i], sides[what][i])) for i in every)

    for k, counts in enumerate(pointers(0)):
        theirs = joined(frames[0], sides["row"][0])[f"row_{k}"].fill_null(-1).to_numpy()
        assert np.array_equal(counts - 1, theirs)
    total, every = sum(map(len, candles)) / 1e6, range(len(candles))
    figures = {
        "mrows_per_cpu_s": total / cpu_s(lambda: sum(len(pointers(i)) for i in every), TIMES),
        "polars_mrows_per_cpu_s": total / cpu_s(lambda: as_of("row"), TIMES),
        "gathered_mrows_per_cpu_s": total / cpu_s(lambda: sum(len(gathered(i)) for i in every), TIMES),
        "polars_gathered_mrows_per_cpu_s": total / cpu_s(lambda: as_of("close"), TIMES),
        "polars_wide_mrows_per_cpu_s": total / cpu_s(lambda: as_of("every"), TIMES),
    }
    report(
        "align", markets=len(candles), **figures, ratio=figures["mrows_per_cpu_s"] / figures["polars_mrows_per_cpu_s"]
    )


def side(k: int, known: IntArray, bars: Candles, what: str) -> pl.DataFrame:
    """What is joined of the k-th timeframe: the number of the row, its close, or every column."""
    if what == "row":
        columns = {"row": np.arange(len(bars), dtype=np.int32)}
    else:
        columns = {name: getattr(bars, name) for name in (PRICES if what == "every" else ("close",))}
    return pl.DataFrame({"known": known, **{f"{name}_{k}": c for name, c in columns.items()}}).set_sorted("known")


def live(candles: Candles) -> None:
    """CPU microseconds of one live minute through the cascade of five timeframes."""
    bars = [candles.take(slice(i, i + 1)) for i in range(LIVE_BARS)]
    run = Cascade(BASE, TARGETS)

    def all_bars() -> None:
        nonlocal run
        run = Cascade(BASE, TARGETS)
        for bar in bars:
            run.advance(bar)

    report("resample_live", us_per_bar=cpu_s(all_bars, TIMES) / LIVE_BARS * 1e6)


def main() -> None:
    """All checks."""
    for symbols, bars in SIZES:
        candles = [market(bars, seed=seed, step_ms=MINUTE_MS) for seed in range(symbols)]
        resample(candles)
        align(candles)
    live(candles[0])


if __name__ == "__main__":
    main()
