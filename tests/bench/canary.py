"""A canary for leaks: no edge may be claimed on pure noise, a planted one must be found, a shuffled split must show.

    python tests/bench/canary.py [seeds]

Each seed makes two markets and takes them through the whole path: features, labels, a search among a few candidates on
the inner validation slice, calibration, and the outer slice, opened once. An edge is **claimed** where the released
forecaster

* has over its own cone without a direction (its quantiles mirrored at zero and averaged) a pinball skill above 0.1 % with
  a Diebold-Mariano t above 3, or
* hits the sign of the return more often than chance with p below 0.001 (Pesaran & Timmermann 1992, as the mean of
  centred signs with a Newey-West variance), or
* has over the true quantiles of the market, which `truth` knows, a skill above 0.1 % with t above 3: only a leak has it,

at any horizon. A cone that only knows volatility is its own mirror image, so that better volatility is no edge.

**Skill** on noise is what the best of the plain cones (`PLAIN`) does not have: a seed counts as skilled where the released
forecaster has more than 0.1 % over each of them at any horizon, significant or not. Over a single one of them it may have
more, because the volatility of this noise is predictable and each knows it otherwise; ``skill_over`` prints them all.

Noise: random walks with GARCH(1,1) volatility and Student-t shocks; OHLC out of twelve steps a bar. Planted: the same
with an autocorrelation of returns of `PLANTED`. Shuffled: noise whose rows are dealt to the slices at random, each with
its own features and labels; labels that overlap then stand on both sides of every split.
"""

from __future__ import annotations

import json
import math
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.bench.truth import Law

from heliograph.config.learning import LabelSettings
from heliograph.config.settings import FeatureSettings, Settings
from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS
from heliograph.features import table
from heliograph.model.calibrate import pinball
from heliograph.model.ensemble import EnsembleForecaster
from heliograph.model.har import HAR_FEATURES, HarForecaster
from heliograph.model.spec import Forecast, Forecaster
from heliograph.train import anchors, fits, protocol, score
from heliograph.train.fold import baselines, predict
from heliograph.train.pool import spec_of
from heliograph.train.protocol import Fitted, Plan, Task
from heliograph.train.said import Outcome
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData

HORIZONS = (1, 4, 24)
CANDIDATES = ("har_held", "neighbours", "network", "trees", "ensemble")
"""What is searched: the plain cone, one that remembers, and small forms of what a release is made of. The search sees them
fitted on the train slice alone, else it would always take one that knows the validation slice; what it took is then
fitted anew on all that is known, as a release is."""

PLAIN = (*anchors.ANCHORS, "volatility_scaled")
"""The rivals: cones without a direction, each of which knows volatility in its own way."""

TRUTH = "truth"

NUM_BARS, SYMBOLS = 6_000, ("A/USDT", "B/USDT")
TRAIN, VALIDATION = 0.37, 0.10
"""Shares of the bars; over half are left to the outer slice, where a day's returns come only once a day."""

SEEDS, WORKERS = 20, 2
KINDS = ("noise", "planted", "shuffled")

PLANTED = 0.3
"""Autocorrelation of hourly returns; 60 % of the signs are right to one who knows it."""

LEAST_SKILL_PCT, LEAST_DM_T = 0.1, 3.0
LEAST_HIT_T = 3.0902  # p = .001, one side

NEAREST = 30


@dataclass(frozen=True)
class Verdict:
    """What the outer slice says of a released forecaster; tuples run over the horizons.

    Attributes:
        skill_pct, dm_t: over its own cone without a direction.
        volatility_pct: over the plain cone that is the best at that horizon; better volatility shows here.
        hit_rate: share of right signs; ``hit_t`` of what is beyond chance.
        over_pct: over each plain cone and the truth.
        truth_t: Diebold-Mariano t of the skill over the truth.
    """

    skill_pct: tuple[float, ...]
    dm_t: tuple[float, ...]
    volatility_pct: tuple[float, ...]
    hit_rate: tuple[float, ...]
    hit_t: tuple[float, ...]
    over_pct: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    truth_t: tuple[float, ...] = ()

    @property
    def is_claimed(self) -> bool:
        """An edge is claimed at one horizon at least."""
        told = [*zip(self.skill_pct, self.dm_t, strict=True)]
        told += zip(self.over_pct.get(TRUTH, ()), self.truth_t, strict=True)
        return any(s > LEAST_SKILL_PCT and t > LEAST_DM_T for s, t in told) or any(t > LEAST_HIT_T for t in self.hit_t)


