"""Check the lake: parts whose bytes are not what their name says, and bars that are missing where we have coverage."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from heliograph.config.settings import LakeSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles, unslug
from heliograph.core.ports import ObjectStore
from heliograph.core.timeframe import Timeframe
from heliograph.lake import read
from heliograph.lake.coverage import Interval
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.part import is_whole
from heliograph.lake.store import open_store


@dataclass(frozen=True, slots=True)
class BadPart:
    """A live part that must be fetched again.

    Attributes:
        part: its row of `read.live_parts`, as `Committer.replace` takes it.
        fault: what is wrong with it.
        venue, timeframe, symbol: of its candles; the symbol is unified.
        start_ms, end_ms: the interval that its candles span.
    """

    part: Mapping[str, Any]
    fault: str
    venue: str
    timeframe: str
    symbol: str
    start_ms: int
    end_ms: int

    @property
    def path(self) -> str:
        """Its path inside the candles table."""
        return str(self.part["path"])

    def __str__(self) -> str:
        return (
            f"{self.path} {self.fault}: {self.timeframe} candles of {self.symbol} in [{self.start_ms}, {self.end_ms})"
        )


def verify(settings: LakeSettings) -> list[BadPart]:
    """Read every live part and name exactly those that are not what the log and their names promise.

    Raises:
        ConfigError: the lake is empty.
    """
    store = open_store(settings)
    judged = ((part, _fault(store, part)) for part in read.live_parts(settings))
    return [_bad(part, fault) for part, fault in judged if fault]


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


def _fault(store: ObjectStore, part: Mapping[str, Any]) -> str:
    try:
        body = store.get(f"{CANDLES_TABLE}/{part['path']}")
    except FileNotFoundError:
        return "is missing"
    if not is_whole(body, part["path"]):
        return f"has other bytes than its name promises ({len(body)} bytes, {part['size_bytes']} in the log)"
    opens = pq.read_table(io.BytesIO(body), columns=["open_ts_ms"]).column(0).to_numpy()
    held = {"candles": opens.size, "first_ts_ms": int(opens[0]), "last_ts_ms": int(opens[-1])}
    wrong = [f"{name} is {value}, {part[name]} in the log" for name, value in held.items() if part[name] != value]
    return "; ".join(wrong)


def _bad(part: Mapping[str, Any], fault: str) -> BadPart:
    return BadPart(
        part=part,
        fault=fault,
        venue=part["venue"],
        timeframe=part["timeframe"],
        symbol=unslug(part["symbol"]),
        start_ms=part["first_ts_ms"],
        end_ms=timeframes.parse(part["timeframe"]).next(part["last_ts_ms"]),
    )
