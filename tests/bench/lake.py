"""Candles at rest: bytes and CPU a row beside the writers that people would otherwise use; one commit of many parts."""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from tests.bench.measure import cpu_s, report

from heliograph.config.settings import LakeSettings
from heliograph.core.market import Candles
from heliograph.lake import part
from heliograph.lake.commit import Committer
from heliograph.lake.store import open_store
from heliograph.sandbox.generator import generate
from heliograph.testing import lakes

PARTS = 1_000
HOUR_MS = 3_600_000
COLUMNS = ("open_ts_ms", "open", "high", "low", "close", "volume")


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


if __name__ == "__main__":
    bytes_and_speed()
    one_commit()
