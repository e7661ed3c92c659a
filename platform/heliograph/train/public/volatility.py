"""TFT's volatility protocol: log realised variance of stock indices, five days ahead, q-risk of P10, P50 and P90.

Source: Lim et al., Temporal Fusion Transformers for Interpretable Multi-horizon Time Series Forecasting, 2021, and the
data formatter of its repository: 31 indices of the Oxford-Man realised library, training before 2016, validation 2016
and 2017, test from 2018 to 2019-06-28. Each index has its own trading days. HAR: Corsi, 2009.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.model.series import Mean, Regressors, SeasonalNaive, SeriesForecaster, har_basis
from heliograph.train.public import metrics, table
from heliograph.train.public.ask import DAY_MS, Ask, Score, effort_of, require_season
from heliograph.train.public.fit import OLS, Task, chunks, fit_hybrids, fit_linear, fit_pooled, standing_still
from heliograph.train.public.panel import Panel, require_train_scaler
from heliograph.train.public.table import Series
from heliograph.train.public.trees import fit_trees

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEVELS = (0.1, 0.5, 0.9)
HORIZON, LOOKBACK, SEASON = 5, 66, 5
SPLIT = ("2016-01-01", "2018-01-01", "2019-06-29")
"""First dates after training, after validation and after the test."""
_STALE_MS = 10 * DAY_MS


def run(series: Sequence[Series], ask: Ask) -> Iterator[Score]:
    """Score on every origin whose five next days lie in the test slice.

    Raises:
        ConfigError: the values are not logs, or no index has days in every slice.
    """
    task, test_N = prepare(series, ask)
    season = ask.season or SEASON
    require_season(season, task.lookback)
    y_NH = task.panel.raw(test_N, task.panel.targets(test_N, task.horizon))
    for name, forecaster, took_s in _forecasters(task, season, ask):
        before = time.perf_counter()
        said_NHQ = np.concatenate(
            [
                forecaster.forecast(task.panel.windows(rows, task.lookback), task.panel.series_R[rows])
                for rows in chunks(test_N)
            ]
        )
        shape: dict[str, float | int | str] = {
            "series": len(task.panel.names),
            "windows": len(test_N),
            "horizon": task.horizon,
            "lookback": task.lookback,
            **effort_of(name, ask),
            "took_s": round(took_s + time.perf_counter() - before, 3),
        }
        yield Score("volatility", name, {**figures_of(y_NH, task.panel.raw(test_N, said_NHQ)), **shape})


def figures_of(y_NH: FloatArray, said_NHQ: FloatArray) -> dict[str, float | int | str]:
    """q-risks of raw log realised variance: the unit of the paper's table."""
    risk_Q = metrics.q_risk(y_NH, said_NHQ, LEVELS)
    return {
        **{f"p{round(100 * level)}": float(risk) for level, risk in zip(LEVELS, risk_Q, strict=True)},
        "cov80": metrics.coverage(y_NH, said_NHQ),
        "crossing_pct": metrics.crossing_pct(said_NHQ),
    }


def prepare(series: Sequence[Series], ask: Ask) -> tuple[Task, IntArray]:
    """The panel, each index standardised by its training slice, its origins, and the origins of the test.

    Raises:
        ConfigError: the values are not logs, or no index has days in every slice.
    """
    if not table.are_logs(series):
        raise ConfigError("the values are never negative, so no logs of realised variance: leave --no-take-log out")
    ends_ms = _ends_ms(ask.split or SPLIT)
    horizon, lookback = ask.horizon or HORIZON, ask.lookback or LOOKBACK
    end_C3 = [[int(np.searchsorted(s.ts_ms, end_ms)) for end_ms in ends_ms] for s in series]
    kept = [c for c, (train, valid, test) in enumerate(end_C3) if _is_enough(train, valid, test, lookback, horizon)]
    if not kept:
        raise ConfigError(
            f"no index has {lookback + horizon} days before {(ask.split or SPLIT)[0]} and {horizon} days in validation "
            "and test: give --split TRAIN_TO,VALID_TO,TEST_TO"
        )
    trains, valids, tests = ([end_C3[c][k] for c in kept] for k in range(3))
    panel = Panel.of([series[c] for c in kept], trains)
    require_train_scaler(panel, trains)
    panel = panel.beside(market([series[c].ts_ms for c in kept], panel))
    task = Task(
        panel,
        fit_N=panel.origins(lookback, horizon, [0] * len(kept), trains),
        held_N=panel.origins(lookback, horizon, trains, valids),
        lookback=lookback,
        horizon=horizon,
        levels=LEVELS,
    )
    return task, panel.origins(lookback, horizon, valids, tests)


