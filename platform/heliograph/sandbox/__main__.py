"""The local world as a process: ``python -m heliograph.sandbox --tape generated --folder var/sandbox``."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import socket
import sys
from pathlib import Path

import orjson
from aiohttp import web

from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import parse
from heliograph.sandbox import authority
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.control import Control
from heliograph.sandbox.exchange import venues
from heliograph.sandbox.proxy import Tunnel
from heliograph.sandbox.server import Exchange
from heliograph.sandbox.tape import TapeSpec

HOST = "127.0.0.1"


def main() -> int:
    """Serve until stdin closes (where asked to watch it) or a signal comes; exit code 2 for wrong arguments."""
    args = _parser().parse_args()
    try:
        asyncio.run(_serve(args))
    except ConfigError as e:
        _say({"error": str(e)})
        return 2
    return 0


async def _serve(args: argparse.Namespace) -> None:
    spec = TapeSpec(args.tape, args.path, seed=args.seed, days=args.days, minute_days=args.minute_days)
    sockets = [_listen(args.proxy_port, "--proxy-port"), _listen(args.control_port, "--control-port")]
    tape = spec.build()
    first_ms = min(tape.listed_ms(symbol) for symbol in tape.symbols)
    clock = VirtualClock.before_end(first_ms, tape.end_ms, parse(args.live_timeframe), args.live_bars)
    exchange = Exchange(
        venues.build(tape, clock, [n for n in args.venues.split(",") if n]), clock, weight_scale=args.weight_scale
    )
    args.folder.mkdir(parents=True, exist_ok=True)
    domains = [domain for host in exchange.hosts.values() for domain in host.domains]
    ca_file, context = authority.issue(args.folder, domains)
    loop = asyncio.get_running_loop()
    over = _until_over(loop, watch_stdin=args.until_stdin_closes)
    server = web.ServerRunner(web.Server(exchange.handle, handler_cancellation=True, access_log=None))
    control = web.AppRunner(Control(exchange).application())
    await server.setup()
    await control.setup()
    assert server.server is not None
    make_server = server.server
    proxy = await loop.create_server(lambda: Tunnel(context, exchange.is_known, make_server), sock=sockets[0])
    await web.SockSite(control, sockets[1]).start()
    ports = [s.getsockname()[1] for s in sockets]
    _say({"proxy_port": ports[0], "control_port": ports[1], "ca_file": str(ca_file), "tape_origin": tape.origin})
    await over.wait()
    proxy.close()
    await server.shutdown()
    await server.cleanup()
    await control.cleanup()


def _until_over(loop: asyncio.AbstractEventLoop, *, watch_stdin: bool) -> asyncio.Event:
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    if watch_stdin:
        stdin = sys.stdin.fileno()

        def read() -> None:
            if not os.read(stdin, 1_024):
                loop.remove_reader(stdin)
                over.set()

        loop.add_reader(stdin, read)
    return over


def _listen(port: int, option: str) -> socket.socket:
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        sock.bind((HOST, port))
    except OSError as e:
        sock.close()
        raise ConfigError(
            f"port {port} on {HOST} can't be used ({e.strerror}): free it, or give {option} 0 for any"
        ) from e
    sock.listen(512)
    sock.setblocking(False)
    return sock


def _say(line: dict[str, object]) -> None:
    sys.stdout.write(orjson.dumps(line).decode() + "\n")
    sys.stdout.flush()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m heliograph.sandbox", description=__doc__)
    parser.add_argument("--tape", choices=("folder", "recorded", "generated"), default="generated")
    parser.add_argument("--path", type=Path, help="of the candles, for --tape folder and recorded")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--days", type=int, default=730)
    parser.add_argument("--minute-days", type=int, default=60)
    parser.add_argument("--folder", type=Path, required=True, help="for the certificates")
    parser.add_argument("--live-bars", type=int, default=96)
    parser.add_argument("--live-timeframe", default="1h")
    parser.add_argument("--weight-scale", type=float, default=1.0, help="multiplies every rate limit")
    parser.add_argument("--venues", default="", help="names, with commas; all where none is given")
    parser.add_argument("--proxy-port", type=int, default=0)
    parser.add_argument("--control-port", type=int, default=0)
    parser.add_argument("--until-stdin-closes", action="store_true", help="stop when the parent is gone")
    return parser


if __name__ == "__main__":
    sys.exit(main())
