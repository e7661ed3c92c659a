"""The kill file and late data."""

from __future__ import annotations

import pytest
from tests.unit.live.scripted import StillClock
from tests.unit.trading.makes import HOUR_MS, candle

from heliograph.core.events import KillSwitched
from heliograph.live.guard import Guard


def test_no_file_lets_trading_go_on(tmp_path):
    assert Guard(StillClock(), tmp_path / "KILL", 2).stop() is None


@pytest.mark.parametrize(
    ("text", "reason"), [("by hand\nmore", "by hand"), ("", "KILL exists"), (" \n", "KILL exists")]
)
def test_file_stops_and_its_first_line_is_the_reason(tmp_path, text, reason):
    (tmp_path / "KILL").write_text(text)
    assert Guard(StillClock(7), tmp_path / "KILL", 2).stop() == KillSwitched(7, reason)


@pytest.mark.parametrize(("late_ms", "is_stale"), [(-1, False), (0, False), (1, True)])
def test_stale_boundary(tmp_path, late_ms, is_stale):
    bar = candle(0, 1.0)
    clock = StillClock(bar.known_ts_ms + 2 * HOUR_MS + late_ms)
    assert Guard(clock, tmp_path / "KILL", 2).is_stale(bar) is is_stale
