"""Standardised series side by side, and windows of them by the index of their last step; nothing is copied ahead.

Shapes: R rows of all series one after the other, N windows, T steps of a look-back, F channels, H steps ahead, C series.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError, LookAhead
from heliograph.train.public.table import Series

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_NEAR = 1e-6


@dataclass(frozen=True, slots=True)
class Panel:
    """Series, each less its mean and over its deviation on its own training slice.

    Attributes:
        x_RF: float64, the series itself first; then the leverage channel, where the file has one; then what lies `beside`.
        series_R: index of each row's series.
        start_C: first row of each series, and at the end the number of rows.
        mean_C, std_C: what was taken off and divided by.
    """

    names: tuple[str, ...]
    x_RF: FloatArray
    series_R: IntArray
    start_C: IntArray
    mean_C: FloatArray
    std_C: FloatArray

    @classmethod
    def of(cls, series: Sequence[Series], train_C: Sequence[int]) -> Panel:
        """Standardise each series by its first ``train_C[c]`` values, and by nothing after them.

        Raises:
            ConfigError: a series has fewer than two training values.
        """
        parts, means, stds = [], [], []
        has_leverage = all(s.leverage_T is not None for s in series)
        for one, train in zip(series, train_C, strict=True):
            if not 2 <= train <= len(one.value_T):
                raise ConfigError(f"{one.name} has {train} values to train on: move the split, or leave it out")
            mean, std = one.value_T[:train].mean(), _spread(one.value_T[:train])
            columns = [(one.value_T - mean) / std]
            if has_leverage and one.leverage_T is not None:
                columns.append(one.leverage_T / _spread(one.leverage_T[:train]))
            parts.append(np.stack(columns, axis=1))
            means.append(mean)
            stds.append(std)
        lengths = [len(p) for p in parts]
        return cls(
            names=tuple(s.name for s in series),
            x_RF=np.concatenate(parts),
            series_R=np.repeat(np.arange(len(parts)), lengths),
            start_C=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            mean_C=np.array(means),
            std_C=np.array(stds),
        )

    def beside(self, more_RF: FloatArray) -> Panel:
        """The same rows with more channels after their own."""
        return replace(self, x_RF=np.concatenate([self.x_RF, more_RF], axis=1))

    def origins(self, lookback: int, horizon: int, from_C: Sequence[int], to_C: Sequence[int]) -> IntArray:
        """Rows whose next ``horizon`` values all lie in ``[from_C[c], to_C[c])`` of their series.

        Only targets are bound to the slice: the look-back reaches as far before it as it has to, which is what the
        published protocols do, and what nothing after the origin can leak through.
        """
        found = []
        for c, (start, end) in enumerate(zip(from_C, to_C, strict=True)):
            first = max(start - 1, lookback - 1)
            last = min(end, int(self.start_C[c + 1] - self.start_C[c])) - horizon
            found.append(self.start_C[c] + np.arange(first, last))
        return np.concatenate(found).astype(np.int64)

    def windows(self, row_N: IntArray, lookback: int) -> FloatArray:
        """Look-backs that end with these rows, float64[N, T, F]."""
        x_NTF: FloatArray = self.x_RF[row_N[:, None] + np.arange(1 - lookback, 1)]
        return x_NTF

    def targets(self, row_N: IntArray, horizon: int) -> FloatArray:
        """What came after these rows, standardised, float64[N, H]."""
        y_NH: FloatArray = self.x_RF[row_N[:, None] + np.arange(1, horizon + 1), 0]
        return y_NH

    def raw(self, row_N: IntArray, value_NX: FloatArray) -> FloatArray:
        """Standardised values of these rows' series in the unit of the file; any shape after N."""
        shape = (-1, *([1] * (value_NX.ndim - 1)))
        c = self.series_R[row_N]
        raw: FloatArray = value_NX * self.std_C[c].reshape(shape) + self.mean_C[c].reshape(shape)
        return raw


def require_train_scaler(panel: Panel, train_C: Sequence[int]) -> None:
    """See that every series was standardised by its training slice alone.

    Raises:
        LookAhead: a mean or deviation on the training slice is not that of a standardised one: later values had a say.
    """
    for c, (name, train) in enumerate(zip(panel.names, train_C, strict=True)):
        slice_T = panel.x_RF[panel.start_C[c] : panel.start_C[c] + train, 0]
        mean, std = float(slice_T.mean()), float(slice_T.std())
        if abs(mean) > _NEAR or (std > _NEAR and abs(std - 1.0) > _NEAR):
            raise LookAhead(
                f"{name} is not standardised by its training slice (mean {mean:.4f}, deviation {std:.4f} there): "
                "statistics of later values flatter every model, measure them on the first "
                f"{train:,} values only"
            )


def _spread(value_T: FloatArray) -> float:
    std = float(value_T.std())
    return std if std > 0 else 1.0
