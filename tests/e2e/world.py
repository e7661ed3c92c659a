"""A small world for the stories: a tape of a few weeks, as a user would give it."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from heliograph.config.load import load
from heliograph.config.settings import Settings
from heliograph.sandbox.generator import generate

TINY = Path(__file__).with_name("tiny.yaml")
LIVE_BARS = 32
SYMBOLS = ("BTC/USDT", "ETH/USDT", "ADA/USDT")


def write_tape(folder: Path) -> Path:
    """A folder of candle Parquet."""
    market = generate(3, days=120, minute_days=2)
    for symbol in SYMBOLS:
        for timeframe, candles in market[symbol].items():
            path = folder / symbol.replace("/", "-") / f"{timeframe}.parquet"
            path.parent.mkdir(exist_ok=True)
            columns = {name: getattr(candles, name) for name in ("open", "high", "low", "close", "volume")}
            pq.write_table(pa.table({"ts": candles.open_ts_ms, **columns}), path)
    return folder


def settings_of(var: Path) -> Settings:
    """The small settings, with everything under ``var``."""
    return load(TINY, [f"var={var}", f"lake.uri={var / 'lake'}"], environ={})
