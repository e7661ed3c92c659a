"""Round trip: page → part → page gives the very same doubles, whatever a venue prints."""

from __future__ import annotations

import hashlib

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from heliograph.core.market import Candles
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
    from decimal import Decimal

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
