"""The generated market has the habits of a real one, and is the same each time."""

from __future__ import annotations

import time

import numpy as np
import pytest

from heliograph.core.errors import ConfigError
from heliograph.core.money import to_ticks
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS, parse
from heliograph.sandbox.generator import END_MS, generate
from heliograph.sandbox.tape import Tape


@pytest.fixture(scope="module")
def tape() -> Tape:
    started = time.perf_counter()
    tape = Tape.generated()
    assert time.perf_counter() - started < 5.0
    return tape


def log_returns(tape: Tape, symbol: str, name: str = "1h") -> np.ndarray:
    return np.diff(np.log(tape.series(symbol, parse(name)).close))


def test_same_seed_gives_the_same_candles() -> None:
    first, second, other = (generate(seed, days=30, minute_days=3) for seed in (7, 7, 8))
    for symbol, series in first.items():
        for name, candles in series.items():
            assert np.array_equal(candles.close, second[symbol][name].close)
            assert np.array_equal(candles.volume, second[symbol][name].volume)
            assert not np.array_equal(candles.close[:100], other[symbol][name].close[:100])


def test_two_years_of_eight_symbols_end_together(tape: Tape) -> None:
    assert len(tape.symbols) == 8
    assert {tape.halt_ms(symbol) for symbol in tape.symbols} == {tape.end_ms} == {END_MS}
    for symbol in tape.symbols:
        assert 17_400 < len(tape.series(symbol, parse("1h"))) <= 730 * 24


def test_only_two_symbols_have_minutes_for_sixty_days(tape: Tape) -> None:
    first = {symbol: tape.first_ms(symbol, parse("1m")) for symbol in tape.symbols}
    assert [symbol for symbol, ts in first.items() if ts is not None] == ["BTC/USDT", "ETH/USDT"]
    assert all(0 <= ts - (END_MS - 60 * DAY_MS) < HOUR_MS for ts in first.values() if ts is not None)


def test_returns_have_fat_tails(tape: Tape) -> None:
    for symbol in tape.symbols:
        r = log_returns(tape, symbol)
        assert np.mean(((r - r.mean()) / r.std()) ** 4) > 4.0


def test_volatility_clusters(tape: Tape) -> None:
    for symbol in tape.symbols:
        r = np.abs(log_returns(tape, symbol))
        assert np.corrcoef(r[1:], r[:-1])[0, 1] > 0.05
        assert np.corrcoef(r[24:], r[:-24])[0, 1] > 0.03


def test_returns_themselves_do_not_repeat(tape: Tape) -> None:
    r = log_returns(tape, "BTC/USDT")
    assert abs(np.corrcoef(r[1:], r[:-1])[0, 1]) < 0.05


def test_symbols_move_together(tape: Tape) -> None:
    bars = {symbol: tape.series(symbol, parse("1h")) for symbol in tape.symbols}
    common = sorted(set.intersection(*(set(b.open_ts_ms.tolist()) for b in bars.values())))
    closes = np.array([b.close[np.isin(b.open_ts_ms, common)] for b in bars.values()])
    correlation = np.corrcoef(np.diff(np.log(closes), axis=1))
    assert correlation[np.triu_indices(8, 1)].min() > 0.3


def test_afternoons_are_wilder_than_nights_and_weekends_calmer(tape: Tape) -> None:
    bars = tape.series("BTC/USDT", parse("1h"))
    size = np.abs(np.log(bars.close / bars.open))
    hour = bars.open_ts_ms // HOUR_MS % 24
    weekday = (bars.open_ts_ms // DAY_MS + 3) % 7
    assert size[(hour >= 13) & (hour < 17)].mean() > 1.2 * size[(hour >= 1) & (hour < 5)].mean()
    assert size[weekday >= 5].mean() < 0.8 * size[weekday < 5].mean()


def test_volume_comes_with_movement(tape: Tape) -> None:
    bars = tape.series("SOL/USDT", parse("1h"))
    assert np.corrcoef(np.abs(np.log(bars.close / bars.open)), bars.volume)[0, 1] > 0.3


def test_outages_hit_all_symbols_and_gaps_hit_one(tape: Tape) -> None:
    grid = parse("1h").opens(END_MS - 730 * DAY_MS, END_MS)
    missing = np.array([~np.isin(grid, tape.series(symbol, parse("1h")).open_ts_ms) for symbol in tape.symbols])
    assert missing.all(axis=0).sum() >= 4
    assert (missing.sum(axis=0) == 1).sum() >= 8
    assert not missing[:, -240:].any()


def test_candles_hold_together(tape: Tape) -> None:
    for symbol in tape.symbols:
        for name in ("1h", "1m"):
            c = tape.series(symbol, parse(name))
            c.require_sound(parse(name))
            assert (c.low <= np.minimum(c.open, c.close)).all()
            assert (c.high >= np.maximum(c.open, c.close)).all()
            assert (c.low > 0).all()
            assert (c.volume > 0).all()
            for column in (c.open, c.high, c.low, c.close, c.volume):
                assert to_ticks(column)[1] <= 8


def test_minutes_run_on_from_the_hours(tape: Tape) -> None:
    hours, minutes = (tape.series("BTC/USDT", parse(name)) for name in ("1h", "1m"))
    first = int(minutes.open_ts_ms[0])
    before = hours.between(first - HOUR_MS, first)
    assert abs(np.log(minutes.open[0] / before.close[-1])) < 0.02
    assert (np.diff(minutes.open_ts_ms) >= MINUTE_MS).all()


@pytest.mark.parametrize(("days", "minute_days"), [(5, 1), (30, 30), (30, -1)])
def test_lengths_that_do_not_fit_are_refused(days: int, minute_days: int) -> None:
    with pytest.raises(ConfigError, match="at least 10 days"):
        generate(1, days=days, minute_days=minute_days)


def test_a_market_without_minutes_has_hours_to_the_end() -> None:
    assert all(list(series) == ["1h"] for series in generate(1, days=12, minute_days=0).values())
