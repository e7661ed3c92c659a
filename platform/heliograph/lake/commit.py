"""Make parts live: one leased committer, one transaction a batch, coverage written ahead in the same commit."""

from __future__ import annotations

import hashlib
import io
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import Retryable
from heliograph.core.ports import Clock, ObjectStore
from heliograph.core.schema import COVERAGE, HAVE
from heliograph.lake import coverage, delta
from heliograph.lake.coverage import TRIED_AGAIN, Index, merge, subtract
from heliograph.lake.layout import CANDLES_TABLE, COVERAGE_TABLE
from heliograph.lake.lease import Lease
from heliograph.telemetry.clock import SystemClock

Row = Mapping[str, Any]


class Committer:
    """The only writer of the Delta log; a context manager that holds the lease.

    The lease keeps two runs from getting in each other's way. What keeps the lake right even without it is that every
    commit must be the one right after the version whose coverage this committer knows, or it fails.

    A commit of candles carries its coverage rows with it; the coverage table is a projection of those and is caught up
    by whoever commits next, so that dying at any point loses and doubles nothing.
    """

    def __init__(
        self,
        settings: LakeSettings,
        store: ObjectStore,
        holder: str,
        *,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._store = store
        self._clock = clock or SystemClock()
        self._sleep = sleep
        lease_ms = round(settings.lease_s * 1000)
        self._lease = Lease(store, CANDLES_TABLE, holder, lease_ms=lease_ms, clock=self._clock)
        self._candles: DeltaTable
        self._coverage: DeltaTable
        self._have: Index
        self._known: Index
        self._failures: set[tuple[Any, ...]]

    def __enter__(self) -> Self:
        """Take the lease and finish what a committer that died left half done.

        Raises:
            Retryable: another committer is alive.
        """
        self._lease.acquire(self._sleep)
        self._candles = self._table(CANDLES_TABLE)
        self._coverage = self._table(COVERAGE_TABLE)
        self._project()
        rows = coverage.read(self._settings)
        self._have = coverage.index(rows, (HAVE,))
        self._known = coverage.index(rows)
        self._failures = {tuple(row.values()) for row in rows.to_pylist() if row["status"] in TRIED_AGAIN}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lease.release()

    @property
    def epoch(self) -> int:
        """The lease's epoch: how many committers this lake has had."""
        return self._lease.epoch

    def renew(self) -> None:
        """Keep the lease while there is nothing to commit; call it at least every ``lake.lease_s``.

        Raises:
            Permanent: another committer has taken over.
        """
        self._lease.renew()

    def commit(self, manifests: Sequence[Row], reasons: Sequence[Row] = ()) -> int:
        """Add a batch of parts and coverage rows in one transaction; what the lake knows already is left out.

        Args:
            manifests: MANIFEST rows; a part whose interval overlaps one that the lake has is dropped, and what it
                alone would have covered stays missing.
            reasons: COVERAGE rows of intervals that need no part.

        Returns:
            The version of the candles table that holds all of it.

        Raises:
            Permanent: another committer has taken over; nothing was written.
            Retryable: the store failed; committing the same batch again is safe.
        """
        news = [row for row in (*manifests, *reasons) if self._learn(row)]
        if not news:
            return int(self._candles.version())
        now_ms = self._clock.now_ms()
        return self._write([delta.add_part(row, now_ms) for row in news if row["status"] == HAVE], news)

    def replace(self, part: Row, manifests: Sequence[Row]) -> int:
        """Swap a live part for a new fetch of the interval that its candles span, in one transaction.

        Args:
            part: a row of `read.live_parts`.
            manifests: what came of fetching that interval again; coverage stays as it is.

        Returns:
            The version of the candles table.

        Raises:
            Retryable: the interval did not come whole; nothing was written.
        """
        for row in manifests:
            if row["status"] in TRIED_AGAIN:
                raise Retryable(f"{part['path']} stays as it is, for its candles did not come again: {row['detail']}")
        now_ms = self._clock.now_ms()
        adds = [delta.add_part(row, now_ms) for row in manifests if row["status"] == HAVE]
        return self._write([delta.remove_part(part, now_ms), *adds], ())

    def _table(self, name: str) -> DeltaTable:
        return delta.open_table(self._settings, name) or delta.create_table(self._settings, name)

    def _write(self, actions: Sequence[Any], rows: Iterable[Row]) -> int:
        self._lease.renew()
        words = [[row[name] for name in COVERAGE.names] for row in rows]
        delta.append(self._candles, actions, {delta.ROWS_KEY: words}, batch=secrets.token_hex(8))
        self._project()
        return int(self._candles.version())

    def _project(self) -> None:
        """Bring the coverage table up to the candles log."""
        rows = delta.unprojected(self._candles, self._coverage)
        if not rows:
            return
        version = self._candles.version()
        schema = COVERAGE.with_metadata({delta.PROJECTED_KEY: str(version)})  # the same rows again are another file
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
        path = f"{hashlib.sha256(sink.getvalue()).hexdigest()}.parquet"
        self._store.put_if_absent(f"{COVERAGE_TABLE}/{path}", sink.getvalue())
        add = delta.add_file(path, len(sink.getvalue()), len(rows), self._clock.now_ms())
        delta.append(self._coverage, [add], {delta.PROJECTED_KEY: version}, batch=secrets.token_hex(8))

    def _learn(self, row: Row) -> bool:
        """Whether the row is news; if so it is known from now on."""
        key, interval = (row["venue"], row["timeframe"], row["symbol"]), (row["start_ms"], row["end_ms"])
        if row["status"] == HAVE:
            if subtract(interval, self._have.get(key, [])) != [interval]:
                return False
            self._have[key] = merge([*self._have.get(key, []), interval])
        elif not subtract(interval, self._known.get(key, [])):
            return False
        if row["status"] in TRIED_AGAIN:
            words = tuple(row[name] for name in COVERAGE.names)
            is_news = words not in self._failures
            self._failures.add(words)
            return is_news
        self._known[key] = merge([*self._known.get(key, []), interval])
        return True
