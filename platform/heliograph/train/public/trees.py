"""Boosted trees on HAR's regressors: a quantile model of each level for what HAR leaves over.

Shapes: N windows, J features of a window, H steps ahead, Q quantile levels.
"""

from __future__ import annotations

import lightgbm
import numpy as np
import numpy.typing as npt

from heliograph.model.series import Linear
from heliograph.train.public.fit import Task, chunks

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_ROUNDS = 150
_RECENT = 5  # newest values that trees see one by one, beside HAR's averages


class Trees:
    """HAR's point and, for each level, trees of (residual over HAR's scale) with the step ahead as a feature.

    Levels are put in order at the end (Chernozhukov et al., Quantile and Probability Curves without Crossing, 2010).
    """

    def __init__(self, har: Linear, boosters: list[lightgbm.Booster]) -> None:
        self.har, self.boosters = har, boosters

    def forecast(self, x_BTF: FloatArray, series_B: IntArray) -> FloatArray:
        """See `heliograph.model.series.SeriesForecaster`."""
        num_horizons = self.har.scale_CH.shape[1]
        a_NJ = features(self.har, x_BTF, num_horizons)
        z_BHQ = np.stack(
            [np.asarray(b.predict(a_NJ, num_threads=1)).reshape(-1, num_horizons) for b in self.boosters], axis=-1
        )
        said = self.har.point(x_BTF, series_B)[..., None] + self.har.scale(x_BTF, series_B)[..., None] * z_BHQ
        return np.sort(said, axis=-1)


def features(har: Linear, x_BTF: FloatArray, num_horizons: int) -> FloatArray:
    """One row for each window and step ahead, float64[B H, J]: HAR's averages, the newest values, how far ahead."""
    a_BK = har.regressors.of(x_BTF)[0][:, :-1]
    recent = x_BTF[:, -_RECENT:].reshape(len(x_BTF), -1)
    swing_B1 = x_BTF[:, -22:, 0].std(axis=1, keepdims=True)
    window_BJ = np.concatenate([a_BK, recent, swing_B1], axis=1)
    ahead = np.tile(np.arange(num_horizons, dtype=np.float64), len(x_BTF))
    return np.column_stack([np.repeat(window_BJ, num_horizons, axis=0), ahead])


def fit_trees(task: Task, har: Linear, *, seed: int) -> Trees:
    """Fit on the training rows, and stop by the held ones."""
    fit, held = (_data(task, har, rows) for rows in (task.fit_N, task.held_N))
    train = lightgbm.Dataset(fit[0], fit[1], free_raw_data=False)
    valid = lightgbm.Dataset(held[0], held[1], reference=train, free_raw_data=False)
    boosters = []
    for level in task.levels:
        parameters = {
            "objective": "quantile", "alpha": level, "learning_rate": 0.05, "num_leaves": 15, "min_data_in_leaf": 200,
            "bagging_fraction": 0.7, "bagging_freq": 1, "feature_fraction": 0.8, "seed": seed, "num_threads": 1,
            "deterministic": True, "force_row_wise": True, "verbosity": -1,
        }  # fmt: skip
        stop = lightgbm.early_stopping(20, verbose=False)
        boosters.append(lightgbm.train(parameters, train, _ROUNDS, valid_sets=[valid], callbacks=[stop]))
    return Trees(har, boosters)


def _data(task: Task, har: Linear, row_N: IntArray) -> tuple[FloatArray, FloatArray]:
    parts, labels = [], []
    for rows in chunks(row_N):
        x_NTF, series_N = task.panel.windows(rows, task.lookback), task.panel.series_R[rows]
        error_NH = task.panel.targets(rows, task.horizon) - har.point(x_NTF, series_N)
        parts.append(features(har, x_NTF, task.horizon))
        labels.append((error_NH / har.scale(x_NTF, series_N)).ravel())
    return np.concatenate(parts), np.concatenate(labels)
