"""One committer a table: a compare-and-swapped lease with an epoch."""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable
from typing import Any

from heliograph.core.errors import Permanent, Retryable
from heliograph.core.ports import Clock, ObjectStore
from heliograph.lake.layout import lease_key


class Lease:
    """The right to commit to one table.

    Who is silent for ``lease_ms`` may be replaced: the next holder takes the next epoch, and the old one is told so
    before it can commit again.

    Attributes:
        epoch: counts the holders of this table, from 1.
    """

    def __init__(self, store: ObjectStore, table: str, holder: str, *, lease_ms: int, clock: Clock) -> None:
        self.holder = holder
        self.epoch = 0
        self._store = store
        self._key = lease_key(table)
        self._lease_ms = lease_ms
        self._clock = clock
        self._nonce = secrets.token_hex(8)  # tells two processes of one name apart
        self._tag: str | None = None

    def acquire(self, sleep: Callable[[float], None]) -> None:
        """Take the lease, after one whole lease time if somebody else holds it and falls silent.

        Raises:
            Retryable: the other holder is alive.
        """
        deadline_ms = self._clock.now_ms() + self._lease_ms + 1_000
        while not self._try_acquire():
            other, now_ms = self._held()[0], self._clock.now_ms()
            left_ms = other["expires_ms"] - now_ms
            if now_ms >= deadline_ms or other["expires_ms"] > deadline_ms:
                raise Retryable(
                    f"{other['holder']!r} is committing to this lake ({self._store.uri}); let it finish, or try again "
                    f"{max(0, left_ms) / 1000:.0f} s after it stopped (lake.lease_s)"
                )
            sleep(max(10, left_ms) / 1000)

    def renew(self) -> None:
        """Prove that this holder is still the one, and stay it.

        Raises:
            Permanent: another holder has taken over.
        """
        if not self._swap(self._clock.now_ms() + self._lease_ms):
            raise Permanent(
                f"{self.holder!r} was silent for longer than lake.lease_s and another committer took over; start again"
            )

    def release(self) -> None:
        """Let the next holder in at once; harmless when the lease is lost already."""
        self._swap(0)

    def _held(self) -> tuple[dict[str, Any], str | None]:
        found = self._store.get_tagged(self._key)
        if found is None:
            return {"holder": "", "epoch": 0, "expires_ms": 0}, None
        return json.loads(found[0]), found[1]

    def _try_acquire(self) -> bool:
        other, self._tag = self._held()
        now_ms = self._clock.now_ms()
        if other["expires_ms"] > now_ms:
            return False
        self.epoch = other["epoch"] + 1
        return self._swap(now_ms + self._lease_ms)

    def _swap(self, expires_ms: int) -> bool:
        word = {"holder": self.holder, "epoch": self.epoch, "expires_ms": expires_ms, "nonce": self._nonce}
        body = json.dumps(word).encode()
        self._store.put_if_match(self._key, body, self._tag)
        found = self._store.get_tagged(self._key)  # also right where the answer to the PUT was lost
        if found is None or found[0] != body:
            return False
        self._tag = found[1]
        return True