def market(ts_of: Sequence[IntArray], panel: Panel) -> FloatArray:
    """What all indices did up to each row's date: the mean of their newest values, float64[R, F].

    An index without a value that day counts with its last one, for ten days. A forecast is made when the last exchange
    has closed for the day: all of a date is known, and nothing of the next one.
    """
    date_D, day_R = np.unique(np.concatenate(ts_of), return_inverse=True)
    total_DF, there_D = np.zeros((len(date_D), panel.x_RF.shape[1])), np.zeros((len(date_D), 1))
    for c, ts_ms in enumerate(ts_of):
        newest_D = np.searchsorted(ts_ms, date_D, side="right") - 1
        is_fresh_D = (newest_D >= 0) & (date_D - ts_ms[newest_D] <= _STALE_MS)
        total_DF[is_fresh_D] += panel.x_RF[panel.start_C[c] + newest_D[is_fresh_D]]
        there_D[is_fresh_D] += 1.0
    mean_RF: FloatArray = (total_DF / there_D)[day_R]
    return mean_RF


def _forecasters(task: Task, season: int, ask: Ask) -> Iterator[tuple[str, SeriesForecaster, float]]:
    both_N = np.concatenate([task.fit_N, task.held_N])
    yield "random_walk", standing_still(task, both_N), 0.0
    yield "seasonal_naive", SeasonalNaive(season, task.horizon, LEVELS), 0.0
    before = time.perf_counter()
    own = task.panel.x_RF.shape[1] // 2
    basis_JK = har_basis(task.lookback, 2 * own)
    of_own_JK = basis_JK[:, : basis_JK.shape[1] // 2]
    har = fit_linear(task, Regressors("mean", of_own_JK), is_shared=True, penalties=OLS, residuals_N=both_N)[0]
    yield "har", har, time.perf_counter() - before
    before = time.perf_counter()
    shared = fit_linear(task, Regressors("mean", basis_JK), is_shared=True, penalties=OLS, residuals_N=both_N)
    pooled = fit_pooled(task, Regressors("mean", basis_JK), shared=shared, residuals_N=both_N)[0]
    pooled_s = time.perf_counter() - before
    yield "har_market", shared[0], pooled_s
    yield "pooled", pooled, pooled_s
    before = time.perf_counter()
    ridge = fit_linear(task, Regressors("mean"), is_shared=True, residuals_N=both_N)[0]
    yield "ridge", ridge, time.perf_counter() - before
    before = time.perf_counter()
    trees = fit_trees(task, shared[0], seed=ask.effort.seed)
    trees_s = time.perf_counter() - before
    yield "lightgbm", trees, pooled_s + trees_s
    before = time.perf_counter()
    hybrid = fit_hybrids(task, shared[0], ask.effort)
    hybrid_s = time.perf_counter() - before
    yield "hybrid", hybrid, pooled_s + hybrid_s
    yield "ensemble", Mean((pooled, trees, hybrid)), pooled_s + trees_s + hybrid_s


def _is_enough(train: int, valid: int, test: int, lookback: int, horizon: int) -> bool:
    return train >= lookback + horizon and valid - train >= horizon and test - valid >= horizon


def _ends_ms(split: tuple[str, ...]) -> list[int]:
    try:
        ends_ms = [int(datetime.fromisoformat(d).replace(tzinfo=UTC).timestamp()) * 1_000 for d in split]
    except ValueError as e:
        raise ConfigError(f"--split {','.join(split)} must be three dates such as 2016-01-01") from e
    if len(ends_ms) != 3 or not ends_ms[0] < ends_ms[1] < ends_ms[2]:
        raise ConfigError(
            f"--split {','.join(split)} must be three ascending dates: ends of training, validation, test"
        )
    return ends_ms
