"""Shapes of bars drawn by hand, and proportions against plain arithmetic."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.unit.features.candles import HOUR_MS, START_MS, market
from tests.unit.features.graphs import assert_laws, values

from heliograph.core.market import Candles
from heliograph.features.graph import Series
from heliograph.features.market import HIGH, LOW, OPEN, SIGMA
from heliograph.features.ops import candle

MADE = market(400, seed=12, missing=0.05, quiet=0.1)
ALL: dict[str, Series] = {
    **candle.parts()._asdict(),
    **{f"{name}_size": series for name, series in candle.sizes()._asdict().items()},
    "gap": candle.gap(),
    **candle.pair()._asdict(),
    **dict(zip(("star", "soldiers"), candle.triple(), strict=True)),
    "fractal": candle.fractal(),
    "streak": candle.streak(12),
    **{f"heikin_{name}": series for name, series in candle.heikin()._asdict().items()},
    **{f"day_{name}": series for name, series in candle.day()._asdict().items()},
}


def _bars(*rows: tuple[float, float, float, float]) -> Candles:
    """Open, high, low, close of each bar."""
    columns = [START_MS + HOUR_MS * np.arange(len(rows)), *np.array(rows, dtype=np.float64).T, np.ones(len(rows))]
    return Candles(*columns)


def _last(series: Series, *rows: tuple[float, float, float, float]) -> float:
    return float(values(series, _bars(*rows))[-1])


def test_parts_are_shares_of_the_range() -> None:
    hammer = (8.0, 9.5, 4.0, 9.0)
    found = [_last(series, hammer) for series in candle.parts()]
    assert found == pytest.approx([5 / 5.5, 1 / 5.5, 0.5 / 5.5, 4 / 5.5, 1 / 5.5])
    wicks = values([candle.parts().upper_wick, candle.parts().lower_wick, candle.parts().body], MADE)
    high, low = values([HIGH, LOW], MADE).T
    moved = high > low
    np.testing.assert_allclose((wicks[:, 0] + wicks[:, 1] + np.abs(wicks[:, 2]))[moved], 1.0, rtol=1e-12)


def test_a_bar_without_range_is_in_the_middle() -> None:
    assert [_last(series, (7.0, 7.0, 7.0, 7.0)) for series in candle.parts()] == [0.5, 0.0, 0.0, 0.0, 0.0]


def test_long_legged_doji_is_one() -> None:
    assert _last(candle.parts().doji, (5.0, 7.0, 3.0, 5.0)) == 1.0


def test_sizes_are_logs_in_sigmas() -> None:
    sigma, open_, high, low, *found = values([SIGMA, OPEN, HIGH, LOW, *candle.sizes()], MADE).T
    close = MADE.close
    logs = (np.log(high / low), np.log(close / open_), np.log(high / np.maximum(open_, close)))
    for column, log in zip(found, (*logs, np.log(np.minimum(open_, close) / low)), strict=True):
        np.testing.assert_allclose(column, log / sigma, rtol=1e-12, atol=1e-12)


def test_gap_counts_in_sigmas_of_the_time_between() -> None:
    sigma, found = values([SIGMA, candle.gap()], MADE).T
    steps = np.diff(MADE.open_ts_ms) // HOUR_MS
    expected = np.log(MADE.open[1:] / MADE.close[:-1]) / (sigma[1:] * np.sqrt(steps))
    np.testing.assert_allclose(found[1:], expected, rtol=1e-12)


@pytest.mark.parametrize(
    ("name", "rows", "expected"),
    [
        ("overlap", ((5, 8, 4, 6), (6, 9, 5, 7)), 3 / 5),
        ("overlap", ((5, 6, 4, 5), (8, 9, 7, 8)), -1 / 5),
        ("widening", ((5, 6, 4, 5), (5, 8, 2, 5)), 4 / 8),
        ("inside", ((5, 8, 2, 6), (5, 6, 4, 5)), 2 * 2 / 8),
        ("inside", ((5, 8, 2, 6), (5, 9, 4, 5)), 0.0),
        ("outside", ((5, 6, 4, 5), (5, 8, 2, 6)), 2 * 2 / 8),
        ("tweezers", ((5, 8, 4, 5), (5, 6, 4, 5)), 2 / 4),
        ("shift", ((5, 6, 4, 5), (6, 8, 6, 7)), 2 / 4),
        ("place", ((5, 6, 4, 5), (5, 7, 5, 7)), 2.0),
        ("reversal", ((5, 6, 4, 4.5), (4.5, 6, 3, 6)), 1 / 3),
        ("reversal", ((5, 6, 4, 5.5), (5.5, 7, 4, 4)), -1 / 3),
        ("engulfing", ((5, 6, 3, 4), (4, 7, 4, 6)), (2 - 1) / 3),
        ("engulfing", ((4, 6, 3, 5), (5, 7, 1, 2)), -(3 - 1) / 4),
        ("engulfing", ((4, 6, 3, 5), (5, 7, 4, 6)), 0.0),
        ("harami", ((8, 9, 3, 4), (5, 6, 4, 6)), (4 - 1) / 5),
        ("harami", ((4, 9, 3, 8), (7, 8, 5, 6)), -(4 - 1) / 5),
        ("retracement", ((8, 9, 3, 4), (4, 7, 4, 6)), 2 / 6),
        ("retracement", ((4, 9, 3, 8), (8, 9, 4, 4)), 4 / 8),
        ("retracement", ((4, 9, 3, 8), (8, 9, 8, 9)), -1 / 5),
        ("star", ((9, 9, 5, 5), (5, 5, 5, 5), (5, 9, 5, 9)), 1.0),
        ("star", ((5, 9, 5, 9), (9, 11, 9, 10), (10, 10, 6, 6)), -0.75),
        ("star", ((5, 9, 5, 9), (9, 10, 9, 9), (9, 12, 9, 12)), 0.0),
        ("soldiers", ((5, 6, 5, 6), (6, 8, 6, 7), (7, 8, 7, 8)), 0.5),
        ("soldiers", ((8, 8, 7, 7), (7, 7, 6, 6), (6, 6, 5, 5)), -1.0),
        ("soldiers", ((8, 8, 7, 7), (7, 8, 7, 8), (8, 8, 5, 5)), 0.0),
        ("fractal", ((5, 6, 4, 5), (5, 6, 4, 5), (5, 6, 2, 5), (5, 6, 4, 5), (5, 6, 4, 5)), 2 / 4),
        ("fractal", ((5, 6, 4, 5), (5, 6, 4, 5), (5, 9, 4, 5), (5, 6, 4, 5), (5, 6, 4, 5)), -3 / 5),
        ("fractal", ((5, 6, 4, 5), (5, 6, 4, 5), (5, 6, 4, 5), (5, 6, 4, 5), (5, 6, 1, 5)), 0.0),
    ],
)
def test_patterns_are_graded(name: str, rows: tuple[tuple[float, float, float, float], ...], expected: float) -> None:
    assert _last(ALL[name], *rows) == pytest.approx(expected)


def test_streak_counts_closes_in_a_row() -> None:
    close = np.array([5.0, 5, 6, 7, 8, 7, 6, 6, 9])
    found = values(candle.streak(4), _bars(*((c, c, c, c) for c in close)))
    np.testing.assert_array_equal(found, [np.nan] * 4 + [0.75, -0.25, -0.5, 0.0, 0.25])


def test_heikin_ashi_is_valcus() -> None:
    open_, high, low, sigma, *found = values([OPEN, HIGH, LOW, SIGMA, *candle.heikin()], MADE).T
    first, rows = (open_[0] + MADE.close[0]) / 2, []
    for t in range(len(MADE)):
        last = (open_[t] + high[t] + low[t] + MADE.close[t]) / 4
        top, bottom = max(high[t], first, last), min(low[t], first, last)
        width = top - bottom or 1.0
        wicks = (min(first, last) - bottom) - (top - max(first, last))
        rows.append(((last - first) / width, wicks / width, math.log(last / first) / sigma[t]))
        first = (first + last) / 2
    expected = np.where(np.isnan(sigma), np.nan, np.array(rows).T)
    np.testing.assert_allclose(np.array(found), expected, rtol=1e-9, atol=1e-10)


def test_the_day_begins_at_midnight() -> None:
    high, low, open_, sigma, *found = values([HIGH, LOW, OPEN, SIGMA, *candle.day()], MADE).T
    days = MADE.open_ts_ms // 86_400_000
    for t in range(30, len(MADE)):
        today = slice(int(np.searchsorted(days, days[t])), t + 1)
        top, bottom = high[today].max(), low[today].min()
        unit = sigma[t] * math.sqrt(today.stop - today.start)
        place = (MADE.close[t] - bottom) / (top - bottom) if top > bottom else 0.5
        gain, width = math.log(MADE.close[t] / open_[today.start]) / unit, math.log(top / bottom) / unit
        assert [column[t] for column in found] == pytest.approx([place, gain, width], rel=1e-9, abs=1e-9)


def test_agree_however_cut() -> None:
    assert_laws(list(ALL.values()), MADE)


@pytest.mark.parametrize("name", ALL)
def test_lookback_is_exact(name: str) -> None:
    known = np.isfinite(values(ALL[name], market(120, seed=4)))
    assert int(np.argmax(known)) + 1 == ALL[name].node.lookback_bars
    assert known[ALL[name].node.lookback_bars - 1 :].all()
