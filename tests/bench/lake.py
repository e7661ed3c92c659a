"""Candles at rest: bytes and CPU a row beside what people would otherwise use; commits, reading, verifying.

Run it from the project's root: ``PYTHONPATH=platform:. python tests/bench/lake.py [check …]``.
"""

from __future__ import annotations

import hashlib
import io
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from tests.bench.measure import cpu_s, report

from heliograph.config.settings import LakeSettings
from heliograph.core.market import Candles
from heliograph.core.ports import ObjectStore, Page
from heliograph.core.schema import HAVE
from heliograph.core.timeframe import DAY_MS, HOUR_MS, MINUTE_MS
from heliograph.lake import audit, part, read
from heliograph.lake.commit import Committer
from heliograph.lake.compact import compact
from heliograph.lake.store import open_store
from heliograph.lake.write import Row, manifest, write_part
from heliograph.sandbox.generator import generate
from heliograph.testing import lakes

PARTS = 1_000
MANY_PARTS = 100_000
VERIFIED_PARTS = 10_000
SHARD_ROWS = 20_000
PAGE_ROWS = 1_000
YEAR_MS = 1_704_067_200_000  # 2024-01-01
YEAR_ROWS = 366 * 1_440
COLUMNS = ("open_ts_ms", "open", "high", "low", "close", "volume")
RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "candles" / "binance"


def bytes_and_speed() -> None:
    """Our part beside pyarrow's and Polars' default Parquet, on 60 days of generated minutes."""
    minutes: Candles = generate(7, days=90, minute_days=60)["BTC/USDT"]["1m"]
    table = pa.table({name: getattr(minutes, name) for name in COLUMNS})
    frame = pl.from_arrow(table)

    def by_pyarrow() -> bytes:
        sink = io.BytesIO()
        pq.write_table(table, sink, compression="zstd")
        return sink.getvalue()

    def by_polars() -> bytes:
        sink = io.BytesIO()
        frame.write_parquet(sink)
        return sink.getvalue()

    rows = len(minutes)
    ours = part.encode(minutes, {})
    name = f"x/{hashlib.sha256(ours).hexdigest()}.parquet"
    decoded = part.decode(ours, name)
    assert all(np.array_equal(getattr(decoded, c), getattr(minutes, c)) for c in COLUMNS)
    report(
        "bytes_per_row",
        ours=len(ours) / rows,
        pyarrow_zstd=len(by_pyarrow()) / rows,
        polars=len(by_polars()) / rows,
        ratio_to_polars=len(ours) / len(by_polars()),
    )
    write_s, read_s = cpu_s(lambda: part.encode(minutes, {})), cpu_s(lambda: part.decode(ours, name))
    report(
        "part_mrows_per_cpu_s",
        write=rows / write_s / 1e6,
        read=rows / read_s / 1e6,
        write_pyarrow=rows / cpu_s(by_pyarrow) / 1e6,
        write_polars=rows / cpu_s(by_polars) / 1e6,
    )


def one_commit() -> None:
    """A thousand parts, their coverage inside, in one transaction of the Delta log."""
    with tempfile.TemporaryDirectory() as folder:
        settings = LakeSettings(uri=str(Path(folder) / "lake"))
        store = open_store(settings)
        shards = [lakes.shard(i * 24 * HOUR_MS, (i + 1) * 24 * HOUR_MS) for i in range(PARTS)]
        manifests = [lakes.written(store, shard) for shard in shards]
        with Committer(settings, store, "bench") as committer:
            start = time.perf_counter()
            committer.commit(manifests)
            first_s = time.perf_counter() - start
            start = time.perf_counter()
            committer.commit(manifests)
            again_s = time.perf_counter() - start
    report("commit_1000_parts", wall_s=first_s, same_again_wall_s=again_s)


def many_commits() -> None:
    """A hundred thousand parts in commits of 200: whether a commit grows dearer with the table. No part is written."""
    with tempfile.TemporaryDirectory() as folder:
        settings = LakeSettings(uri=folder)
        rows = [_promised(i) for i in range(MANY_PARTS)]
        spent = []
        with Committer(settings, open_store(settings), "bench") as committer:
            for first in range(0, MANY_PARTS, settings.parts_per_commit):
                start = time.perf_counter()
                committer.commit(rows[first : first + settings.parts_per_commit])
                spent.append(time.perf_counter() - start)
    first_ms, last_ms = (1e3 * float(np.median(part)) for part in (spent[:50], spent[-50:]))
    report("commit_100k_parts", wall_s=sum(spent), first_commits_ms=first_ms, last_commits_ms=last_ms)


