"""The venue's clock: readings are facts, the time in between is a guess."""

from __future__ import annotations

from heliograph.sources.clock import VenueClock


def test_guess_runs_on_from_the_last_reading() -> None:
    now_s = [50.0]
    clock = VenueClock(lambda: now_s[0])
    assert clock.at_least_ms is None
    assert clock.guess_ms() is None
    clock.read(1_000_000)
    now_s[0] += 2.5
    assert clock.at_least_ms == 1_000_000
    assert clock.guess_ms() == 1_002_500
    clock.read(1_000_100)
    assert clock.guess_ms() == 1_000_100
