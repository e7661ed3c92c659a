"""The folds' forecast scores as the report reads them, and what they say together. H horizons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from heliograph.core.errors import SchemaMismatch
from heliograph.core.market import FloatArray

SHOWN_T = 1.96
"""Least t value at which a difference counts as shown."""

MODEL = "model"
REGIMES = ("calm", "usual", "wild")
"""Terciles of volatility, by the year before each test slice."""

Row = Sequence[float]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Whether a forecast's statements came true; outer rows run over the H horizons.

    Attributes:
        stated, came, count: probability of a rise in classes, share of rises there, and how many.
        abstention: hit rate of the most confident share, from all down to a tenth by tenths.
        regime_80, regime_95: share inside the interval in each of `REGIMES`; ``regime_origins`` has their sizes.
        direction_ece: expected calibration error of the probability of a rise.
    """

    stated: FloatArray
    came: FloatArray
    count: FloatArray
    abstention: FloatArray
    regime_80: FloatArray
    regime_95: FloatArray
    regime_origins: FloatArray
    direction_ece: Row


@dataclass(frozen=True, slots=True)
class Fold:
    """Scores of one outer test slice; every tuple runs over the H horizons.

    Attributes:
        test_start_ms, test_end_ms: half-open.
        origins: forecasts scored, all symbols together.
        pinball: mean loss by forecaster, ``model`` among them.
        skill_pct: by baseline, per cent of mean pinball loss less than the baseline's.
        dm_t: by baseline, Diebold-Mariano t, positive where the model is better.
        coverage_80, coverage_95, hit_rate: fractions.
        hit_by_decile, stated_by_decile: per horizon, hit rate and stated confidence in tenths of rising confidence.
        calibration: None in scores of older versions.
    """

    fold: int
    test_start_ms: int
    test_end_ms: int
    origins: int
    horizons_bars: Row
    pinball: Mapping[str, Row]
    skill_pct: Mapping[str, Row]
    dm_t: Mapping[str, Row]
    coverage_80: Row
    coverage_95: Row
    hit_rate: Row
    hit_by_decile: Sequence[Row]
    stated_by_decile: Sequence[Row]
    calibration: Calibration | None


@dataclass(frozen=True, slots=True)
class Skill:
    """What all folds say together about one baseline at one horizon.

    Attributes:
        skill_pct: over all folds' losses together.
        t: the folds' t values as one, Σt/√folds (Stouffer); NaN where no fold has one.
    """

    baseline: str
    horizon_bars: int
    skill_pct: float
    t: float

    @property
    def is_shown(self) -> bool:
        """The model is better, by more than chance would explain."""
        return self.skill_pct > 0 and self.t >= SHOWN_T


def read(scores: Sequence[Mapping[str, Any]]) -> tuple[Fold, ...]:
    """Fold scores from plain mappings (also such as came back from JSON), in the order of their slices.

    Each has the fields of a training run's fold score, and ``test_start_ms`` and ``test_end_ms``.

    Raises:
        SchemaMismatch: a score lacks a field or a level pair, or the folds differ in horizons.
    """
    folds = sorted(map(_fold, scores), key=lambda f: f.test_start_ms)
    if len({f.horizons_bars for f in folds}) > 1:
        raise SchemaMismatch("the folds were scored at different horizons; report folds of one training run only")
    return tuple(folds)


def together(folds: Sequence[Fold]) -> tuple[Skill, ...]:
    """One `Skill` for every baseline and horizon, baselines in the first fold's order."""
    if not folds:
        return ()
    return tuple(
        Skill(
            baseline=baseline,
            horizon_bars=int(bars),
            skill_pct=_pooled_skill(folds, baseline, h),
            t=combined_t([f.dm_t[baseline][h] for f in folds]),
        )
        for baseline in folds[0].skill_pct
        for h, bars in enumerate(folds[0].horizons_bars)
    )


def combined_t(values: Sequence[float]) -> float:
    """Independent t values as one: Σt/√n over the finite ones; NaN without any.

    >>> combined_t([2.0, 2.0, 2.0, float("nan"), 2.0])
    4.0
    """
    finite = [t for t in values if math.isfinite(t)]
    return sum(finite) / math.sqrt(len(finite)) if finite else math.nan


def calibrated(folds: Sequence[Fold]) -> Calibration | None:
    """The folds' calibrations as one, each weighed by its origins; None where a fold has none, or its classes differ."""
    told = [f.calibration for f in folds if f.calibration is not None]
    if not told or len(told) < len(folds) or len({t.stated.shape for t in told}) > 1:
        return None
    weight = np.array([f.origins for f in folds], dtype=np.float64)
    regime = np.stack([t.regime_origins for t in told])
    return Calibration(
        **{n: _weighted(told, n, np.stack([t.count for t in told])) for n in ("stated", "came")},
        count=np.sum([t.count for t in told], axis=0),
        abstention=_weighted(told, "abstention", weight[:, None, None]),
        **{n: _weighted(told, n, regime[:, None, :]) for n in ("regime_80", "regime_95")},
        regime_origins=regime.sum(axis=0),
        direction_ece=tuple(np.average([t.direction_ece for t in told], axis=0, weights=weight).tolist()),
    )


def _weighted(told: Sequence[Calibration], name: str, weight: FloatArray) -> FloatArray:
    """Mean over the folds; NaN where none has a value."""
    values = np.stack([getattr(t, name) for t in told])
    weights = np.where(np.isfinite(values), weight, 0.0)
    total = weights.sum(axis=0)
    mean: FloatArray = np.where(
        total > 0, (np.nan_to_num(values) * weights).sum(axis=0) / np.maximum(total, 1e-12), np.nan
    )
    return mean


def _pooled_skill(folds: Sequence[Fold], baseline: str, h: int) -> float:
    ours, theirs = (sum(f.origins * f.pinball[name][h] for f in folds) for name in (MODEL, baseline))
    return 100.0 * (1.0 - ours / theirs)


def _fold(score: Mapping[str, Any]) -> Fold:
    try:
        cover = {round(float(level), 6): row for level, row in score["coverage"].items()}
        given = dict(score) | {"coverage_80": cover[0.8], "coverage_95": cover[0.95]}
        given["calibration"] = _calibration(score["calibration"]) if score.get("calibration") else None
        return Fold(**{name: given[name] for name in Fold.__slots__} | {"horizons_bars": tuple(score["horizons_bars"])})
    except KeyError as e:
        raise SchemaMismatch(f"a fold's score lacks {e}; score the folds again with this version") from e


def _calibration(told: Mapping[str, Any]) -> Calibration | None:
    if len({len(d["stated"]) for d in told["direction"]}) > 1:  # too few origins for as many classes everywhere
        return None
    by_regime = {round(float(level), 6): np.array(rows) for level, rows in told["regime_coverage"].items()}
    classes = {
        name: np.array([d[name] for d in told["direction"]], dtype=float) for name in ("stated", "came", "count")
    }
    return Calibration(
        **classes,
        abstention=np.array(told["abstention"]),
        regime_80=by_regime[0.8],
        regime_95=by_regime[0.95],
        regime_origins=np.array(told["regime_origins"], dtype=float),
        direction_ece=tuple(told["direction_ece"]),
    )
