"""An archive file is issued anew: the part that was made of it is named and no other, and made again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.bench.fetch import write_tape

from heliograph.cluster import fetch, repair
from heliograph.cluster.session import session
from heliograph.config.settings import FetchSettings, LakeSettings, Selection, Settings, VenueSettings
from heliograph.lake import read
from heliograph.lake.part import read_provenance
from heliograph.lake.store import open_store
from heliograph.sandbox.world import Sandbox
from heliograph.telemetry.progress import Quiet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

COLUMNS = ("open_ts_ms", "open", "high", "low", "close", "volume")


def test_archive_file_that_is_issued_anew_is_named_and_fetched_again(tmp_path: Path):
    tape = write_tape(tmp_path / "tape", 70, ("BTC/USDT",))
    market = ("binance", "BTC/USDT", "1m")
    with Sandbox.start(tape, folder=tmp_path / "sandbox", live_bars=2, weight_scale=20, venues=("binance",)) as world:
        reached = VenueSettings(http_proxy=world.proxy_url, ca_file=world.ca_file, budget_scale=20)
        wanted = Selection(venues=("binance",), symbols=("BTC/USDT",), timeframes=("1m",))
        fetching = FetchSettings(venues={"binance": reached}, selections=(wanted,))
        settings = Settings(lake=LakeSettings(uri=str(tmp_path / "lake")), fetch=fetching)
        with session():
            assert fetch.run(settings, Quiet()).failed == ()
        whole = read.candles(settings.lake, *market)
        file = next(iter(archive_files(settings.lake)))
        assert repair.outdated(settings, Quiet()) == []

        world.spoil(file, "stale")
        [old] = repair.outdated(settings, Quiet())
        assert file in str(old)
        assert repair.repair(settings, [old], Quiet()) == ()
        changed = read.candles(settings.lake, *market)
        assert any(not np.array_equal(getattr(changed, name), getattr(whole, name)) for name in COLUMNS)

        world.mend(file)
        assert repair.repair(settings, repair.outdated(settings, Quiet()), Quiet()) == ()
        assert repair.outdated(settings, Quiet()) == []
    again = read.candles(settings.lake, *market)
    assert all(np.array_equal(getattr(again, name), getattr(whole, name)) for name in COLUMNS)


def archive_files(lake: LakeSettings) -> list[str]:
    """The files that the lake's parts were made of."""
    store = open_store(lake)
    bodies = [store.get_tagged(f"candles/{part['path']}") for part in read.live_parts(lake)]
    pages = [page for found in bodies if found for page in read_provenance(found[0])["pages"]]
    return [page["endpoint"] for page in pages if page["endpoint"].endswith(".zip")]
