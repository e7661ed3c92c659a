"""Season features: which column is which, at moments that everybody can look up; and the laws of every family."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from tests.unit.features.candles import market, markets
from tests.unit.features.families import laws

from heliograph.core.market import Candles
from heliograph.features.families.season import FEATURES

NAMES = [feature.name for feature in FEATURES]
MADE = market(500, seed=41, missing=0.1)


def _at(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> dict[str, float]:
    """The row of one bar."""
    ts = np.array([int(datetime(year, month, day, hour, minute, tzinfo=UTC).timestamp()) * 1_000])
    one = np.ones(1)
    return dict(zip(NAMES, laws.table(FEATURES, Candles(ts, one, one, one, one, one))[0].tolist(), strict=True))


def test_a_summer_monday_afternoon() -> None:
    """2024-07-01 14:00 UTC: 23:00 in Tokyo, 15:00 in London, 10:00 in New York."""
    row = _at(2024, 7, 1, 14)
    assert [row[f"session_{name}"] for name in ("asia", "europe", "america")] == [0.0, 1.0, 1.0]
    assert row["session_america_gone"] == pytest.approx(0.5 / 6.5)
    assert row["session_europe_gone"] == pytest.approx(7 / 8.5)
    assert row["sessions_open"] == pytest.approx(2 / 3)
    assert (row["weekend"], row["turn_of_month"]) == (0.0, 1.0)
    assert row["funding_wait"] == pytest.approx(2 / 8)
    assert row["quarter_gone"] == pytest.approx(14 / 24 / 92)


def test_the_same_clock_in_winter_is_half_an_hour_before_new_york_opens() -> None:
    row = _at(2024, 12, 2, 14)
    assert (row["session_america"], row["session_america_gone"]) == (0.0, 0.0)
    assert _at(2024, 12, 2, 14, 30)["session_america"] == 1.0


def test_the_last_quarterly_expiry_of_2024_was_on_december_27() -> None:
    row = _at(2024, 12, 27, 8)
    assert [row[f"{which}_expiry_wait"] for which in ("weekly", "monthly", "quarterly")] == [0.0, 0.0, 0.0]
    after = _at(2024, 12, 27, 9)
    assert after["weekly_expiry_wait"] == pytest.approx(1 - 1 / 168)
    assert after["monthly_expiry_wait"] == pytest.approx((35 - 1 / 24) / 35)  # 2025-01-31
    assert after["quarterly_expiry_wait"] == pytest.approx((91 - 1 / 24) / 98)  # 2025-03-28


def test_cycles_begin_on_monday_on_the_first_and_at_new_year() -> None:
    row = _at(2024, 1, 1)  # a Monday
    for cycle in ("hour", "weekday", "month_day", "year_day"):
        assert (row[f"{cycle}_sin"], row[f"{cycle}_cos"]) == (0.0, 1.0)
    noon = _at(2024, 1, 4, 12)
    assert (noon["hour_cos"], noon["weekday_cos"]) == pytest.approx((-1.0, -1.0))


def test_missing_bars_are_masked() -> None:
    whole = market(200, seed=1)
    candles = whole.take(~np.isin(np.arange(200), np.arange(180, 192)))
    found = laws.table(FEATURES, candles)
    row = int(np.searchsorted(candles.open_ts_ms, whole.open_ts_ms[192]))
    assert found[row, NAMES.index("bars_missing")] == pytest.approx(np.log(13))
    assert found[row, NAMES.index("missing_share_24")] == pytest.approx(12 / 36)
    assert found[row, NAMES.index("missing_share_168")] == pytest.approx(12 / 180)
    assert not found[row - 1, : NAMES.index("missing_share_168") + 1].any()


def test_agree_however_cut() -> None:
    laws.assert_agree_however_cut(FEATURES, MADE)


def test_lookback_is_exact() -> None:
    laws.assert_lookback_is_exact(FEATURES)


def test_are_free_of_scale() -> None:
    laws.assert_free_of_scale(FEATURES)


def test_forget_where_the_history_began() -> None:
    laws.assert_forgets(FEATURES)


@settings(max_examples=20, deadline=None)
@given(candles=markets(max_bars=400))
def test_are_finite_and_in_range_on_any_market(candles: Candles) -> None:
    laws.assert_sound(FEATURES, candles)


def test_names_are_unique_and_enough() -> None:
    assert len(set(NAMES)) == len(NAMES) >= 15
