"""The forecasters that every model must beat: the unconditional, the rolling and the volatility-scaled distribution.

Shapes: N training origins of all symbols, B windows, T bars, F features, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError, DataError
from heliograph.model.checkpoint import Tensors
from heliograph.model.spec import SETUPS, SIGMA_FLOOR, Forecast, Spec, digest

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

Kind = Literal["unconditional", "volatility_scaled", "rolling"]

MONTH = "har_month_720"
"""The feature that ``rolling`` needs: log of the volatility of the last 720 bars over the volatility feature."""


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


@dataclass(frozen=True, slots=True)
class Cone:
    """The part of a forecast that is the same after every window: it is multiplied by a scale.

    Attributes:
        quantile_HQ: of log-return / scale.
        setup_HC: frequency of each setup in training.
        confidence_H: how often the return had the median's sign in training.
    """

    quantile_HQ: FloatArray
    setup_HC: FloatArray
    confidence_H: FloatArray

    @classmethod
    def fit(cls, spec: Spec, z_NH: FloatArray, setup_NH: IntArray) -> Self:
        """Measure on log-returns over scale; rows that hold a NaN are passed over.

        Raises:
            DataError: no row is whole.
        """
        known_NH = z_NH[np.isfinite(z_NH).all(axis=1)]
        if not known_NH.size:
            raise DataError("no training origin has its returns and its volatility: fetch a longer history")
        quantile_HQ = np.ascontiguousarray(np.quantile(known_NH, spec.levels, axis=0).T)
        sign_H = np.where(quantile_HQ[:, len(spec.levels) // 2] >= 0, 1.0, -1.0)
        return cls(quantile_HQ, setup_frequencies(setup_NH), (known_NH * sign_H > 0).mean(axis=0))

    def forecast(self, scale_BH: FloatArray) -> Forecast:
        """Quantiles of the log-return for these scales."""
        num = scale_BH.shape[0]
        return Forecast(
            quantile_BHQ=self.quantile_HQ * scale_BH[..., None],
            setup_BHC=np.tile(self.setup_HC, (num, 1, 1)),
            confidence_BH=np.tile(self.confidence_H, (num, 1)),
        )

    def tensors(self) -> Tensors:
        """What `of` makes the same cone of."""
        return {"quantile_HQ": self.quantile_HQ, "setup_HC": self.setup_HC, "confidence_H": self.confidence_H}

    @classmethod
    def of(cls, tensors: Tensors) -> Self:
        """Inverse of `tensors`; others among them are passed over."""
        return cls(tensors["quantile_HQ"], tensors["setup_HC"], tensors["confidence_H"])


def month_sigma(spec: Spec, last_BF: Float32Array) -> FloatArray:
    """Volatility per bar of the last 720 bars, out of the newest rows; float64[B], log-return.

    Raises:
        ConfigError: the feature that tells it is not there.
    """
    if MONTH not in spec.feature_names:
        raise ConfigError(f"the rolling distribution needs the feature {MONTH!r}: add it to features.names")
    ratio_B = last_BF[:, spec.feature_names.index(MONTH)].astype(np.float64)
    sigma_B = last_BF[:, spec.sigma_index].astype(np.float64)
    month_B: FloatArray = np.maximum(sigma_B * np.exp(ratio_B), SIGMA_FLOOR)
    return month_B


class PooledForecaster:
    """Quantiles of training returns of one symbol or of all: as they are, or standardised and times a volatility of today.

    A window is shorter than a month, so that ``rolling`` can't count the last month's returns: it takes their volatility
    from the newest row, and the shape of the distribution from training.

    Attributes:
        kind: ``unconditional`` knows nothing of the present, ``rolling`` the volatility of the last 720 bars,
            ``volatility_scaled`` the spec's.
        quantile_HQ: of the log-return, or of log-return / (volatility · √h).
        setup_HC: frequency of each setup in training.
        confidence_H: how often the return had the median's sign in training.
    """

    def __init__(
        self, spec: Spec, kind: Kind, *, quantile_HQ: FloatArray, setup_HC: FloatArray, confidence_H: FloatArray
    ) -> None:
        self.spec, self.kind = spec, kind
        self.feature_names, self.window_bars = spec.feature_names, spec.window_bars
        self.horizons_bars, self.levels = spec.horizons_bars, spec.levels
        self.cone = Cone(quantile_HQ, setup_HC, confidence_H)
        self.quantile_HQ, self.setup_HC, self.confidence_H = quantile_HQ, setup_HC, confidence_H
        self.fingerprint = digest([kind, asdict(spec)], [quantile_HQ, setup_HC, confidence_H])

    @classmethod
    def fit(cls, spec: Spec, kind: Kind, *, sigma_N: FloatArray, log_return_NH: FloatArray, setup_NH: IntArray) -> Self:
        """Measure on training origins; rows with an unknown return are passed over.

        Args:
            sigma_N: the volatility that the kind knows: the spec's, or `month_sigma`.
        """
        y_NH = log_return_NH if kind == "unconditional" else standardised(spec, sigma_N, log_return_NH)
        cone = Cone.fit(spec, y_NH, setup_NH)
        return cls(spec, kind, quantile_HQ=cone.quantile_HQ, setup_HC=cone.setup_HC, confidence_H=cone.confidence_H)

    def forecast(self, x_BTF: npt.NDArray[np.float32]) -> Forecast:
        """The same standard quantiles after every window, in log-returns."""
        scale_BH = self.spec.scale(x_BTF)
        if self.kind == "unconditional":
            scale_BH = np.ones_like(scale_BH)
        if self.kind == "rolling":
            scale_BH = month_sigma(self.spec, x_BTF[:, -1])[:, None] * self.spec.root_horizons
        return self.cone.forecast(scale_BH)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """What `restore` makes the same forecaster of."""
        return self.cone.tensors(), {"kind": self.kind}

    @classmethod
    def restore(cls, spec: Spec, tensors: Tensors, header: dict[str, Any]) -> Self:
        """Inverse of `state`."""
        cone = Cone.of(tensors)
        return cls(
            spec,
            header["kind"],
            quantile_HQ=cone.quantile_HQ,
            setup_HC=cone.setup_HC,
            confidence_H=cone.confidence_H,
        )
