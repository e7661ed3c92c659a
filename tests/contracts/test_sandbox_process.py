"""The world is a process: it starts, says what is wrong, and never outlives its owner."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

import heliograph.sandbox
from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import HOUR_MS
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.generator import END_MS
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox

SMALL = TapeSpec("generated", days=12, minute_days=1)


def test_world_starts_before_the_tapes_end_and_stops_twice(tmp_path: Path) -> None:
    sandbox = Sandbox.start(SMALL, folder=tmp_path, live_bars=10)
    try:
        assert sandbox.now_ms() == END_MS - 10 * HOUR_MS
        assert "generated market (seed 7)" in sandbox.tape_origin
        assert {offer.venue for offer in sandbox.offers()} == {venue.name for venue in venues.VENUES}
        assert Path(sandbox.ca_file).is_file()
    finally:
        sandbox.stop()
    sandbox.stop()
    assert not psutil.pid_exists(sandbox.pid)
    assert (tmp_path / "sandbox.log").read_text() == ""
    with pytest.raises(ConfigError, match="not running any more"):
        sandbox.now_ms()


@pytest.mark.parametrize(("option", "name"), [("proxy_port", "--proxy-port"), ("control_port", "--control-port")])
def test_port_in_use_says_which_and_what_to_do(tmp_path: Path, option: str, name: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} .*free it, or give {name} 0"):
            Sandbox.start(SMALL, folder=tmp_path, **{option: port})


def test_folder_without_candles_is_told_by_the_starter(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no candles"):
        Sandbox.start(TapeSpec("folder", tmp_path), folder=tmp_path / "world")


def test_more_live_bars_than_the_tape_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not longer than 400 bars"):
        Sandbox.start(SMALL, folder=tmp_path, live_bars=400)


def test_recorded_world_has_halted_markets_with_history(tmp_path: Path, shared_data: Path) -> None:
    with Sandbox.start(TapeSpec("recorded", shared_data), folder=tmp_path, weight_scale=100.0) as sandbox:
        assert "real recorded candles" in sandbox.tape_origin
        last = {o.symbol: o.last_ms for o in sandbox.offers() if (o.venue, o.timeframe) == ("binance", "1h")}
    assert len(last) == 8
    assert last["BTC/USDT"] == 1_755_540_000_000 - 97 * HOUR_MS
    assert last["SOL/USDT"] == 1_735_686_000_000


OWNER = """
import sys
from pathlib import Path
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
sandbox = Sandbox.start(TapeSpec("generated", days=12, minute_days=1), folder=Path(sys.argv[1]))
sys.stdout.write(f"{sandbox.pid}\\n")
sys.stdout.flush()
sys.stdin.read()
"""


def test_world_dies_with_its_owner_even_if_that_is_killed(tmp_path: Path) -> None:
    root = str(Path(heliograph.sandbox.__file__).parents[2])
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": root},
    ) as owner:
        assert owner.stdout is not None
        world = psutil.Process(int(owner.stdout.readline()))
        owner.send_signal(signal.SIGKILL)
        owner.wait(10)
        _, alive = psutil.wait_procs([world], timeout=10)
        assert not alive
