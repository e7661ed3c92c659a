"""How good the forecasters are: expanding refits over recorded candles, all of them at the same test origins.

    python tests/bench/model.py [--candles DIR] [--test-from 2023-01] [--test-to 2024-12] [--symbols BTC/USDT …] [--quick]

DIR holds ``BTC-USDT/1h.parquet`` and so on (ts of the open in UTC ms, open, high, low, close, volume). Every refit sees
nothing but what was known before its test slice. JSON lines go to stdout, progress to stderr.
"""

from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.bench import speed

from heliograph.config.load import load
from heliograph.config.settings import Settings
from heliograph.core.calendars import grid
from heliograph.features import table
from heliograph.model.spec import Spec
from heliograph.train import fits, protocol, said, score, tables
from heliograph.train.pool import spec_of
from heliograph.train.protocol import Fit, Fitted, Plan, Task, moment_ms
from heliograph.train.said import Outcome
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData

RECORDED = Path(__file__).resolve().parents[3] / "shared" / "data" / "candles" / "binance"
CONFIG = Path(__file__).resolve().parents[2] / "configs" / "model.yaml"

QUICK_SYMBOLS = ("BTC/USDT", "ETH/USDT", "XRP/USDT")
QUICK_YEARS = 2

_shared: dict[str, Any] = {}


@dataclass(frozen=True)
class Run:
    """What one call measures.

    Attributes:
        names: of the forecasters; all where it is empty.
        first_ms: candles before it are left away.
        workers: refits side by side.
    """

    candles: Path
    venue: str
    symbols: tuple[str, ...]
    settings: Settings
    plan: Plan
    names: tuple[str, ...] = ()
    first_ms: int = 0
    workers: int = 2
    seed: int = 1

    @property
    def spec(self) -> Spec:
        """Of all its forecasters."""
        return spec_of(
            table.names(self.settings.features),
            self.settings.labels,
            self.settings.model,
            self.settings.features.timeframe,
        )


def main() -> None:
    """Read the command line, measure, print."""
    torch.set_num_threads(1)
    asked = arguments().parse_args()
    run = quick(asked) if asked.quick else whole(asked)
    outcome = measure(run)
    for check, figures in lines(outcome, run):
        report(check, **figures)
    if not asked.quick:
        speed.main()


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(description="Score all forecasters by one protocol.")
    parser.add_argument("--candles", type=Path, default=RECORDED, help="folder of <SYMBOL>/<timeframe>.parquet")
    parser.add_argument("--venue", default="binance", help="whose calendar the candles keep")
    parser.add_argument("--config", type=Path, default=CONFIG, help="settings of the model")
    parser.add_argument("--timeframe", default="1h")
    parser.add_argument("--test-from", default="2023-01", help="first month or day of the test")
    parser.add_argument("--test-to", default="2024-12", help="last month or day of the test")
    parser.add_argument("--symbols", nargs="*", default=[], help="unified names; all that there are by default")
    parser.add_argument("--forecasters", nargs="*", default=[], help="all by default")
    parser.add_argument("--refit-months", type=int, default=6, help="all are fitted anew so often")
    parser.add_argument("--workers", type=int, default=2, help="refits side by side, a core each")
    parser.add_argument("--quick", action="store_true", help="three symbols, one refit, a small network")
    return parser


def whole(asked: argparse.Namespace) -> Run:
    """The table that is published."""
    return Run(
        asked.candles,
        asked.venue,
        tuple(asked.symbols),
        settings_of(asked.config, asked.timeframe),
        Plan(moment_ms(asked.test_from), moment_ms(asked.test_to, is_end=True), refit_months=asked.refit_months),
        names=tuple(asked.forecasters),
        workers=asked.workers,
    )


