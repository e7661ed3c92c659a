"""Bars made of trades are the venue's own, to the last decimal, and only those that were heard in full."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import SchemaMismatch
from heliograph.core.timeframe import MINUTE_MS, parse
from heliograph.sandbox.tape import Tape
from heliograph.sources.tail import Row
from heliograph.sources.trade_bars import TradeBars, Traded

M = parse("1m")


def trade(ts_ms: int, price: float = 10.0, qty_base: float = 1.0, name: str | None = None) -> Traded:
    return Traded(name, ts_ms, price, qty_base)


def bars_of(trades: Sequence[Traded]) -> tuple[list[Row], int]:
    bars = TradeBars(M)
    bars.add(trades)
    return bars.take()


def test_bar_that_was_not_heard_from_its_beginning_is_unknown() -> None:
    assert bars_of([trade(90_000)]) == ([], 60_000)
    rows, begun_ms = bars_of([trade(90_000), trade(120_000)])
    assert ([row[0] for row in rows], begun_ms) == ([120_000], 120_000)


def test_trade_at_the_very_open_may_not_have_been_the_first() -> None:
    assert bars_of([trade(60_000), trade(60_001)]) == ([], 60_000)


def test_open_high_low_and_close_follow_the_order_of_the_trades() -> None:
    heard = [trade(59_000, 7.0), trade(60_000, 10.0, 0.1), trade(60_001, 12.0, 0.2), trade(61_000, 9.0, 0.3)]
    assert bars_of(heard)[0] == [(60_000, 10.0, 12.0, 9.0, 9.0, 0.6)]


def test_bar_without_a_trade_is_not_made_up() -> None:
    rows, _ = bars_of([trade(0), trade(60_000), trade(240_000)])
    assert [row[0] for row in rows] == [60_000, 240_000]


def test_closed_bars_come_once_and_the_open_one_as_it_grows() -> None:
    bars = TradeBars(M)
    bars.add([trade(0), trade(60_000, qty_base=0.1)])
    assert bars.take() == ([(60_000, 10.0, 10.0, 10.0, 10.0, 0.1)], 60_000)
    bars.add([trade(61_000, qty_base=0.2), trade(120_000)])
    assert bars.take() == ([(60_000, 10.0, 10.0, 10.0, 10.0, 0.3), (120_000, 10.0, 10.0, 10.0, 10.0, 1.0)], 120_000)
    bars.add([trade(121_000)])
    assert [row[0] for row in bars.take()[0]] == [120_000]


def test_trade_out_of_order_never_changes_a_bar_that_was_given_away() -> None:
    bars = TradeBars(M)
    bars.add([trade(0), trade(60_000), trade(120_000)])
    bars.take()
    bars.add([trade(119_000), trade(121_000)])
    assert bars.take() == ([(120_000, 10.0, 10.0, 10.0, 10.0, 2.0)], 120_000)


def test_trade_told_twice_counts_once() -> None:
    """A second subscription on the same connection starts with the newest trades once more."""
    heard = [trade(0, name="1"), trade(60_000, name="2"), trade(61_000, name="3")]
    rows, _ = bars_of([*heard, *heard[1:], trade(62_000, name="4")])
    assert [row[5] for row in rows] == [3.0]


@pytest.mark.parametrize("lacking", ["ts_ms", "price", "qty_base"])
def test_trade_that_lacks_something_is_refused(lacking: str) -> None:
    with pytest.raises(SchemaMismatch, match="without time, price or quantity"):
        bars_of([replace(trade(0), **{lacking: None})])


@given(
    st.lists(
        st.tuples(st.integers(0, 300_000), st.integers(1, 10**6), st.integers(1, 10**9)), min_size=1, max_size=60
    ).map(sorted),
    st.integers(1, 5),
    st.integers(0, 8),
)
def test_volume_is_the_exact_decimal_sum_however_the_trades_are_cut_into_messages(
    told: list[tuple[int, int, int]], num_messages: int, scale: int
) -> None:
    trades = [trade(ts, price / 100, qty / 10**scale, str(i)) for i, (ts, price, qty) in enumerate(told)]
    bars, found = TradeBars(M), dict[int, Row]()
    size = -(-len(trades) // num_messages)
    for i in range(0, len(trades), size):
        bars.add(trades[i : i + size])
        found |= {row[0]: row for row in bars.take()[0]}
    expected = {}
    for opened in range(0, 360_000, MINUTE_MS):
        inside = [t for t in told if opened <= t[0] < opened + MINUTE_MS]
        if inside and told[0][0] < opened:
            prices = [price / 100 for _, price, _ in inside]
            volume = sum(Decimal(qty).scaleb(-scale) for _, _, qty in inside)
            expected[opened] = (opened, prices[0], max(prices), min(prices), prices[-1], float(volume))
    assert found == expected


def test_trades_of_a_market_give_back_its_candles() -> None:
    tape = Tape.generated(days=10, minute_days=2)
    truth = tape.series("ETH/USDT", M)
    start, end = int(truth.open_ts_ms[0]), int(truth.open_ts_ms[500])
    heard = [Traded(str(t.id), t.ts_ms, t.price, t.qty) for t in tape.trades("ETH/USDT", start, end + 1)]
    rows, begun_ms = bars_of(heard)
    assert begun_ms == end
    c = truth.take(slice(1, 500))
    expected = list(zip(*(x.tolist() for x in (c.open_ts_ms, c.open, c.high, c.low, c.close, c.volume)), strict=True))
    assert rows[:-1] == expected
