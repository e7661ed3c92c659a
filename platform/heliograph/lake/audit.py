"""Check the lake: parts whose bytes are not what their name says, and bars that are missing where we have coverage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from heliograph.config.settings import LakeSettings
from heliograph.core import calendars
from heliograph.core.market import Candles, unslug
from heliograph.core.ports import ObjectStore
from heliograph.core.timeframe import Timeframe
from heliograph.lake import read
from heliograph.lake.coverage import Interval
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.part import group_spans, is_whole
from heliograph.lake.store import open_store
from heliograph.lake.tables import Table, named

_READERS = 8


@dataclass(frozen=True, slots=True)
class BadPart:
    """A live part that must be fetched again.

    Attributes:
        part: its row of `read.live_parts`, as `Committer.replace` takes it.
        fault: what is wrong with it.
        venue, timeframe, symbol: of its candles; the symbol is unified.
        start_ms, end_ms: the interval that its rows span.
        table: where it belongs.
    """

    part: Mapping[str, Any]
    fault: str
    venue: str
    timeframe: str
    symbol: str
    start_ms: int
    end_ms: int
    table: str = CANDLES_TABLE

    @property
    def path(self) -> str:
        """Its path inside the table."""
        return str(self.part["path"])

    def __str__(self) -> str:
        return f"{self.path} {self.fault}: {self.timeframe} {self.table} of {self.symbol} in [{self.start_ms}, {self.end_ms})"


def verify(settings: LakeSettings, *, table: str = CANDLES_TABLE) -> list[BadPart]:
    """Read every live part and name exactly those that are not what the log and their names promise.

    Every byte is hashed; what the log says of a part is held against the part's own footer.

    Raises:
        ConfigError: the lake has no such table yet.
    """
    store, spec = open_store(settings), named(table)
    parts = read.live_parts(settings, table=table)
    with ThreadPoolExecutor(_READERS) as pool:
        faults = list(pool.map(lambda part: _fault(store, spec, part), parts))
    return [bad(part, fault, table) for part, fault in zip(parts, faults, strict=True) if fault]


def gaps(candles: Candles, timeframe: Timeframe, have: Iterable[Interval]) -> list[Interval]:
    """Runs of bars inside ``have`` that no candle stands for: the venue sent none.

    Args:
        candles: all that the lake holds of the market.
        have: intervals whose coverage is ``have``.
    """
    found: list[Interval] = []
    for start, end in have:
        inside = candles.between(start, end).open_ts_ms
        lost = np.setdiff1d(timeframe.opens(start, end), inside, assume_unique=True)
        if lost.size:
            after = np.asarray([timeframe.next(int(ts)) for ts in lost])
            breaks = np.flatnonzero(lost[1:] != after[:-1]) + 1
            found += [(int(run[0]), timeframe.next(int(run[-1]))) for run in np.split(lost, breaks)]
    return found


def _fault(store: ObjectStore, table: Table, part: Mapping[str, Any]) -> str:
    try:
        body = store.get(f"{table.name}/{part['path']}")
    except FileNotFoundError:
        return "is missing"
    if not is_whole(body, part["path"]):
        return f"has other bytes than its name promises ({len(body)} bytes, {part['size_bytes']} in the log)"
    metadata = pq.read_metadata(pa.BufferReader(body))
    spans = group_spans(metadata, table)
    held = {"candles": metadata.num_rows, "first_ts_ms": spans[0][0], "last_ts_ms": spans[-1][1]}
    wrong = [f"{name} is {value}, {part[name]} in the log" for name, value in held.items() if part[name] != value]
    return "; ".join(wrong)


def bad(part: Mapping[str, Any], fault: str, table: str = CANDLES_TABLE) -> BadPart:
    """A row of `read.live_parts` as a part that must be fetched again."""
    last_ms, timeframe = part["last_ts_ms"], part["timeframe"]
    is_bar = table == CANDLES_TABLE
    return BadPart(
        part=part,
        fault=fault,
        venue=part["venue"],
        timeframe=timeframe,
        symbol=unslug(part["symbol"]),
        start_ms=part["first_ts_ms"],
        end_ms=calendars.grid(part["venue"], timeframe).next(last_ms) if is_bar else last_ms + 1,
        table=table,
    )
