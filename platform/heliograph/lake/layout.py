"""Names in the lake: tables, parts, leases."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from heliograph.config.settings import LakeSettings
from heliograph.core.market import slug

CANDLES_TABLE = "candles"
TRADES_TABLE = "trades"
FUNDING_TABLE = "funding"
OPEN_INTEREST_TABLE = "open_interest"
COVERAGE_TABLE = "coverage"

PROVENANCE_KEY = "heliograph.provenance"
"""Parquet metadata of a part: where its bytes came from, JSON, packed where it is long."""

SCHEMA_VERSION = 2


def part_path(venue: str, timeframe: str, symbol: str, sha256: str) -> str:
    """A part's path inside its table; content-addressed, so the same bytes have one name.

    >>> part_path("okx", "1h", "BTC/USDT", "ab12")
    'venue=okx/timeframe=1h/symbol=BTC-USDT/ab12.parquet'
    """
    folder = quote(slug(symbol), safe="")  # Hive readers take the partition value from the folder name, decoded
    return f"venue={venue}/timeframe={timeframe}/symbol={folder}/{sha256}.parquet"


def retention_key(table: str) -> str:
    """Where the table's vacuum writes down what it has cleaned."""
    return f"retention/{table}.json"


def lease_key(table: str) -> str:
    """Where the lease of a table's committer lies."""
    return f"leases/{table}.json"


def table_uri(settings: LakeSettings, table: str) -> str:
    """What Delta readers open."""
    return f"{root_uri(settings)}/{table}"


def root_uri(settings: LakeSettings) -> str:
    """The lake itself: an absolute folder, or ``s3://bucket/prefix``, without a slash at its end."""
    if settings.uri.startswith("s3://"):
        return settings.uri.rstrip("/")
    return str(Path(settings.uri).expanduser().absolute())
