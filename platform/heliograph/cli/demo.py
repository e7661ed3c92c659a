"""The main job: everything once, from nothing to paper orders, with a bar for each stage and a summary at the end."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from heliograph.cli import watch
from heliograph.cli.summary import Summary
from heliograph.cluster import executor, featurize, fetch, fit
from heliograph.cluster.serving import api_key, serving
from heliograph.cluster.session import session
from heliograph.config.load import load
from heliograph.config.settings import Selection, Settings, VenueSettings
from heliograph.core.errors import HeliographError, InvariantBroken
from heliograph.core.market import kind_of
from heliograph.live.run import Closing
from heliograph.sandbox.exchange.venues import Offer
from heliograph.sandbox.tape import TapeSpec
from heliograph.sandbox.world import Sandbox
from heliograph.telemetry.memory import PeakMemory
from heliograph.telemetry.progress import CONSOLE, bar
from heliograph.wiring import evaluation
from heliograph.wiring.floor import live_markets

ROOT = Path(__file__).resolve().parents[3]
RECORDED = ROOT.parent / "shared" / "data"
PATIENCE = 40.0  # the sandbox's rate limits over the real venues', so that the demo takes minutes
BUDGET_SHARE = 0.9
SUBSCRIBE_S = 180.0
IDLE_S = 240.0


@dataclass(frozen=True, slots=True)
class Play:
    """What the sandbox plays.

    Attributes:
        tape: a folder of candle Parquet; None takes the recorded candles, or a generated market.
        live_bars: bars kept back for live trading.
        pace_s: real seconds that a live bar takes.
    """

    tape: Path | None
    live_bars: int
    pace_s: float


def run(play: Play | None, *, config: Path | None, overrides: Sequence[str]) -> None:
    """Run every stage; the summary is written whatever happens.

    Args:
        play: the sandbox's part; None trades on the venues' real public endpoints.

    Raises:
        HeliographError: a stage failed.
    """
    settings = load(config or ROOT / "configs" / ("demo.yaml" if play else "demo-live.yaml"), overrides)
    summary = Summary()
    memory = PeakMemory()
    try:
        with memory, ExitStack() as held:
            _story(settings, summary, held, play)
    finally:
        summary.figures["peak_rss_mb"] = round(memory.peak_mb)
        path = summary.write(settings.var / "summary.json")
    _tell(settings, summary, path)


def run_sandbox(*, tape: Path | None, folder: Path) -> None:
    """Run the local venues alone until interrupted."""
    with Sandbox.start(_tape(tape), folder=folder) as world:
        CONSOLE.print(
            f"{world.tape_origin}\nreach it with these settings (and play its clock through the Python handle):"
        )
        for venue in sorted({offer.venue for offer in world.offers()}):
            CONSOLE.print(
                f"  --set fetch.venues.{venue}.http_proxy={world.proxy_url} --set fetch.venues.{venue}.ca_file={world.ca_file}"
            )
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


def _story(settings: Settings, summary: Summary, held: ExitStack, play: Play | None) -> None:
    world: Sandbox | None = None
    if play is not None:
        with summary.stage("sandbox", "three venues on loopback, spoken to by unmodified ccxt"):
            start = Sandbox.start(
                _tape(play.tape),
                folder=settings.var / "sandbox",
                live_bars=play.live_bars,
                live_timeframe=settings.features.timeframe,
                weight_scale=PATIENCE,
                venues=tuple(settings.fetch.venues),
            )
            world = held.enter_context(start)
            settings = reached(settings, world, world.offers())
            CONSOLE.print(f"   {settings.data_origin}")
    summary.figures["tape"] = settings.data_origin
    with summary.stage("ray", "start Ray on this machine, or join RAY_ADDRESS"):
        held.enter_context(session())
    _fetch(settings, summary)
    _features(settings, summary)
    _train(settings, summary)
    _backtest(settings, summary)
    _serve(settings, summary, held)
    _trade(settings, summary, world, play)


def reached(settings: Settings, world: Sandbox, offers: Sequence[Offer]) -> Settings:
    """The settings with the sandbox's address, and every spot market selected that their venues offer."""
    venue = VenueSettings(
        http_proxy=world.proxy_url,
        ws_proxy=world.proxy_url,
        ca_file=world.ca_file,
        budget_scale=PATIENCE * BUDGET_SHARE,
    )
    selections = []
    wanted = [o for o in offers if o.venue in settings.fetch.venues and kind_of(o.symbol) == "spot"]
    for (name, timeframe), group in groupby(sorted(wanted, key=_shelf), key=_shelf):
        listed = list(group)
        symbols = tuple(sorted(offer.symbol for offer in listed))
        selections.append(
            Selection(
                venues=(name,), symbols=symbols, timeframes=(timeframe,), start_ms=min(o.first_ms for o in listed)
            )
        )
    venues = dict.fromkeys(sorted({offer.venue for offer in wanted}), venue)
    fetching = settings.fetch.model_copy(update={"venues": venues, "selections": tuple(selections)})
    return settings.model_copy(update={"fetch": fetching, "data_origin": world.tape_origin})


