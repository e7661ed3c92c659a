"""The `helio` command: parse, load the settings, make one call, say what came of it.

Exit codes: 0 done · 1 a stage failed · 2 the settings, the arguments or the machine are wrong.
"""

# Commands import what they need when they run: `helio --help` must not wait for Ray and torch.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from heliograph.cli import audit, lake, models, prove, score
from heliograph.cli.options import Config, Override, settings_of
from heliograph.core.errors import ConfigError, HeliographError
from heliograph.telemetry import log
from heliograph.telemetry.progress import CONSOLE, bar

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)

app.add_typer(lake.app, name="lake")
app.add_typer(models.app, name="models")
app.command()(models.reproduce)
app.command()(audit.audit)
app.command("prove-features")(prove.prove_features)
app.command()(score.score)

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def _tell(result: DataclassInstance) -> None:
    """The result as JSON."""
    CONSOLE.print_json(json.dumps(_named(asdict(result)), default=str))


def _named(value: Any) -> Any:
    """Keys such as (venue, symbol) as text."""
    if isinstance(value, dict):
        return {":".join(map(str, k)) if isinstance(k, tuple) else str(k): _named(v) for k, v in value.items()}
    return value


@app.command()
def demo(
    tape: Annotated[
        Path | None, typer.Option(help="a folder of candle Parquet to play, <symbol>/<timeframe>.parquet")
    ] = None,
    market: Annotated[
        Literal["sandbox", "live"], typer.Option(help="sandbox, or the venues' real public endpoints")
    ] = "sandbox",
    live_bars: Annotated[int, typer.Option(min=2, help="bars that the sandbox keeps back for live trading")] = 96,
    pace_s: Annotated[float, typer.Option(min=0.0, help="real seconds that a live bar of the sandbox takes")] = 0.25,
    config: Config = None,
    overrides: Override = None,
) -> None:
    """Run everything once: sandbox, fetch, features, train, backtest, serve, trade on paper."""
    from heliograph.cli import demo as story

    play = story.Play(tape, live_bars, pace_s) if market == "sandbox" else None
    story.run(play, config=config, overrides=tuple(overrides or ()))


@app.command()
def fetch(
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="say what would be fetched: symbols, requests, time, bytes; fetch nothing")
    ] = False,
    config: Config = None,
    overrides: Override = None,
) -> None:
    """Download what the lake lacks: archives first, then the venues."""
    settings = settings_of(config, overrides)
    from heliograph.cluster import fetch as stage
    from heliograph.cluster.session import session
    from heliograph.ingest.tally import words

    if dry_run:
        with session():
            planned = stage.preview(settings)
        for row in planned:
            CONSOLE.print(words(row))
        CONSOLE.print(f"{sum(row.requests for row in planned):,} requests; nothing was fetched")
        return
    with session(), bar("fetch") as shown:
        report = stage.run(settings, shown)
    _tell(report)
    if report.failed:
        raise HeliographError(
            f"{len(report.failed)} shards failed and will be tried again by the next run; the first: {report.failed[0]}"
        )


@app.command()
def features(config: Config = None, overrides: Override = None) -> None:
    """Compute the features of every fetched symbol."""
    settings = settings_of(config, overrides)
    from heliograph.cluster import featurize as stage
    from heliograph.cluster.session import session

    with session(), bar("features") as shown:
        _tell(stage.run(settings, shown))


@app.command()
def train(config: Config = None, overrides: Override = None) -> None:
    """Fit and score the walk-forward folds; the last fold's model becomes the current one."""
    settings = settings_of(config, overrides)
    from heliograph.cluster import fit as stage
    from heliograph.cluster.session import session

    with session(), bar("train") as shown:
        _tell(stage.run(settings, shown))


@app.command()
def sweep(config: Config = None, overrides: Override = None) -> None:
    """Search over model settings; every fold of every candidate is a trial."""
    settings = settings_of(config, overrides)
    from heliograph.cluster import sweep as stage
    from heliograph.cluster.session import session

    with session(), bar("sweep") as shown:
        _tell(stage.run(settings, shown))


@app.command()
def backtest(config: Config = None, overrides: Override = None) -> None:
    """Trade the out-of-sample forecasts of the current model and write the report."""
    settings = settings_of(config, overrides)
    from heliograph.wiring import evaluation

    with bar("backtest") as shown:
        _tell(evaluation.run(settings, shown))


