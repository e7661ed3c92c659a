"""The long-horizon protocol of Informer and its followers: MSE and MAE on train-standardised values, stride 1.

Source: Zhou et al., Informer, 2021; Zeng et al., Are Transformers Effective for Time Series Forecasting?, 2023 (the
tables of DLinear and NLinear); Nie et al., PatchTST, 2023. Four traps make figures that look better than they are:
a test loader that drops its last batch, a scaler that saw the test, windows that start anew at the split (fewer and
other ones), and tables of look-back 96 set beside tables of 336 or 512.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.model.series import Mean, Regressors, SeasonalNaive, SeriesForecaster
from heliograph.train.public import metrics
from heliograph.train.public.ask import DAY_MS, Ask, Score, effort_of, require_season
from heliograph.train.public.fit import Task, chunks, fit_hybrids, fit_linear, fit_pooled
from heliograph.train.public.panel import Panel, require_train_scaler
from heliograph.train.public.table import Series

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
HORIZON, LOOKBACK = 96, 336
MONTHS = (12, 4, 4)
"""Training, validation and test of the ETT files, in months of 30 days."""
SHARES = (0.7, 0.1, 0.2)
"""The same of every other file."""
_ETT = {"HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"}


def run(series: Sequence[Series], ask: Ask) -> Iterator[Score]:
    """Score on all windows whose targets lie in the test slice.

    Raises:
        ConfigError: the series differ in length, or are too short for the split.
    """
    task, test_N = prepare(series, ask)
    season = ask.season or max(1, DAY_MS // series[0].step_ms)
    require_season(season, task.lookback)
    for name, forecaster, took_s in _forecasters(task, season, ask):
        before = time.perf_counter()
        figures = figures_of(forecaster, task, test_N)
        shape: dict[str, float | int | str] = {
            "series": len(series),
            "windows": len(test_N) // len(series),
            "horizon": task.horizon,
            "lookback": task.lookback,
            **effort_of(name, ask),
            "took_s": round(took_s + time.perf_counter() - before, 3),
        }
        yield Score("ltsf", name, {**figures, **shape})


def borders(num_rows: int, step_ms: int, dataset: str, split: tuple[str, ...] | None) -> tuple[int, int, int]:
    """Rows at which training, validation and test end.

    ETT files have 12, 4 and 4 months (the rest is not used), others 70, 10 and 20 % of their rows.

    Args:
        split: three row counts, or three shares of one; None goes by the data set's name.

    Raises:
        ConfigError: the split is no such thing, or longer than the file.

    >>> borders(17_420, 3_600_000, "ETTh1", None)
    (8640, 11520, 14400)
    >>> borders(7_588, 86_400_000, "exchange_rate", None)
    (5311, 6071, 7588)
    """
    if split is not None:
        parts = _numbers(split)
    elif dataset.lower().startswith("ett"):
        parts = tuple(m * 30.0 * DAY_MS / step_ms for m in MONTHS)
    else:
        parts = SHARES
    if (
        max(parts) <= 1.0
    ):  # the test keeps its whole share, as in the authors' loaders; what rounding leaves is validation
        train, test = int(parts[0] * num_rows), int(parts[2] * num_rows)
        ends = (train, num_rows - test, num_rows)
    else:
        ends = (round(parts[0]), round(parts[0] + parts[1]), round(sum(parts)))
    if not 0 < ends[0] < ends[1] < ends[2] <= num_rows:
        raise ConfigError(f"a split at rows {ends} does not fit {num_rows} rows: give --split TRAIN,VALIDATION,TEST")
    return ends


def prepare(series: Sequence[Series], ask: Ask) -> tuple[Task, IntArray]:
    """The panel, standardised by the training slice, its origins, and the origins of the test.

    Raises:
        ConfigError: the series differ in length, or are too short for the split.
    """
    lengths = {len(s.value_T) for s in series}
    if len(lengths) > 1:
        raise ConfigError("the series differ in length: this protocol wants one table without gaps")
    dataset = "ETT" if {s.name for s in series} >= _ETT else ask.dataset  # whatever the file is called
    train, valid, test = borders(lengths.pop(), series[0].step_ms, dataset, ask.split)
    num, horizon, lookback = len(series), ask.horizon or HORIZON, ask.lookback or LOOKBACK
    panel = Panel.of(series, [train] * num)
    require_train_scaler(panel, [train] * num)
    task = Task(
        panel,
        fit_N=panel.origins(lookback, horizon, [0] * num, [train] * num),
        held_N=panel.origins(lookback, horizon, [train] * num, [valid] * num),
        lookback=lookback,
        horizon=horizon,
        levels=LEVELS,
    )
    test_N = panel.origins(lookback, horizon, [valid] * num, [test] * num)
    if not len(test_N):
        raise ConfigError(
            f"the test slice of {test - valid} rows has no window of {horizon} steps: give another --split"
        )
    return task, test_N


def figures_of(
    forecaster: SeriesForecaster, task: Task, row_N: IntArray, *, batch_size: int = 4_096
) -> dict[str, float | int | str]:
    """MSE and MAE of the medians, and WQL over the deciles; the size of a batch changes nothing."""
    panel, horizon = task.panel, task.horizon
    sums = np.zeros(5)
    risk_Q, size = np.zeros(len(LEVELS)), 0.0
    for rows in chunks(row_N, batch_size):
        y_NH = panel.targets(rows, horizon)
        said_NHQ = forecaster.forecast(panel.windows(rows, task.lookback), panel.series_R[rows])
        mse, mae = metrics.mse_mae(y_NH, said_NHQ[..., len(LEVELS) // 2])
        sums += len(rows) * np.array([mse, mae, metrics.coverage(y_NH, said_NHQ), metrics.crossing_pct(said_NHQ), 1.0])
        risk_Q += 2.0 * metrics.pinball(y_NH, said_NHQ, LEVELS).sum(axis=(0, 1))
        size += float(np.abs(y_NH).sum())
    mse, mae, cov80, crossing_pct = (float(s) for s in sums[:4] / sums[4])
    return {
        "mse": mse, "mae": mae, "wql": float((risk_Q / size).mean()), "cov80": cov80, "crossing_pct": crossing_pct,
    }  # fmt: skip


def _forecasters(task: Task, season: int, ask: Ask) -> Iterator[tuple[str, SeriesForecaster, float]]:
    yield "naive", SeasonalNaive(1, task.horizon, LEVELS), 0.0
    yield "seasonal_naive", SeasonalNaive(season, task.horizon, LEVELS), 0.0
    before, regressors = time.perf_counter(), Regressors("last")
    ridge = fit_linear(task, regressors, is_shared=True)  # the first of the two saw the training slice alone
    ridge_s = time.perf_counter() - before
    yield "ridge", ridge[0], ridge_s
    before = time.perf_counter()
    pooled = fit_pooled(task, regressors, shared=ridge)[0]
    pooled_s = ridge_s + time.perf_counter() - before
    yield "pooled", pooled, pooled_s
    before = time.perf_counter()
    hybrid = fit_hybrids(task, ridge[0], ask.effort)  # what pooled maps leave over of their training rows is too little
    hybrid_s = time.perf_counter() - before
    yield "hybrid", hybrid, ridge_s + hybrid_s
    yield "ensemble", Mean((pooled, *hybrid.members)), pooled_s + hybrid_s


def _numbers(split: tuple[str, ...]) -> tuple[float, ...]:
    try:
        parts = tuple(float(p) for p in split)
    except ValueError as e:
        raise ConfigError(f"--split {','.join(split)} must be three numbers of rows, or three shares") from e
    if len(parts) != 3 or min(parts) <= 0:
        raise ConfigError(f"--split {','.join(split)} must be three positive numbers: training, validation, test")
    return parts
