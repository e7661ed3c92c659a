"""EWMA with Student-t tails, and the recursion of the variance that GARCH shares with it.

Both filter the returns in the window forward, from the volatility feature at the window's first bar on; so they carry no
state from one forecast to the next, and a window gives the same forecast in training, in a backtest and live.

Shapes: N training origins, M rows, B windows, T bars, F features, H horizons, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from scipy import optimize, special  # type: ignore[import-untyped]

from heliograph.core.errors import ConfigError, DataError
from heliograph.model.baselines import Cone
from heliograph.model.checkpoint import Tensors
from heliograph.model.spec import SIGMA_FLOOR, Forecast, Spec, digest

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

RETURN = "log_return_1"
"""The feature that holds the last bar's log-return over the volatility feature; the filter reads both."""

LEAST_ROWS = 500
"""Training origins that a tail's shape needs."""

_DECAYS = (0.9, 0.998)
_SEARCHED_ROWS = 10_000  # evenly out of all; more move the decay by less than its standard error
_TAILS = (2.05, 200.0)  # degrees of freedom
_REACH_Z = 30.0  # a print at a hundredth of the price must not set the tail


@dataclass(frozen=True, slots=True)
class Moves:
    """What the filter reads of M rows of one symbol, or of several end to end.

    Attributes:
        return_M: float64, log-return of each bar over √(bars of time since the bar before).
        sigma_M: float64, the volatility feature.
    """

    return_M: FloatArray
    sigma_M: FloatArray

    @classmethod
    def of(cls, spec: Spec, x_MF: Float32Array) -> Self:
        """Read from raw features.

        Raises:
            ConfigError: the last return is not among them.
        """
        sigma_M = np.maximum(x_MF[..., spec.sigma_index].astype(np.float64), SIGMA_FLOOR)
        return cls(x_MF[..., return_index(spec)].astype(np.float64) * sigma_M, sigma_M)

    @classmethod
    def joined(cls, parts: Sequence[Moves]) -> Self:
        """Several symbols end to end."""
        return cls(np.concatenate([p.return_M for p in parts]), np.concatenate([p.sigma_M for p in parts]))


def return_index(spec: Spec) -> int:
    """Column of the last return.

    Raises:
        ConfigError: it is not among the features.
    """
    if RETURN not in spec.feature_names:
        raise ConfigError(f"EWMA and GARCH filter the feature {RETURN!r}: add it to features.names")
    return spec.feature_names.index(RETURN)


@dataclass(frozen=True, slots=True)
class Recursion:
    """Variance of the next bar = omega + alpha · return² + beta · variance of this bar (Bollerslev 1986).

    With omega 0 and alpha 1 − beta it is EWMA with the decay beta. Each horizon may have numbers of its own.

    Attributes:
        omega_H, alpha_H, beta_H: float64[H]; omega in log-return².
    """

    omega_H: FloatArray
    alpha_H: FloatArray
    beta_H: FloatArray

    @classmethod
    def ewma(cls, decay_H: FloatArray) -> Self:
        """Exponential weights with these decays."""
        return cls(np.zeros_like(decay_H), 1.0 - decay_H, decay_H)

    def next(self, moves: Moves, last_B: IntArray, window_bars: int) -> FloatArray:
        """Variance of the bar after each of these rows, seen through its window alone; float64[B, H], log-return².

        Args:
            last_B: rows that windows end at.
            window_bars: T; the rows before belong to the same symbol.
        """
        first_B = last_B + 1 - window_bars
        variance_BH = np.repeat(moves.sigma_M[first_B, None] ** 2, self.omega_H.size, axis=1)
        for bar in range(1, window_bars):
            square_B1 = moves.return_M[first_B + bar, None] ** 2
            variance_BH = self.omega_H + self.alpha_H * square_B1 + self.beta_H * variance_BH
        floored: FloatArray = np.maximum(variance_BH, SIGMA_FLOOR**2)
        return floored

    def ahead(self, next_BH: FloatArray, horizons_bars: Sequence[int]) -> FloatArray:
        """Standard deviation of the log-return over the next bars up to each horizon, float64[B, H].

        The sum of the variances that are expected bar after bar, each omega + (alpha + beta) · the one before.
        """
        expected_BH, total_BH = next_BH, np.zeros_like(next_BH)
        for bar in range(max(horizons_bars)):
            total_BH = total_BH + np.where(bar < np.asarray(horizons_bars), expected_BH, 0.0)
            expected_BH = self.omega_H + (self.alpha_H + self.beta_H) * expected_BH
        scale_BH: FloatArray = np.sqrt(total_BH)
        return scale_BH

    def scale(self, moves: Moves, last_B: IntArray, spec: Spec) -> FloatArray:
        """Standard deviation of the log-return over each horizon after these rows, float64[B, H]."""
        return self.ahead(self.next(moves, last_B, spec.window_bars), spec.horizons_bars)


