"""The folds' forecast scores as the report reads them, and what they say together. H horizons."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from heliograph.core.errors import SchemaMismatch

SHOWN_T = 1.96
"""Least t value at which a difference counts as shown."""

MODEL = "model"
Row = Sequence[float]


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


def _pooled_skill(folds: Sequence[Fold], baseline: str, h: int) -> float:
    ours, theirs = (sum(f.origins * f.pinball[name][h] for f in folds) for name in (MODEL, baseline))
    return 100.0 * (1.0 - ours / theirs)


def _fold(score: Mapping[str, Any]) -> Fold:
    try:
        cover = {round(float(level), 6): row for level, row in score["coverage"].items()}
        given = dict(score) | {"coverage_80": cover[0.8], "coverage_95": cover[0.95]}
        return Fold(**{name: given[name] for name in Fold.__slots__} | {"horizons_bars": tuple(score["horizons_bars"])})
    except KeyError as e:
        raise SchemaMismatch(f"a fold's score lacks {e}; score the folds again with this version") from e
