"""The tables of the protocol, as plain rows: skill, calibration and confidence of forecasters at the same origins.

Shapes: N test origins of all symbols, S symbols, H horizons, Q quantile levels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.model.calibrate import pinball
from heliograph.model.spec import Spec
from heliograph.train import chance, score
from heliograph.train.said import Outcome, Said, Truth

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

HAR, UNCONDITIONAL, EWMA = "har", "unconditional", "ewma_t"
"""The rivals that a skill is measured over: the volatility model of each symbol is the honest one."""

REGIMES = ("calm", "usual", "wild")

_NOMINALS = (0.8, 0.95)
_BINS = 10


@dataclass(frozen=True, slots=True)
class Skill:
    """One forecaster at one horizon.

    Attributes:
        vs_har_pct, vs_uncond_pct, vs_ewma_pct: per cent of mean pinball less than the rival's, each symbol for itself,
            averaged over the symbols; NaN where the rival was not fitted.
        dm_t: Diebold-Mariano t of the cross-sectional mean loss difference to HAR, positive where this one is better.
        worst_symbol_pct: least ``vs_har_pct`` of a symbol; ``worst_symbol`` has it.
        cov80, cov95: share of outcomes within the interval.
        pinball_bp: mean loss, basis points of log-return.
    """

    forecaster: str
    horizon_bars: int
    vs_har_pct: float
    vs_uncond_pct: float
    vs_ewma_pct: float
    dm_t: float
    worst_symbol_pct: float
    worst_symbol: str
    cov80: float
    cov95: float
    pinball_bp: float


@dataclass(frozen=True, slots=True)
class Cover:
    """How often outcomes fell within two intervals.

    Attributes:
        cov80, cov95: share, by ``all`` and each of `REGIMES`; NaN where a regime has no origin.
        monthly_deviation80: mean over calendar months of the distance between a month's share and 0.8.
    """

    cov80: dict[str, float]
    cov95: dict[str, float]
    monthly_deviation80: float


@dataclass(frozen=True, slots=True)
class Confidence:
    """How well one forecaster knows the sign of the return at one horizon; unmoved prices are left out.

    Attributes:
        hit_rate: of all origins; ``top_hit`` of the most confident tenth, ``top_stated`` what was stated there.
        abstention: hit rate of the most confident share, from all of them down to a tenth by tenths.
        is_monotone: nowhere does the curve fall by more than one standard error of its smaller share.
        top_error: standard error of ``top_hit`` less ``top_stated``.
        auc, brier_skill_pct, ece: of the probability of a rise; Brier skill over the rate of rises of all origins.
        ece_of_chance: what ``ece`` would be on average if every stated probability were true; see `train.chance`.
        rank_ic: mean rank correlation of that probability and the return across the symbols of a moment.
    """

    horizon_bars: int
    hit_rate: float
    top_hit: float
    top_stated: float
    top_error: float
    abstention: tuple[float, ...]
    is_monotone: bool
    auc: float
    brier_skill_pct: float
    ece: float
    ece_of_chance: float
    rank_ic: float


def losses(outcome: Outcome, levels: tuple[float, ...]) -> dict[str, FloatArray]:
    """Pinball of every forecaster at every origin, float64[N, H]."""
    return {name: pinball(outcome.truth.y_NH, said.quantile_NHQ, levels) for name, said in outcome.said.items()}


def skill(outcome: Outcome, spec: Spec, *, every_bars: int = 1) -> list[Skill]:
    """A row for each forecaster and horizon."""
    truth, loss = outcome.truth, losses(outcome, spec.levels)
    mean_SH = {name: by_symbol(value, truth) for name, value in loss.items()}
    rows = []
    for name, said in outcome.said.items():
        vs = {r: _skill_pct(mean_SH[name], mean_SH.get(r)) for r in (HAR, UNCONDITIONAL, EWMA)}
        cover = score.coverage(truth.y_NH, said.quantile_NHQ, spec.levels)
        rival = loss.get(HAR, np.full_like(loss[name], np.nan))
        dm_H = score.dm_by_horizon(truth.known_ts_ms, rival - loss[name], spec.horizons_bars, every_bars=every_bars)
        for h, horizon_bars in enumerate(spec.horizons_bars):
            worst = _worst(vs[HAR][:, h])
            rows.append(
                Skill(
                    forecaster=name,
                    horizon_bars=horizon_bars,
                    vs_har_pct=_mean(vs[HAR][:, h]),
                    vs_uncond_pct=_mean(vs[UNCONDITIONAL][:, h]),
                    vs_ewma_pct=_mean(vs[EWMA][:, h]),
                    dm_t=dm_H[h],
                    worst_symbol_pct=float(vs[HAR][worst, h]) if worst is not None else float("nan"),
                    worst_symbol=truth.symbols[worst] if worst is not None else "",
                    cov80=cover[0.8][h],
                    cov95=cover[0.95][h],
                    pinball_bp=1e4 * float(loss[name][:, h].mean()),
                )
            )
    return rows


def by_symbol(loss_NH: FloatArray, truth: Truth) -> FloatArray:
    """Mean of each symbol's origins, float64[S, H]; NaN for a symbol without any."""
    count_S = np.bincount(truth.symbol_N, minlength=len(truth.symbols)).astype(np.float64)
    count_S[count_S == 0] = np.nan
    mean: FloatArray = np.stack(
        [np.bincount(truth.symbol_N, weights=column, minlength=count_S.size) / count_S for column in loss_NH.T], axis=-1
    )
    return mean


