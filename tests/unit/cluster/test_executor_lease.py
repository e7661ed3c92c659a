"""Who can't renew the account's lease in time stops trading before another may begin."""

from __future__ import annotations

import asyncio
import threading

import pytest

from heliograph.cluster import executor
from heliograph.core.errors import Permanent, Retryable

LEASE_S = 0.3


class Held:
    """A lease whose store answers when it is let."""

    def __init__(self, error: Exception | None = None) -> None:
        self.answers, self.error, self.renewed = threading.Event(), error, 0

    def renew(self) -> None:
        assert self.answers.wait(10)
        self.renewed += 1
        if self.error:
            raise self.error


async def _trading(until: asyncio.Event, ended: list[str]) -> str:
    try:
        await until.wait()
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise
    return "closing"


def _run(lease: Held, *, ends: bool = False) -> tuple[object, list[str]]:
    ended: list[str] = []

    async def trade() -> object:
        until = asyncio.Event()
        if ends:
            asyncio.get_running_loop().call_later(3 * LEASE_S, until.set)
        try:
            return await executor._fenced(_trading(until, ended), lease, LEASE_S)
        finally:
            lease.answers.set()  # the thread that still waits ends

    return asyncio.run(trade()), ended


def test_lease_is_renewed_while_trading_goes_on():
    lease = Held()
    lease.answers.set()
    closing, ended = _run(lease, ends=True)
    assert (closing, ended) == ("closing", [])
    assert lease.renewed >= 3


def test_store_that_does_not_answer_stops_the_trading_in_words():
    ended: list[str] = []

    async def trade() -> None:
        lease = Held()
        try:
            await executor._fenced(_trading(asyncio.Event(), ended), lease, LEASE_S)
        finally:
            lease.answers.set()

    with pytest.raises(Retryable, match="trading stopped before another may begin"):
        asyncio.run(trade())
    assert ended == ["cancelled"]


def test_lost_lease_stops_the_trading():
    lease = Held(Permanent("another committer took over"))
    lease.answers.set()
    with pytest.raises(Permanent, match="took over"):
        _run(lease)
