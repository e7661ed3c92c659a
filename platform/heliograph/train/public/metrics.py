"""The metrics of the public benchmarks, as their authors define them.

Shapes: N windows, H steps ahead, Q quantile levels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
Levels = tuple[float, ...]


def pinball(y_NH: FloatArray, quantile_NHQ: FloatArray, levels: Levels) -> FloatArray:
    """Quantile loss, float64[N, H, Q]: ``τ (y - q)`` where the truth lies above, ``(1 - τ) (q - y)`` below."""
    error = y_NH[..., None] - quantile_NHQ
    tau = np.asarray(levels)
    loss: FloatArray = np.maximum(tau * error, (tau - 1.0) * error)
    return loss


def q_risk(y_NH: FloatArray, quantile_NHQ: FloatArray, levels: Levels) -> FloatArray:
    """Normalised quantile loss of each level, float64[Q]: ``2 Σ pinball / Σ |y|`` over all windows and steps.

    Source: Lim et al., Temporal Fusion Transformers, 2021, equation 25; also Salinas et al., DeepAR, 2020.

    >>> y = np.array([[2.0, 2.0]])
    >>> q_risk(y, np.array([[[1.0], [3.0]]]), (0.9,)).round(12).tolist()
    [0.5]
    """
    risk: FloatArray = 2.0 * pinball(y_NH, quantile_NHQ, levels).sum(axis=(0, 1)) / np.abs(y_NH).sum()
    return risk


def wql(y_NH: FloatArray, quantile_NHQ: FloatArray, levels: Levels) -> float:
    """Weighted quantile loss: the mean of `q_risk` over the levels; of a point forecast it is Σ|error| / Σ|y|.

    Source: Ansari et al., Chronos, 2024, section 5.3, with the levels 0.1 … 0.9: what gluonts calls
    ``MeanWeightedSumQuantileLoss``.
    """
    return float(q_risk(y_NH, quantile_NHQ, levels).mean())


def seasonal_error(history_T: FloatArray, season: int) -> float:
    """Mean ``|y[t] - y[t - season]|`` over a history: the unit of MASE; NaN where the history has no two seasons.

    >>> seasonal_error(np.array([1.0, 5.0, 2.0, 7.0]), 2)
    1.5
    """
    if len(history_T) <= season:
        return float("nan")
    return float(np.abs(history_T[season:] - history_T[:-season]).mean())


def mase(y_NH: FloatArray, point_NH: FloatArray, seasonal_N: FloatArray) -> float:
    """Mean absolute scaled error: the mean over windows of mean |error| over that window's own `seasonal_error`.

    Windows whose history never moved over a season have no scale, and are left out; NaN where all are such.
    Source: Hyndman and Koehler, Another Look at Measures of Forecast Accuracy, 2006; medians as points, as in Chronos.

    >>> mase(np.array([[1.0, 3.0], [5.0, 5.0]]), np.array([[2.0, 2.0], [5.0, 9.0]]), np.array([2.0, 1.0]))
    1.25
    """
    has_scale = seasonal_N > 0
    if not has_scale.any():
        return float("nan")
    return float((np.abs(y_NH - point_NH).mean(axis=1)[has_scale] / seasonal_N[has_scale]).mean())


def mse_mae(y_NH: FloatArray, point_NH: FloatArray) -> tuple[float, float]:
    """Mean squared and mean absolute error over all windows, steps and series, each counting the same.

    Source: Zhou et al., Informer, 2021, on values standardised by the training slice.
    """
    error = y_NH - point_NH
    return float((error**2).mean()), float(np.abs(error).mean())


def coverage(y_NH: FloatArray, quantile_NHQ: FloatArray) -> float:
    """Share of truths between the outermost levels."""
    return float(((y_NH >= quantile_NHQ[..., 0]) & (y_NH <= quantile_NHQ[..., -1])).mean())


def crossing_pct(quantile_NHQ: FloatArray) -> float:
    """Percent of adjacent levels where the higher one has the lower value.

    >>> crossing_pct(np.array([[[0.0, 2.0, 1.0]]]))
    50.0
    """
    if quantile_NHQ.shape[-1] < 2:
        return 0.0
    return float(100.0 * (np.diff(quantile_NHQ, axis=-1) < 0).mean())