def quick(asked: argparse.Namespace) -> Run:
    """The same on little: the first half year of the test, two years of history."""
    run = whole(asked)
    plan = replace(run.plan, validation_days=120, every_bars=8)
    plan = replace(plan, test_to_ms=min(plan.test_to_ms, protocol.months_later(plan.test_from_ms, plan.refit_months)))
    return replace(
        run,
        plan=plan,
        settings=small(run.settings),
        symbols=run.symbols or QUICK_SYMBOLS,
        first_ms=protocol.months_later(plan.test_from_ms, -12 * QUICK_YEARS),
        workers=1,
    )


def settings_of(config: Path, timeframe: str) -> Settings:
    """Those that a release is trained with."""
    settings = load(config)
    return settings.model_copy(update={"features": settings.features.model_copy(update={"timeframe": timeframe})})


def small(settings: Settings) -> Settings:
    """A network and a fit that take seconds."""
    model = settings.model.model_copy(update={"width": 16})
    train = settings.train.model_copy(
        update={"epochs": 3, "samples_per_epoch": 4_096, "batch_size": 256, "companion_samples": 4_096}
    )
    return settings.model_copy(update={"model": model, "train": train})


def measure(run: Run) -> Outcome:
    """Features, labels, refits: what every forecaster said at every test origin."""
    data = read(run)
    timeframe = grid(run.venue, run.settings.features.timeframe)
    first_ms = min(int(d.known_ts_ms[0]) for d in data)
    folds = protocol.folds(run.plan, first_ms, timeframe, longest_horizon_bars=max(run.spec.horizons_bars))
    progress = Progress(len(folds) * len(run.names or fits.makers(run.settings)))
    with tempfile.TemporaryDirectory() as folder:
        work = partial(refit, run=run, folder=Path(folder))
        if run.workers == 1 or len(folds) == 1:
            share(data, progress)
            return said.end_to_end([work(fold) for fold in folds])
        context = multiprocessing.get_context("spawn")
        progress = progress.shared_by(context)
        with ProcessPoolExecutor(run.workers, context, initializer=share, initargs=(data, progress)) as pool:
            longest_first = list(pool.map(work, reversed(folds)))
    return said.end_to_end(longest_first[::-1])


def read(run: Run) -> list[SymbolData]:
    """Features and labels of the symbols."""
    found = protocol.read_candles(run.candles, run.settings.features.timeframe, run.symbols or None)
    for symbol, candles in found.items():
        late = candles.open_ts_ms >= run.first_ms
        found[symbol] = replace(candles, **{name: getattr(candles, name)[late] for name in candles.__slots__})
        tell(f"{symbol}: {len(found[symbol]):,} candles")
    made = protocol.symbols_data(found, venue=run.venue, features=run.settings.features, label=run.settings.labels)
    tell(f"{made[0].x_NF.shape[1]} features")
    return made


def share(data: Sequence[SymbolData], progress: Progress) -> None:
    """Give a process what all refits read."""
    torch.set_num_threads(1)
    _shared.update(data=data, progress=progress)


def refit(fold: Fold, *, run: Run, folder: Path) -> Outcome:
    """One refit in this process."""
    progress: Progress = _shared["progress"]
    shop = fits.workshop(run.settings)
    made = shop.fits(run.names)
    return protocol.refit(
        _shared["data"],
        fold,
        spec=run.spec,
        fits={name: progress.watched(f"refit {fold.index + 1} {name}", fit) for name, fit in made.items()},
        plan=run.plan,
        seed=run.seed,
        folder=folder / str(fold.index),
        releases=shop.releases(made),
    )


class Progress:
    """How many fits are done, and when the rest will be; one count for all processes."""

    def __init__(self, total: int, count: Any = None) -> None:
        self.total, self.start, self.count = total, time.time(), count or multiprocessing.Value("i", 0)

    def shared_by(self, context: Any) -> Progress:
        """The same, for processes of this context."""
        return Progress(self.total, context.Value("i", 0))

    def watched(self, label: str, fit: Fit) -> Fit:
        """A fit that tells when it is over."""

        def told(task: Task) -> Fitted:
            start = time.perf_counter()
            made = fit(task)
            with self.count.get_lock():
                self.count.value += 1
                done = self.count.value
            left_s = (time.time() - self.start) * (self.total / done - 1)
            tell(
                f"{label}: {time.perf_counter() - start:.1f} s; {done} of {self.total}, about {left_s / 60:.0f} min left"
            )
            return made

        return told