def storage() -> None:
    """Recorded minutes of Binance as a fetch leaves them (parts of 20,000 rows, pages of 1,000), then compacted.

    Everything counts: footers, and the provenance of every page. Each value is read back and compared bit by bit.
    """
    rows, parts, compacted, polars, symbols = 0, 0, 0, 0, {}
    for symbol in ("BTC", "ETH"):
        minutes = _recorded(symbol)
        with tempfile.TemporaryDirectory() as folder:
            settings = LakeSettings(uri=folder)
            name = f"{symbol}/USDT"
            with Committer(settings, open_store(settings), "bench") as committer:
                committer.commit(_shards(committer.store, minutes, name))
                small = _bytes(settings)
                compact(settings, committer)
            [large] = read.live_parts(settings)
            back = read.candles(settings, "binance", name, "1m")
            assert all(getattr(back, c).tobytes() == getattr(minutes, c).tobytes() for c in COLUMNS)
            sink = io.BytesIO()
            _frame(minutes).write_parquet(sink)
        symbols[symbol.lower()] = large["size_bytes"] / len(minutes)
        rows, parts, compacted = rows + len(minutes), parts + small, compacted + large["size_bytes"]
        polars += len(sink.getvalue())
    report(
        "storage",
        bytes_per_row=compacted / rows,
        **symbols,
        parts_of_20k_rows=parts / rows,
        polars_default=polars / rows,
        rows=rows,
    )


def reading() -> None:
    """A symbol-year of minutes out of the compacted lake, beside Polars' default Parquet file of the same doubles.

    The minutes are recorded ones, end to end until the year is full. Both readers take turns.
    """
    recorded = _recorded("BTC")
    again = np.arange(YEAR_ROWS) % len(recorded)
    year = Candles(
        YEAR_MS + MINUTE_MS * np.arange(YEAR_ROWS, dtype=np.int64),
        *(getattr(recorded, name)[again] for name in COLUMNS[1:]),
    )
    with tempfile.TemporaryDirectory() as folder:
        settings = LakeSettings(uri=str(Path(folder) / "lake"))
        with Committer(settings, open_store(settings), "bench") as committer:
            committer.commit(_shards(committer.store, year, "BTC/USDT"))
            parts = len(read.live_parts(settings))
            compact(settings, committer)
        file = Path(folder) / "plain.parquet"
        _frame(year).write_parquet(file)
        spent = _side_by_side(
            ours=lambda: read.candles(settings, "binance", "BTC/USDT", "1m"),
            scan=lambda: read.scan(settings, venue="binance", timeframe="1m").collect(),
            plain=lambda: pl.read_parquet(file),
        )
        before = _side_by_side(small=lambda: read.candles(settings, "binance", "BTC/USDT", "1m", as_of=1))
        back = read.candles(settings, "binance", "BTC/USDT", "1m")
    assert all(getattr(back, c).tobytes() == getattr(year, c).tobytes() for c in COLUMNS)
    cpu, wall = ({name: figures[i] for name, figures in spent.items()} for i in (0, 1))
    report(
        "read",
        ratio=cpu["ours"] / cpu["plain"],
        wall_ratio=wall["ours"] / wall["plain"],
        scan_ratio=cpu["scan"] / cpu["plain"],
        ours_cpu_ms=cpu["ours"] * 1e3,
        plain_cpu_ms=cpu["plain"] * 1e3,
        ours_wall_ms=wall["ours"] * 1e3,
        plain_wall_ms=wall["plain"] * 1e3,
        before_compaction_cpu_ms=before["small"][0] * 1e3,
        parts_before=parts,
        rows=YEAR_ROWS,
    )