class FilterForecaster:
    """A recursion times Student-t quantiles of what it left in training, each horizon's own.

    Attributes:
        recursion: filters the window.
        cone: quantiles of log-return / standard deviation, frequencies of setups and of rising prices.
    """

    kind: ClassVar[str]

    def __init__(self, spec: Spec, recursion: Recursion, cone: Cone) -> None:
        return_index(spec)
        self.spec = spec
        self.feature_names, self.window_bars = spec.feature_names, spec.window_bars
        self.horizons_bars, self.levels = spec.horizons_bars, spec.levels
        self.recursion, self.cone = recursion, cone
        tensors, header = self.state()
        self.fingerprint = digest([self.kind, asdict(spec), header], [tensors[name] for name in sorted(tensors)])

    @classmethod
    def around(
        cls,
        spec: Spec,
        recursion: Recursion,
        moves: Moves,
        *,
        rows: IntArray,
        log_return_NH: FloatArray,
        setup_NH: IntArray,
    ) -> Self:
        """The forecaster of a recursion that is known, its tails measured at these origins."""
        z_NH = log_return_NH / recursion.scale(moves, rows, spec)
        return cls(spec, recursion, student_cone(spec, z_NH, setup_NH))

    def forecast(self, x_BTF: Float32Array) -> Forecast:
        """Distributions after the last bar of each window of raw features, float32[B, T, F].

        Raises:
            SchemaMismatch: the windows have another shape.
        """
        self.spec.sigma(x_BTF)
        moves = Moves.of(self.spec, x_BTF.reshape(-1, x_BTF.shape[2]))
        last_B = (np.arange(x_BTF.shape[0]) + 1) * self.window_bars - 1
        return self.cone.forecast(self.recursion.scale(moves, last_B, self.spec))

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """What `restore` makes the same forecaster of."""
        recursion = self.recursion
        numbers: Tensors = {"omega_H": recursion.omega_H, "alpha_H": recursion.alpha_H, "beta_H": recursion.beta_H}
        return {**numbers, **self.cone.tensors()}, {}

    @classmethod
    def restore(cls, spec: Spec, tensors: Tensors, header: dict[str, Any]) -> Self:  # noqa: ARG003
        """Inverse of `state`."""
        recursion = Recursion(tensors["omega_H"], tensors["alpha_H"], tensors["beta_H"])
        return cls(spec, recursion, Cone.of(tensors))


class EwmaForecaster(FilterForecaster):
    """Exponentially weighted volatility with the decay of the highest Student-t likelihood, each horizon's own."""

    kind: ClassVar[str] = "ewma_t"

    @classmethod
    def fit(
        cls, spec: Spec, moves: Moves, *, rows: IntArray, log_return_NH: FloatArray, setup_NH: IntArray
    ) -> EwmaForecaster:
        """Measure decays and tails on training origins.

        Args:
            rows: of ``moves``; each has a whole window of one symbol.
            log_return_NH, setup_NH: labels of these rows.

        Raises:
            ConfigError: the last return is not among the features.
            DataError: there are too few origins, or the price stood still.
        """
        require_moves(moves, rows, log_return_NH)
        some = np.linspace(0, rows.size - 1, min(rows.size, _SEARCHED_ROWS)).astype(np.int64)
        pairs = zip(spec.horizons_bars, log_return_NH[some].T, strict=True)
        decays = [_decay(moves, rows[some], y_N, window_bars=spec.window_bars, horizon_bars=h) for h, y_N in pairs]
        recursion = Recursion.ewma(np.array(decays))
        return cls.around(spec, recursion, moves, rows=rows, log_return_NH=log_return_NH, setup_NH=setup_NH)