def _shelf(offer: Offer) -> tuple[str, str]:
    return offer.venue, offer.timeframe


def _tape(folder: Path | None) -> TapeSpec:
    """A given folder, else the recorded candles where they are, else a generated market."""
    if folder is not None:
        return TapeSpec("folder", folder)
    return TapeSpec("recorded", RECORDED) if RECORDED.is_dir() else TapeSpec("generated")


def _fetch(settings: Settings, summary: Summary) -> None:
    with (
        summary.stage("fetch", "every symbol and timeframe on offer, archives first, over Ray into the lake"),
        bar("fetch") as shown,
    ):
        got = fetch.run(settings, shown)
        figures = {"candles": got.candles, "requests": got.requests, "requests_minimum": got.requests_minimum}
        summary.figures |= {**figures, "lake_version": got.version}
        if got.failed:
            raise HeliographError(
                f"{len(got.failed)} shards failed; run again to fetch them. The first: {got.failed[0]}"
            )
    CONSOLE.print(
        f"   {got.candles:,} candles in {got.requests:,} requests (fewest possible: {got.requests_minimum:,})"
    )


def _features(settings: Settings, summary: Summary) -> None:
    with summary.stage("features", "one definition for batch and live, no look-ahead"), bar("features") as shown:
        made = featurize.run(settings, shown)
        summary.figures |= {"features": made.features, "feature_rows": made.rows}
    CONSOLE.print(
        f"   {made.features} features of {made.rows:,} bars, {made.tables} symbols ({made.reused} were there)"
    )


def _train(settings: Settings, summary: Summary) -> None:
    with (
        summary.stage("train", "LSTM + Transformer on walk-forward folds, folds as Tune trials"),
        bar("train") as shown,
    ):
        fitted = fit.run(settings, shown)
        skill = {name: {str(h): round(v, 3) for h, v in row.items()} for name, row in fitted.skill_pct.items()}
        coverage = {str(h): round(v, 4) for h, v in fitted.coverage_80.items()}
        summary.figures |= {"folds": len(fitted.folds), "skill_pct": skill, "coverage_80": coverage}
    for name, row in skill.items():
        told = ", ".join(f"{h} bars {v:+.2f} %" for h, v in row.items())
        CONSOLE.print(f"   skill against {name}: {told}")


def _backtest(settings: Settings, summary: Summary) -> None:
    with (
        summary.stage("backtest", "the out-of-sample forecasts through the trading engine, next-bar fills, costs"),
        bar("backtest") as shown,
    ):
        told = evaluation.run(settings, shown)
        summary.figures["report"] = told.report
        summary.figures["backtest"] = {
            "orders": told.orders,
            "fills": told.fills,
            "return_pct": round(told.total_return_pct, 2),
            "sharpe": round(told.sharpe, 2),
            "max_drawdown_pct": round(told.max_drawdown_pct, 2),
            "ledger_balanced": told.ledger_balanced,
        }
        if not told.ledger_balanced:
            raise InvariantBroken("the backtest's ledger does not balance; keep the run folder and report it")
    CONSOLE.print(
        f"   {told.orders:,} orders, Sharpe {told.sharpe:.2f}, drawdown {told.max_drawdown_pct:.1f} %: {told.report}"
    )


