"""Chronos' zero-shot protocol: the last window of every series, deciles, WQL and MASE.

Source: Ansari et al., Chronos: Learning the Language of Time Series, 2024, and the evaluation script and the
``zero-shot.yaml`` of its repository: ETTh h = 24 (both files, 14 series), exchange_rate h = 30 (8 series, season 5).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.model.series import Mean, Regressors, SeasonalNaive, SeriesForecaster
from heliograph.train.public import metrics
from heliograph.train.public.ask import Ask, Score, effort_of, require_season, usual_horizon, usual_season
from heliograph.train.public.fit import Task, fit_hybrids, fit_linear, fit_pooled
from heliograph.train.public.panel import Panel
from heliograph.train.public.table import DAY_MS, Series

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
_HELD_SHARE = 0.15
_MOST_CONTEXT = 2_048  # what Chronos-Bolt reads; others cut it themselves
_LOOKBACKS = {True: 512, False: 96}  # by whether steps are shorter than a day


def run(series: Sequence[Series], ask: Ask) -> Iterator[Score]:
    """Score on the last window of each series; everything before it may be learnt from.

    Raises:
        ConfigError: the series differ in their step, or one is too short.
    """
    task, season = prepare(series, ask)
    last_N = task.panel.start_C[1:] - 1 - task.horizon
    for name, forecaster, took_s in _forecasters(task, season, ask):
        before = time.perf_counter()
        quantile_NHQ = forecaster.forecast(
            task.panel.windows(last_N, task.lookback), np.arange(len(series), dtype=np.int64)
        )
        figures = figures_of(series, task.panel.raw(last_N, quantile_NHQ), task.horizon, season)
        yield _score(name, {**figures, **effort_of(name, ask)}, task, season, took_s + time.perf_counter() - before)
    context = min(_MOST_CONTEXT, min(len(s.value_T) for s in series) - task.horizon)
    context_BT = np.stack([s.value_T[: -task.horizon][-context:] for s in series])
    for name, zero in ask.zero.items():
        before = time.perf_counter()
        figures = figures_of(series, zero(context_BT, task.horizon, LEVELS), task.horizon, season)
        yield _score(name, {**figures, "lookback": context}, task, season, time.perf_counter() - before)


def figures_of(
    series: Sequence[Series], quantile_NHQ: FloatArray, horizon: int, season: int
) -> dict[str, float | int | str]:
    """WQL and MASE of raw quantiles, one window of each series.

    MASE scales each series by its seasonal error on all that lies before the window; WQL sums over series first, so
    that large ones weigh more.
    """
    y_NH = np.stack([s.value_T[-horizon:] for s in series])
    seasonal_N = np.array([metrics.seasonal_error(s.value_T[:-horizon], season) for s in series])
    return {
        "wql": metrics.wql(y_NH, quantile_NHQ, LEVELS),
        "mase": metrics.mase(y_NH, quantile_NHQ[..., len(LEVELS) // 2], seasonal_N),
        "cov80": metrics.coverage(y_NH, quantile_NHQ),
        "crossing_pct": metrics.crossing_pct(quantile_NHQ),
    }


def prepare(series: Sequence[Series], ask: Ask) -> tuple[Task, int]:
    """The panel, standardised by all that lies before the last windows, its origins, and the season.

    Raises:
        ConfigError: the series differ in their step, or one is too short.
    """
    steps = {s.step_ms for s in series}
    if len(steps) > 1:
        raise ConfigError("the series have different sampling steps: score them in runs of their own")
    step_ms = steps.pop()
    horizon = ask.horizon or usual_horizon(step_ms)
    season = ask.season or usual_season(step_ms)
    shortest = min(len(s.value_T) for s in series) - horizon
    fitting = max(8, (shortest - 2 * horizon) // 3 // 8 * 8)
    lookback = ask.lookback or max(season, min(_LOOKBACKS[step_ms < DAY_MS], fitting))
    require_season(season, lookback)
    known_C = [len(s.value_T) - horizon for s in series]
    held_C = [lookback + round((1 - _HELD_SHARE) * (known - lookback)) for known in known_C]
    if min(known_C) < lookback + 3 * horizon:
        raise ConfigError(
            f"a series has {min(known_C)} values before its last window: give a longer one or a shorter --lookback"
        )
    panel = Panel.of(series, known_C)
    task = Task(
        panel,
        fit_N=panel.origins(lookback, horizon, [0] * len(series), held_C),
        held_N=panel.origins(lookback, horizon, held_C, known_C),
        lookback=lookback,
        horizon=horizon,
        levels=LEVELS,
    )
    return task, season


def _forecasters(task: Task, season: int, ask: Ask) -> Iterator[tuple[str, SeriesForecaster, float]]:
    """Names, forecasters, and the seconds that it took to fit each."""
    yield "naive", SeasonalNaive(1, task.horizon, LEVELS), 0.0
    yield "seasonal_naive", SeasonalNaive(season, task.horizon, LEVELS), 0.0
    before, regressors = time.perf_counter(), Regressors("last")
    ridge = fit_linear(task, regressors, is_shared=False)[1]
    ridge_s = time.perf_counter() - before
    yield "ridge", ridge, ridge_s
    before = time.perf_counter()
    first, pooled = fit_pooled(task, regressors)
    pooled_s = time.perf_counter() - before
    yield "pooled", pooled, pooled_s
    hybrid = fit_hybrids(task, first, ask.effort, corrected=pooled)
    hybrid_s = time.perf_counter() - before
    yield "hybrid", hybrid, hybrid_s
    yield "ensemble", Mean((ridge, hybrid)), ridge_s + hybrid_s


def _score(name: str, figures: dict[str, float | int | str], task: Task, season: int, took_s: float) -> Score:
    shape: dict[str, float | int | str] = {
        "series": len(task.panel.names),
        "horizon": task.horizon,
        "season": season,
        "lookback": task.lookback,
    }
    return Score("chronos", name, {**shape, **figures, "took_s": round(took_s, 3)})
