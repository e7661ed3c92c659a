"""One trial of a search: fit one fold of one candidate, on data that ends before the test slice, and value it."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ray import tune

from heliograph.backtest import feed, metrics
from heliograph.backtest import run as replay
from heliograph.cluster import strategy
from heliograph.cluster.trials import SKILL, VALUE
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, CorruptPart, DataError, InvariantBroken
from heliograph.core.timeframe import parse
from heliograph.lake import read
from heliograph.sources.catalog import rules_of
from heliograph.train import dataset, fold, ledger, loop, outcomes, selection, space
from heliograph.train.outcomes import Outcome
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData
from heliograph.wiring import catalogue


def trial(config: dict[str, Any], settings: Settings, folds: Sequence[Fold], folder: Path) -> None:
    """Fit ``config["fold"]`` of ``config["candidate"]``, whose point is the rest, and note the outcome in ``folder``.

    It is noted in the ledger before it runs. What the settings themselves make impossible, on these candles, is an
    outcome too; anything else that breaks is Tune's to try again.
    """
    number, index = int(config["candidate"]), int(config["fold"])
    point = {name: value for name, value in config.items() if name not in ("candidate", "fold")}
    candidate = space.candidate(settings, point)
    started_s = time.monotonic()
    noted = {"candidate": candidate.fingerprint, "fold": index, "run": folder.name, "number": number, **point}
    with ledger.Running(candidate, noted) as running:
        try:
            told = _valued(candidate, folds[index])
            outcome = Outcome(told.pop(VALUE), "", told, time.monotonic() - started_s)
        except CorruptPart:
            raise
        except (ConfigError, DataError, InvariantBroken) as e:
            outcome = Outcome(None, str(e), {}, time.monotonic() - started_s)
        running.end(outcome.metrics, state="failed" if outcome.value is None else "done", error=outcome.error)
    outcomes.write_fold(folder, number, index, outcome)
    tune.report({VALUE: outcome.value, "epoch": candidate.train.epochs})


def _valued(candidate: Settings, chosen: Fold) -> dict[str, float]:
    past = selection.inner(dataset.read_symbols(candidate), chosen)
    with tempfile.TemporaryDirectory(prefix="helio-trial-") as place:  # the chosen candidate's weights are fitted anew
        return value(candidate, past, chosen, Path(place))


def value(candidate: Settings, past: Sequence[SymbolData], chosen: Fold, place: Path) -> dict[str, float]:
    """Fit on the train slice and measure on the validation slice.

    Args:
        past: what is known before the fold's test slice, as of `selection.inner`.

    Returns:
        The objective as `VALUE`, and the figures behind it.
    """
    best = {SKILL: -math.inf, "best_epoch": 0.0}

    def tell(epoch: int, measured: dict[str, float], _: object) -> None:
        if measured[SKILL] > best[SKILL]:
            best.update({SKILL: measured[SKILL], "best_epoch": float(epoch)})
        tune.report({**measured, "epoch": epoch})

    fitted = loop.fit(
        past,
        chosen,
        spec=dataset.spec(candidate),
        model=candidate.model,
        settings=candidate.train.model_copy(update={"strategy": "single", "workers": 1}),
        folder=place,
        worker=strategy.alone(candidate.train, on_epoch=tell),
    )
    if candidate.sweep.objective == "skill":
        return {VALUE: best[SKILL], **best}
    sharpe = _sharpe(candidate, past, chosen, fitted)
    return {VALUE: sharpe, "sharpe": sharpe, **best}


def _sharpe(candidate: Settings, past: Sequence[SymbolData], chosen: Fold, fitted: Path) -> float:
    """Of a backtest over the validation slice, after costs; zero where nothing was traded.

    The forecasts are calibrated on the slice that they trade, which flatters every candidate alike.
    """
    model = fold.finish(fitted, past, chosen, folder=fitted.parent / "model", provenance={})
    table, _ = fold.forecasts(model, fold.OuterSlice(past, replace(chosen, test=chosen.validation)))
    lake, name = candidate.lake, candidate.features.timeframe
    keys = sorted({(r["venue"], r["symbol"]) for r in table.select(["venue", "symbol"]).to_pylist()})
    result = replay.run(
        feed.bars(
            {(v, s): read.candles(lake, v, s, name, end_ms=chosen.validation[1]) for v, s in keys},
            [table],
            parse(name),
            close_delay_ms={v: rules_of(v, s).close_delay_ms for v, s in keys},
            interval_ms=chosen.validation,
        ),
        timeframe=parse(name),
        markets=catalogue.backtested(lake, keys),
        limits=candidate.risk,
        costs=candidate.costs,
    )
    sharpe = metrics.of_curve(result.equity_quote, result.timeframe).sharpe
    return sharpe if math.isfinite(sharpe) else 0.0
