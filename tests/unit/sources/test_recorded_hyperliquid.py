"""What Hyperliquid really sent over 134 days of 2025."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from heliograph.sources import catalog


@pytest.mark.parametrize("coin", ["BTC", "ETH", "SOL"])
def test_quiet_bars_are_flat_ones_at_the_last_close(shared_data: Path, coin: str) -> None:
    table = pl.read_parquet(shared_data / "candles" / "hyperliquid" / f"{coin}-USDC-PERP" / "5m.parquet")
    ts, volume = table["ts"].to_numpy(), table["volume"].to_numpy()
    o, h, low, c = (table[name].to_numpy() for name in ("open", "high", "low", "close"))
    quiet = np.flatnonzero(volume == 0)
    assert set(np.diff(ts).tolist()) == {300_000}, "not one bar is absent"
    assert quiet.size > 10
    for column in (o, h, low, c):
        np.testing.assert_array_equal(column[quiet], c[quiet - 1])
    assert catalog.rules("hyperliquid", "swap").fills_quiet
