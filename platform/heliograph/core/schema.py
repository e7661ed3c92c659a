"""The columns of every table in the lake."""

from __future__ import annotations

import pyarrow as pa

PARTITION_COLUMNS = ("venue", "timeframe", "symbol")

CANDLES = pa.schema(
    [
        pa.field("venue", pa.string(), nullable=False),
        pa.field("timeframe", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),  # slug: BTC-USDT
        pa.field("open_ts_ms", pa.int64(), nullable=False),
        pa.field("open_ticks", pa.int64(), nullable=False),
        pa.field("upper_wick_ticks", pa.int64(), nullable=False),  # high = max(open, close) + upper wick
        pa.field("lower_wick_ticks", pa.int64(), nullable=False),  # low = min(open, close) - lower wick
        pa.field("close_ticks", pa.int64(), nullable=False),
        pa.field("volume_ticks", pa.int64(), nullable=False),
        pa.field("price_scale", pa.int8(), nullable=False),  # price = ticks / 10**price_scale
        pa.field("volume_scale", pa.int8(), nullable=False),
    ]
)
"""Raw candles: exactly what the venue sent, in integers of ticks. The first three columns are partitions: they stand
in the folder names and in the Delta log, not in the Parquet files. High and low stand as wicks, which take half the
bytes; a wick is negative where a venue's high lies below its open."""

TRADES = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in PARTITION_COLUMNS),
        pa.field("ts_ms", pa.int64(), nullable=False),
        pa.field("price_ticks", pa.int64(), nullable=False),
        pa.field("qty_ticks", pa.int64(), nullable=False),
        pa.field("price_scale", pa.int8(), nullable=False),
        pa.field("qty_scale", pa.int8(), nullable=False),
        pa.field("is_buy", pa.bool_(), nullable=False),  # the taker bought
        pa.field("id", pa.string(), nullable=False),  # "" where the venue gives none
    ]
)
"""Raw trades; their timeframe is `TICK`."""

POINTS = pa.schema(
    [
        *(pa.field(name, pa.string(), nullable=False) for name in PARTITION_COLUMNS),
        pa.field("event_ts_ms", pa.int64(), nullable=False),
        pa.field("known_ts_ms", pa.int64(), nullable=False),
        pa.field("value_ticks", pa.int64(), nullable=False),
        pa.field("value_scale", pa.int8(), nullable=False),
    ]
)
"""Funding rates (timeframe `TICK`) and open interest (timeframe: the period between two points)."""

TICK = "tick"
"""Stands as timeframe where a table's rows come when they come."""

COVERAGE = pa.schema(
    [
        pa.field("venue", pa.string(), nullable=False),
        pa.field("timeframe", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),
        pa.field("start_ms", pa.int64(), nullable=False),
        pa.field("end_ms", pa.int64(), nullable=False),  # exclusive
        pa.field("status", pa.string(), nullable=False),  # one of STATUSES
        pa.field("candles", pa.int64(), nullable=False),
        pa.field("requests", pa.int64(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""For every interval: have, or why not."""

HAVE = "have"
REASONS = ("not_listed", "no_trades", "venue_outage", "fetch_failed", "delisted", "beyond_history")
STATUSES = (HAVE, *REASONS)

PLAN = pa.schema(
    [
        pa.field("venue", pa.string(), nullable=False),
        pa.field("timeframe", pa.string(), nullable=False),
        pa.field("symbol", pa.string(), nullable=False),  # unified: BTC/USDT
        pa.field("start_ms", pa.int64(), nullable=False),
        pa.field("end_ms", pa.int64(), nullable=False),
        pa.field("pages", pa.int64(), nullable=False),  # fewest requests that can fetch it
    ]
)
"""One row a shard: what one fetch worker writes as one part."""

MANIFEST = pa.schema(
    [
        *PLAN,
        pa.field("path", pa.string(), nullable=False),  # relative to the table; "" where no candle came
        pa.field("sha256", pa.string(), nullable=False),
        pa.field("size_bytes", pa.int64(), nullable=False),
        pa.field("candles", pa.int64(), nullable=False),
        pa.field("first_ts_ms", pa.int64(), nullable=False),
        pa.field("last_ts_ms", pa.int64(), nullable=False),
        pa.field("requests", pa.int64(), nullable=False),
        pa.field("status", pa.string(), nullable=False),
        pa.field("detail", pa.string(), nullable=False),
    ]
)
"""What a fetch worker answers for a shard, and all that the committer needs."""