def _serve(settings: Settings, summary: Summary, held: ExitStack) -> None:
    with summary.stage("serve", "forecasts and signals over REST and WebSocket, on Ray Serve"):
        held.enter_context(serving(settings))
        answers = asyncio.run(watch.ask(settings.serve, api_key(settings.serve, settings.var)))
        CONSOLE.print(
            f"   {len(answers.signals)} markets at http://{settings.serve.host}:{settings.serve.port}/v1/signals"
        )


def _trade(settings: Settings, summary: Summary, world: Sandbox | None, play: Play | None) -> None:
    with summary.stage("trade", "the execution actor on live candles, on paper"), bar("trade") as shown:
        _set_aside(settings.var / "live")
        if play is not None:
            # the tape's last bar is never proved closed: no bar comes after it
            wanted = (play.live_bars - 1) * len(live_markets(settings))
            settings = settings.model_copy(update={"live": settings.live.model_copy(update={"max_candles": wanted})})
        key = api_key(settings.serve, settings.var)
        with watch.Listener(settings.serve, key) as listener, ThreadPoolExecutor(1) as helper:
            playing = helper.submit(_play, settings, world, play) if world is not None and play is not None else None
            closing = executor.run(settings, shown, publishes=True, idle_s=IDLE_S)
            if playing is not None:
                playing.result()
        summary.figures |= {
            "orders": closing.orders,
            "fills": closing.fills,
            "live_candles": closing.candles,
            "stream_messages": listener.messages,
            "ledger_balanced": closing.is_balanced,
            "equity_quote": str(closing.equity_quote),
        }
        if not closing.is_balanced:
            raise InvariantBroken("the paper ledger does not balance; keep the journal and report it")
    _tell_ledger(closing)


def _play(settings: Settings, world: Sandbox, play: Play) -> None:
    """Let the sandbox's hours pass once the executor listens."""
    markets = sorted(live_markets(settings))
    subscribers = {venue: len(list(group)) for venue, group in groupby(markets, key=lambda key: key[0])}
    world.wait_for_subscribers(subscribers, timeout_s=SUBSCRIBE_S)
    world.play(play.live_bars, settings.features.timeframe, play.pace_s)


def _set_aside(folder: Path) -> None:
    """The sandbox's world begins anew with each demo, and so does its paper account; the one before is kept."""
    if folder.exists():
        folder.rename(folder.with_name(f"{folder.name}-until-{int(time.time())}"))


def _tell_ledger(closing: Closing) -> None:
    CONSOLE.print(f"   closing ledger after {closing.candles} candles: {closing.orders} orders, {closing.fills} fills")
    CONSOLE.print(
        f"     cash {closing.cash_quote:,.2f}   fees {closing.fees_quote:,.2f}   realised {closing.realised_quote:,.2f}"
    )
    for (venue, symbol), qty in sorted(closing.positions_base.items()):
        CONSOLE.print(f"     {venue} {symbol} {qty:+}")
    balance = "balances" if closing.is_balanced else "DOES NOT BALANCE"
    CONSOLE.print(f"     equity {closing.equity_quote:,.2f}; the ledger {balance}")


def _tell(settings: Settings, summary: Summary, path: Path) -> None:
    total_s = sum(stage.seconds for stage in summary.stages)
    CONSOLE.print(f"\ndone in {total_s / 60:.1f} minutes, {summary.figures['peak_rss_mb']:,} MB at most", style="bold")
    CONSOLE.print(f"  report   {settings.var / 'report.html'}")
    CONSOLE.print(f"  summary  {path}")
    CONSOLE.print(f"  lake     {settings.lake.uri}")
    CONSOLE.print(f"  models   {settings.models_folder}")
    CONSOLE.print(f"  journal  {settings.var / 'live' / 'journal.sqlite'}")
    CONSOLE.print(
        "next: helio demo (fetches nothing twice) · helio verify --config configs/demo.yaml · helio sweep --config configs/demo.yaml"
    )
    CONSOLE.print("      helio demo --market live (the real venues, no keys) · docs/usage.md")