class Neighbours:
    """Remembers: its cone comes from the origins of the past whose newest row was most alike. The best nose for a leak."""

    kind = "neighbours"

    def __init__(self, plain: HarForecaster, last_NF: np.ndarray, log_return_NH: np.ndarray) -> None:
        self.plain, self.spec = plain, plain.spec
        self.feature_names, self.window_bars = plain.feature_names, plain.window_bars
        self.horizons_bars, self.levels = plain.horizons_bars, plain.levels
        self.fingerprint = "neighbours"
        self._centre_F, self._spread_F = last_NF.mean(axis=0), last_NF.std(axis=0) + 1e-9
        self._at_NF = (last_NF - self._centre_F) / self._spread_F
        self._z_NH = log_return_NH / plain.har.scale(last_NF)

    def forecast(self, x_BTF: np.ndarray) -> Forecast:
        """Quantiles of what came after the nearest origins, in scales of the plain forecaster."""
        at_BF = (x_BTF[:, -1] - self._centre_F) / self._spread_F
        far_BN = (self._at_NF**2).sum(axis=1) - 2.0 * at_BF @ self._at_NF.T
        z_BKH = self._z_NH[np.argpartition(far_BN, NEAREST, axis=1)[:, :NEAREST]]
        z_BHQ = np.moveaxis(np.quantile(z_BKH, self.levels, axis=1), 0, -1)
        up_BH = (z_BKH > 0).mean(axis=1)
        is_up_BH = z_BHQ[..., len(self.levels) // 2] >= 0
        return Forecast(
            quantile_BHQ=z_BHQ * self.plain.har.scale(x_BTF[:, -1])[..., None],
            setup_BHC=self.plain.forecast(x_BTF).setup_BHC,
            confidence_BH=np.where(is_up_BH, up_BH, 1.0 - up_BH),
        )


def main() -> None:
    """Three worlds a seed, two at a time; one line."""
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    asked = [(kind, seed) for seed in range(seeds) for kind in KINDS]
    told: dict[str, list[Verdict]] = {kind: [] for kind in KINDS}
    start = time.time()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(WORKERS, context, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        for done, ((kind, seed), verdict) in enumerate(zip(asked, pool.map(_judged, asked), strict=True), start=1):
            told[kind].append(verdict)
            left_s = (time.time() - start) * (len(asked) / done - 1)
            mark = "claimed" if verdict.is_claimed else "nothing claimed"
            sys.stderr.write(f"{kind} {seed + 1}: {mark}; about {left_s / 60:.1f} min left\n")
    sys.stdout.write(json.dumps({"check": "canary", **summary(**told)}) + "\n")


def _judged(asked: tuple[str, int]) -> Verdict:
    return judged(*asked)


def summary(noise: Sequence[Verdict], planted: Sequence[Verdict], shuffled: Sequence[Verdict]) -> dict[str, Any]:
    """The counts, and the largest figures that noise gave; ``seeds`` are those with more than 0.1 % at any horizon."""

    def most(name: str, verdicts: Sequence[Verdict]) -> float:
        return round(max(max(getattr(v, name)) for v in verdicts), 3)

    return {
        "noise_seeds": len(noise),
        "claimed": sum(v.is_claimed for v in noise),
        "planted": len(planted),
        "found": sum(v.is_claimed for v in planted),
        "planted_autocorrelation": PLANTED,
        "shuffled": len(shuffled),
        "shuffled_tripped": sum(v.is_claimed for v in shuffled),
        "shuffled_hit_rate": round(float(np.mean([max(v.hit_rate) for v in shuffled])), 3),
        "shuffled_skill_over_truth_mean_pct": round(float(np.mean([max(v.over_pct[TRUTH]) for v in shuffled])), 3),
        "skilled": sum(max(v.volatility_pct) > LEAST_SKILL_PCT for v in noise),
        "skill_max_pct": most("volatility_pct", noise),
        "skill_over": {name: _over([max(v.over_pct[name]) for v in noise]) for name in noise[0].over_pct},
        "direction_skill_max_pct": most("skill_pct", noise),
        "planted_direction_skill_mean_pct": round(float(np.mean([v.skill_pct[0] for v in planted])), 3),
        "hit_rate_max": most("hit_rate", noise),
    }


def _over(most: Sequence[float]) -> dict[str, float]:
    return {"max_pct": round(max(most), 3), "seeds": sum(pct > LEAST_SKILL_PCT for pct in most)}


def judged(kind: str, seed: int) -> Verdict:
    """One world through the whole path; ``kind`` is noise, planted or shuffled."""
    settings = settings_small()
    law = Law(edge=PLANTED if kind == "planted" else 0.0)
    candles = {symbol: market(seed * len(SYMBOLS) + k, edge=law.edge) for k, symbol in enumerate(SYMBOLS)}
    data = protocol.symbols_data(candles, venue="binance", features=settings.features, label=settings.labels)
    if kind == "shuffled":
        data = [dealt(d, seed) for d in data]
    outcome = through(data, settings, seed)
    levels = settings.labels.levels
    return verdict(outcome, true_quantiles(outcome, data, candles, law=law, levels=levels), levels)


def market(seed: int, *, edge: float, num_bars: int = NUM_BARS) -> Candles:
    """A random walk with GARCH(1,1) volatility and an autocorrelation of its returns; volume follows volatility."""
    law = Law(edge=edge)
    rng = np.random.default_rng([seed, round(1e3 * edge)])
    shock = law.shocks(rng, num_bars)
    variance, last = 1.0, 0.0
    close, rows = math.log(100.0), np.empty((num_bars, 6))
    for i in range(num_bars):
        own = law.sigma * math.sqrt(variance) * shock[i]
        path = close + np.cumsum(own + edge * last / law.steps)
        variance = law.after(variance, float(own.sum() / law.sigma))
        volume = 1e3 * math.exp(0.5 * rng.normal()) * (1.0 + abs(own.sum()) / law.sigma)
        rows[i] = (
            1_577_836_800_000 + i * HOUR_MS,
            close,
            max(close, path.max()),
            min(close, path.min()),
            path[-1],
            volume,
        )
        close, last = float(path[-1]), float(path[-1]) - close
    rows[:, 1:5] = np.exp(rows[:, 1:5])
    return Candles.of(rows.tolist())


def dealt(data: SymbolData, seed: int) -> SymbolData:
    """The same rows in random order: what a split at random would deal to train, validation and test."""
    warm = np.flatnonzero(np.isfinite(data.x_NF).all(axis=1) & np.isfinite(data.log_return_NH).all(axis=1))
    order = np.random.default_rng(seed).permutation(warm)
    known = data.known_ts_ms[warm]
    ahead = data.end_ts_ms_NH[order] - data.known_ts_ms[order][:, None]
    return replace(
        data,
        known_ts_ms=known,
        close=data.close[order],
        x_NF=data.x_NF[order],
        log_return_NH=data.log_return_NH[order],
        setup_NH=data.setup_NH[order],
        end_ts_ms_NH=known[:, None] + ahead,
    )


def through(data: Sequence[SymbolData], settings: Settings, seed: int) -> Outcome:
    """Search, calibration and the outer slice, purged by the longest label."""
    spec = spec_of(table.names(settings.features), settings.labels, settings.model)
    first, last = int(data[0].known_ts_ms[0]), int(data[0].known_ts_ms[-1])
    a, b = (first + int(share * (last - first)) // HOUR_MS * HOUR_MS for share in (TRAIN, TRAIN + VALIDATION))
    gap = max(spec.horizons_bars) * HOUR_MS
    fold = Fold(0, (first, a - gap), (a, b - gap), (b, last + 1))
    shop = fits.Workshop({**fits.makers(settings), **own_makers()}, {**fits.again(settings), **own_again()})
    with tempfile.TemporaryDirectory() as folder:
        return protocol.refit(
            data,
            fold,
            spec=spec,
            fits=shop.fits([*PLAIN, "released"]),
            plan=Plan(b, last, every_bars=1, least_rows=200),
            seed=seed,
            folder=Path(folder),
        )


def settings_small() -> Settings:
    """Small enough for scores of markets in minutes."""
    plain = Settings()
    return plain.model_copy(
        update={
            "features": FeatureSettings(names=("core", *HAR_FEATURES)),
            "labels": LabelSettings(horizons_bars=HORIZONS),
            "model": plain.model.model_copy(update={"window_bars": 16, "width": 8, "dropout": 0.1}),
            "train": plain.train.model_copy(
                update={
                    "epochs": 6,
                    "samples_per_epoch": 8_192,
                    "batch_size": 128,
                    "learning_rate": 4e-3,
                    "companion_samples": 2_048,
                    "companion_epochs": 2,
                }
            ),
            "trees": plain.trees.model_copy(
                update={"rounds": 60, "learning_rate": 0.1, "l2": 5.0, "feature_fraction": 0.5, "every_bars": 1}
            ),
        }
    )


def own_makers() -> dict[str, fits.Maker]:
    """Candidates and rivals that the skill table does without, and the search."""
    return {
        "har_held": har_held,
        "neighbours": neighbours,
        "released": released,
        "volatility_scaled": volatility_scaled,
    }


def own_again() -> dict[str, fits.Again]:
    """The same, fitted on all that is known."""
    return {"har_held": har_again, "neighbours": neighbours_again, "released": released_again}


def har_held(task: Task, others: fits.Others) -> Fitted:
    """The pooled HAR of the train slice alone."""
    return anchors.har_pooled(replace(task, fold=replace(task.fold, test=task.fold.validation)))


def har_again(task: Task, others: fits.Others, held: Fitted) -> Fitted:
    """The pooled HAR."""
    return others("har_pooled")


def volatility_scaled(task: Task, others: fits.Others) -> Fitted:
    """σ√h times the quantiles of the train slice."""
    return fits.for_all(task, baselines(task.data, task.fold, task.spec)["volatility_scaled"])


def neighbours(task: Task, others: fits.Others) -> Fitted:
    """The train slice, remembered."""
    return remembering(task, others, [task.train_rows(d) for d in task.data])


def neighbours_again(task: Task, others: fits.Others, held: Fitted) -> Fitted:
    """All that is known, remembered."""
    return remembering(task, others, [task.rows(d) for d in task.data])


def remembering(task: Task, others: fits.Others, rows: Sequence[np.ndarray]) -> Fitted:
    """One that knows these rows of each symbol by heart."""
    last_NF = np.concatenate([d.x_NF[r] for d, r in zip(task.data, rows, strict=True)])
    y_NH = np.concatenate([d.log_return_NH[r] for d, r in zip(task.data, rows, strict=True)])
    return fits.for_all(task, Neighbours(others("har_held")[task.data[0].symbol], last_NF, y_NH))


def released(task: Task, others: fits.Others) -> Fitted:
    """The candidate that serves the validation slice best, chosen for each horizon by itself: least mean pinball."""
    made = [others(name)[task.data[0].symbol] for name in CANDIDATES]
    loss_MH = np.array([np.mean([_loss(f, d, task) for d in task.data], axis=0) for f in made])
    is_best_HM = np.eye(len(made))[loss_MH.argmin(axis=0)]
    return fits.for_all(task, EnsembleForecaster(made, is_best_HM))


def released_again(task: Task, others: fits.Others, held: Fitted) -> Fitted:
    """What was chosen."""
    made = [others(name)[task.data[0].symbol] for name in CANDIDATES]
    return fits.for_all(task, EnsembleForecaster(made, held[task.data[0].symbol].weight_HM))


def _loss(forecaster: Forecaster, data: SymbolData, task: Task) -> np.ndarray:
    rows = task.validation_rows(data)
    told = predict(forecaster, data, rows)
    return pinball(data.log_return_NH[rows], told.quantile_BHQ, task.spec.levels).mean(axis=0)


def true_quantiles(
    outcome: Outcome,
    data: Sequence[SymbolData],
    candles: Mapping[str, Candles],
    *,
    law: Law,
    levels: tuple[float, ...],
) -> np.ndarray:
    """Quantiles of the law after each origin of the outer slice, dealt or not: a row is known by its close."""
    truth = outcome.truth
    made_NHQ = np.empty((*truth.y_NH.shape, len(levels)))
    for k, symbol in enumerate(data):
        mine_N = truth.symbol_N == k
        close_N = symbol.close[np.searchsorted(symbol.known_ts_ms, truth.known_ts_ms[mine_N])]
        bars = candles[symbol.symbol]
        order = np.argsort(bars.close)
        bar_N = order[np.searchsorted(bars.close, close_N, sorter=order)]
        variance_N, return_N = law.state(bars)
        made_NHQ[mine_N] = law.quantiles(variance_N[bar_N], return_N[bar_N], horizons=HORIZONS, levels=levels)
    return made_NHQ


def verdict(outcome: Outcome, true_NHQ: np.ndarray, levels: tuple[float, ...]) -> Verdict:
    """Skill over the cone without a direction, over the plain cones and the truth, and hits beyond chance."""
    truth, said = outcome.truth, {name: s.quantile_NHQ for name, s in outcome.said.items()}
    quantile_NHQ = said.pop("released")
    rivals = {**said, TRUTH: true_NHQ, "mirrored": 0.5 * (quantile_NHQ - quantile_NHQ[..., ::-1])}
    ours_NH = pinball(truth.y_NH, quantile_NHQ, levels)
    loss = {name: pinball(truth.y_NH, q_NHQ, levels) for name, q_NHQ in rivals.items()}
    pct = {name: 100.0 * (1.0 - ours_NH.mean(axis=0) / loss_NH.mean(axis=0)) for name, loss_NH in loss.items()}
    t = {n: score.dm_by_horizon(truth.known_ts_ms, loss[n] - ours_NH, HORIZONS) for n in (TRUTH, "mirrored")}
    median_NH = quantile_NHQ[..., len(levels) // 2]
    hits = [
        hits_beyond_chance(truth.known_ts_ms, median_NH[:, h], truth.y_NH[:, h], bars)
        for h, bars in enumerate(HORIZONS)
    ]
    return Verdict(
        skill_pct=tuple(pct.pop("mirrored").tolist()),
        dm_t=t["mirrored"],
        volatility_pct=tuple(np.min([pct[name] for name in PLAIN], axis=0).tolist()),
        hit_rate=tuple(rate for rate, _ in hits),
        hit_t=tuple(t for _, t in hits),
        over_pct={name: tuple(pct_H.tolist()) for name, pct_H in pct.items()},
        truth_t=t[TRUTH],
    )


def hits_beyond_chance(
    known_ts_ms: np.ndarray, median_N: np.ndarray, y_N: np.ndarray, bars: int
) -> tuple[float, float]:
    """Share of right signs, and t of the mean product of both signs, each less its mean; NaN where one never changes.

    The lag is twice the overlap of the labels, because a Bartlett window over just the overlap counts it too low.
    """
    said_N, came_N = np.where(median_N >= 0, 1.0, -1.0), np.sign(y_N)
    both_N = (said_N - said_N.mean()) * (came_N - came_N.mean())
    t = score.diebold_mariano(score.mean_by_moment(known_ts_ms, both_N), lag=2 * (bars - 1))
    moved = y_N != 0
    return float((said_N == came_N)[moved].mean()), t


if __name__ == "__main__":
    main()
