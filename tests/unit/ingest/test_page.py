"""The page walker against venues with every habit that a venue has."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from heliograph.core import timeframe
from heliograph.core.errors import RateLimited, SymbolGone, VenueTimeout
from heliograph.core.market import Candles
from heliograph.ingest.page import Patience, Walk, walk
from heliograph.testing import fakes, lakes

HOUR_MS = 3_600_000
HOUR = timeframe.parse("1h")
NOW_MS = 1_000 * HOUR_MS


class Sleeper:
    """Remembers the waits instead of waiting."""

    def __init__(self) -> None:
        self.waits_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.waits_s.append(seconds)


def _source(candles: Candles, **options: object) -> fakes.FakeSource:
    rules = options.pop("rules", None) or fakes.rules()
    return fakes.FakeSource({("A/B", "1h"): candles}, now_ms=NOW_MS, rules=rules, **options)  # type: ignore[arg-type]


def _walk(source: fakes.FakeSource, end_h: int, *, attempts: int = 3, sleep: Sleeper | None = None) -> Walk:
    patience = Patience(attempts, np.random.default_rng(1), sleep or Sleeper())
    return asyncio.run(walk(source, fakes.market("A/B"), HOUR, 0, end_h * HOUR_MS, patience=patience))


def _hours(done: Walk) -> list[int]:
    return (done.candles.open_ts_ms // HOUR_MS).tolist()


def _candles(*hours: int) -> Candles:
    return Candles.concat([lakes.candles(h * HOUR_MS, (h + 1) * HOUR_MS) for h in hours])


def test_full_history_takes_the_fewest_requests() -> None:
    source = _source(lakes.candles(0, 100 * HOUR_MS))
    done = _walk(source, 100)
    assert _hours(done) == list(range(100))
    assert (done.requests, done.reached_ms, done.failure) == (10, 100 * HOUR_MS, None)


@pytest.mark.parametrize("seeks_first", [True, False])
def test_empty_pages_neither_end_the_walk_nor_go_on_for_ever(*, seeks_first: bool) -> None:
    """A long halt: venues that answer by window send empty pages before the candles go on."""
    source = _source(_candles(0, 1, 57, 58, 99), rules=fakes.rules(seeks_first=seeks_first))
    done = _walk(source, 100)
    assert _hours(done) == [0, 1, 57, 58, 99]
    assert done.requests <= 12


def test_truncated_pages_are_asked_on() -> None:
    source = _source(lakes.candles(0, 40 * HOUR_MS), shorten=lambda n, size: max(1, size - n % 7))
    assert _hours(_walk(source, 40)) == list(range(40))


def test_venue_that_gives_the_newest_first_loses_nothing() -> None:
    """Some venues answer with the newest candles of the interval: the walk must not take the hole for silence."""
    source = _source(lakes.candles(0, 95 * HOUR_MS), gives_newest=True)
    done = _walk(source, 95)
    assert _hours(done) == list(range(95))
    assert done.requests == 10


def test_timeouts_back_off_and_are_bounded() -> None:
    sleep = Sleeper()
    source = _source(lakes.candles(0, 10 * HOUR_MS), fault=lambda *_: VenueTimeout("no answer"))
    done = _walk(source, 10, attempts=4, sleep=sleep)
    assert isinstance(done.failure, VenueTimeout)
    assert done.requests == 4
    assert all(0.5 * base <= wait <= base for wait, base in zip(sleep.waits_s, (0.5, 1, 2), strict=True))


def test_rate_limit_waits_as_long_as_the_venue_says() -> None:
    sleep = Sleeper()
    limited = RateLimited("slow down", retry_after_s=7.0)
    source = _source(lakes.candles(0, 10 * HOUR_MS), fault=lambda n, *_: limited if n == 0 else None)
    done = _walk(source, 10, sleep=sleep)
    assert (sleep.waits_s, len(done.candles), done.failure) == ([7.0], 10, None)


def test_what_came_before_a_failure_is_kept() -> None:
    source = _source(lakes.candles(0, 100 * HOUR_MS), fault=lambda n, *_: VenueTimeout("x") if n >= 3 else None)
    done = _walk(source, 100, attempts=2)
    assert (_hours(done), done.reached_ms) == (list(range(30)), 30 * HOUR_MS)


def test_failure_in_a_hole_keeps_only_what_is_whole() -> None:
    source = _source(
        lakes.candles(0, 95 * HOUR_MS), gives_newest=True, fault=lambda n, *_: SymbolGone("x") if n == 2 else None
    )
    done = _walk(source, 95)
    assert (len(done.candles), done.reached_ms, done.pages) == (0, 0, ())


def test_permanent_failure_is_not_repeated() -> None:
    source = _source(lakes.candles(0, HOUR_MS), fault=lambda *_: SymbolGone("gone"))
    assert _walk(source, 10).requests == 1


@pytest.mark.parametrize(
    ("rows", "what"),
    [
        ([[HOUR_MS + 1, 1, 1, 1, 1, 1]], "grid"),
        ([[HOUR_MS, 1, 1, 1, 1, float("nan")]], "finite"),
        ([[HOUR_MS, 1, 1, 1, 1, 1], [HOUR_MS, 1, 1, 1, 1, 1]], "not after"),
        ([[11 * HOUR_MS, 1, 1, 1, 1, 1]], "outside"),
    ],
)
def test_unsound_page_is_refused_with_its_reason(rows: list[list[float]], what: str) -> None:
    source = _source(lakes.candles(0, HOUR_MS))
    source._answer = lambda *_: Candles.of(rows)  # type: ignore[method-assign]
    done = _walk(source, 10)
    assert done.pages == ()
    assert what in str(done.failure)
