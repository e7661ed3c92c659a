"""What a forecaster takes and gives: features, window, horizons, levels; and the port that all forecasters answer.

Shapes: B windows, T bars, F features, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from typing import Protocol

import numpy as np
import numpy.typing as npt

from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError, SchemaMismatch

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

SETUPS = ("stop", "timeout", "profit")
"""Classes of the triple barrier, in the order of every setup axis."""

SIGMA_FLOOR = 1e-6
"""Least per-bar volatility, log-return: a market that stood still is scaled by this and never divides by zero."""


@dataclass(frozen=True, slots=True)
class Frame:
    """The columns of one timeframe among the features of a window.

    Attributes:
        stride_bars: base bars from one of its bars to the next; 1 is the base itself.
        columns: where they stand among the F features.
        names: what they are called on the base: ``rsi_14_4h`` is ``rsi_14``.
    """

    stride_bars: int
    columns: tuple[int, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spec:
    """The contract between features, network and reader.

    Attributes:
        feature_names: the F columns of every window, in order.
        sigma_name: the one of them that holds the per-bar standard deviation of log-returns.
        horizons_bars: H horizons, ascending.
        levels: Q quantile levels in (0, 1), ascending, symmetric, with 0.5 in the middle.
        window_bars: T bars that a forecast sees; the last one is the origin.
        timeframe: of the base bars.

    Raises:
        ConfigError: sigma_name is not one of the features.
    """

    feature_names: tuple[str, ...]
    sigma_name: str
    horizons_bars: tuple[int, ...]
    levels: tuple[float, ...]
    window_bars: int
    timeframe: str = "1h"

    def __post_init__(self) -> None:
        if self.sigma_name not in self.feature_names:
            raise ConfigError(f"the model needs the feature {self.sigma_name!r}: add it to features.names")

    @property
    def sigma_index(self) -> int:
        """Column of the volatility feature."""
        return self.feature_names.index(self.sigma_name)

    @property
    def frames(self) -> tuple[Frame, ...]:
        """The base first, then every longer timeframe that features are named after, ascending.

        >>> Spec(("sigma", "rsi_14", "rsi_14_1d", "rsi_14_4h"), "sigma", (1,), (0.5,), 8).frames[1:]
        (Frame(stride_bars=4, columns=(3,), names=('rsi_14',)), Frame(stride_bars=24, columns=(2,), names=('rsi_14',)))
        """
        base_ms = timeframes.parse(self.timeframe).ms
        found: dict[int, list[tuple[int, str]]] = {1: []}
        for column, feature in enumerate(self.feature_names):
            name, _, suffix = feature.rpartition("_")
            is_higher = bool(name) and suffix in timeframes.TIMEFRAMES and timeframes.parse(suffix).ms > base_ms
            stride = timeframes.parse(suffix).ms // base_ms if is_higher else 1
            found.setdefault(stride, []).append((column, name if is_higher else feature))
        return tuple(
            Frame(stride, tuple(c for c, _ in of), tuple(n for _, n in of)) for stride, of in sorted(found.items())
        )

    @property
    def root_horizons(self) -> FloatArray:
        """√horizon: how volatility grows where returns are uncorrelated; float64[H]."""
        return np.sqrt(np.asarray(self.horizons_bars, dtype=np.float64))

    def sigma(self, x_BTF: Float32Array) -> FloatArray:
        """Per-bar volatility at the origins, float64[B].

        Raises:
            SchemaMismatch: the windows do not have T bars of F features.
        """
        wanted = (self.window_bars, len(self.feature_names))
        if x_BTF.ndim != 3 or x_BTF.shape[1:] != wanted:
            raise SchemaMismatch(
                f"windows have shape {x_BTF.shape}; this forecaster needs (B, {wanted[0]}, {wanted[1]})"
            )
        return np.maximum(x_BTF[:, -1, self.sigma_index].astype(np.float64), SIGMA_FLOOR)

    def scale(self, x_BTF: Float32Array) -> FloatArray:
        """σ√h of every window and horizon, log-return, float64[B, H]: what turns standard quantiles into returns."""
        return self.sigma(x_BTF)[:, None] * self.root_horizons


@dataclass(frozen=True, slots=True)
class Forecast:
    """The distribution of the log-return after B origins.

    Attributes:
        quantile_BHQ: float64 log-returns, never decreasing along Q.
        setup_BHC: float64 probabilities of stop, timeout, profit; they sum to one.
        confidence_BH: float64 probability that the sign of the median is right.
    """

    quantile_BHQ: FloatArray
    setup_BHC: FloatArray
    confidence_BH: FloatArray


class Forecaster(Protocol):
    """Raw windows in, distributions out; owns its scaling and never sees a label.

    Attributes:
        feature_names: the F columns of a window, in order.
        horizons_bars: H horizons, ascending.
        levels: Q quantile levels, ascending.
        window_bars: T bars of a window.
        fingerprint: 12 hex digits that name this very forecaster.
    """

    feature_names: tuple[str, ...]
    horizons_bars: tuple[int, ...]
    levels: tuple[float, ...]
    window_bars: int
    fingerprint: str

    def forecast(self, x_BTF: Float32Array) -> Forecast:
        """Distributions after the last bar of each window of raw features, float32[B, T, F].

        Raises:
            SchemaMismatch: the windows have another shape.
        """


def digest(header: object, arrays: list[npt.NDArray[np.generic]]) -> str:
    """First 12 hex digits of the sha256 over a JSON header and the bytes of the arrays."""
    state = sha256(json.dumps(header, sort_keys=True).encode())
    for array in arrays:
        state.update(np.ascontiguousarray(array).tobytes())
    return state.hexdigest()[:12]
