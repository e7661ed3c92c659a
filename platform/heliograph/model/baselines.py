"""The forecasters that every model must beat: the unconditional and the volatility-scaled distribution.

Shapes: N training origins of all symbols, B windows, T bars, F features, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Literal, Self

import numpy as np
import numpy.typing as npt

from heliograph.model.spec import SETUPS, SIGMA_FLOOR, Forecast, Spec, digest

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Kind = Literal["unconditional", "volatility_scaled"]


def setup_frequencies(setup_NH: IntArray) -> FloatArray:
    """How often each setup came, float64[H, C]; unknown ones (-1) are passed over, and one of each is added.

    >>> setup_frequencies(np.array([[0], [2], [2], [-1]])).tolist()
    [[0.3333333333333333, 0.16666666666666666, 0.5]]
    """
    counts = np.stack([(setup_NH == c).sum(axis=0) for c in range(len(SETUPS))], axis=-1) + 1.0
    frequencies: FloatArray = counts / counts.sum(axis=-1, keepdims=True)
    return frequencies


def standardised(spec: Spec, sigma_N: FloatArray, log_return_NH: FloatArray) -> FloatArray:
    """Log-returns over σ√h, float64[N, H]."""
    z_NH: FloatArray = log_return_NH / (np.maximum(sigma_N, SIGMA_FLOOR)[:, None] * spec.root_horizons)
    return z_NH


class PooledForecaster:
    """Quantiles of the training returns of all symbols: as they are, or standardised and times today's σ√h.

    Attributes:
        kind: ``unconditional`` knows nothing of the present, ``volatility_scaled`` knows σ.
        quantile_HQ: of the log-return, or of log-return / (σ√h).
        setup_HC: frequency of each setup in training.
        confidence_H: how often the return had the median's sign in training.
    """

    def __init__(
        self, spec: Spec, kind: Kind, *, quantile_HQ: FloatArray, setup_HC: FloatArray, confidence_H: FloatArray
    ) -> None:
        self.spec, self.kind = spec, kind
        self.feature_names, self.window_bars = spec.feature_names, spec.window_bars
        self.horizons_bars, self.levels = spec.horizons_bars, spec.levels
        self.quantile_HQ, self.setup_HC, self.confidence_H = quantile_HQ, setup_HC, confidence_H
        self.fingerprint = digest([kind, asdict(spec)], [quantile_HQ, setup_HC, confidence_H])

    @classmethod
    def fit(cls, spec: Spec, kind: Kind, *, sigma_N: FloatArray, log_return_NH: FloatArray, setup_NH: IntArray) -> Self:
        """Measure on training origins; returns and σ are finite."""
        y_NH = standardised(spec, sigma_N, log_return_NH) if kind == "volatility_scaled" else log_return_NH
        quantile_HQ = np.ascontiguousarray(np.quantile(y_NH, spec.levels, axis=0).T)
        sign_H = np.where(quantile_HQ[:, len(spec.levels) // 2] >= 0, 1.0, -1.0)
        confidence_H = (y_NH * sign_H > 0).mean(axis=0)
        return cls(spec, kind, quantile_HQ=quantile_HQ, setup_HC=setup_frequencies(setup_NH), confidence_H=confidence_H)

    def forecast(self, x_BTF: npt.NDArray[np.float32]) -> Forecast:
        """The same standard quantiles after every window, in log-returns."""
        scale_BH = self.spec.scale(x_BTF)
        if self.kind == "unconditional":
            scale_BH = np.ones_like(scale_BH)
        num = x_BTF.shape[0]
        return Forecast(
            quantile_BHQ=self.quantile_HQ * scale_BH[..., None],
            setup_BHC=np.tile(self.setup_HC, (num, 1, 1)),
            confidence_BH=np.tile(self.confidence_H, (num, 1)),
        )
