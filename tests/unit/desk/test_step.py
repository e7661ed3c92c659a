"""The desk, one bar at a time."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest
from tests.unit.desk.scripted import BTC, EAGER, ETH, FEATURES, HOUR, START_MS, Scripted, closed, walk

from heliograph.config.settings import CostSettings
from heliograph.core.commands import CancelOrder, Halt, SubmitOrder
from heliograph.core.errors import ConfigError, DataError, LookAhead, SchemaMismatch
from heliograph.core.events import CandleClosed, ForecastMade, KillSwitched, OrderAccepted, OrderCancelled
from heliograph.core.market import Market
from heliograph.desk.step import Desk, settle, trade_bar
from heliograph.features import table
from heliograph.trading import engine

MARKETS = {
    key: Market(*key, "spot", key[1][:3], "USDT", Decimal("0.01"), Decimal("0.0001"), Decimal(5)) for key in (BTC, ETH)
}


def _desk(forecaster: Scripted | None = None) -> Desk:
    state = engine.initial(EAGER, MARKETS, costs=CostSettings.model_validate({}))
    return Desk(features=FEATURES, forecaster=forecaster or Scripted(), limits=EAGER, markets=MARKETS, state=state)


def test_first_forecast_comes_with_the_first_whole_window() -> None:
    tape = walk(200, 1)
    values = table.compute(tape, FEATURES).values
    first_finite = int(np.argmax(np.isfinite(values).all(axis=1)))
    desk = _desk()
    made = [desk.forecast(c) for c in closed(BTC, tape)]
    assert [f is not None for f in made] == [i >= first_finite + 7 for i in range(200)]


def test_window_is_the_batch_window_newest_bar_last() -> None:
    tape, forecaster = walk(200, 2), Scripted(window_bars=5)
    desk = _desk(forecaster)
    for candle in closed(BTC, tape):
        desk.forecast(candle)
    values = table.compute(tape, FEATURES).values.astype(np.float32)
    np.testing.assert_array_equal(forecaster.windows[-1][0], values[-5:])
    assert forecaster.windows[-1].shape == (1, 5, values.shape[1])


def test_forecast_says_what_it_is_about() -> None:
    tape = walk(150, 3)
    desk = _desk()
    *_, last = [desk.forecast(c) for c in closed(ETH, tape, delay_ms=250)]
    assert isinstance(last, ForecastMade)
    assert (last.venue, last.symbol, last.timeframe, last.model) == (*ETH, "1h", "scripted")
    assert (last.known_ts_ms, last.price) == (START_MS + 150 * HOUR.ms + 250, float(tape.close[-1]))
    assert all(isinstance(x, float) for row in last.quantile_HQ for x in row)


def test_seeded_desk_forecasts_like_one_that_saw_every_bar() -> None:
    bars = closed(BTC, walk(200, 4))
    seen, seeded = _desk(), _desk()
    expected = [seen.forecast(c) for c in bars][-1]
    seeded.seed(bars[:-1])
    assert seeded.forecast(bars[-1]) == expected
    assert seeded.state == _desk().state


def test_streams_do_not_mix() -> None:
    one, two = closed(BTC, walk(150, 5)), closed(ETH, walk(150, 6))
    mixed, alone = _desk(), _desk()
    for a, b in zip(one, two, strict=True):
        last = mixed.forecast(a)
        mixed.forecast(b)
    assert last == [alone.forecast(c) for c in one][-1]


def test_late_and_repeated_bars_are_refused_and_change_nothing() -> None:
    bars = closed(BTC, walk(150, 7))
    desk, clean = _desk(), _desk()
    desk.seed(bars[:100])
    clean.seed(bars[:100])
    for wrong in (bars[99], bars[50]):
        with pytest.raises(DataError, match=f"{wrong.open_ts_ms} came after .* {bars[99].open_ts_ms}"):
            desk.forecast(wrong)
    assert desk.last_open_ts_ms(*BTC) == bars[99].open_ts_ms
    assert desk.forecast(bars[100]) == clean.forecast(bars[100])


def test_foreign_timeframe_market_and_model_are_refused() -> None:
    candle = closed(BTC, walk(1, 1))[0]
    desk = _desk()
    with pytest.raises(DataError, match="4h bar came to a desk of 1h bars"):
        desk.forecast(replace(candle, timeframe="4h"))
    with pytest.raises(ConfigError, match="no market okx SOL/USDT"):
        desk.seed([replace(candle, venue="okx", symbol="SOL/USDT")])
    assert desk.last_open_ts_ms("okx", "SOL/USDT") is None
    other = Scripted()
    other.feature_names = (*other.feature_names[:-1], "moon_phase")
    with pytest.raises(SchemaMismatch, match="moon_phase"):
        _desk(other)
    other.feature_names = tuple(reversed(Scripted().feature_names))
    with pytest.raises(SchemaMismatch, match="another order"):
        _desk(other)


class Script:
    """Answers each event with what the script says, and keeps the order of all that happens."""

    def __init__(self, answers: dict[type, list], log: list[str]) -> None:
        self.answers, self.log = answers, log

    def on_event(self, event) -> tuple:
        self.log.append(f"engine {type(event).__name__}")
        waiting = self.answers.get(type(event), [])
        return waiting.pop(0) if waiting else ()


class Venue:
    """A broker that accepts what it gets; `news` comes with the bar."""

    def __init__(self, log: list[str], news: Iterable = ()) -> None:
        self.log, self.news = log, news

    def submit(self, order: SubmitOrder) -> list:
        self.log.append("venue submit")
        return [OrderAccepted(order.client_id, order.ts_ms)]

    def cancel(self, order: CancelOrder) -> list:
        self.log.append("venue cancel")
        return [OrderCancelled(order.client_id, order.ts_ms)]

    def on_candle(self, candle: CandleClosed) -> Iterable:
        return self.news


ORDER = SubmitOrder("a", *BTC, "buy", Decimal(1), Decimal(100), False, 1)
CANCEL = CancelOrder("a", *BTC, 1)


def _forecast(candle: CandleClosed) -> ForecastMade:
    return ForecastMade(
        *BTC, "1h", candle.known_ts_ms, candle.close, (1,), (0.5,), ((0.0,),), ((0, 1, 0),), (0.5,), "m"
    )


def test_bar_runs_fills_then_close_then_forecast_and_records_before_acting() -> None:
    log: list[str] = []
    desk = Script({ForecastMade: [(ORDER,)], OrderAccepted: [(), (CANCEL,)]}, log)
    candle = closed(BTC, walk(1, 1))[0]
    broker = Venue(log, news=[OrderAccepted("old", 0)])
    trade_bar(desk, candle, _forecast(candle), broker, lambda e, d: log.append(f"record {type(e).__name__} {d}"))
    assert log == [
        "record OrderAccepted True",
        "engine OrderAccepted",
        "record CandleClosed False",
        "engine CandleClosed",
        "record ForecastMade False",
        "engine ForecastMade",
        "record SubmitOrder True",
        "venue submit",
        "record OrderAccepted True",
        "engine OrderAccepted",
        "record CancelOrder True",
        "venue cancel",
        "record OrderCancelled True",
        "engine OrderCancelled",
    ]


def test_nothing_reaches_the_venue_that_was_not_recorded_first() -> None:
    log: list[str] = []
    candle = closed(BTC, walk(1, 1))[0]

    def full_disk(entry, durable) -> None:
        if durable:
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        trade_bar(Script({ForecastMade: [(ORDER,)]}, log), candle, _forecast(candle), Venue(log), full_disk)
    assert "venue submit" not in log


def test_halt_is_recorded_and_sent_nowhere() -> None:
    log: list[str] = []
    kept: list = []
    desk = Script({KillSwitched: [(CANCEL, Halt("why", 1))]}, log)
    settle(desk, KillSwitched(1, "why"), Venue(log), lambda e, d: kept.append((type(e), d)))
    assert [e for e in log if e.startswith("venue")] == ["venue cancel"]
    assert (Halt, True) in kept


def test_forecast_of_another_bar_is_refused() -> None:
    first, second = closed(BTC, walk(2, 1))
    log: list[str] = []
    with pytest.raises(LookAhead, match=str(second.known_ts_ms)):
        trade_bar(Script({}, log), first, _forecast(second), Venue(log), lambda *_: None)
    assert log == []
