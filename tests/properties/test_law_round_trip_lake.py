"""Round trip: page → part → page gives the very same doubles, whatever a venue prints."""

from __future__ import annotations

import hashlib
from decimal import Decimal

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.series import Points, Trades
from heliograph.core.timeframe import parse
from heliograph.lake import part, ticks
from heliograph.testing.strategies import candles


def _back(sent: Candles) -> Candles:
    body = part.encode(sent, {})
    return part.decode(body, f"{hashlib.sha256(body).hexdigest()}.parquet")


@given(st.data(), st.sampled_from(["1m", "1h", "1w"]))
def test_decimal_candles_come_back_exactly(data: st.DataObject, timeframe: str) -> None:
    sent = data.draw(candles(parse(timeframe), first_ms=1_500_000_000_000, min_size=1))
    back = _back(sent)
    for name in ("open_ts_ms", *part.PRICES, "volume"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sent, name))


NUMBERS = st.floats(1e-9, 9e15, allow_nan=False) | st.integers(0, 10**12).map(lambda n: n / 1e8)


@given(st.lists(NUMBERS, min_size=1, max_size=40))
def test_any_double_of_a_volume_comes_back_exactly(volumes: list[float]) -> None:
    """Venues that sum floats print seventeen digits; a number that does not fit in 64 bits would be refused."""
    sent = Candles.of([[i * 60_000, 1, 1, 1, 1, volume] for i, volume in enumerate(volumes)])
    fits = all(_digits_fit(v) for v in volumes)
    if fits:
        assert _back(sent).volume.tolist() == volumes


def _digits_fit(value: float) -> bool:
    d = Decimal(repr(value))
    return int(d.scaleb(max(0, -int(d.as_tuple().exponent)))) < 2**63


@given(
    npst.arrays(
        np.float64,
        st.tuples(st.integers(1, 4), st.integers(1, 20)),
        elements=st.integers(0, 10**12).map(lambda n: n / 1e6),
    )
)
def test_rows_of_ticks_come_back_exactly(values_KN: np.ndarray) -> None:
    ticks_KN, scale_N = ticks.to_rows(values_KN)
    for k in range(values_KN.shape[0]):
        np.testing.assert_array_equal(ticks.from_rows(ticks_KN[k], scale_N), values_KN[k])


@given(
    st.lists(st.one_of(NUMBERS.filter(_digits_fit), st.floats(-1e6, 1e6).filter(_digits_fit)), min_size=1, max_size=40)
)
def test_ticks_are_the_decimals_that_were_printed(values: list[float]) -> None:
    """Whatever else stands in the part: a neighbour with more digits does not blur a number's own."""
    try:
        (ticks_N,), scale_N = ticks.to_rows(np.asarray([values]))
    except SchemaMismatch:
        return
    assert [Decimal(int(t)).scaleb(-int(s)) for t, s in zip(ticks_N, scale_N, strict=True)] == [
        Decimal(repr(value)) for value in values
    ]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 10**9), st.integers(1, 10**12), st.booleans()), max_size=30),
    st.integers(0, 8),
)
def test_trades_come_back_exactly(rows: list[tuple[int, int, int, bool]], scale: int) -> None:
    rows = sorted(rows, key=lambda row: row[0]) or [(0, 1, 1, True)]
    ts, price, qty, is_buy = (np.asarray(column) for column in zip(*rows, strict=True))
    ids = np.asarray([str(i) if i % 3 else "" for i in range(len(rows))], dtype=np.object_)
    sent = Trades(ts.astype(np.int64), price / 10**scale, qty / 1e8, is_buy.astype(np.bool_), ids)
    body = part.encode(sent, {}, table="trades")
    back = part.decode_rows(body, f"{hashlib.sha256(body).hexdigest()}.parquet", "trades")
    for name in ("ts_ms", "price", "qty", "is_buy", "ids"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sent, name))


@given(st.lists(st.floats(-1e9, 1e9).filter(_digits_fit), min_size=1, max_size=30))
def test_points_come_back_exactly(values: list[float]) -> None:
    events = np.arange(len(values), dtype=np.int64) * 3_600_000
    sent = Points(events, events + 500, np.asarray(values))
    try:
        body = part.encode(sent, {}, table="funding")
    except SchemaMismatch:
        return
    back = part.decode_rows(body, f"{hashlib.sha256(body).hexdigest()}.parquet", "funding")
    for name in ("event_ts_ms", "known_ts_ms", "value"):
        np.testing.assert_array_equal(getattr(back, name), getattr(sent, name))
