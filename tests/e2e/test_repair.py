"""One byte of one part is flipped: the lake names that part and no other, and mends it from the venue."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from tests.e2e.conftest import Told
from tests.e2e.world import LIVE_BARS, settings_of

from heliograph.cli import demo
from heliograph.cluster import fetch
from heliograph.core.errors import CorruptPart
from heliograph.lake import audit, read
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.telemetry.progress import Quiet

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

MARKET = ("okx", "BTC/USDT", "1h")


def test_flipped_byte_is_named_and_mended_from_the_venue(told: Told, tmp_path: Path):
    settings = settings_of(told.var)
    shutil.copytree(settings.lake.uri, tmp_path / "lake")
    lake = settings.lake.model_copy(update={"uri": str(tmp_path / "lake")})
    before = read.candles(lake, *MARKET)
    hurt = tmp_path / "lake" / "candles" / read.parts(lake, *MARKET)[0]
    body = bytearray(hurt.read_bytes())
    body[len(body) // 2] ^= 1
    hurt.write_bytes(body)

    with pytest.raises(CorruptPart, match="run `helio verify --repair`"):
        read.candles(lake, *MARKET)
    bad = audit.verify(lake)
    assert [part.path for part in bad] == [read.parts(lake, *MARKET)[0]]

    tape = TapeSpec("folder", told.tape)
    with Sandbox.start(tape, folder=tmp_path / "sandbox", live_bars=LIVE_BARS, weight_scale=demo.PATIENCE) as world:
        reached = demo.reached(settings.model_copy(update={"lake": lake}), world, world.offers())
        assert fetch.repair(reached, bad, Quiet()) == ()
    assert audit.verify(lake) == []
    assert np.array_equal(read.candles(lake, *MARKET).close, before.close)
