"""Higher timeframes: what the exchange itself recorded, and nothing before its close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.features.candles import HOUR_MS, START_MS, market, recorded

from heliograph.config.settings import FeatureSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.features.align import HigherStream, higher, resample
from heliograph.features.table import compute

HOUR, FOUR, DAY, WEEK, MONTH = (timeframes.parse(n) for n in ("1h", "4h", "1d", "1w", "1M"))


@pytest.mark.parametrize("symbol", ["BTC-USDT", "ETH-USDT", "SOL-USDT"])
def test_hours_resampled_to_days_are_the_days_that_the_exchange_recorded(shared_data: Path, symbol: str) -> None:
    made = resample(recorded(shared_data, "binance", symbol, "1h"), HOUR, DAY)
    days = recorded(shared_data, "binance", symbol, "1d")
    both, ours, theirs = np.intersect1d(made.open_ts_ms, days.open_ts_ms, return_indices=True)
    first_whole = ours > 0  # the first day of the hours may have begun before them
    assert both.size > 1_500
    for column in ("open", "high", "low", "close"):
        assert (getattr(made, column)[ours] == getattr(days, column)[theirs])[first_whole].all(), column
    np.testing.assert_allclose(made.volume[ours][first_whole], days.volume[theirs][first_whole], rtol=1e-9)


def test_last_bar_is_left_out_until_it_closes() -> None:
    assert len(resample(market(23), HOUR, DAY)) == 0
    assert len(resample(market(24), HOUR, DAY)) == 1
    assert len(resample(market(47), HOUR, DAY)) == 1


def test_higher_bar_without_its_last_base_bar_is_known_with_the_first_later_one() -> None:
    candles = market(12)
    holed = candles.take(np.arange(12) != 3)
    assert higher(candles, HOUR, FOUR).pointer.tolist() == [-1, -1, -1, 0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert higher(holed, HOUR, FOUR).pointer.tolist() == [-1, -1, -1, 0, 0, 0, 1, 1, 1, 1, 2]
    far = candles.take(np.isin(np.arange(12), [0, 1, 9, 10]))
    assert higher(far, HOUR, FOUR).pointer.tolist() == [-1, -1, 0, 0]


def test_bar_that_closes_two_higher_bars_at_once_shows_the_newer() -> None:
    sparse = market(12).take(np.isin(np.arange(12), [0, 7, 8]))
    found = higher(sparse, HOUR, FOUR)
    assert found.pointer.tolist() == [-1, 1, 1]
    assert found.num_bars.tolist() == [1, 1]


def test_complete_only_leaves_out_bars_with_a_hole() -> None:
    candles = market(48).take(np.arange(48) != 5)
    assert len(resample(candles, HOUR, DAY)) == 2
    assert resample(candles, HOUR, DAY, complete_only=True).open_ts_ms.tolist() == [START_MS + 24 * HOUR_MS]


@pytest.mark.parametrize("target", [FOUR, DAY, WEEK, MONTH])
def test_stream_gives_the_bars_of_the_batch(target: timeframes.Timeframe) -> None:
    candles = market(2_000, missing=0.2)
    stream, seen = HigherStream(HOUR, target), []
    columns = (candles.open_ts_ms, candles.open, candles.high, candles.low, candles.close, candles.volume)
    counts = []
    for bar in zip(*columns, strict=True):
        seen.extend(stream.update(bar).T.copy())
        counts.append(len(seen))
    found = higher(candles, HOUR, target)
    np.testing.assert_array_equal(np.array(counts) - 1, found.pointer)
    np.testing.assert_array_equal(np.array(seen)[:, 0], found.candles.open_ts_ms)
    np.testing.assert_array_equal(
        np.array(seen)[:, 1:6].T, [getattr(found.candles, c) for c in ("open", "high", "low", "close", "volume")]
    )


def test_months_follow_the_calendar() -> None:
    made = resample(market(24 * 70), HOUR, MONTH)
    assert [str(np.datetime64(int(ts), "ms"))[:10] for ts in made.open_ts_ms] == ["2018-02-01", "2018-03-01"]


@pytest.mark.parametrize(("base", "target"), [("4h", "1h"), ("3d", "1w"), ("1w", "1M"), ("1M", "1M"), ("8h", "12h")])
def test_timeframe_that_the_base_does_not_divide_is_refused(base: str, target: str) -> None:
    with pytest.raises(ConfigError, match="choose a base that divides"):
        resample(Candles.empty(), timeframes.parse(base), timeframes.parse(target))


def test_context_features_equal_those_of_the_resampled_bars() -> None:
    """A second route: resample first, take plain numpy windows of the closes known at each row."""
    candles = market(1_500, missing=0.05)
    table = compute(candles, FeatureSettings(context_timeframes=("1d",)))
    found = higher(candles, HOUR, DAY)
    row = len(candles) - 1
    known = found.candles.close[: found.pointer[row] + 1][-21:]
    steps = np.diff(found.candles.open_ts_ms[: found.pointer[row] + 1][-21:]) / DAY.ms
    returns = np.diff(np.log(known)) / np.sqrt(steps)
    sigma = np.sqrt(np.mean(returns**2))
    last = returns[-14:]
    expected = {
        "log_return_1d": returns[-1] / sigma,
        "rsi_14_1d": last.sum() / np.abs(last).sum(),
        "volatility_ratio_5_20_1d": np.log(np.sqrt(np.mean(returns[-5:] ** 2)) / sigma),
        "distance_mean_20_1d": (np.log(known[-1]) - np.log(known[-20:]).mean()) / (sigma * np.sqrt(20)),
    }
    for name, value in expected.items():
        assert table.column(name)[row] == pytest.approx(value, rel=1e-9), name
