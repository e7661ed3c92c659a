"""Write one shard's rows as a content-addressed part, with their provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from typing import Any

from heliograph.core.ports import ObjectStore, Page
from heliograph.core.schema import HAVE, PLAN
from heliograph.core.series import SeriesPage
from heliograph.lake.layout import CANDLES_TABLE, SCHEMA_VERSION, part_path
from heliograph.lake.part import encode
from heliograph.lake.tables import Rows, named

Row = dict[str, Any]


def write_part(
    store: ObjectStore,
    shard: Mapping[str, Any],
    pages: Sequence[Page] | Sequence[SeriesPage],
    rows: Rows,
    *,
    requests: int | None = None,
    table: str = CANDLES_TABLE,
) -> Row:
    """Put a shard's rows into the store; nobody sees them before they are committed.

    Args:
        shard: a PLAN row; its interval is what the part answers for.
        pages: the answers that the rows came from.
        rows: sorted, each once, within the interval; not empty.
        requests: how many were sent; None where one a page.
        table: where they belong.

    Returns:
        A MANIFEST row with status ``have``.

    Raises:
        SchemaMismatch: a number can't be stored exactly.
        ConfigError: the store has no room, or refuses; nothing of the part can be seen.
    """
    interval = {name: shard[name] for name in ("venue", "timeframe", "symbol", "start_ms", "end_ms")}
    row = put_part(store, shard, rows, origin(interval, pages=[_page(page) for page in pages]), table=table)
    return row | {"requests": len(pages) if requests is None else requests}


def put_part(
    store: ObjectStore, shard: Mapping[str, Any], rows: Rows, provenance: Mapping[str, Any], *, table: str
) -> Row:
    """`write_part` with the provenance as it shall stand."""
    body = encode(rows, provenance, table=table)
    sha256 = hashlib.sha256(body).hexdigest()
    path = part_path(shard["venue"], shard["timeframe"], shard["symbol"], sha256)
    if not store.put_if_absent(f"{table}/{path}", body):
        _heal(store, f"{table}/{path}", body)
    times = getattr(rows, named(table).time)
    return manifest(shard, HAVE) | {
        "path": path,
        "sha256": sha256,
        "size_bytes": len(body),
        "candles": len(rows),
        "first_ts_ms": int(times[0]),
        "last_ts_ms": int(times[-1]),
    }


def manifest(shard: Mapping[str, Any], status: str, *, requests: int = 0, detail: str = "") -> Row:
    """A MANIFEST row without a part: why there is none."""
    return {name: shard[name] for name in PLAN.names} | {
        "path": "",
        "sha256": "",
        "size_bytes": 0,
        "candles": 0,
        "first_ts_ms": 0,
        "last_ts_ms": 0,
        "requests": requests,
        "status": status,
        "detail": detail,
    }


def origin(interval: Mapping[str, Any], **sources: Any) -> Row:
    """What a part tells about where its rows came from.

    Args:
        interval: venue, timeframe, symbol, start_ms, end_ms of what it answers for.
        sources: ``pages`` that a venue sent, or ``merged`` parts.
    """
    return {**interval, **sources, "code_version": _code_version(), "schema_version": SCHEMA_VERSION}


@cache
def _code_version() -> str:
    return version("heliograph")


def _heal(store: ObjectStore, key: str, body: bytes) -> None:
    """Put a part's bytes back under its name where other bytes stand: a disk may have changed them."""
    found = store.get_tagged(key)
    if found is not None and found[0] != body:
        store.put_if_match(key, body, found[1])


def _page(page: Page | SeriesPage) -> Row:
    told = {
        "endpoint": page.endpoint,
        "query": page.query,
        "sha256": page.sha256,
        "fetched_ts_ms": page.fetched_ts_ms,
        "candles": len(page.candles if isinstance(page, Page) else page.rows),
    }
    return told | ({"checksum": page.checksum} if page.checksum else {})