def verifying() -> None:
    """One flipped byte among 10,000 parts."""
    with tempfile.TemporaryDirectory() as folder:
        settings = LakeSettings(uri=folder)
        store = open_store(settings)
        shards = [lakes.shard(i * DAY_MS, (i + 1) * DAY_MS) for i in range(VERIFIED_PARTS)]
        with Committer(settings, store, "bench") as committer:
            committer.commit([lakes.written(store, shard) for shard in shards])
        victim = read.live_parts(settings)[VERIFIED_PARTS // 3]["path"]
        file = Path(folder) / "candles" / victim
        body = bytearray(file.read_bytes())
        body[len(body) // 2] ^= 1
        file.write_bytes(body)
        start, spent = time.perf_counter(), time.process_time()
        found = audit.verify(settings)
        wall_s, used_s = time.perf_counter() - start, time.process_time() - spent
    is_exact = [bad.path for bad in found] == [victim]
    report("verify", parts=VERIFIED_PARTS, found=len(found), is_exact=is_exact, wall_s=wall_s, cpu_s=used_s)


def _promised(number: int) -> Row:
    """A MANIFEST row of a part that nobody reads."""
    day = number % 100
    symbol = f"C{number // 100}/USDT"
    row = manifest(lakes.shard(day * DAY_MS, (day + 1) * DAY_MS, symbol=symbol), HAVE, requests=1)
    path = f"venue=fake/timeframe=1h/symbol={symbol.replace('/', '-')}/{number:064x}.parquet"
    held = {"size_bytes": 2_000, "candles": 24, "first_ts_ms": row["start_ms"], "last_ts_ms": row["end_ms"] - HOUR_MS}
    return row | {"path": path, **held}


def _recorded(symbol: str) -> Candles:
    if not RECORDED.is_dir():
        sys.exit(f"this check needs the recorded candles in {RECORDED}")
    frame = pl.read_parquet(RECORDED / f"{symbol}-USDT" / "1m.parquet").rename({"ts": "open_ts_ms"})
    return Candles(*(frame[name].to_numpy() for name in COLUMNS))


def _frame(candles: Candles) -> pl.DataFrame:
    return pl.DataFrame({name: getattr(candles, name) for name in COLUMNS})


def _shards(store: ObjectStore, candles: Candles, symbol: str) -> list[Row]:
    """Parts as a fetch writes them."""
    rows = []
    for first in range(0, len(candles), SHARD_ROWS):
        held = candles.take(slice(first, first + SHARD_ROWS))
        start_ms, end_ms = int(held.open_ts_ms[0]), int(held.open_ts_ms[-1]) + MINUTE_MS
        row = lakes.shard(start_ms, end_ms, symbol=symbol, venue="binance", timeframe="1m")
        rows.append(write_part(store, row, [_page(held, symbol, i) for i in range(0, len(held), PAGE_ROWS)], held))
    return rows


def _page(held: Candles, symbol: str, first: int) -> Page:
    page = held.take(slice(first, first + PAGE_ROWS))
    start_ms = int(page.open_ts_ms[0])
    query = f"interval=1m&limit={PAGE_ROWS}&symbol={symbol.replace('/', '')}&startTime={start_ms}"
    sha256 = hashlib.sha256(page.close.tobytes()).hexdigest()
    return Page(page, "https://venue.example/api/v3/klines", query, sha256, start_ms + 86_400_123)


def _bytes(settings: LakeSettings) -> int:
    return sum(part["size_bytes"] for part in read.live_parts(settings))


def _side_by_side(rounds: int = 9, **works: Callable[[], object]) -> dict[str, tuple[float, float]]:
    """Least CPU and least wall seconds of each, taking turns."""
    spent: dict[str, list[tuple[float, float]]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            cpu, wall = time.process_time(), time.perf_counter()
            work()
            spent[name].append((time.process_time() - cpu, time.perf_counter() - wall))
    return {name: (min(c for c, _ in took), min(w for _, w in took)) for name, took in spent.items()}


CHECKS = {
    "bytes_per_row": bytes_and_speed,
    "commit_1000_parts": one_commit,
    "commit_100k_parts": many_commits,
    "storage": storage,
    "read": reading,
    "verify": verifying,
}

if __name__ == "__main__":
    for check in sys.argv[1:] or CHECKS:
        CHECKS[check]()