@app.command()
def serve(config: Config = None, overrides: Override = None) -> None:
    """Serve forecasts and signals over REST and WebSocket until interrupted."""
    import signal

    from heliograph.cluster.serving import serving
    from heliograph.cluster.session import session

    settings = settings_of(config, overrides)
    with session(), serving(settings):
        CONSOLE.print(
            f"http://{settings.serve.host}:{settings.serve.port}/v1/docs  (key: {settings.var / 'serve.key'}; Ctrl-C stops)"
        )
        signal.sigwait({signal.SIGINT, signal.SIGTERM})


@app.command()
def trade(config: Config = None, overrides: Override = None) -> None:
    """Run the execution actor on live candles, on paper."""
    settings = settings_of(config, overrides)
    from heliograph.cluster.executor import run
    from heliograph.cluster.session import session

    with session(), bar("trade") as shown:
        _tell(run(settings, shown))


@app.command()
def verify(
    repair: Annotated[
        bool, typer.Option("--repair", help="fetch the broken parts' candles again and swap the parts")
    ] = False,
    archives: Annotated[
        bool, typer.Option("--archives", help="also ask the bulk archives which of their files were issued anew since")
    ] = False,
    config: Config = None,
    overrides: Override = None,
) -> None:
    """Check every part of the lake against its checksum; names each that is not what was written."""
    settings = settings_of(config, overrides)
    from heliograph.lake import audit, delta
    from heliograph.lake.layout import CANDLES_TABLE
    from heliograph.lake.tables import TABLES

    there = [name for name in TABLES if name == CANDLES_TABLE or delta.open_table(settings.lake, name) is not None]
    broken = [part for name in there for part in audit.verify(settings.lake, table=name)]
    if archives:
        from heliograph.cluster import repair as mending

        with bar("archives") as shown:
            broken += mending.outdated(settings, shown)
    for part in broken:
        CONSOLE.print(str(part))
    if not broken:
        CONSOLE.print("every part is what was written")
        return
    if not repair:
        raise HeliographError(f"{len(broken)} broken: run `helio verify --repair` to fetch their candles again")
    from heliograph.cluster import repair as mending
    from heliograph.cluster.session import session

    with session(), bar("repair") as shown:
        stuck = mending.repair(settings, broken, shown)
    for told in stuck:
        CONSOLE.print(told)
    if stuck:
        raise HeliographError(
            f"{len(stuck)} of {len(broken)} broken parts could not be mended; the reasons stand above"
        )
    CONSOLE.print(f"{len(broken)} mended")


@app.command()
def doctor(config: Config = None, overrides: Override = None) -> None:
    """Check the machine, the lake, the port and the venues' settings; say what to mend."""
    settings = settings_of(config, overrides)
    from heliograph.cli import doctor as checks

    checks.run(settings)


@app.command()
def sandbox(
    tape: Annotated[Path | None, typer.Option(help="a folder of candle Parquet to play")] = None,
    folder: Annotated[Path, typer.Option(help="where its certificate and log lie")] = Path("var/sandbox"),
) -> None:
    """Run the local venues alone, and print the settings that reach them."""
    from heliograph.cli import demo as story

    story.run_sandbox(tape=tape, folder=folder)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; errors become one clear sentence and an exit code."""
    log.configure()
    # Ray reads these on import. A private Ray says its mode aloud: an old token file would otherwise decide it.
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if "RAY_ADDRESS" not in os.environ:
        os.environ.setdefault("RAY_AUTH_MODE", "disabled")
    try:
        app(args=list(sys.argv[1:] if arguments is None else arguments))
    except ConfigError as e:
        return _fail(e, 2)
    except HeliographError as e:
        return _fail(e, 1)
    except SystemExit as e:  # how Typer ends, with 2 for wrong arguments
        return e.code if isinstance(e.code, int) else int(e.code is not None)
    return 0


def _fail(raised: HeliographError, code: int) -> int:
    error = getattr(raised, "cause", raised)  # what came from a Ray worker carries its whole traceback as its text
    notes = "".join(f"\n  {note}" for note in getattr(error, "__notes__", ()))
    typer.echo(f"helio: {error}{notes}", err=True)
    return code


if __name__ == "__main__":
    sys.exit(main())
