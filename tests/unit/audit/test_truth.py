"""What the checks say, and of which bars."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.audit.makes import DAY, HOUR, MINUTE, START_MS, changed, path, quoted, without

from heliograph.audit import derived, truth
from heliograph.audit.finding import KINDS, Finding, flagged, runs
from heliograph.audit.truth import Evidence
from heliograph.core.market import Candles

NAME = ("fake", "BTC/USDT")
BARS = 3_000
TRUE = quoted(path(BARS), 1)
PEER, OTHER_PEER = quoted(path(BARS), 2), quoted(path(BARS), 3)


def told(candles: Candles, evidence: Evidence = truth.NONE) -> list[Finding]:
    return truth.check(NAME, MINUTE, candles, evidence)


def kinds(candles: Candles, evidence: Evidence = truth.NONE) -> set[str]:
    return {f.kind for f in told(candles, evidence)}


def test_a_true_series_has_no_finding():
    assert told(TRUE, Evidence([PEER, OTHER_PEER], [TRUE.open_ts_ms], [(HOUR, derived.summed(TRUE, HOUR))])) == []


def test_a_finding_names_its_bars():
    (found,) = told(changed(TRUE, slice(100, 103), high=0.5, low=0.4, open=0.45, close=0.45, volume=np.nan))
    assert (found.venue, found.symbol, found.timeframe, found.kind) == ("fake", "BTC/USDT", "1m", "not_finite")
    assert (found.start_ms, found.end_ms, found.bars) == (START_MS + 6_000_000, START_MS + 6_180_000, 3)
    assert found.detail == KINDS["not_finite"]


def test_findings_ascend():
    bad = changed(changed(TRUE, 2_000, volume=-1.0), 50, close=np.nan)
    assert [f.kind for f in told(bad)] == ["not_finite", "not_positive"]


def test_nothing_and_next_to_nothing_are_no_fault():
    assert told(Candles.empty()) == []
    assert told(TRUE.take(slice(0, 5)), Evidence([PEER, Candles.empty()])) == []


def test_a_market_that_never_moved_is_no_fault():
    n = 2_000
    still = Candles(TRUE.open_ts_ms[:n], *(np.full(n, 1.5) for _ in range(4)), volume=np.zeros(n))
    assert told(still, Evidence([PEER])) == []


def test_an_open_that_carries_the_close_over_may_lie_outside_the_range():
    """BitMEX writes the close before as the open: 3 % of its bars have an open outside low and high."""
    opened = np.append(TRUE.open[0], TRUE.close[:-1])
    high, low = np.maximum(TRUE.close, opened), np.minimum(TRUE.close, opened)
    low = np.where(np.arange(BARS) % 30 == 0, TRUE.close, low)
    high = np.where(np.arange(BARS) % 30 == 0, TRUE.close, high)
    carried = Candles(TRUE.open_ts_ms, opened, high, low, TRUE.close, TRUE.volume)
    assert "range" not in kinds(carried)
    assert "range" in kinds(changed(carried, 900, open=carried.open[900] + 50.0))


def test_a_close_outside_the_range_is_never_right():
    assert "range" in kinds(changed(TRUE, 700, close=TRUE.high[700] + 0.1))


def test_a_fault_in_one_of_two_peers_does_not_fall_on_the_series():
    broken = changed(
        PEER, slice(1_000, 1_400), **{n: getattr(PEER, n)[1_000:1_400] * 1.1 for n in ("open", "high", "low", "close")}
    )
    broken = changed(broken, slice(1_600, 2_400), volume=broken.volume[1_600:2_400] * 1_000)
    assert "off_peers" in kinds(TRUE, Evidence([broken]))
    assert kinds(TRUE, Evidence([broken, OTHER_PEER])) == set()


def test_a_fault_in_the_series_is_told_though_only_some_peers_see_it():
    wrong = changed(TRUE, 1_500, close=TRUE.close[1_500] * 1.05, high=TRUE.close[1_500] * 1.05)
    blind = without(OTHER_PEER, slice(1_400, 1_600))
    found = [f for f in told(wrong, Evidence([PEER, blind])) if f.kind == "off_peers"]
    assert {f.start_ms for f in found} == {START_MS + 1_500 * MINUTE.ms}


def test_a_premium_that_drifts_is_no_fault():
    """Prices in Tether stood up to 8 % above those in dollars in October 2018."""
    premium = 0.08 * np.sin(np.linspace(0.0, np.pi, BARS))
    assert "off_peers" not in kinds(quoted(path(BARS) + premium, 4), Evidence([PEER]))


def test_a_lag_is_told_in_hours():
    late = TRUE.take(slice(0, BARS - 180))
    shifted = Candles(TRUE.open_ts_ms[180:], late.open, late.high, late.low, late.close, late.volume)
    (found,) = [f for f in told(shifted, Evidence([PEER])) if f.kind == "lagged"]
    assert "3 hours apart" in found.detail
    assert found.bars > 2_000


def test_a_hole_is_missing_only_where_others_have_the_bars():
    cut = without(TRUE, slice(1_000, 1_200))
    up, down = TRUE.open_ts_ms, cut.open_ts_ms
    (found,) = told(cut, Evidence(siblings=[up]))
    assert (found.kind, found.bars) == ("missing", 200)
    assert told(cut, Evidence(siblings=[down])) == []
    assert told(cut, Evidence(siblings=[down], peers=[PEER])) == [], "the venue was down, whatever others did"
    assert told(cut) == [], "nothing to tell a hole from an outage by"


def test_quiet_bars_of_a_market_that_often_has_none_are_not_missing():
    rng = np.random.default_rng(3)
    quiet = TRUE.take(np.flatnonzero(rng.random(BARS) < 0.5))
    assert [f for f in told(quiet, Evidence(siblings=[TRUE.open_ts_ms])) if f.kind == "missing"] == []


def test_a_tick_that_changes_for_good_is_no_fault():
    whole = {n: np.round(getattr(TRUE, n)[1_500:]) for n in ("open", "high", "low", "close")}
    assert "digits" not in kinds(changed(TRUE, slice(1_500, None), **whole))


def test_months_and_days_are_judged_as_minutes_are():
    days = quoted(path(400, spread=0.03), 7, frame=DAY, noise=1e-4)
    assert truth.check(NAME, DAY, days) == []
    assert {f.kind for f in truth.check(NAME, DAY, changed(days, 77, close=0.0))} == {"not_positive"}


def test_a_finer_series_that_disagrees_names_the_bar():
    hours = derived.summed(TRUE, HOUR)
    found = truth.check(NAME, HOUR, changed(hours, 7, volume=hours.volume[7] + 1.0), Evidence(others=[(MINUTE, TRUE)]))
    assert [(f.kind, f.start_ms) for f in found] == [("not_derived", START_MS + 7 * HOUR.ms)]


def test_flagged_marks_the_bars_of_findings_and_not_those_that_are_absent():
    found = [
        Finding("v", "s", "1m", START_MS, START_MS + 120_000, "spike", "", 2),
        Finding("v", "s", "1m", START_MS, START_MS + 900_000, "missing", "", 9),
    ]
    assert flagged(TRUE, found).sum() == 2


@pytest.mark.parametrize("where", [[], [False], [True], [True, True, False, True]])
def test_runs_cover_exactly_what_is_true(where: list[bool]):
    array = np.asarray(where, dtype=np.bool_)
    again = np.zeros_like(array)
    for first, last in runs(array):
        again[first : last + 1] = True
    assert np.array_equal(array, again)
