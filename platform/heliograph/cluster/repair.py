"""Fetch again what a part should hold: because its bytes broke, or because the archive that it came from was re-issued."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import numpy as np

from heliograph.cluster.bulk import archives_of, offered
from heliograph.cluster.crew import open_series, open_source
from heliograph.config.settings import Settings
from heliograph.core.errors import Retryable, SymbolGone
from heliograph.core.market import Market, unslug
from heliograph.ingest.archive import known, reissued
from heliograph.ingest.archive_shard import fetch_archive_shard
from heliograph.ingest.page import Patience
from heliograph.ingest.plan import Lane
from heliograph.ingest.series import fetch_series_shard
from heliograph.lake import read
from heliograph.lake.audit import BadPart, bad
from heliograph.lake.commit import Committer
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.part import read_provenance
from heliograph.lake.store import open_store
from heliograph.lake.write import Row
from heliograph.sources.archive.client import ArchiveClient, Known
from heliograph.sources.archive.venues import layouts
from heliograph.sources.dialect import Data
from heliograph.telemetry.progress import Bar
from heliograph.wiring import catalogue


def repair(settings: Settings, broken: Sequence[BadPart], shown: Bar) -> tuple[str, ...]:
    """Fetch the rows of such parts again and swap the parts.

    Returns:
        Those that could not be mended, each with the reason; they stay as they are.
    """
    stuck = []
    by_table: dict[str, list[BadPart]] = defaultdict(list)
    for part in broken:
        by_table[part.table].append(part)
    done = 0
    for table, parts in by_table.items():
        with Committer(settings.lake, open_store(settings.lake), _me(), table=table) as committer:
            for part in parts:
                try:
                    rows = asyncio.run(_again(settings, part))
                    if sum(row["candles"] for row in rows) < part.part["candles"]:
                        raise SymbolGone("the venue no longer gives all of its rows; put the file back from a backup")
                    committer.replace(part.part, rows)
                except (Retryable, SymbolGone) as e:
                    stuck.append(f"{part}: {e}")
                done += 1
                shown.reach(done / len(broken), part.symbol)
    return tuple(stuck)


def outdated(settings: Settings, shown: Bar) -> list[BadPart]:
    """Parts of archive files that their publisher has issued anew since they were fetched; see `repair`.

    Raises:
        Retryable, Permanent: an archive can't be asked.
    """
    store = open_store(settings.lake)
    markets: dict[str, Mapping[tuple[str, str], Market]] = {}
    asked: dict[Lane, list[tuple[BadPart, Known]]] = defaultdict(list)
    live = read.live_parts(settings.lake)
    for count, part in enumerate(live, start=1):
        venue, symbol = part["venue"], unslug(part["symbol"])
        if venue in settings.fetch.venues:
            listed = markets.setdefault(venue, catalogue.read(settings.lake, venue))
            market = listed[venue, symbol]
            found = store.get_tagged(f"{CANDLES_TABLE}/{part['path']}")
            told = {} if found is None else read_provenance(found[0])
            for one in _origins(told):
                for file in known(one, layouts(venue, market.kind), market):
                    asked[venue, market.kind].append((bad(part, f"was made of {file.url}, issued anew since,"), file))
        shown.reach(count / (len(live) + 1), symbol)
    return asyncio.run(_outdated(settings, asked))


async def _outdated(settings: Settings, asked: Mapping[Lane, Sequence[tuple[BadPart, Known]]]) -> list[BadPart]:
    old: dict[str, BadPart] = {}
    for lane, files in asked.items():
        async with _archives(settings, lane) as archives:
            for archive in archives:
                mine = [(part, file) for part, file in files if file.url.startswith(archive.layout.origin)]
                new = {file.url for file in await reissued(archive, [file for _, file in mine])}
                old |= {part.path: part for part, file in mine if file.url in new}
    return list(old.values())


async def _again(settings: Settings, part: BadPart) -> list[Row]:
    market = catalogue.read(settings.lake, part.venue)[part.venue, part.symbol]
    names = ("venue", "timeframe", "symbol", "start_ms", "end_ms")
    row = {**{name: getattr(part, name) for name in names}, "pages": 1}
    lane, fetch, store = (part.venue, market.kind), settings.fetch, open_store(settings.lake)
    if part.table != CANDLES_TABLE:
        series = open_series(lane, fetch, holder=_me())
        patience = Patience(fetch.attempts, np.random.default_rng(part.start_ms))
        data = cast(Data, part.table)
        try:
            return await fetch_series_shard(
                series, store, row, data=data, market=market, now_ms=part.end_ms, patience=patience
            )
        finally:
            await series.close()
    origin = open_source(lane, fetch, holder=_me())
    try:
        async with _archives(settings, lane) as archives:
            now_ms = await origin.now_ms()
            return await fetch_archive_shard(
                offered(archives, market), origin, store, row, market=market, now_ms=now_ms, attempts=fetch.attempts
            )
    finally:
        await origin.close()


@asynccontextmanager
async def _archives(settings: Settings, lane: Lane) -> AsyncIterator[list[ArchiveClient]]:
    opened = archives_of(lane, settings.fetch, time.time_ns() // 10**6) if settings.fetch.archives else []
    try:
        yield opened
    finally:
        for archive in opened:
            await archive.close()


def _origins(provenance: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Those of the parts that a part was merged from, or its own."""
    if "merged" in provenance:
        for source in provenance["merged"]:
            yield from _origins(source["provenance"])
    elif "pages" in provenance:
        yield provenance


def _me() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"
