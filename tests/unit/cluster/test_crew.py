"""What a fetch worker holds while the store is away, and by which way it reaches a venue."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from heliograph.cluster import crew
from heliograph.cluster.crew import WriteBehind, reach
from heliograph.cluster.governor import EGRESS_VARIABLE
from heliograph.config.settings import VenueSettings
from heliograph.core.errors import Retryable
from heliograph.lake.local_store import LocalStore


class Away(LocalStore):
    """A store whose first writes fail, and whose every write takes a while."""

    def __init__(self, folder: Path, failures: int, *, takes_s: float = 0.0) -> None:
        super().__init__(folder)
        self._failures = failures
        self._takes_s = takes_s

    def put_if_absent(self, key: str, body: bytes) -> bool:
        time.sleep(self._takes_s)
        self._failures -= 1
        if self._failures >= 0:
            raise Retryable("the store is away")
        return super().put_if_absent(key, body)


def write(store: LocalStore) -> float:
    """Longest time in ms that the event loop was held up while a part was written."""

    async def story() -> float:
        with ThreadPoolExecutor(1) as writers:
            behind = WriteBehind(store, writers)
            started_s = time.monotonic()
            assert behind.put_if_absent("k", b"body")
            held_ms = (time.monotonic() - started_s) * 1_000
            await behind.settled()
        return held_ms

    return asyncio.run(story())


def test_a_slow_store_holds_up_no_call_under_way(tmp_path: Path) -> None:
    store = Away(tmp_path, 0, takes_s=0.3)
    assert write(store) < 150
    assert store.get("k") == b"body"


def test_a_store_that_comes_back_gets_what_was_fetched_meanwhile(tmp_path: Path) -> None:
    store = Away(tmp_path, 2)
    write(store)
    assert store.get("k") == b"body"


def test_a_store_that_stays_away_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "STORE_PATIENCE_S", 0.0)
    with pytest.raises(Retryable, match="away"):
        write(Away(tmp_path, 9))


def test_a_node_whose_egress_is_a_proxy_goes_out_by_it(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = VenueSettings(http_proxy="http://127.0.0.1:1", ca_file="ca.pem")
    monkeypatch.setenv(EGRESS_VARIABLE, "frankfurt-1")
    assert reach(settings) == settings
    monkeypatch.setenv(EGRESS_VARIABLE, "http://127.0.0.1:2")
    assert reach(settings) == settings.model_copy(update={"http_proxy": "http://127.0.0.1:2"})
