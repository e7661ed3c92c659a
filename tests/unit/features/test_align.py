"""Higher timeframes: what the exchange itself recorded, and nothing before its close."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.features.candles import HOUR_MS, START_MS, market, recorded

from heliograph.config.settings import FeatureSettings
from heliograph.core import calendars
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.resample import resample as exact_resample
from heliograph.features.align import Cascade, higher, known_ts_ms, resample, whole_bars
from heliograph.features.table import compute

MINUTE, HOUR, FOUR, DAY, WEEK, MONTH = (timeframes.parse(n) for n in ("1m", "1h", "4h", "1d", "1w", "1M"))


def decimals(volume: np.ndarray) -> int:
    """Digits after the point that the venue prints."""
    return next(k for k in range(9) if np.array_equal(np.round(volume, k), volume))


def assert_equals_the_venues_own(made: Candles, base: Candles, own: Candles, least: int) -> None:
    """All of open, high, low, close; and volume, rounded to the digits in which the venue prints it.

    The venue adds decimals and we add doubles: rounded to those digits, the sum must be the venue's own double.
    """
    both, ours, theirs = np.intersect1d(made.open_ts_ms, own.open_ts_ms, return_indices=True)
    assert both.size >= least
    for column in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(getattr(made, column)[ours], getattr(own, column)[theirs], column)
    rounded = np.round(made.volume[ours], decimals(base.volume))
    np.testing.assert_array_equal(rounded, own.volume[theirs])


@pytest.mark.parametrize("coin", ["ADA", "AVAX", "BNB", "BTC", "DOGE", "ETH", "LINK", "SOL", "XRP"])
def test_every_day_made_of_binance_hours_is_binance_s_own_day(shared_data: Path, coin: str) -> None:
    """All days of 2018 to 2024 that both records hold, outages and the day of listing included."""
    hours, days = (recorded(shared_data, "binance", f"{coin}-USDT", name) for name in ("1h", "1d"))
    made = resample(hours, HOUR, DAY)
    assert not np.setdiff1d(days.between(made.open_ts_ms[0], made.open_ts_ms[-1] + 1).open_ts_ms, made.open_ts_ms).size
    assert_equals_the_venues_own(made, hours, days, least=1_000)
    exact = exact_resample(hours, DAY)
    _, ours, theirs = np.intersect1d(exact.open_ts_ms, days.open_ts_ms, return_indices=True)
    np.testing.assert_array_equal(exact.volume[ours], days.volume[theirs])


@pytest.mark.parametrize("coin", ["BTC", "ETH", "SOL"])
@pytest.mark.parametrize(("target", "least"), [("5m", 1_300), ("1h", 110)])
def test_every_whole_bar_made_of_minutes_is_the_venue_s_own(
    shared_data: Path, coin: str, target: str, least: int
) -> None:
    minutes, own = (recorded(shared_data, "hyperliquid", f"{coin}-USDC-PERP", name) for name in ("1m", target))
    made = resample(minutes, MINUTE, timeframes.parse(target), complete_only=True)
    assert_equals_the_venues_own(made, minutes, own, least)


@pytest.mark.parametrize("coin", ["BTC", "ETH"])
def test_bars_made_of_binance_minutes_are_their_exact_decimal_sums(shared_data: Path, coin: str) -> None:
    """No longer bars are recorded beside the minutes: prices are compared one by one, volumes with sums of integers."""
    minutes = recorded(shared_data, "binance", f"{coin}-USDT", "1m")
    targets = [timeframes.parse(name) for name in ("5m", "15m", "1h", "4h", "1d")]
    found = Cascade(MINUTE, targets).advance(minutes)
    for target in targets:
        made, exact = found[target.name].candles, exact_resample(minutes, target)
        assert_equals_the_venues_own(made, minutes, exact, least=90)
        assert (found[target.name].num_bars == whole_bars(MINUTE, target, made.open_ts_ms)).all()


def test_months_of_a_century_are_those_of_the_calendar() -> None:
    days = np.arange("1970-01-01", "2101-01-02", dtype="datetime64[D]")
    n = days.size
    candles = Candles(days.astype("datetime64[ms]").astype(np.int64), *(np.ones(n) for _ in range(5)))
    found = Cascade(DAY, [MONTH]).advance(candles)["1M"]
    assert found.candles.open_ts_ms.tolist() == np.unique(MONTH.floor_array(candles.open_ts_ms))[:-1].tolist()
    assert (found.num_bars == whole_bars(DAY, MONTH, found.candles.open_ts_ms)).all()
    leap = found.candles.open_ts_ms == np.datetime64("2024-02-01", "ms").astype(np.int64)
    assert found.num_bars[leap].tolist() == [29]


@pytest.mark.parametrize(
    ("venue", "name", "first"),
    [("binance", "1w", "2018-02-05T00"), ("gate", "1w", "2018-02-01T00"), ("htx", "1d", "2018-02-01T16")],
)
def test_weeks_and_days_open_where_the_venue_opens_them(venue: str, name: str, first: str) -> None:
    made = resample(market(24 * 30), HOUR, calendars.grid(venue, name), complete_only=True)
    assert str(np.datetime64(int(made.open_ts_ms[0]), "ms")).startswith(first)


def test_gap_of_whole_middle_bars_closes_the_higher_bars_with_the_first_bar_behind_it() -> None:
    """A cascade that closes a day only when its last four hours close would show it two hours late."""
    candles = market(60)
    holed = candles.take((np.arange(60) < 10) | (np.arange(60) >= 37))
    found = Cascade(HOUR, [FOUR, DAY]).advance(holed)
    assert found["1d"].rows.tolist() == [10, 20]
    assert found["4h"].rows[:4].tolist() == [3, 7, 10, 12]
    assert found["1d"].num_bars.tolist() == [10, 11]


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


@pytest.mark.parametrize(("base", "target"), [("4h", "1h"), ("3d", "1w"), ("1w", "1M"), ("1M", "1M"), ("8h", "12h")])
def test_timeframe_that_the_base_does_not_divide_is_refused(base: str, target: str) -> None:
    with pytest.raises(ConfigError, match="choose a base that divides"):
        resample(Candles.empty(), timeframes.parse(base), timeframes.parse(target))


def test_bar_is_known_with_the_row_that_closed_it_never_before_its_close_and_the_delay() -> None:
    candles = market(12).take(np.arange(12) != 3)
    found = Cascade(HOUR, [FOUR]).advance(candles)["4h"]
    known = known_ts_ms(HOUR, candles, found, close_delay_ms=90_000)
    hours = (known - 90_000 - START_MS) / HOUR_MS
    assert hours.tolist() == [5, 8, 12]  # the hour that would have closed the first one at 4 is missing


def test_market_of_one_name_on_two_calendars_is_refused() -> None:
    with pytest.raises(ConfigError, match="one calendar"):
        Cascade(HOUR, [calendars.grid("binance", "1w"), calendars.grid("gate", "1w")])


def test_what_was_carried_for_another_base_is_refused() -> None:
    run = Cascade(HOUR, [DAY])
    run.advance(market(30))
    with pytest.raises(SchemaMismatch, match="start again from the first bar"):
        Cascade(timeframes.parse("2h"), [DAY]).load(run.save())


def test_what_was_carried_for_more_timeframes_serves_fewer() -> None:
    run, fewer = Cascade(HOUR, [FOUR, DAY, WEEK]), Cascade(HOUR, [WEEK])
    run.advance(market(1_000))
    fewer.load(run.save())
    further = market(2_000).take(slice(1_000, 2_000))
    ours, theirs = fewer.advance(further)["1w"], run.advance(further)["1w"]
    np.testing.assert_array_equal(ours.candles.volume, theirs.candles.volume)


def test_columns_that_can_not_be_written_to_or_lie_apart_are_taken_as_they_are() -> None:
    candles = market(200)
    rows = np.stack([candles.open, candles.high, candles.low, candles.close, candles.volume], axis=1)
    rows.flags.writeable = False
    apart = Candles(candles.open_ts_ms, *rows.T)
    np.testing.assert_array_equal(resample(apart, HOUR, DAY).volume, resample(candles, HOUR, DAY).volume)


def test_no_bars_and_no_targets_give_nothing() -> None:
    assert Cascade(HOUR, []).advance(market(5)) == {}
    found = Cascade(HOUR, [DAY]).advance(Candles.empty())["1d"]
    assert (len(found.candles), found.pointer.size) == (0, 0)


def test_feature_on_days_is_that_feature_of_the_resampled_days_at_the_last_one_known() -> None:
    candles = market(2_000, missing=0.05)
    found = higher(candles, HOUR, DAY)
    names = ("volatility_ratio_5_20", "cutler_rsi_14", "distance_mean_20")
    on_days = tuple(f"{name}_1d" for name in names)
    table = compute(candles, FeatureSettings(context_timeframes=("1d",), names=on_days))
    days = compute(found.candles, FeatureSettings(timeframe="1d", context_timeframes=(), names=names))
    known = found.pointer >= 0
    for name in names:
        column = table.column(f"{name}_1d")
        assert np.isnan(column[~known]).all()
        assert np.isfinite(column[-1])
        np.testing.assert_allclose(column[known], days.column(name)[found.pointer[known]], rtol=1e-9, err_msg=name)
