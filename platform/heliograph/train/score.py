"""How good a forecaster was on the outer test slice, against the baselines on the same origins.

Shapes: N origins, M moments, H horizons, Q quantile levels, K level pairs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.features.table import SIGMA
from heliograph.model.calibrate import pinball
from heliograph.model.spec import Forecast, Forecaster
from heliograph.model.tracker import Tracker
from heliograph.train.fold import OuterSlice, joined, scored_rows, told
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]

MODEL = "model"
"""Name of the forecaster that is scored; all others beside it are baselines."""

NUM_REGIMES = 3

_DECILES = 10
_WIDTH_BINS = 15
_REGIME_MS = 365 * 86_400_000
Row = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Reliability:
    """What was stated beside what came, by classes of what was stated; empty classes are left out.

    Attributes:
        stated: mean probability stated in each class, ascending.
        came: share that came true there.
        count: how many there were.
    """

    stated: Row
    came: Row
    count: tuple[int, ...]

    @property
    def error(self) -> float:
        """Expected calibration error: mean distance of stated and came, by count; NaN where nothing was stated."""
        count = np.asarray(self.count, dtype=np.float64)
        gap = np.abs(np.asarray(self.stated) - np.asarray(self.came))
        return float(count @ gap / count.sum()) if count.size else float("nan")


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether what was stated came true; every outer tuple runs over the H horizons.

    Attributes:
        pit_density: of `pit_density`, Q + 1 classes.
        direction: the probability of a rise beside the share of rises, in ten classes of equal count.
        direction_ece: expected calibration error of the same in fifteen classes of equal width.
        abstention: hit rate of the most confident share, from all origins down to a tenth by tenths.
        regime_coverage: per nominal coverage and horizon, the share inside in each volatility regime (see `regimes`);
            NaN where a regime has no origin.
        regime_origins: how many each regime has.
    """

    pit_density: tuple[Row, ...]
    direction: tuple[Reliability, ...]
    direction_ece: Row
    abstention: tuple[Row, ...]
    regime_coverage: dict[float, tuple[Row, ...]]
    regime_origins: tuple[int, ...]


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
        calibration: of the scored forecaster.
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
    calibration: Calibration | None = None


