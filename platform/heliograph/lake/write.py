"""Write one shard's candles as a content-addressed part, with their provenance."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from heliograph.core.market import Candles
from heliograph.core.ports import ObjectStore, Page
from heliograph.core.schema import HAVE, PLAN
from heliograph.lake.layout import CANDLES_TABLE, SCHEMA_VERSION, part_path
from heliograph.lake.part import encode

Row = dict[str, Any]


def write_part(
    store: ObjectStore,
    shard: Mapping[str, Any],
    pages: Sequence[Page],
    candles: Candles,
    *,
    requests: int | None = None,
) -> Row:
    """Put a shard's candles into the store; nobody sees them before they are committed.

    Args:
        shard: a PLAN row; its interval is what the part answers for.
        pages: the answers that the candles came from.
        candles: sorted, each open once, within the interval; not empty.
        requests: how many were sent; None where one a page.

    Returns:
        A MANIFEST row with status ``have``.

    Raises:
        SchemaMismatch: a number can't be stored exactly.
    """
    body = encode(candles, _provenance(shard, pages))
    sha256 = hashlib.sha256(body).hexdigest()
    path = part_path(shard["venue"], shard["timeframe"], shard["symbol"], sha256)
    store.put_if_absent(f"{CANDLES_TABLE}/{path}", body)
    return manifest(shard, HAVE, requests=len(pages) if requests is None else requests) | {
        "path": path,
        "sha256": sha256,
        "size_bytes": len(body),
        "candles": len(candles),
        "first_ts_ms": int(candles.open_ts_ms[0]),
        "last_ts_ms": int(candles.open_ts_ms[-1]),
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


def _provenance(shard: Mapping[str, Any], pages: Sequence[Page]) -> Row:
    return {
        **{name: shard[name] for name in ("venue", "timeframe", "symbol", "start_ms", "end_ms")},
        "pages": [
            {
                "endpoint": page.endpoint,
                "query": page.query,
                "sha256": page.sha256,
                "fetched_ts_ms": page.fetched_ts_ms,
                "candles": len(page.candles),
            }
            for page in pages
        ],
        "code_version": version("heliograph"),
        "schema_version": SCHEMA_VERSION,
        "archive_checksum": None,
    }