def cover(truth: Truth, said: Said, levels: tuple[float, ...]) -> tuple[list[Cover], Cover]:
    """Coverage of each horizon, and of all horizons together."""
    inside = {n: _inside(truth.y_NH, said.quantile_NHQ, levels, n) for n in _NOMINALS}
    month_N = truth.known_ts_ms.astype("datetime64[ms]").astype("datetime64[M]").astype(np.int64)

    def of(columns: slice) -> Cover:
        by_regime = {
            n: {"all": _mean(v[:, columns])}
            | {r: _mean(v[truth.regime_N == k, columns]) for k, r in enumerate(REGIMES)}
            for n, v in inside.items()
        }
        months = score.mean_by_moment(month_N, inside[0.8][:, columns].mean(axis=1))
        return Cover(by_regime[0.8], by_regime[0.95], float(np.abs(months - 0.8).mean()))

    return [of(slice(h, h + 1)) for h in range(truth.y_NH.shape[1])], of(slice(None))


def confidence(truth: Truth, said: Said, horizons_bars: tuple[int, ...]) -> list[Confidence]:
    """A row for each horizon."""
    return [_confidence(truth, said, h, horizon_bars) for h, horizon_bars in enumerate(horizons_bars)]


def is_monotone(curve: tuple[float, ...], num: int) -> bool:
    """True where abstaining more never costs more hits than chance would: one standard error of the smaller share."""
    shares = np.arange(_BINS, 0, -1)[1:] / _BINS
    slack = 0.5 / np.sqrt(np.maximum(num * shares, 1.0))
    return bool((np.diff(curve) >= -slack).all())


def _confidence(truth: Truth, said: Said, h: int, horizon_bars: int) -> Confidence:
    y_N, up_N, sure_N = truth.y_NH[:, h], said.up[:, h], said.confidence_NH[:, h]
    median_N = said.quantile_NHQ[:, h, said.quantile_NHQ.shape[-1] // 2]
    moved = y_N != 0.0
    is_right = ((median_N >= 0) == (y_N > 0))[moved]
    rose, up = (y_N > 0)[moved], up_N[moved]
    hit_rate, hits, stated = score.hits_by_confidence(median_N, y_N, sure_N)
    horizon_ms = int((truth.end_ts_ms_NH[:, h] - truth.known_ts_ms).max(initial=1))
    block_N = chance.blocks(truth.known_ts_ms[moved], horizon_ms)
    top_N = np.argsort(sure_N[moved], kind="stable")[-(-rose.size * (_BINS - 1) // _BINS) :]
    curve = score.abstention(is_right, sure_N[moved])
    brier = float(((up - rose) ** 2).mean()) if rose.size else float("nan")
    variance = float(rose.mean() * (1 - rose.mean())) if rose.size else float("nan")
    return Confidence(
        horizon_bars=horizon_bars,
        hit_rate=hit_rate,
        top_hit=hits[-1],
        top_stated=stated[-1],
        top_error=chance.standard_error((is_right - sure_N[moved])[top_N], block_N[top_N]),
        abstention=curve,
        is_monotone=is_monotone(curve, int(moved.sum())),
        auc=score.auc(up, rose),
        brier_skill_pct=100.0 * (1.0 - brier / variance) if variance else float("nan"),
        ece=score.reliability(up, rose).error,
        ece_of_chance=chance.calibration_error(up, rose, score.width_class(up), block_N),
        rank_ic=score.rank_ic(truth.known_ts_ms, up_N, y_N),
    )


def _inside(y_NH: FloatArray, quantile_NHQ: FloatArray, levels: tuple[float, ...], nominal: float) -> FloatArray:
    k = next(i for i, level in enumerate(levels) if abs(1.0 - 2.0 * level - nominal) < 1e-9)
    inside: FloatArray = ((y_NH >= quantile_NHQ[..., k]) & (y_NH <= quantile_NHQ[..., -1 - k])).astype(np.float64)
    return inside


def _skill_pct(ours_SH: FloatArray, theirs_SH: FloatArray | None) -> FloatArray:
    if theirs_SH is None:
        return np.full_like(ours_SH, np.nan)
    pct: FloatArray = 100.0 * (1.0 - ours_SH / theirs_SH)
    return pct


def _mean(values: FloatArray) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else float("nan")


def _worst(values_S: FloatArray) -> int | None:
    return int(np.nanargmin(values_S)) if np.isfinite(values_S).any() else None
