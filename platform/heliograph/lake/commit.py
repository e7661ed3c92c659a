"""Make parts live: one leased committer, one transaction a batch, coverage written ahead in the same commit."""

from __future__ import annotations

import hashlib
import io
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import InvariantBroken, Retryable
from heliograph.core.ports import Clock, ObjectStore
from heliograph.core.schema import COVERAGE, HAVE
from heliograph.lake import coverage, delta, log
from heliograph.lake.coverage import TRIED_AGAIN, Index, merge, subtract
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.lease import Lease
from heliograph.lake.store import probe
from heliograph.lake.tables import named
from heliograph.telemetry.clock import SystemClock

Row = Mapping[str, Any]


class Committer:
    """The only writer of one table's Delta log; a context manager that holds the lease.

    The lease keeps two runs from getting in each other's way. What keeps the lake right even without it is that every
    commit must be the one right after the version whose coverage this committer knows, or it fails.

    A commit of parts carries its coverage rows with it; the coverage table is a projection of those and is caught up
    by whoever commits next, so that dying at any point loses and doubles nothing.

    Attributes:
        table: what it writes.
        store: where the lake lies.
        clock: by which it commits.
    """

    def __init__(
        self,
        settings: LakeSettings,
        store: ObjectStore,
        holder: str,
        *,
        table: str = CANDLES_TABLE,
        clock: Clock | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.table = named(table)
        self.store = store
        self.clock = clock or SystemClock()
        self._settings = settings
        self._sleep = sleep
        lease_ms = round(settings.lease_s * 1000)
        self._lease = Lease(store, table, holder, lease_ms=lease_ms, clock=self.clock)
        self._version: int
        self._coverage_version: int
        self._pending: list[dict[str, Any]]
        self._have: Index
        self._known: Index
        self._failures: set[tuple[Any, ...]]

    def __enter__(self) -> Self:
        """Take the lease and finish what a committer that died left half done.

        Raises:
            Retryable: another committer is alive.
            ConfigError: the store lets two writers win (it is tried before a table is made), or an older release
                wrote this lake in another form.
        """
        if delta.open_table(self._settings, self.table.name) is None:
            probe(self.store)
        self._lease.acquire(self._sleep)
        parts = delta.writable_table(self._settings, self.table.name)
        covered = delta.writable_table(self._settings, self.table.coverage)
        self._version, self._coverage_version = int(parts.version()), int(covered.version())
        self._pending = delta.unprojected(parts, covered)
        self._project()
        rows = coverage.read(self._settings, self.table.name)
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

    @property
    def have(self) -> Index:
        """Intervals that the table has, of every market."""
        return self._have

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
            The version of the table that holds all of it.

        Raises:
            Permanent: another committer has taken over; nothing was written.
            Retryable: the store failed; committing the same batch again is safe.
        """
        news = [row for row in (*manifests, *reasons) if self._learn(row)]
        if not news:
            return self._version
        now_ms = self.clock.now_ms()
        return self._write([log.add_part(row, now_ms, self.table) for row in news if row["status"] == HAVE], news)

    def replace(self, part: Row, manifests: Sequence[Row]) -> int:
        """Swap a live part for a new fetch of the interval that its rows span, in one transaction.

        Args:
            part: a row of `read.live_parts`.
            manifests: what came of fetching that interval again; coverage stays as it is.

        Returns:
            The version of the table.

        Raises:
            Retryable: the interval did not come whole; nothing was written.
        """
        for row in manifests:
            if row["status"] in TRIED_AGAIN:
                raise Retryable(f"{part['path']} stays as it is, for its rows did not come again: {row['detail']}")
        if part["path"] in {row["path"] for row in manifests}:  # the very same bytes came again: the file is whole now
            return self._version
        now_ms = self.clock.now_ms()
        adds = [log.add_part(row, now_ms, self.table) for row in manifests if row["status"] == HAVE]
        return self._write([log.remove_part(part, now_ms), *adds], ())

    def rewrite(self, parts: Sequence[Row], manifests: Sequence[Row]) -> int:
        """Swap live parts for others that hold the same rows, in one transaction that changes no data.

        Args:
            parts: rows of `read.live_parts`.
            manifests: of the parts that replace them; coverage stays as it is.

        Returns:
            The version of the table.

        Raises:
            InvariantBroken: the new parts hold more or fewer rows; nothing was written.
        """
        before, after = (sum(row["candles"] for row in rows) for rows in (parts, manifests))
        if before != after:
            raise InvariantBroken(f"{len(parts)} parts of {before} rows were to be rewritten as {after} rows")
        now_ms = self.clock.now_ms()
        removed = [log.remove_part(part, now_ms, is_news=False) for part in parts]
        added = [log.add_part(row, now_ms, self.table, is_news=False) for row in manifests]
        return self._write([*removed, *added], ())

    def merge_coverage(self, *, min_files: int) -> int:
        """Rewrite the coverage table's files as one, where there are ``min_files`` or more; returns how many."""
        self._project()
        covered = delta.writable_table(self._settings, self.table.coverage)
        files = delta.files(covered)
        if len(files) < min_files:
            return 0
        self._lease.renew()
        removed = [log.remove_file(path, size, self.clock.now_ms()) for path, size in files.items()]
        rows = coverage.read(self._settings, self.table.name)
        self._commit_coverage(rows, removed, delta.projected_version(covered))
        return len(files)

    def _write(self, actions: Sequence[log.Action], rows: Sequence[Row]) -> int:
        self._lease.renew()
        words = [[row[name] for name in COVERAGE.names] for row in rows]
        self._append(self.table.name, self._version + 1, actions, {delta.ROWS_KEY: words})
        self._version += 1
        self._pending += [{name: row[name] for name in COVERAGE.names} for row in rows]
        self._project()
        return self._version

    def _project(self) -> None:
        """Bring the coverage table up to the log of the parts."""
        if self._pending:
            self._commit_coverage(pa.Table.from_pylist(self._pending, schema=COVERAGE), (), self._version)
            self._pending = []

    def _commit_coverage(self, rows: pa.Table, removed: Sequence[log.Action], version: int) -> None:
        """One file of coverage rows in place of those removed; ``version`` of the parts is what they reach to."""
        name, base = self.table.coverage, self._coverage_version
        named_rows = rows.replace_schema_metadata(
            {"heliograph.after": f"{version}.{base}"}
        )  # the same rows: another file
        sink = io.BytesIO()
        pq.write_table(named_rows, sink, compression="zstd")
        path = f"{hashlib.sha256(sink.getvalue()).hexdigest()}.parquet"
        self.store.put_if_absent(f"{name}/{path}", sink.getvalue())
        size, now_ms = len(sink.getvalue()), self.clock.now_ms()
        add = log.add_file(path, size, rows.num_rows, now_ms, is_news=not removed)
        self._append(name, base + 1, [*removed, add], {delta.PROJECTED_KEY: version})
        self._coverage_version += 1

    def _append(self, table: str, version: int, actions: Sequence[log.Action], told: Mapping[str, Any]) -> None:
        now_ms = self.clock.now_ms()
        log.commit(self.store, table, version, actions, told, batch=secrets.token_hex(8), now_ms=now_ms)
        log.checkpoint(self._settings, table, version)

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
