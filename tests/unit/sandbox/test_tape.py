"""The tape answers for every timeframe, exactly, and never before its time."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.core.money import to_ticks
from heliograph.core.resample import resample
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, TIMEFRAMES, Timeframe, parse
from heliograph.sandbox.tape import RECORDED_SYMBOLS, Tape, TapeSpec

T0 = 1_700_006_400_000  # a day's open


def hours(count: int, start_ms: int = T0) -> Candles:
    return Candles.of([[start_ms + i * HOUR_MS, 10 + i, 12 + i, 9 + i, 11 + i, (i + 1) / 10] for i in range(count)])


def minutes(count: int, start_ms: int) -> Candles:
    return Candles.of([[start_ms + i * MINUTE_MS, 50, 51, 49, 50.5, 0.1] for i in range(count)])


@pytest.fixture(scope="module")
def recorded(shared_data: Path) -> Tape:
    return Tape.recorded(shared_data)


def test_hour_is_recorded_first_and_made_of_minutes_after() -> None:
    tape = Tape({"BTC/USDT": {"1h": hours(24), "1m": minutes(150, T0 + DAY_MS)}}, origin="")
    bars = tape.series("BTC/USDT", parse("1h"))
    assert len(bars) == 26  # the third hour of minutes is not over at the tape's end
    assert bars.volume[-1] == 6.0
    assert tape.end_ms == T0 + DAY_MS + 150 * MINUTE_MS


def test_a_timeframe_finer_than_the_record_has_no_candles() -> None:
    tape = Tape({"BTC/USDT": {"1h": hours(3)}}, origin="")
    assert len(tape.series("BTC/USDT", parse("1m"))) == 0
    assert tape.first_ms("BTC/USDT", parse("1m")) is None
    assert tape.last_ms("BTC/USDT", parse("1h")) == T0 + 2 * HOUR_MS


def test_sums_of_volume_keep_their_decimals() -> None:
    day = resample(hours(24), parse("1d"))
    assert day.volume[0] == float(sum(Decimal(i + 1) / 10 for i in range(24)))
    assert (day.open[0], day.high[0], day.low[0], day.close[0]) == (10, 35, 9, 34)


def test_halted_symbol_is_known_by_its_missing_candle() -> None:
    tape = Tape({"BTC/USDT": {"1h": hours(30)}, "LTC/USDT": {"1h": hours(20)}}, origin="")
    last_close = T0 + 20 * HOUR_MS
    assert not tape.is_halted("LTC/USDT", last_close)
    assert tape.is_halted("LTC/USDT", last_close + HOUR_MS)
    assert not tape.is_halted("BTC/USDT", tape.end_ms)


def test_forming_bar_opens_with_its_first_trade() -> None:
    tape = Tape({"BTC/USDT": {"1h": hours(30)}}, origin="")
    bar = tape.forming("BTC/USDT", parse("1h"), T0 + 5 * HOUR_MS)
    assert bar is not None
    assert (bar.open_ts_ms, bar.open, bar.high, bar.low, bar.close, bar.volume) == (
        T0 + 5 * HOUR_MS,
        15,
        15,
        15,
        15,
        0.1,
    )
    four = tape.forming("BTC/USDT", parse("4h"), T0 + 6 * HOUR_MS)
    assert four is not None
    assert (four.open_ts_ms, four.open, four.high, four.close, four.volume) == (T0 + 4 * HOUR_MS, 14, 17, 16, 1.2)


def test_forming_bar_is_absent_where_nothing_trades() -> None:
    tape = Tape({"BTC/USDT": {"1h": hours(30)}, "LTC/USDT": {"1h": hours(20)}}, origin="")
    assert tape.forming("LTC/USDT", parse("1h"), T0 + 25 * HOUR_MS) is None


def test_bars_are_made_only_of_bars_that_fit() -> None:
    tape = Tape({"BTC/USDT": {"1h": hours(24 * 70)}}, origin="")
    months = tape.series("BTC/USDT", parse("1M"))
    assert [int(c) for c in np.diff(months.open_ts_ms) // DAY_MS] == [30]
    days_only = Tape({"BTC/USDT": {"1d": resample(hours(24 * 70), parse("1d"))}}, origin="")
    hong_kong_week = Timeframe("1w", 7 * DAY_MS, 3 * DAY_MS + 16 * HOUR_MS)
    assert len(days_only.series("BTC/USDT", parse("1w"))) == 10
    assert len(days_only.series("BTC/USDT", hong_kong_week)) == 0


@given(minute=st.integers(1, 2_000), name=st.sampled_from(["5m", "1h", "4h", "1d"]), scale=st.floats(0.5, 2.0))
def test_nothing_after_now_changes_the_forming_bar(minute: int, name: str, scale: float) -> None:
    """The law of no look-ahead, for the one bar that a careless simulator leaks."""
    rng = np.random.default_rng(minute)
    close = np.round(100 * np.exp(np.cumsum(rng.normal(0, 1e-3, 2_000))), 2)
    open_ = np.append(100.0, close[:-1])
    ts = T0 + MINUTE_MS * np.arange(2_000)
    before = Candles(ts, open_, np.maximum(open_, close), np.minimum(open_, close), close, np.round(close / 50, 3))
    later = ts >= T0 + minute * MINUTE_MS
    changed = [
        np.where(later, np.round(c * scale, 2), c) for c in (before.high, before.low, before.close, before.volume)
    ]
    after = Candles(ts, before.open, *changed)
    now_ms = T0 + minute * MINUTE_MS
    bars = [Tape({"A/B": {"1m": c}}, origin="").forming("A/B", parse(name), now_ms) for c in (before, after)]
    assert bars[0] is None or bars[1] is not None
    if bars[0] and bars[1]:
        assert (bars[0].open, bars[0].high, bars[0].low, bars[0].close) == (
            bars[1].open,
            bars[1].high,
            bars[1].low,
            bars[1].close,
        )


def test_recorded_hours_come_from_the_minutes_in_2025(recorded: Tape, shared_data: Path) -> None:
    bars = recorded.series("BTC/USDT", parse("1h"))
    fresh = bars.open_ts_ms >= 1_747_699_200_000
    assert int((~fresh).sum()) == 17_543
    assert to_ticks(bars.volume)[1] <= 8
    derived = resample(recorded.series("BTC/USDT", parse("1m")), parse("1h"))
    assert np.array_equal(bars.close[fresh], derived.close[: int(fresh.sum())])
    assert int(bars.open_ts_ms[-1]) == 1_755_536_400_000  # 2025-08-18 17:00; the hour from 18:00 never closes


def test_recorded_days_equal_the_exchanges_own(recorded: Tape, shared_data: Path) -> None:
    """What the venue itself sent as 1d is the oracle for our 1h → 1d, to the last decimal of every price."""
    venue = Tape.from_folder(shared_data / "candles" / "binance").series("ETH/USDT", parse("1d"))
    span = (1_672_531_200_000, 1_735_689_600_000)
    ours, theirs = (c.between(*span) for c in (recorded.series("ETH/USDT", parse("1d")), venue))
    assert len(ours) == 731
    for name in ("open_ts_ms", "open", "high", "low", "close"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name))
    np.testing.assert_allclose(ours.volume, theirs.volume, rtol=1e-9)


def test_recorded_symbols_without_minutes_are_halted(recorded: Tape) -> None:
    halted = [symbol for symbol in recorded.symbols if recorded.is_halted(symbol, recorded.end_ms)]
    assert recorded.symbols == RECORDED_SYMBOLS
    assert halted == list(RECORDED_SYMBOLS[2:])


def test_every_timeframe_of_the_recorded_tape_is_exact(recorded: Tape) -> None:
    for name, timeframe in TIMEFRAMES.items():
        bars = recorded.series("ETH/USDT", timeframe)
        bars.require_sound(timeframe)
        assert len(bars), name
        for column in (bars.open, bars.high, bars.low, bars.close, bars.volume):
            to_ticks(column)


def test_recorded_tape_says_which_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"BTC-USDT.1h\.parquet"):
        Tape.recorded(tmp_path)


def test_spec_without_a_path_says_what_it_needs() -> None:
    with pytest.raises(ConfigError, match="needs the path"):
        TapeSpec("folder").build()
