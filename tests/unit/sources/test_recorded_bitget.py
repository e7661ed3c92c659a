"""What Bitget really sent in April 2022. Its listing of those days (v1) is one that ccxt asks for no more."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import parse
from heliograph.sources import catalog
from heliograph.sources.rows import find

M = parse("1m")
LAYOUT = catalog.dialect("bitget").layouts["spot"]


@pytest.fixture(scope="module")
def pushes(shared_data: Path) -> list[dict[str, Any]]:
    """Every push of a candle channel, spot and contracts."""
    found = []
    for name in ("BITGET.ws.1.0", "BITGET.ws.2.0"):
        for line in (shared_data / "recorded" / name).read_text().splitlines():
            if '"channel":"candle1m"' in line and '"action"' in line:
                found.append(orjson.loads(line.partition(": ")[2]))
    return found


def candles(push: dict[str, Any]) -> Candles:
    rows = find(orjson.dumps(push).decode())
    assert rows is not None
    return rows.candles(LAYOUT)


def test_subscription_starts_with_a_thousand_minutes_without_a_gap(pushes: list[dict[str, Any]]) -> None:
    snapshots = [push for push in pushes if push["action"] == "snapshot"]
    assert len(snapshots) == 10
    for push in snapshots:
        found = candles(push)
        found.require_sound(M)
        assert len(found) == 1_000
        assert set(np.diff(found.open_ts_ms).tolist()) == {M.ms}


def test_columns_are_where_the_layout_says(pushes: list[dict[str, Any]]) -> None:
    for push in pushes:
        c = candles(push)
        assert np.all((c.low <= np.minimum(c.open, c.close)) & (c.high >= np.maximum(c.open, c.close)))
        assert np.all(c.volume >= 0)


def test_quiet_minute_begins_as_a_flat_bar_of_no_volume(pushes: list[dict[str, Any]]) -> None:
    """So the venue fills: a minute that is absent from its history is an outage."""
    flat = [c for push in pushes if (c := candles(push)).volume[-1] == 0]
    assert len(flat) > 3
    for c in flat:
        assert c.open[-1] == c.high[-1] == c.low[-1] == c.close[-1]
    assert catalog.rules("bitget").fills_quiet
