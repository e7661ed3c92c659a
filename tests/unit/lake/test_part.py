"""One part: exact numbers, small files, checked bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from heliograph.core.errors import CorruptPart, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.ports import Page
from heliograph.lake import part
from heliograph.lake.local_store import LocalStore
from heliograph.lake.write import manifest, write_part

HOUR_MS = 3_600_000
SHARD = {"venue": "fake", "timeframe": "1h", "symbol": "BTC/USDT", "start_ms": 0, "end_ms": 10 * HOUR_MS, "pages": 1}


def _name(body: bytes) -> str:
    import hashlib

    return f"venue=x/{hashlib.sha256(body).hexdigest()}.parquet"


def _same(left: Candles, right: Candles) -> bool:
    return all(np.array_equal(getattr(left, n), getattr(right, n)) for n in ("open_ts_ms", *part.PRICES, "volume"))


@pytest.mark.parametrize(
    ("price", "volume"),
    [
        (0.00000001, 92_233_720_368_547.0),
        (1e-10, 0.0),
        (64_123.45, 12_345_678.12345678),
        (1e9, 1e15),
        (0.1, 0.30000000000000004),
    ],
)
def test_doubles_come_back_exactly(price: float, volume: float) -> None:
    candles = Candles.of([[0, price, price * 2, price, price, volume], [HOUR_MS, 0.3, 0.7, 0.1, 0.2, 1.1]])
    body = part.encode(candles, {})
    assert _same(part.decode(body, _name(body)), candles)


def test_rows_keep_their_own_scale_where_no_common_one_fits() -> None:
    """A venue that prints 1e-8 lots beside a day of 123,456,789.5 coins: no common scale holds both exactly."""
    candles = Candles.of([[0, 1, 1, 1, 1, 123_456_789.5], [HOUR_MS, 1, 1, 1, 1, 0.00000001]])
    body = part.encode(candles, {})
    assert _same(part.decode(body, _name(body)), candles)


def test_numbers_of_seventeen_digits_come_back_exactly() -> None:
    """Some venues sum floats and print what comes of it: kucoin sent 123.97303860056489 BTC for an hour."""
    volumes = [
        123.97303860056489,
        6.1357453600000005,
        0.15543553999999998,
        2117.3425035208365,
        5.0,
        float(2**60 + 2**9),
    ]
    candles = Candles.of([[i * HOUR_MS, 1, 1, 1, 1, volume] for i, volume in enumerate(volumes)])
    body = part.encode(candles, {})
    assert part.decode(body, _name(body)).volume.tolist() == volumes


def test_numbers_that_64_bits_cannot_hold_are_refused() -> None:
    with pytest.raises(SchemaMismatch, match="64 bits"):
        part.encode(Candles.of([[0, 1, 1, 1, 1, 1e22]]), {})
    with pytest.raises(SchemaMismatch, match="finite"):
        part.encode(Candles.of([[0, 1, 1, 1, 1, float("nan")]]), {})


def test_changed_byte_is_corrupt() -> None:
    body = part.encode(Candles.of([[0, 1, 1, 1, 1, 1]]), {})
    with pytest.raises(CorruptPart, match="helio verify"):
        part.decode(body[:-1] + bytes([body[-1] ^ 1]), _name(body))


def test_part_is_named_by_its_bytes_and_tells_its_origin(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    candles = Candles.of([[0, 1, 2, 1, 2, 5], [HOUR_MS, 2, 2, 1, 1, 4]])
    page = Page(candles, endpoint="https://fake.example/c", query="a=1", sha256="ab", fetched_ts_ms=7)
    row = write_part(store, SHARD, [page], candles, requests=3)
    body = store.get(f"candles/{row['path']}")
    assert part.is_whole(body, row["path"])
    assert row == manifest(SHARD, "have", requests=3) | {
        "path": f"venue=fake/timeframe=1h/symbol=BTC-USDT/{row['sha256']}.parquet",
        "sha256": row["sha256"],
        "size_bytes": len(body),
        "candles": 2,
        "first_ts_ms": 0,
        "last_ts_ms": HOUR_MS,
    }
    told = part.read_provenance(body)
    assert told.pop("code_version")
    assert told == {
        "venue": "fake",
        "timeframe": "1h",
        "symbol": "BTC/USDT",
        "start_ms": 0,
        "end_ms": 10 * HOUR_MS,
        "pages": [
            {"endpoint": "https://fake.example/c", "query": "a=1", "sha256": "ab", "fetched_ts_ms": 7, "candles": 2}
        ],
        "schema_version": 1,
        "archive_checksum": None,
    }


def test_same_candles_from_the_same_pages_are_the_same_part(tmp_path: Path) -> None:
    candles = Candles.of([[0, 1, 2, 1, 2, 5]])
    page = Page(candles, endpoint="e", query="q", sha256="s", fetched_ts_ms=7)
    rows = [write_part(LocalStore(tmp_path), SHARD, [page], candles) for _ in range(2)]
    assert rows[0] == rows[1]


def test_real_hourly_candles_take_thirteen_bytes_a_row(shared_data: Path) -> None:
    """Real BTC volumes have five or more random digits, so an hour takes more bytes than a minute (8 to 11)."""
    table = pq.read_table(shared_data / "candles" / "binance" / "BTC-USDT" / "1h.parquet")
    candles = Candles(*(table.column(n).to_numpy() for n in ("ts", *part.PRICES, "volume")))
    body = part.encode(candles, {})
    assert _same(part.decode(body, _name(body)), candles)
    assert len(body) / len(candles) < 13.2
