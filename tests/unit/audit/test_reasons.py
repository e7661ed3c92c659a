"""Why bars are absent: the cases that people meet, one by one; the laws stand in `tests/properties`."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.bench.corruption import Recorded
from tests.unit.audit.makes import HOUR, MINUTE, START_MS

from heliograph.audit import reasons
from heliograph.audit.reasons import UNEXPLAINED, Absence, Held
from heliograph.core.schema import COVERAGE
from heliograph.core.timeframe import parse

BARS = 2_000
OPENS = START_MS + MINUTE.ms * np.arange(BARS, dtype=np.int64)
WHOLE = ((START_MS, START_MS + BARS * MINUTE.ms),)


def held(*absent: slice, quiet: float = 0.0, seed: int = 1, is_active: bool = True) -> Held:
    """A market that lacks some bars, and some at random besides."""
    keep = np.random.default_rng(seed).random(BARS) >= quiet
    for rows in absent:
        keep[rows] = False
    return Held(OPENS[keep], WHOLE, is_active)


def told(markets: dict[str, Held], symbol: str, *, fills_quiet: bool = False) -> list[Absence]:
    return list(reasons.explain(markets, MINUTE, fills_quiet=fills_quiet)[symbol].absences(MINUTE))


def statuses(markets: dict[str, Held], symbol: str, *, fills_quiet: bool = False) -> set[str]:
    return {a.status for a in told(markets, symbol, fills_quiet=fills_quiet)}


def test_a_run_of_absent_bars_is_one_row():
    markets = {name: held(slice(500, 520)) for name in ("A", "B", "C")}
    (run,) = told(markets, "A")
    assert (run.start_ms, run.end_ms, run.bars) == (int(OPENS[500]), int(OPENS[520]), 20)
    assert run.status == "venue_outage"


@pytest.mark.parametrize("bars", [1, 2, 3, 60, 1_000])
def test_an_outage_of_any_length_is_told_by_three_liquid_markets(bars: int):
    markets = {name: held(slice(500, 500 + bars)) for name in ("A", "B", "C")}
    assert [(a.status, a.bars) for a in told(markets, "A")] == [("venue_outage", bars)]


def test_a_quiet_market_has_outages_and_quiet_bars_side_by_side():
    markets = {"A": held(slice(900, 960)), "B": held(slice(900, 960)), "Q": held(slice(900, 960), quiet=0.4)}
    found = reasons.explain(markets, MINUTE, fills_quiet=False)["Q"]
    down = (found.opens >= OPENS[900]) & (found.opens < OPENS[960])
    assert {reasons.CODES[c][0] for c in found.codes[down]} == {"venue_outage"}
    assert {reasons.CODES[c][0] for c in found.codes[~down]} == {"no_trades"}


def test_quiet_hours_of_all_markets_are_no_outage():
    """At night each of four markets trades in one minute of three, so that none does in one of five."""
    rng = np.random.default_rng(5)
    trading = np.where((np.arange(BARS) // 500) % 2 == 0, 0.95, 0.33)
    markets = {f"M{i}": Held(OPENS[rng.random(BARS) < trading], WHOLE) for i in range(4)}
    assert all(statuses(markets, name) <= {"no_trades", UNEXPLAINED} for name in markets)


def test_a_page_cut_short_gets_no_reason():
    markets = {"A": held(), "B": held(), "C": held(slice(300, 400), quiet=0.05)}
    assert [a.bars >= 100 for a in told(markets, "C") if a.status == UNEXPLAINED] == [True]
    assert statuses(markets, "C", fills_quiet=True) == {UNEXPLAINED}


def test_one_market_alone_tells_no_outage():
    alone = {"A": held(slice(500, 700))}
    assert statuses(alone, "A") == {UNEXPLAINED}
    assert statuses(alone, "A", fills_quiet=True) == {UNEXPLAINED}


def test_one_quiet_market_alone_is_told_by_its_habit():
    assert statuses({"Q": held(quiet=0.5)}, "Q") == {"no_trades"}


def test_after_the_end_of_a_dead_market_it_is_delisted_and_after_that_of_a_live_one_it_is_not():
    markets = {"A": held(), "B": held(), "D": held(slice(1_500, None), is_active=False), "L": held(slice(1_500, None))}
    assert statuses(markets, "D") == {"delisted"}
    assert statuses(markets, "L") == {UNEXPLAINED}


def test_a_stray_bar_of_one_among_many_markets_does_not_end_an_outage():
    markets = {f"M{i}": held(slice(700, 730)) for i in range(80)}
    markets["S"] = held(slice(700, 715), slice(716, 730))
    assert [(a.status, a.bars) for a in told(markets, "M0")] == [("venue_outage", 30)]
    assert sum(a.bars for a in told(markets, "S")) == 29


def test_a_market_without_any_candle_gets_outages_only():
    markets = {
        "A": held(slice(10, 40)),
        "B": held(slice(10, 40)),
        "C": held(slice(10, 40)),
        "N": Held(OPENS[:0], WHOLE),
    }
    found = {a.status: a.bars for a in told(markets, "N") if a.status}
    assert found == {"venue_outage": 30}


def test_months_of_unequal_length_are_bars_like_others():
    frame = parse("1M")
    opens = frame.opens(0, 40 * 366 * 86_400_000 // 4)
    span = ((int(opens[0]), frame.next(int(opens[-1]))),)
    markets = {name: Held(np.delete(opens, 50), span) for name in ("A", "B", "C", "D")}
    (absence,) = reasons.explain(markets, frame, fills_quiet=True)["A"].absences(frame)
    assert (absence.start_ms, absence.end_ms, absence.status) == (int(opens[50]), int(opens[51]), "venue_outage")


def test_nothing_fetched_is_nothing_told():
    assert reasons.explain({}, HOUR, fills_quiet=True) == {}
    assert reasons.explain({"A": Held(OPENS[:0], ())}, HOUR, fills_quiet=True) == {}


def test_rows_for_the_coverage_table_leave_out_what_has_no_reason():
    markets = {name: held(slice(500, 520)) for name in ("A", "B", "C")} | {"D": held(slice(500, 520), slice(900, 999))}
    table = reasons.coverage("fake", MINUTE, reasons.explain(markets, MINUTE, fills_quiet=False))
    assert table.schema == COVERAGE
    assert table.num_rows == 4
    assert set(table.column("status").to_pylist()) == {"venue_outage"}
    assert reasons.coverage("fake", MINUTE, {}).schema == COVERAGE


def test_recorded_holes_of_binance_are_outages_and_those_of_bitfinex_mostly_quiet_minutes(shared_data: Path):
    """Binance lacks only the hours in which it was down; of 62,018 minutes that Bitfinex lacks, 473 stay open."""
    recorded = Recorded(shared_data)
    for venue, name, fills_quiet, most_open in (("binance", "1h", True, 0.0), ("bitfinex", "1m", False, 0.01)):
        frame = parse(name)
        opens = {key[2]: recorded.load(key).open_ts_ms for key in recorded.keys if key[:2] == (venue, name)}
        markets = {s: Held(ts, ((int(ts[0]), int(ts[-1]) + frame.ms),)) for s, ts in opens.items()}
        found = reasons.explain(markets, frame, fills_quiet=fills_quiet)
        codes = np.concatenate([bars.codes for bars in found.values()])
        share = {status: float((codes == i).mean()) for i, (status, _) in enumerate(reasons.CODES)}
        assert share[UNEXPLAINED] <= most_open
        assert share["venue_outage" if fills_quiet else "no_trades"] > 0.94
