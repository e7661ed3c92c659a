"""Bulk files to candles: from the bytes of a zip or gzip, check sum proved, to sound columns and to an encoded part.

Each venue's files are made of the same generated month of minutes; beside ours stand Python's `csv` and Polars'
`read_csv`, which prove no check sum.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import zipfile
from dataclasses import dataclass

import numpy as np
import polars as pl
from tests.bench.measure import cpu_s, report

from heliograph.core.market import Candles, Market
from heliograph.core.timeframe import DAY_MS, parse
from heliograph.lake import part
from heliograph.sandbox.archive.host import Archive
from heliograph.sandbox.book import Book
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape
from heliograph.sources.archive.layout import ArchiveFile, Layout
from heliograph.sources.archive.read import read
from heliograph.sources.archive.venues import LAYOUTS
from heliograph.testing import fakes

TIMES = 15
SPOT = "BTC/USDT"


@dataclass(frozen=True, slots=True)
class Sample:
    """Files of one layout, and what stands in them."""

    layout: Layout
    files: list[tuple[ArchiveFile, bytes]]
    rows: int


def sample(layout: Layout, archive: Archive, span: tuple[int, int]) -> Sample:
    """A month of minutes, in one file or in many."""
    market: Market = fakes.market(SPOT, venue=layout.venue)
    files = []
    for period in layout.paths:
        for file in layout.files(market, "1m", period, *span):
            host, _, path = file.url.removeprefix("https://").partition("/")
            reply = archive.answer(Request(host, f"/{path}", {}))
            if reply.status == 200 and span[0] <= file.start_ms and file.end_ms <= span[1]:
                files.append((file, reply.body))
        if files:
            break
    return Sample(layout, files, sum(len(read(layout, *one)) for one in files))


def by_us(taken: Sample) -> list[Candles]:
    """Every file's check sum, and its candles."""
    found = []
    for file, raw in taken.files:
        hashlib.new(taken.layout.digest or "sha256", raw).hexdigest()
        found.append(read(taken.layout, file, raw))
    return found


def to_part(taken: Sample) -> bytes:
    """Every file's candles in one part."""
    return part.encode(Candles.concat(by_us(taken)), {})


def by_csv(taken: Sample) -> list[list[float]]:
    """What a few lines of Python do, column order aside."""
    found = []
    for _, raw in taken.files:
        text = io.StringIO(unpacked(taken, raw).decode())
        lines = (row for row in csv.reader(text) if row[0][0].isdigit())
        found += [[float(row[k]) for k in taken.layout.columns] for row in lines]
    return found


def by_polars(taken: Sample) -> list[pl.DataFrame]:
    """Polars' own reader, the columns that are wanted only."""
    found = []
    for _, raw in taken.files:
        body = unpacked(taken, raw)
        found.append(pl.read_csv(body, has_header=not body[:1].isdigit(), columns=sorted(taken.layout.columns)))
    return found


def unpacked(taken: Sample, raw: bytes) -> bytes:
    """By the standard library."""
    if taken.layout.packing == "gzip":
        return gzip.decompress(raw)
    with zipfile.ZipFile(io.BytesIO(raw)) as packed:
        return packed.read(packed.namelist()[0])


def main() -> None:
    """One line for each layout of spot candles, and one for all of them."""
    tape = Tape.generated(7, days=120, minute_days=100)
    end_ms = tape.end_ms // DAY_MS * DAY_MS
    clock = VirtualClock(end_ms, end_ms + 1)
    span = (parse("1M").floor(end_ms - 40 * DAY_MS), parse("1M").floor(end_ms - 10 * DAY_MS))
    archive = Archive({venue: Book(tape, clock, [SPOT]) for venue in ("binance", "kucoin", "gate")})
    layouts = [x for x in LAYOUTS if x.kind == "spot" and not x.is_trades]
    taken = [sample(layout, archive, span) for layout in layouts]
    truth = tape.candles(SPOT, parse("1m"), *span)
    rows, spent = 0, np.zeros(4)
    for one in taken:
        assert np.array_equal(Candles.concat(by_us(one)).close, truth.close)
        costs = [cpu_s(lambda f=f, x=one: f(x), TIMES) for f in (by_us, to_part)]  # type: ignore[misc]
        costs += [cpu_s(lambda f=f, x=one: f(x)) for f in (by_csv, by_polars)]  # type: ignore[misc]
        told = dict(
            zip(("candles", "to_part", "csv_module", "polars"), (one.rows / c / 1e6 for c in costs), strict=True)
        )
        report(f"archive_mcandles_per_cpu_s {one.layout.venue}", **told, ratio_to_csv=costs[2] / costs[0])
        rows, spent = rows + one.rows, spent + np.asarray(costs)
    per_s = rows / spent
    report(
        "archive",
        candles_per_cpu_s=per_s[0],
        to_part_candles_per_cpu_s=per_s[1],
        csv_module_candles_per_cpu_s=per_s[2],
        polars_candles_per_cpu_s=per_s[3],
    )


if __name__ == "__main__":
    main()
