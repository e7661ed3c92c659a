"""The local world in its own process, and the handle that its owner holds."""

from __future__ import annotations

import http.client
import os
import selectors
import subprocess
import sys
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import orjson

import heliograph.sandbox
from heliograph.core.errors import ConfigError, VenueTimeout
from heliograph.core.market import Candles
from heliograph.sandbox.archive.host import Damage
from heliograph.sandbox.exchange.venues import Offer
from heliograph.sandbox.faults import Fault
from heliograph.sandbox.tape import TapeSpec

_STOP_S = 5.0


class Sandbox:
    """A running world. Use it as a context manager, or call `stop`; it also ends with the process that started it.

    Attributes:
        proxy_url: ``http://127.0.0.1:port``, for clients' REST and WebSocket proxies.
        ca_file: PEM file with the authority that clients have to trust.
        tape_origin: one sentence that says where the candles come from.
    """

    def __init__(self, process: subprocess.Popen[bytes], ready: Mapping[str, Any]) -> None:
        self._process = process
        self._control_port = int(ready["control_port"])
        self.proxy_url = f"http://127.0.0.1:{ready['proxy_port']}"
        self.ca_file = str(ready["ca_file"])
        self.tape_origin = str(ready["tape_origin"])

    @classmethod
    def start(  # noqa: PLR0913 - each is an option of the process
        cls,
        tape_spec: TapeSpec,
        *,
        folder: Path,
        live_bars: int = 96,
        live_timeframe: str = "1h",
        weight_scale: float = 1.0,
        venues: Collection[str] = (),
        proxy_port: int = 0,
        control_port: int = 0,
        timeout_s: float = 60.0,
    ) -> Self:
        """Start the server process and wait until it answers.

        Args:
            tape_spec: which candles; the process builds them itself.
            folder: for the certificates and ``sandbox.log``.
            live_bars, live_timeframe: the clock starts at a bar's open, so many bars before the tape ends.
            weight_scale: multiplies every rate limit.
            venues: which; none means all.
            proxy_port, control_port: 0 takes any free port.

        Raises:
            ConfigError: the tape can't be built or a port is in use.
            VenueTimeout: it was not ready in time.
        """
        folder.mkdir(parents=True, exist_ok=True)
        options: dict[str, object] = {
            "tape": tape_spec.kind,
            "seed": tape_spec.seed,
            "days": tape_spec.days,
            "minute-days": tape_spec.minute_days,
            "folder": folder.absolute(),
            "live-bars": live_bars,
            "live-timeframe": live_timeframe,
            "weight-scale": weight_scale,
            "venues": ",".join(venues),
            "proxy-port": proxy_port,
            "control-port": control_port,
        }
        if tape_spec.path is not None:
            options["path"] = tape_spec.path.absolute()
        command = [sys.executable, "-m", "heliograph.sandbox", "--until-stdin-closes"]
        command += [f"--{name}={value}" for name, value in options.items()]
        root = str(Path(heliograph.sandbox.__file__).parents[2])
        path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH", "")]))
        log_file = folder / "sandbox.log"
        with log_file.open("wb") as log:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=os.environ | {"PYTHONPATH": path},
                start_new_session=True,
            )
        return cls(process, _ready(process, timeout_s, log_file))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        """Of the server process."""
        return self._process.pid

    def now_ms(self) -> int:
        """The virtual time, UTC epoch milliseconds."""
        return int(self._ask("now"))

    def offers(self) -> list[Offer]:
        """Every venue, symbol and timeframe that can be fetched now, and from when to when."""
        return [Offer(**offer) for offer in self._ask("offers")]

    def venue_candles(
        self, venue: str, symbol: str, timeframe: str, *, start_ms: int = 0, end_ms: int = 2**53
    ) -> Candles:
        """The closed candles that the venue would send now, its own fills included, open in ``[start_ms, end_ms)``."""
        args = {"venue": venue, "symbol": symbol, "timeframe": timeframe, "start_ms": start_ms, "end_ms": end_ms}
        return Candles.of(self._ask("candles", **args))

    def venue_series(
        self, venue: str, symbol: str, data: str, *, start_ms: int = 0, end_ms: int = 2**53
    ) -> list[tuple[Any, ...]]:
        """What the venue would send now beside candles, of ``[start_ms, end_ms)``.

        Args:
            data: ``trades`` (time, price, quantity, taker bought, id), ``funding`` or ``open_interest`` (time, value).
        """
        args = {"venue": venue, "symbol": symbol, "data": data, "start_ms": start_ms, "end_ms": end_ms}
        return [tuple(row) for row in self._ask("series", **args)]

    def play(self, bars: int, timeframe: str, pace_s: float) -> int:
        """Begin to move the clock bar by bar, one every ``pace_s`` seconds, the first one now; returns at once.

        Returns:
            The virtual time at which it will stop.

        Raises:
            ConfigError: the tape ends earlier, or the clock is playing already.
        """
        return int(self._ask("play", bars=bars, timeframe=timeframe, pace_s=pace_s))

    def wait_played(self, timeout_s: float = 60.0) -> int:
        """Wait until `play` is over; returns the virtual time.

        Raises:
            VenueTimeout: it still plays.
        """
        return int(self._ask("wait_played", timeout_s=timeout_s))

    def advance(self, ms: int) -> int:
        """Move the clock at once and tell every stream what happened on the way; returns the virtual time.

        Raises:
            ConfigError: the tape ends earlier, or the clock is playing.
        """
        return int(self._ask("advance", ms=ms))

    def wait_for_subscribers(self, counts: Mapping[str, int], timeout_s: float = 30.0) -> None:
        """Wait until each venue has at least so many stream subscriptions (symbol and timeframe), over all sockets.

        Raises:
            VenueTimeout: it has not.
        """
        self._ask("wait_subscribers", counts=dict(counts), timeout_s=timeout_s)

    def stats(self) -> dict[str, dict[str, Any]]:
        """By venue: ``requests``, ``violations`` of the rate limit, ``weight`` spent, ``faults`` met, ``frames`` sent,
        ``subscriptions`` open, and ``statuses`` (HTTP status → count)."""
        stats: dict[str, dict[str, Any]] = self._ask("stats")
        return stats

    def log(self, venue: str | None = None, limit: int = 1_000) -> list[dict[str, Any]]:
        """The newest calls, oldest first: ``venue, method, path, query, status, weight, fault``."""
        calls: list[dict[str, Any]] = self._ask("log", venue=venue, limit=limit)
        return calls

    def inject(self, fault: Fault) -> None:
        """Order trouble for the next calls of a venue.

        Raises:
            ConfigError: there is no such venue.
        """
        self._ask("inject", **asdict(fault))

    def spoil(self, url: str, damage: Damage) -> None:
        """Publish a file of an archive with a fault from now on."""
        self._ask("spoil", url=url, damage=damage)

    def mend(self, url: str) -> None:
        """Re-issue a file of an archive as it should have been, dated now."""
        self._ask("mend", url=url)

    def stop(self) -> None:
        """End the process; harmless when it has ended."""
        if self._process.stdin and not self._process.stdin.closed:
            self._process.stdin.close()
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._process.stdout:
            self._process.stdout.close()

    def _ask(self, command: str, **args: object) -> Any:
        timeout_s = float(str(args.get("timeout_s", 30.0))) + 30.0
        connection = http.client.HTTPConnection("127.0.0.1", self._control_port, timeout=timeout_s)
        try:
            connection.request("POST", f"/__sim/{command}", body=orjson.dumps(args))
            response = connection.getresponse()
            answer = orjson.loads(response.read())
        except ConnectionRefusedError as e:
            raise ConfigError(f"the sandbox (process {self.pid}) is not running any more; start it again") from e
        finally:
            connection.close()
        if response.status == http.HTTPStatus.REQUEST_TIMEOUT:
            raise VenueTimeout(f"sandbox {command} {args}: {answer['error']}")
        if "error" in answer:
            raise ConfigError(f"sandbox {command}: {answer['error']}")
        return answer["result"]


def _ready(process: subprocess.Popen[bytes], timeout_s: float, log_file: Path) -> dict[str, Any]:
    """The line that the process says when it listens; the process is gone when there is none."""
    assert process.stdout is not None
    line, deadline_s = b"", time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not line.endswith(b"\n") and selector.select(max(deadline_s - time.monotonic(), 0.0)):
            chunk = os.read(process.stdout.fileno(), 65_536)
            if not chunk:
                break
            line += chunk
    ready: dict[str, Any] = orjson.loads(line) if line.endswith(b"\n") else {}
    if "control_port" in ready:
        return ready
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
    if "error" in ready:
        raise ConfigError(ready["error"])
    if time.monotonic() >= deadline_s:
        raise VenueTimeout(f"the sandbox was not ready after {timeout_s:g} s; see {log_file}")
    raise ConfigError(f"the sandbox ended with code {process.returncode} before it was ready; see {log_file}")