def lines(outcome: Outcome, run: Run) -> list[tuple[str, dict[str, Any]]]:
    """All tables, as (check, figures)."""
    spec = run.spec
    rows = tables.skill(outcome, spec, every_bars=run.plan.every_bars)
    released = fits.RELEASED if fits.RELEASED in outcome.said else list(outcome.said)[-1]
    return [
        *(("skill", asdict(row)) for row in rows),
        *(("ablation", line) for line in ablation(rows, spec)),
        *(("calibration", line) for line in calibration(outcome, released, spec, rows)),
        *(
            ("confidence", {"forecaster": released, **asdict(row), "top_less_all": row.top_hit - row.hit_rate})
            for row in tables.confidence(outcome.truth, outcome.said[released], spec.horizons_bars)
        ),
    ]


def ablation(rows: Sequence[tables.Skill], spec: Spec) -> list[dict[str, Any]]:
    """Skill over HAR of the network's variants, alone and in the ensemble, beside the trees; and without fitting anew."""
    told = {(r.forecaster, r.horizon_bars): r.vs_har_pct for r in rows}
    names = [fits.TREES, *fits.NETWORKS, *fits.ENSEMBLES, fits.HELD]
    return [
        {"horizon_bars": h, "vs_har_pct": {n: told[n, h] for n in names if (n, h) in told}} for h in spec.horizons_bars
    ]


def calibration(outcome: Outcome, released: str, spec: Spec, rows: Sequence[tables.Skill]) -> list[dict[str, Any]]:
    """Coverage of the released forecaster and of what it was before its tracker, by horizon and regime."""
    truth, after = outcome.truth, outcome.said[released]
    before = outcome.said.get(fits.ENSEMBLE, after)
    (before_H, before_all), (after_H, after_all) = (tables.cover(truth, s, spec.levels) for s in (before, after))
    loss = {(r.forecaster, r.horizon_bars): r.pinball_bp for r in rows}
    told = tables.confidence(truth, after, spec.horizons_bars)
    pit_HK = score.pit_density(truth.y_NH, after.quantile_NHQ, spec.levels)
    made: list[dict[str, Any]] = [
        {
            "forecaster": released,
            "horizon_bars": "all",
            "before": asdict(before_all),
            "after": asdict(after_all),
            "crossings": {name: score.crossings(s.quantile_NHQ) for name, s in outcome.said.items()},
        }
    ]
    for h, horizon_bars in enumerate(spec.horizons_bars):
        was, now = loss.get((fits.ENSEMBLE, horizon_bars), math.nan), loss[released, horizon_bars]
        made.append(
            {
                "forecaster": released,
                "horizon_bars": horizon_bars,
                "before": asdict(before_H[h]),
                "after": asdict(after_H[h]),
                "tracker_cost_pct": 100.0 * (now / was - 1.0),
                "direction_ece": told[h].ece,
                "direction_ece_of_chance": told[h].ece_of_chance,
                "pit_density": pit_HK[h].tolist(),
            }
        )
    return made


def report(check: str, **figures: Any) -> None:
    """One JSON line; what is not known is null."""
    sys.stdout.write(json.dumps({"check": check, **_plain(figures)}) + "\n")
    sys.stdout.flush()


def tell(text: str) -> None:
    """A line of progress."""
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(v) for v in value]
    if isinstance(value, (float, np.floating)):
        return float(f"{value:.4g}") if math.isfinite(value) else None
    return value


if __name__ == "__main__":
    main()
