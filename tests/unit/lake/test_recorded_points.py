"""Real funding rates and open interest, as venues published them, come back from the lake digit for digit."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from heliograph.config.settings import LakeSettings
from heliograph.core.schema import TICK
from heliograph.core.series import Points, SeriesPage
from heliograph.lake import read
from heliograph.lake.commit import Committer
from heliograph.lake.part import decode_rows
from heliograph.lake.store import open_store
from heliograph.lake.write import write_part
from heliograph.testing import lakes

FUNDING = ("binance-usdm_BTC-USDT-PERP", "binance-usdm_ETH-USDT-PERP", "hyperliquid_BTC-USDC-PERP")
SWAPS = ("BTC-USDT-SWAP", "ETH-USDT-SWAP", "SOL-USDT-SWAP")


def recorded(folder: Path, name: str) -> tuple[str, Points]:
    """Table and points: funding by its file's name, open interest by its swap's."""
    if name in SWAPS:
        frame = pl.read_parquet(folder / "extras/open_interest/okx_swaps.parquet").filter(pl.col("symbol") == name)
        table, values = "open_interest", frame["oi_contracts_value"]
    else:
        frame = pl.read_parquet(folder / f"extras/funding/{name}.parquet")
        table, values = "funding", frame["rate"]
    ts_ms = frame["ts"].to_numpy().astype(np.int64)
    return table, Points.concat([Points(ts_ms, ts_ms, values.to_numpy().astype(np.float64))])


@pytest.mark.parametrize("name", [*FUNDING, *SWAPS])
def test_recorded_points_come_back_digit_for_digit(shared_data: Path, tmp_path: Path, name: str) -> None:
    table, points = recorded(shared_data, name)
    lake = LakeSettings(uri=str(tmp_path / "lake"))
    store = open_store(lake)
    timeframe = TICK if table == "funding" else "1h"
    shard = lakes.shard(int(points.event_ts_ms[0]), int(points.event_ts_ms[-1]) + 1, timeframe=timeframe)
    page = SeriesPage(points, "https://fake.example", "", "0" * 64, 0)
    row = write_part(store, shard, [page], points, table=table)
    with Committer(lake, store, "t", table=table) as committer:
        assert committer.commit([row]) == 1
    stored = read.points(lake, table, "fake", "BTC/USDT", timeframe)
    part = decode_rows(store.get(f"{table}/{row['path']}"), row["path"], table)
    assert len(stored) == len(points) > 1_000
    for found in (stored, part):
        assert isinstance(found, Points)
        assert np.array_equal(found.event_ts_ms, points.event_ts_ms)
        assert np.array_equal(found.known_ts_ms, points.known_ts_ms)
        assert [Decimal(repr(v)) for v in found.value.tolist()] == [Decimal(repr(v)) for v in points.value.tolist()]
