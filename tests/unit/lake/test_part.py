"""One part: exact numbers, small files, checked bytes."""

from __future__ import annotations

import hashlib
import io
import os
import signal
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
from heliograph.testing import lakes

HOUR_MS = 3_600_000
SHARD = {"venue": "fake", "timeframe": "1h", "symbol": "BTC/USDT", "start_ms": 0, "end_ms": 10 * HOUR_MS, "pages": 1}


def _name(body: bytes) -> str:
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
        "schema_version": 2,
    }


def test_same_candles_from_the_same_pages_are_the_same_part(tmp_path: Path) -> None:
    candles = Candles.of([[0, 1, 2, 1, 2, 5]])
    page = Page(candles, endpoint="e", query="q", sha256="s", fetched_ts_ms=7)
    rows = [write_part(LocalStore(tmp_path), SHARD, [page], candles) for _ in range(2)]
    assert rows[0] == rows[1]


def test_high_and_low_stand_as_wicks() -> None:
    body = part.encode(Candles.of([[0, 10.0, 12.5, 9.5, 11.0, 1], [HOUR_MS, 11.0, 11.0, 8.0, 9.0, 1]]), {})
    table = pq.read_table(io.BytesIO(body))
    assert table.column("upper_wick_ticks").to_pylist() == [15, 0]
    assert table.column("lower_wick_ticks").to_pylist() == [5, 10]


def test_bars_whose_open_lies_outside_their_range_come_back_exactly() -> None:
    """bitmex opens a bar at the close before it, which may lie above its high: the wick is negative."""
    candles = Candles.of([[0, 10.0, 9.5, 9.0, 9.25, 1], [HOUR_MS, 8.0, 9.5, 9.0, 9.25, 1]])
    body = part.encode(candles, {})
    assert _same(part.decode(body, _name(body)), candles)


def test_rare_digits_do_not_cost_the_other_rows_theirs() -> None:
    """Eleven of 130,708 real BTC minutes have a sixth decimal in their volume; it would cost each row 0.4 bytes."""
    rng = np.random.default_rng(1)
    volume = rng.integers(1, 10**7, 20_000) / 1e5
    opens = np.arange(20_000) * HOUR_MS
    flat = np.full(20_000, 100.0)
    plain = Candles(opens, flat, flat, flat, flat, volume)
    volume = volume.copy()
    volume[[77, 15_000]] = 82.762445, 0.000001
    odd = Candles(opens, flat, flat, flat, flat, volume)
    body = part.encode(odd, {})
    assert _same(part.decode(body, _name(body)), odd)
    assert len(body) - len(part.encode(plain, {})) < 500


def test_interval_of_a_large_part_is_read_without_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "ROW_GROUP", 100)
    candles = lakes.candles(0, 1_000 * HOUR_MS)
    body = part.encode(candles, {})
    file = pq.ParquetFile(io.BytesIO(body))
    assert file.num_row_groups == 10
    for start, end in ((0, 1_000), (150, 160), (199, 401), (0, 1), (999, 2_000), (300, 300)):
        inside = part.decode(body, _name(body), start_ms=start * HOUR_MS, end_ms=end * HOUR_MS)
        assert _same(inside, candles.between(start * HOUR_MS, end * HOUR_MS))


def test_forked_process_still_reads_large_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that decode row groups do not live on in a fork."""
    monkeypatch.setattr(part, "ROW_GROUP", 100)
    candles = lakes.candles(0, 1_000 * HOUR_MS)
    body = part.encode(candles, {})
    assert _same(part.decode(body, _name(body)), candles)
    child = os.fork()
    if child == 0:
        signal.alarm(10)  # dies instead of hanging
        os._exit(0 if _same(part.decode(body, _name(body)), candles) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_long_provenance_is_packed_and_told_the_same() -> None:
    pages = [
        {"endpoint": "https://fake.example/c", "query": f"start={i}", "sha256": hashlib.sha256(bytes(i)).hexdigest()}
        for i in range(500)
    ]
    body = part.encode(Candles.of([[0, 1, 1, 1, 1, 1]]), {"pages": pages})
    assert part.read_provenance(body) == {"pages": pages}
    assert len(body) / 500 < 60, "32 of them are the hash"


def test_other_readers_need_no_new_encoding() -> None:
    """DuckDB and Spark read these; byte-stream-split integers, smaller still, they do not."""
    metadata = pq.read_metadata(io.BytesIO(part.encode(lakes.candles(0, 100 * HOUR_MS), {})))
    used = {e for i in range(metadata.num_columns) for e in metadata.row_group(0).column(i).encodings}
    assert used <= {"PLAIN", "DELTA_BINARY_PACKED", "RLE", "RLE_DICTIONARY"}


@pytest.mark.parametrize(("symbol", "least"), [("BTC", 9.4), ("ETH", 8.6)])
def test_real_minutes_take_nine_bytes_a_row(shared_data: Path, symbol: str, least: float) -> None:
    """Whole and in parts of 20,000; Polars' default takes 18.7 to 20.9."""
    table = pq.read_table(shared_data / "candles" / "binance" / f"{symbol}-USDT" / "1m.parquet")
    candles = Candles(*(table.column(n).to_numpy() for n in ("ts", *part.PRICES, "volume")))
    body = part.encode(candles, {})
    assert _same(part.decode(body, _name(body)), candles)
    assert len(body) / len(candles) < least
    parts = [part.encode(candles.take(slice(i, i + 20_000)), {}) for i in range(0, len(candles), 20_000)]
    assert sum(map(len, parts)) / len(candles) < least


def test_real_hourly_candles_take_thirteen_bytes_a_row(shared_data: Path) -> None:
    """Real BTC volumes have five or more random digits, so an hour takes more bytes than a minute (8 to 9)."""
    table = pq.read_table(shared_data / "candles" / "binance" / "BTC-USDT" / "1h.parquet")
    candles = Candles(*(table.column(n).to_numpy() for n in ("ts", *part.PRICES, "volume")))
    body = part.encode(candles, {})
    assert _same(part.decode(body, _name(body)), candles)
    assert len(body) / len(candles) < 13.0


@pytest.mark.parametrize("name", ["bitmex/XBT-USD-PERP", "bitfinex/XRP-USD", "kraken/BTC-USDC"])
def test_real_minutes_with_quirks_come_back_exactly(shared_data: Path, name: str) -> None:
    table = pq.read_table(shared_data / "candles" / name / "1m.parquet").slice(0, 100_000)
    candles = Candles(*(table.column(n).to_numpy() for n in ("ts", *part.PRICES, "volume")))
    body = part.encode(candles, {})
    assert _same(part.decode(body, _name(body)), candles)