def score(forecasters: Mapping[str, Forecaster], outer: OuterSlice, tracker: Tracker | None = None) -> FoldScore:
    """Score ``forecasters["model"]`` against all others beside it, once.

    Args:
        tracker: of the model's widths, as it stands before the slice.

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
        said[name] = joined(told(forecaster, chosen, tracker if name == MODEL else None)[0])
        loss[name] = pinball(y_NH, said[name].quantile_BHQ, forecaster.levels)
    summary = _summary(forecasters[MODEL], outer.fold.index, known_ts_ms, y_NH, loss=loss, forecast=said[MODEL])
    sigma_index = forecasters[MODEL].feature_names.index(SIGMA)
    regime_N = np.concatenate([regimes(symbol, rows, outer.fold, sigma_index) for symbol, rows in chosen])
    return replace(summary, calibration=calibration(y_NH, said[MODEL], regime_N, forecasters[MODEL].levels))


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
        dm_t={name: dm_by_horizon(known_ts_ms, loss[name] - loss[MODEL], model.horizons_bars) for name in rivals},
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
            ((y_NH >= quantile_NHQ[..., k]) & (y_NH <= quantile_NHQ[..., -1 - k])).sum(axis=0)
            / (y_NH.shape[0] or math.nan)
        )
        for k in pairs
    }


def calibration(y_NH: FloatArray, forecast: Forecast, regime_N: IntArray, levels: tuple[float, ...]) -> Calibration:
    """Whether a forecast's statements came true at N origins; unmoved prices say nothing about directions."""
    quantile_NHQ, sure_NH = forecast.quantile_BHQ, forecast.confidence_BH
    up_NH = probability_up(quantile_NHQ, sure_NH)
    is_right_NH = (quantile_NHQ[..., len(levels) // 2] >= 0) == (y_NH > 0)
    moved = [y_N != 0.0 for y_N in y_NH.T]
    told = [(up_NH[m, h], y_NH[m, h] > 0) for h, m in enumerate(moved)]
    by_regime = [coverage(y_NH[regime_N == k], quantile_NHQ[regime_N == k], levels) for k in range(NUM_REGIMES)]
    return Calibration(
        pit_density=tuple(_row(r) for r in pit_density(y_NH, quantile_NHQ, levels)),
        direction=tuple(reliability(*t, of_equal="count") for t in told),
        direction_ece=tuple(reliability(*t).error for t in told),
        abstention=tuple(abstention(is_right_NH[m, h], sure_NH[m, h]) for h, m in enumerate(moved)),
        regime_coverage={
            nominal: tuple(zip(*(r[nominal] for r in by_regime), strict=True)) for nominal in by_regime[0]
        },
        regime_origins=tuple(int((regime_N == k).sum()) for k in range(NUM_REGIMES)),
    )


def regimes(data: SymbolData, rows: IntArray, fold: Fold, sigma_index: int) -> IntArray:
    """Tercile of each origin's volatility among the year before the test slice: 0 calm, 1 usual, 2 wild; int64[n].

    −1 for a symbol of which nothing was known then.
    """
    first, last = np.searchsorted(data.known_ts_ms, (fold.test[0] - _REGIME_MS, fold.test[0]))
    sigma_N = data.x_NF[first:last, sigma_index].astype(np.float64)
    known_N = sigma_N[np.isfinite(sigma_N)]
    if not known_N.size:
        return np.full(rows.size, -1)
    edges = np.quantile(known_N, np.arange(1, NUM_REGIMES) / NUM_REGIMES)
    regime_N: IntArray = np.searchsorted(edges, data.x_NF[rows, sigma_index].astype(np.float64))
    return regime_N


def probability_up(quantile_NHQ: FloatArray, confidence_NH: FloatArray) -> FloatArray:
    """Probability of a positive return, float64[N, H]; a median of zero says up."""
    is_up_NH = quantile_NHQ[..., quantile_NHQ.shape[-1] // 2] >= 0
    up_NH: FloatArray = np.where(is_up_NH, confidence_NH, 1.0 - confidence_NH)
    return up_NH


def abstention(is_right_N: BoolArray, confidence_N: FloatArray) -> Row:
    """Hit rate of the most confident share: of all origins, of nine tenths of them, and so on down to one.

    >>> abstention(np.array([False] * 5 + [True] * 5), np.linspace(0.5, 0.6, 10))[:3]
    (0.5, 0.5555555555555556, 0.625)
    """
    ranked = is_right_N[np.argsort(-confidence_N, kind="stable")]
    shares = [ranked[: max(1, round(ranked.size * k / _DECILES))] for k in range(_DECILES, 0, -1)]
    return tuple(float(share.mean()) if share.size else float("nan") for share in shares)


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


def dm_by_horizon(
    known_ts_ms: IntArray, difference_NH: FloatArray, horizons_bars: tuple[int, ...], *, every_bars: int = 1
) -> Row:
    """Diebold-Mariano t of each horizon: the symbols of a moment are averaged, and the lag covers the overlap of labels.

    Args:
        difference_NH: loss of the rival less loss of the model; positive t where the model wins.
        every_bars: bars from one moment to the next.
    """
    t = []
    for difference_N, horizon in zip(difference_NH.T, horizons_bars, strict=True):
        by_moment = mean_by_moment(known_ts_ms, difference_N)
        lag = max(math.ceil(horizon / every_bars) - 1, int(4 * (by_moment.size / 100) ** (2 / 9)))
        t.append(diebold_mariano(by_moment, lag=lag))
    return tuple(t)


def ranks(value_N: FloatArray) -> FloatArray:
    """Ranks from 1, ties share their mean; float64[N].

    >>> ranks(np.array([5.0, 1.0, 5.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, place, count = np.unique(value_N, return_inverse=True, return_counts=True)
    rank: FloatArray = (np.cumsum(count) - (count - 1) / 2.0)[place]
    return rank


def auc(score_N: FloatArray, came_N: BoolArray) -> float:
    """Area under the ROC curve: how often a true case was given more than a false one; ties count half.

    Returns:
        NaN where only one kind of case came.

    >>> auc(np.array([0.1, 0.9, 0.4]), np.array([False, True, True]))
    1.0
    """
    num_true = int(came_N.sum())
    num_false = came_N.size - num_true
    if not num_true or not num_false:
        return float("nan")
    return float((ranks(score_N)[came_N].sum() - num_true * (num_true + 1) / 2) / (num_true * num_false))


def width_class(stated_N: FloatArray) -> IntArray:
    """Which of the classes of equal width on [0, 1] each probability is in."""
    return np.minimum((stated_N * _WIDTH_BINS).astype(np.int64), _WIDTH_BINS - 1)


def reliability(
    stated_N: FloatArray, came_N: BoolArray, *, of_equal: Literal["width", "count"] = "width"
) -> Reliability:
    """Stated probabilities beside what came, in fifteen classes of equal width on [0, 1], or in ten of equal count.

    Equal width is the usual expected calibration error (C. Guo et al., On Calibration of Modern Neural Networks, 2017).

    >>> reliability(np.array([0.5, 0.5, 0.9]), np.array([True, False, True])).came
    (0.5, 1.0)
    """
    if of_equal == "width":
        class_N = width_class(stated_N)
    else:
        class_N = np.empty(stated_N.size, dtype=np.int64)
        for k, tenth in enumerate(np.array_split(np.argsort(stated_N, kind="stable"), _DECILES)):
            class_N[tenth] = k
    _, place, count = np.unique(class_N, return_inverse=True, return_counts=True)
    stated, came = (np.bincount(place, weights=a, minlength=count.size) / count for a in (stated_N, came_N))
    return Reliability(_row(stated), _row(came), tuple(int(c) for c in count))


def rank_ic(known_ts_ms: IntArray, forecast_N: FloatArray, y_N: FloatArray) -> float:
    """Mean over the moments of the rank correlation between forecast and outcome across the symbols of a moment.

    Returns:
        NaN where no moment has two symbols that differ in both.
    """
    order = np.argsort(known_ts_ms, kind="stable")
    starts = np.flatnonzero(np.diff(known_ts_ms[order], prepend=known_ts_ms.min() - 1))
    told = []
    for moment in np.split(order, starts[1:]):
        a, b = (ranks(v[moment]) - (moment.size + 1) / 2 for v in (forecast_N, y_N))
        size = math.sqrt(float(a @ a) * float(b @ b))
        if size > 0:
            told.append(float(a @ b) / size)
    return float(np.mean(told)) if told else float("nan")


def pit_density(y_NH: FloatArray, quantile_NHQ: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """PIT histogram: share of outcomes between neighbouring levels over what the levels promise; float64[H, Q + 1].

    One everywhere where the distribution is true; the outermost classes lie beyond the outermost levels.
    """
    below_NH = (y_NH[..., None] > quantile_NHQ).sum(axis=-1)
    promised = np.diff([0.0, *levels, 1.0])
    share_HK = np.stack([np.bincount(b, minlength=promised.size) / b.size for b in below_NH.T])
    density: FloatArray = share_HK / promised
    return density


def crossings(quantile_NHQ: FloatArray) -> int:
    """How many neighbouring quantiles stand in the wrong order."""
    return int((np.diff(quantile_NHQ, axis=-1) < 0).sum())


def _row(values: FloatArray) -> Row:
    return tuple(float(v) for v in values)
