"""How good a forecaster was on the outer test slice, against the baselines on the same origins.

Shapes: N origins, M moments, H horizons, Q quantile levels, K level pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.model.calibrate import pinball
from heliograph.model.spec import Forecast, Forecaster
from heliograph.train.fold import OuterSlice, joined, predict, scored_rows

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

MODEL = "model"
"""Name of the forecaster that is scored; all others beside it are baselines."""

_DECILES = 10
Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FoldScore:
    """One opening of one outer test slice; every tuple runs over the H horizons.

    Attributes:
        fold: its index.
        model: fingerprint of the scored forecaster.
        origins: how many origins were scored, all symbols together.
        pinball: per forecaster, mean over origins and levels, log-return.
        skill_pct: per baseline, ``100 (1 - model / baseline)``.
        dm_t: per baseline, Diebold-Mariano t of the mean loss difference per moment; positive where the model wins.
        coverage: per nominal coverage of a level pair (``0.8``, ``0.95`` …), the share that fell inside.
        hit_rate: share of origins where the median's sign was right; unmoved prices are left out, a median of zero says up.
        hit_by_decile, stated_by_decile: per horizon ten values from the least to the most confident tenth: the share
            of right signs, and the mean confidence that was stated.
    """

    fold: int
    model: str
    origins: int
    horizons_bars: tuple[int, ...]
    pinball: dict[str, Row]
    skill_pct: dict[str, Row]
    dm_t: dict[str, Row]
    coverage: dict[float, Row]
    hit_rate: Row
    hit_by_decile: tuple[Row, ...]
    stated_by_decile: tuple[Row, ...]


def score(forecasters: Mapping[str, Forecaster], outer: OuterSlice) -> FoldScore:
    """Score ``forecasters["model"]`` against all others beside it, once.

    Raises:
        ConfigError: no symbol has an origin that can be scored.
        InvariantBroken: the slice was scored before.
    """
    window_bars = forecasters[MODEL].window_bars
    chosen = [(symbol, scored_rows(symbol, outer.fold, window_bars)) for symbol in outer.open("score")]
    chosen = [(symbol, rows) for symbol, rows in chosen if rows.size]
    if not chosen:
        raise ConfigError(
            f"fold {outer.fold.index} has no test origin with a label: fetch later candles, or lower folds.test_bars"
        )
    known_ts_ms = np.concatenate([symbol.known_ts_ms[rows] for symbol, rows in chosen])
    y_NH = np.concatenate([symbol.log_return_NH[rows] for symbol, rows in chosen])
    loss, said = {}, {}
    for name, forecaster in forecasters.items():
        said[name] = joined([predict(forecaster, symbol, rows) for symbol, rows in chosen])
        loss[name] = pinball(y_NH, said[name].quantile_BHQ, forecaster.levels)
    return _summary(forecasters[MODEL], outer.fold.index, known_ts_ms, y_NH, loss=loss, forecast=said[MODEL])


def _summary(
    model: Forecaster,
    fold: int,
    known_ts_ms: IntArray,
    y_NH: FloatArray,
    *,
    loss: dict[str, FloatArray],
    forecast: Forecast,
) -> FoldScore:
    median_NH = forecast.quantile_BHQ[..., len(model.levels) // 2]
    mean = {name: value.mean(axis=0) for name, value in loss.items()}
    rivals = [name for name in loss if name != MODEL]
    hits = [hits_by_confidence(median_NH[:, h], y_NH[:, h], forecast.confidence_BH[:, h]) for h in range(y_NH.shape[1])]
    return FoldScore(
        fold=fold,
        model=model.fingerprint,
        origins=int(y_NH.shape[0]),
        horizons_bars=model.horizons_bars,
        pinball={name: _row(value) for name, value in mean.items()},
        skill_pct={name: _row(100.0 * (1.0 - mean[MODEL] / mean[name])) for name in rivals},
        dm_t={name: _row(_dm(known_ts_ms, loss[name] - loss[MODEL], model.horizons_bars)) for name in rivals},
        coverage=coverage(y_NH, forecast.quantile_BHQ, model.levels),
        hit_rate=tuple(h[0] for h in hits),
        hit_by_decile=tuple(h[1] for h in hits),
        stated_by_decile=tuple(h[2] for h in hits),
    )


def coverage(y_NH: FloatArray, quantile_NHQ: FloatArray, levels: tuple[float, ...]) -> dict[float, Row]:
    """Share of origins between both levels of each pair, by nominal coverage."""
    pairs = range(len(levels) // 2)
    return {
        round(1.0 - 2.0 * levels[k], 9): _row(
            ((y_NH >= quantile_NHQ[..., k]) & (y_NH <= quantile_NHQ[..., -1 - k])).mean(axis=0)
        )
        for k in pairs
    }


def hits_by_confidence(median_N: FloatArray, y_N: FloatArray, confidence_N: FloatArray) -> tuple[float, Row, Row]:
    """Hit rate of the sign overall, and by tenths of confidence the hit rate and the mean confidence stated."""
    moved = y_N != 0.0
    is_right = ((median_N >= 0.0) == (y_N > 0.0))[moved]
    confidence = confidence_N[moved]
    order = np.argsort(confidence, kind="stable")
    tenths = np.array_split(order, _DECILES)
    hit, stated = (
        tuple(float(a[t].mean()) if t.size else float("nan") for t in tenths) for a in (is_right, confidence)
    )
    return float(is_right.mean()) if is_right.size else float("nan"), hit, stated


def mean_by_moment(known_ts_ms: IntArray, value_N: FloatArray) -> FloatArray:
    """Mean over the symbols of each moment, ascending in time.

    >>> mean_by_moment(np.array([2, 1, 2]), np.array([1.0, 5.0, 3.0])).tolist()
    [5.0, 2.0]
    """
    _, place = np.unique(known_ts_ms, return_inverse=True)
    mean: FloatArray = np.bincount(place, weights=value_N) / np.bincount(place)
    return mean


def diebold_mariano(difference_M: FloatArray, *, lag: int) -> float:
    """t of the mean of a loss difference, with Newey-West (Bartlett) variance; Diebold & Mariano 1995.

    Returns:
        NaN for fewer than two moments or a difference that never changes.

    >>> diebold_mariano(np.array([1.0, -1.0, 2.0, 0.0]), lag=0)
    0.8944271909999159
    """
    num = difference_M.size
    centred = difference_M - difference_M.mean() if num else difference_M
    variance = float(centred @ centred) / num if num else 0.0
    for k in range(1, min(lag, num - 1) + 1):
        variance += 2.0 * (1.0 - k / (lag + 1)) * float(centred[k:] @ centred[:-k]) / num
    return float(difference_M.mean() / np.sqrt(variance / num)) if num > 1 and variance > 0 else float("nan")


def skill_over_folds(scores: Sequence[FoldScore], baseline: str) -> Row:
    """Skill in percent per horizon over several folds: the losses are added before they are compared."""
    weight = np.array([s.origins for s in scores])
    ours, theirs = (np.array([s.pinball[name] for s in scores]) for name in (MODEL, baseline))
    return _row(100.0 * (1.0 - (weight @ ours) / (weight @ theirs)))


def _dm(known_ts_ms: IntArray, difference_NH: FloatArray, horizons_bars: tuple[int, ...]) -> FloatArray:
    t = []
    for difference_N, horizon in zip(difference_NH.T, horizons_bars, strict=True):
        by_moment = mean_by_moment(known_ts_ms, difference_N)
        lag = max(horizon - 1, int(4 * (by_moment.size / 100) ** (2 / 9)))
        t.append(diebold_mariano(by_moment, lag=lag))
    return np.array(t)


def _row(values: FloatArray) -> Row:
    return tuple(float(v) for v in values)
