"""Asking a venue how far its markets reach, and not asking twice."""

from __future__ import annotations

import asyncio

import numpy as np
import pyarrow as pa

from heliograph.config.settings import Selection
from heliograph.core import timeframe
from heliograph.core.errors import VenueTimeout
from heliograph.core.market import Candles
from heliograph.core.schema import COVERAGE
from heliograph.core.timeframe import DAY_MS
from heliograph.ingest.page import Patience
from heliograph.ingest.plan import Catalogue, History
from heliograph.ingest.survey import find_first, find_last, survey
from heliograph.testing import fakes, lakes

HOUR_MS = 3_600_000
HOUR = timeframe.parse("1h")
NOTHING = COVERAGE.empty_table()
ALL = Selection()
ALIVE, DEAD = fakes.market("A/B"), fakes.market("C/D", is_active=False)


async def _no_sleep(_: float) -> None:
    return


PATIENCE = Patience(2, np.random.default_rng(1), _no_sleep)


def _source(**options: object) -> fakes.FakeSource:
    candles = {
        ("A/B", "1h"): lakes.candles(40 * HOUR_MS, 1_000 * HOUR_MS),
        ("C/D", "1h"): lakes.candles(300 * HOUR_MS, 555 * HOUR_MS),
    }
    options = {"rules": fakes.rules(), "markets": [ALIVE, DEAD], **options}
    return fakes.FakeSource(candles, now_ms=1_000 * HOUR_MS + 5, **options)  # type: ignore[arg-type]


def _survey(source: fakes.FakeSource, coverage: pa.Table = NOTHING, selection: Selection = ALL) -> Catalogue:
    return asyncio.run(survey(source, coverage, [selection], attempts=2, in_flight=2, sleep=_no_sleep))


def _covered(*rows: tuple[str, int, int, str]) -> pa.Table:
    full = [("fake", "1h", symbol, a * HOUR_MS, b * HOUR_MS, status, 0, 0, "") for symbol, a, b, status in rows]
    return pa.Table.from_pylist([dict(zip(COVERAGE.names, r, strict=True)) for r in full], schema=COVERAGE)


def test_first_and_last_candle_are_found() -> None:
    assert _survey(_source()).history == {
        ("A/B", "1h"): History(40 * HOUR_MS),
        ("C/D", "1h"): History(300 * HOUR_MS, end_ms=555 * HOUR_MS),
    }


def test_first_candle_costs_one_request_and_the_last_few() -> None:
    source = _source()
    assert asyncio.run(find_first(source, ALIVE, HOUR, 1_000 * HOUR_MS, patience=PATIENCE)) == 40 * HOUR_MS
    assert len(source.requests) == 1
    found = asyncio.run(find_last(source, DEAD, HOUR, (300 * HOUR_MS, 1_000 * HOUR_MS), patience=PATIENCE))
    assert found == 554 * HOUR_MS
    assert len(source.requests) <= 12


def test_market_without_candles_has_no_first() -> None:
    source = fakes.FakeSource({("A/B", "1h"): Candles.empty()}, now_ms=9 * HOUR_MS, rules=fakes.rules())
    assert _survey(source).history == {("A/B", "1h"): History(None)}


def test_known_coverage_asks_nothing() -> None:
    known = _covered(
        ("A/B", 0, 40, "not_listed"),
        ("A/B", 40, 900, "have"),
        ("C/D", 0, 300, "not_listed"),
        ("C/D", 555, 990, "delisted"),
    )
    source = _source()
    assert _survey(source, known).history == {}
    assert source.requests == []


def test_only_the_tail_missing_asks_nothing() -> None:
    late = Selection(symbols=("A/B",), start_ms=100 * HOUR_MS)
    source = _source()
    _survey(source, _covered(("A/B", 100, 900, "have")), late)
    assert source.requests == []


def test_venue_that_seeks_nothing_is_looked_through_by_its_longest_candles_then_by_days() -> None:
    days = Candles.of([[d * DAY_MS, 1, 1, 1, 1, 1] for d in range(40, 95)])
    months = Candles.of([[d * DAY_MS, 1, 1, 1, 1, 1] for d in (31, 59, 90)])
    for is_active in (True, False):
        source = fakes.FakeSource(
            {("A/B", "1h"): Candles.empty(), ("A/B", "1d"): days, ("A/B", "1M"): months},
            now_ms=400 * DAY_MS,
            rules=fakes.rules(seeks_first=False, page_limit=100),
            markets=[fakes.market("A/B", is_active=is_active)],
        )
        asked = survey(source, NOTHING, [ALL], attempts=2, in_flight=2, sleep=_no_sleep, dawn_ms=0)
        end_ms = None if is_active else 95 * DAY_MS
        assert asyncio.run(asked).history == {("A/B", "1h"): History(40 * DAY_MS, end_ms=end_ms)}
        assert len(source.requests) <= 5, "months, the days of the first, the days of the last, and their ends"


def test_listing_time_or_horizon_asks_nothing() -> None:
    listed = _source(markets=[fakes.market("A/B", listed_ts_ms=3)])
    shallow = _source(rules=fakes.rules(horizon_candles=7))
    for source in (listed, shallow):
        assert _survey(source).history == {}
        assert source.requests == []


def test_venue_that_does_not_answer_leaves_its_reason() -> None:
    history = _survey(_source(fault=lambda *_: VenueTimeout("no answer"))).history
    assert history["A/B", "1h"] == History(None, failure="VenueTimeout: no answer")
