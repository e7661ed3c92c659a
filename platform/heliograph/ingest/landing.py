"""Commit what was fetched, batch by batch, while more is fetched; a store that is away for a while is waited for."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType
from typing import Any, Self

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import Retryable
from heliograph.lake.commit import Committer
from heliograph.lake.layout import CANDLES_TABLE
from heliograph.lake.store import open_store
from heliograph.lake.write import Row

PATIENCE_S = 180.0
"""How long a store may be away before the run gives up; what was not committed is fetched again by the next one."""

LONGEST_WAIT_S = 5.0
OLDEST_S = 10.0
"""A row is committed after this, however few have come."""


class Landing:
    """The committers of one run, one a table, in a thread beside the event loop; a context manager.

    Attributes:
        version: of the candles table, after the last commit.
    """

    def __init__(self, lake: LakeSettings, holder: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.version = 0
        self._lake = lake
        self._holder = holder
        self._clock = clock
        self._store = open_store(lake)
        self._committers: dict[str, Committer] = {}
        self._held = ExitStack()
        self._waiting: dict[str, list[Row]] = {}
        self._reasons: dict[str, list[Mapping[str, Any]]] = {}
        self._oldest_s = 0.0
        self._wake = asyncio.Event()
        self._is_closed = False

    def __enter__(self) -> Self:
        """Take the lease of the candles table.

        Raises:
            Retryable: another run is committing to this lake.
        """
        self.version = self._committer(CANDLES_TABLE).commit([])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        while self._committers:
            self._committers.popitem()[1].__exit__(kind, error, trace)

    @property
    def epoch(self) -> int:
        """How many committers the candles table has had."""
        return self._committers[CANDLES_TABLE].epoch

    def land(self, table: str, manifests: Sequence[Row], reasons: Sequence[Mapping[str, Any]] = ()) -> None:
        """Take rows to commit: MANIFEST rows of what was fetched, COVERAGE rows of what need not be."""
        if not any(self._waiting.values()) and not any(self._reasons.values()):
            self._oldest_s = self._clock()
        self._waiting.setdefault(table, []).extend(manifests)
        self._reasons.setdefault(table, []).extend(reasons)
        if self._is_due():
            self._wake.set()

    def close(self) -> None:
        """Nothing more will land: `run` ends with the last commit."""
        self._is_closed = True
        self._wake.set()

    async def run(self) -> None:
        """Commit whenever a batch is full or old; keep the leases meanwhile.

        Raises:
            Permanent: another run has taken over.
            Retryable: the store was away for too long.
        """
        while not self._is_closed:
            try:
                async with asyncio.timeout(min(self._lake.lease_s / 3, OLDEST_S / 2)):
                    await self._wake.wait()
            except TimeoutError:
                await self._patiently(self._renew)
            self._wake.clear()
            if self._is_due():
                await self._patiently(self._commit)
        await self._patiently(self._commit)

    def _is_due(self) -> bool:
        parts = [len(rows) for rows in self._waiting.values()]
        waiting = max([*parts, *(len(rows) for rows in self._reasons.values())], default=0)
        return waiting >= self._lake.parts_per_commit or (waiting > 0 and self._clock() - self._oldest_s >= OLDEST_S)

    async def _patiently(self, work: Callable[[], None]) -> None:
        give_up_s, wait_s, is_stale = self._clock() + PATIENCE_S, 0.25, False
        while True:
            try:
                if is_stale:
                    await asyncio.to_thread(self._reopen)
                await asyncio.to_thread(work)
            except Retryable:
                if self._clock() >= give_up_s:
                    raise
                is_stale = True
                await asyncio.sleep(wait_s)
                wait_s = min(2 * wait_s, LONGEST_WAIT_S)
            else:
                return

    def _commit(self) -> None:
        for table in [*self._waiting]:
            rows, reasons = self._waiting.get(table, []), self._reasons.get(table, [])
            if rows or reasons:
                taken, told = len(rows), len(reasons)
                version = self._committer(table).commit(rows[:taken], reasons[:told])
                self.version = version if table == CANDLES_TABLE else self.version
                del rows[:taken], reasons[:told]
        self._oldest_s = self._clock()

    def _renew(self) -> None:
        for committer in self._committers.values():
            committer.renew()

    def _reopen(self) -> None:
        """Start the committers again: one whose commit failed no longer knows what the lake has."""
        for committer in self._committers.values():
            committer.__exit__(None, None, None)
            committer.__enter__()

    def _committer(self, table: str) -> Committer:
        if table not in self._committers:
            self._committers[table] = Committer(self._lake, self._store, self._holder, table=table).__enter__()
        return self._committers[table]