def _decay(moves: Moves, rows: IntArray, log_return_N: FloatArray, *, window_bars: int, horizon_bars: int) -> float:
    """The decay whose standardised returns are the likeliest under their best t distribution."""
    is_known_N = np.isfinite(log_return_N)

    def loss(decay: float) -> float:
        recursion = Recursion.ewma(np.array([decay]))
        scale_N = np.sqrt(recursion.next(moves, rows[is_known_N], window_bars)[:, 0] * horizon_bars)
        z_N = np.clip(log_return_N[is_known_N] / scale_N, -_REACH_Z, _REACH_Z)
        return student_loss(z_N, *student(z_N)) + float(np.log(scale_N).mean())

    return float(optimize.minimize_scalar(loss, bounds=_DECAYS, method="bounded", options={"xatol": 2e-3}).x)


def require_moves(moves: Moves, rows: IntArray, log_return_NH: FloatArray) -> None:
    """Check that a volatility can be measured.

    Raises:
        DataError: there are too few origins, or the price stood still.
    """
    if rows.size < LEAST_ROWS:
        raise DataError(
            f"a volatility model needs {LEAST_ROWS} training origins and there are {rows.size}: fetch a longer history, "
            "or leave the symbol out"
        )
    if (moves.sigma_M[rows] <= SIGMA_FLOOR).mean() > 0.5 or (log_return_NH[:, -1] == 0).mean() > 0.5:
        raise DataError("the price stood still at most training origins: leave the symbol out")


def student_loss(z_N: FloatArray, degrees: float, scale: float) -> float:
    """Mean negative log-likelihood of Student's t around zero.

    >>> round(student_loss(np.zeros(1), 1.0, 1.0), 6)  # log π: Cauchy's density at its centre
    1.14473
    """
    shape = special.gammaln(0.5 * (degrees + 1)) - special.gammaln(0.5 * degrees) - 0.5 * np.log(np.pi * degrees)
    tail = 0.5 * (degrees + 1) * np.log1p((z_N / scale) ** 2 / degrees).mean()
    return float(tail - shape + np.log(scale))


def student(z_N: FloatArray) -> tuple[float, float]:
    """Degrees of freedom and scale of the highest likelihood, around zero."""

    def loss(at: FloatArray) -> float:
        return student_loss(z_N, float(np.exp(at[0])), float(np.exp(at[1])))

    centre = np.array([np.log(5.0), np.log(max(float(np.median(np.abs(z_N))) / 0.73, 1e-6))])
    around = [(np.log(_TAILS[0]), np.log(_TAILS[1])), (centre[1] - 5.0, centre[1] + 5.0)]
    found = optimize.minimize(loss, centre, method="L-BFGS-B", bounds=around)
    return float(np.exp(found.x[0])), float(np.exp(found.x[1]))


def student_cone(spec: Spec, z_NH: FloatArray, setup_NH: IntArray) -> Cone:
    """Quantiles of the t distribution that fits each horizon's standardised returns best; the median is zero."""
    z_NH = np.clip(z_NH, -_REACH_Z, _REACH_Z)
    plain = Cone.fit(spec, z_NH, setup_NH)
    fitted = [student(z_NH[np.isfinite(z_NH[:, h]), h]) for h in range(z_NH.shape[1])]
    levels = np.asarray(spec.levels)
    quantile_HQ = np.stack([special.stdtrit(degrees, levels) * scale for degrees, scale in fitted])
    return Cone(quantile_HQ, plain.setup_HC, np.nanmean(np.where(np.isfinite(z_NH), z_NH > 0, np.nan), axis=0))
