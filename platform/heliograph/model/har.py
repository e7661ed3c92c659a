"""HAR: the log volatility of each horizon as a linear function of the newest row, and forecasts on it by filtered history.

Sources: F. Corsi, A Simple Approximate Long-Memory Model of Realized Volatility, J. Financial Econometrics 7(2), 2009;
G. Barone-Adesi, K. Giannopoulos, L. Vosper, VaR without Correlations for Portfolios of Derivative Securities, J. Futures
Markets 19(5), 1999. It is fitted by the size of moves and not by their logs, which would count the smallest most.

Shapes: N training origins, B windows, T bars, F features, K regressors, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import DataError, SchemaMismatch
from heliograph.model.baselines import Cone
from heliograph.model.checkpoint import Tensors
from heliograph.model.spec import SIGMA_FLOOR, Forecast, Spec, digest

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

HAR_FEATURES = (
    "har_week_168", "har_month_720", "volatility_ratio_24_168", "volatility_ratio_6_24", "ewma_ratio_94",
    "garman_klass_24", "atr_sigma_14", "bar_range", "hour_sin", "hour_cos", "weekday_sin", "weekday_cos",
)  # fmt: skip
"""What `Har` reads beside the volatility of the spec; it does with those of them that the spec has."""

CORSI = (
    "volatility_ratio_24_168", "har_week_168", "har_month_720", "garman_klass_24", "hour_sin", "hour_cos",
    "weekday_sin", "weekday_cos",
)  # fmt: skip
"""The model as it was published, with the range and the hours of the week: day, week and month alone."""

_CYCLES = {"hour": 4, "weekday": 3}  # harmonics
_REACH = 12.0  # σ√h: a move beyond says no more about tomorrow's width than one at it
_REACH_LOG = 2.0  # a forecast stays within e^±2 of σ√h
_LEAST_RANGE = 0.2  # σ; the log of a bar without a range is no news beyond it
_RIDGE = 10.0  # as many origins say that the weights are zero
_SHARE = 0.5  # of the realised volatility in what is fitted
_STEPS = 50
_DONE = 1e-10
_LEAST_ROWS = 20  # for each regressor


@dataclass(frozen=True, slots=True)
class Har:
    """A volatility model fitted on training origins.

    Attributes:
        spec: of the forecasts.
        names: the features that it reads; the spec's volatility is the first.
        low_K, high_K: float64; regressors are cut to what training showed.
        weight_HK: float64; log(scale / σ√h) = regressors · weights + constant_H.
    """

    spec: Spec
    names: tuple[str, ...]
    low_K: FloatArray
    high_K: FloatArray
    weight_HK: FloatArray
    constant_H: FloatArray

    @classmethod
    def fit(
        cls,
        spec: Spec,
        *,
        last_NF: Float32Array,
        log_return_NH: FloatArray,
        realised_NH: FloatArray | None = None,
        features: tuple[str, ...] = HAR_FEATURES,
    ) -> Self:
        """Measure on training origins by the quasi-likelihood of the size of moves; a convex problem with one answer.

        Args:
            last_NF: raw features of the origins.
            log_return_NH: NaN where unknown.
            realised_NH: another measure of how much the price moved over each horizon, log-return; NaN where unknown.
            features: that may be read; those of them count that the spec has.

        Raises:
            DataError: too few origins are finite, or the price hardly moved.
        """
        names = (spec.sigma_name, *(n for n in features if n in spec.feature_names))
        raw_NK = _regressors(names, _columns(spec, names, last_NF))
        sigma_N = np.maximum(last_NF[:, spec.sigma_index].astype(np.float64), SIGMA_FLOOR)
        root_NH = sigma_N[:, None] * spec.root_horizons
        size_NH = np.abs(log_return_NH) / root_NH
        size_NH = np.minimum(size_NH, _REACH)
        if realised_NH is not None:
            size_NH = _mixed(size_NH, np.minimum(realised_NH / root_NH, _REACH))
        is_used_N = np.isfinite(raw_NK).all(axis=1) & np.isfinite(size_NH).all(axis=1) & (sigma_N > SIGMA_FLOOR)
        _require(is_used_N, size_NH, raw_NK.shape[1])
        x_NK, size_NH = raw_NK[is_used_N], size_NH[is_used_N]
        low_K, high_K = x_NK.min(axis=0), x_NK.max(axis=0)
        centre_K, spread_K = x_NK.mean(axis=0), x_NK.std(axis=0)
        spread_K = np.where(spread_K > 1e-9, spread_K, 1.0)
        z_NK = np.column_stack([np.ones(x_NK.shape[0]), (x_NK - centre_K) / spread_K])
        solved = np.stack([_solve(z_NK, size_NH[:, h]) for h in range(size_NH.shape[1])])
        weight_HK = solved[:, 1:] / spread_K
        constant_H = solved[:, 0] - weight_HK @ centre_K
        fitted_NH = np.clip(x_NK @ weight_HK.T + constant_H, -_REACH_LOG, _REACH_LOG)
        z_NH = np.minimum(np.abs(log_return_NH[is_used_N]) / root_NH[is_used_N], _REACH) / np.exp(fitted_NH)
        constant_H = constant_H + 0.5 * np.log((z_NH**2).mean(axis=0))
        return cls(spec, names, low_K, high_K, weight_HK, constant_H)

    def scale(self, last_BF: Float32Array) -> FloatArray:
        """Standard deviation of the log-return after each row of raw features, float64[B, H]; it replaces σ√h.

        Raises:
            SchemaMismatch: the rows do not have F features.
        """
        if last_BF.ndim != 2 or last_BF.shape[1] != len(self.spec.feature_names):
            raise SchemaMismatch(
                f"rows have shape {last_BF.shape}; this model needs (B, {len(self.spec.feature_names)})"
            )
        x_BK = np.clip(_regressors(self.names, _columns(self.spec, self.names, last_BF)), self.low_K, self.high_K)
        sigma_B = np.maximum(last_BF[:, self.spec.sigma_index].astype(np.float64), SIGMA_FLOOR)
        shift_BH = np.clip(x_BK @ self.weight_HK.T + self.constant_H, -_REACH_LOG, _REACH_LOG)
        scale_BH: FloatArray = sigma_B[:, None] * self.spec.root_horizons * np.exp(shift_BH)
        return scale_BH

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """What `restore` makes the same model of."""
        tensors: Tensors = {name: getattr(self, name) for name in ("low_K", "high_K", "weight_HK", "constant_H")}
        return tensors, {"names": list(self.names)}

    @classmethod
    def restore(cls, spec: Spec, tensors: Tensors, header: dict[str, Any]) -> Self:
        """Inverse of `state`."""
        arrays = (tensors[name] for name in ("low_K", "high_K", "weight_HK", "constant_H"))
        return cls(spec, tuple(header["names"]), *arrays)


class HarForecaster:
    """`Har` times the quantiles of what its scale left in training: filtered historical simulation.

    Attributes:
        har: the scale.
        cone: quantiles of log-return / scale, frequencies of setups and of the median's sign.
    """

    kind: ClassVar[str] = "har"

    def __init__(self, har: Har, cone: Cone) -> None:
        self.spec = har.spec
        self.feature_names, self.window_bars = har.spec.feature_names, har.spec.window_bars
        self.horizons_bars, self.levels = har.spec.horizons_bars, har.spec.levels
        self.har, self.cone = har, cone
        tensors, header = self.state()
        self.fingerprint = digest([self.kind, asdict(har.spec), header], [tensors[name] for name in sorted(tensors)])

    @classmethod
    def fit(
        cls,
        spec: Spec,
        *,
        last_NF: Float32Array,
        log_return_NH: FloatArray,
        setup_NH: IntArray,
        realised_NH: FloatArray | None = None,
        features: tuple[str, ...] = HAR_FEATURES,
    ) -> Self:
        """Measure scale and quantiles on the same training origins; arguments as of `Har.fit`.

        Raises:
            DataError: too few origins are finite, or the price hardly moved.
        """
        har = Har.fit(spec, last_NF=last_NF, log_return_NH=log_return_NH, realised_NH=realised_NH, features=features)
        return cls(har, Cone.fit(spec, log_return_NH / har.scale(last_NF), setup_NH))

    def forecast(self, x_BTF: Float32Array) -> Forecast:
        """Distributions after the last bar of each window of raw features, float32[B, T, F].

        Raises:
            SchemaMismatch: the windows have another shape.
        """
        self.spec.sigma(x_BTF)
        return self.cone.forecast(self.har.scale(x_BTF[:, -1]))

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """What `restore` makes the same forecaster of."""
        tensors, header = self.har.state()
        return {**tensors, **self.cone.tensors()}, header

    @classmethod
    def restore(cls, spec: Spec, tensors: Tensors, header: dict[str, Any]) -> Self:
        """Inverse of `state`."""
        return cls(Har.restore(spec, tensors, header), Cone.of(tensors))


def _columns(spec: Spec, names: tuple[str, ...], x_NF: Float32Array) -> dict[str, FloatArray]:
    return {name: x_NF[:, spec.feature_names.index(name)].astype(np.float64) for name in names}


def _regressors(names: tuple[str, ...], column: dict[str, FloatArray]) -> FloatArray:
    """Functions of the newest row, float64[N, K]: logs as they are, sizes and signs of moves, harmonics of the clock."""
    made = [np.log(np.maximum(column[names[0]], SIGMA_FLOOR))]
    clock = {f"{cycle}_{part}" for cycle in _CYCLES for part in ("sin", "cos")}
    made += [column[name] for name in names[1:] if name not in clock]
    if "bar_range" in names:
        made.append(np.log(np.maximum(column["bar_range"], 0.0) + _LEAST_RANGE))
    for cycle, harmonics in _CYCLES.items():
        if f"{cycle}_sin" in names and f"{cycle}_cos" in names:
            angle = np.arctan2(column[f"{cycle}_sin"], column[f"{cycle}_cos"])
            made += [wave(k * angle) for k in range(1, harmonics + 1) for wave in (np.sin, np.cos)]
    return np.column_stack(made)


def _mixed(size_NH: FloatArray, realised_NH: FloatArray) -> FloatArray:
    """Both measures of a move, the second brought to the mean of the first."""
    both_NH = np.isfinite(size_NH) & np.isfinite(realised_NH)
    told_H, real_H = (np.where(both_NH, a, 0.0).sum(axis=0) for a in (size_NH, realised_NH))
    mixed_NH: FloatArray = (1.0 - _SHARE) * size_NH + _SHARE * realised_NH * (told_H / np.maximum(real_H, SIGMA_FLOOR))
    return mixed_NH


def _require(is_used_N: npt.NDArray[np.bool_], size_NH: FloatArray, regressors: int) -> None:
    used, needed = int(is_used_N.sum()), _LEAST_ROWS * (regressors + 1)
    if used < needed:
        raise DataError(
            f"a volatility model of {regressors} regressors needs {needed} training origins and {used} are whole: fetch a "
            "longer history, or leave the symbol out"
        )
    if (size_NH[is_used_N] > 0).mean() < 0.5:
        raise DataError("the price stood still at most training origins: leave the symbol out")


def _solve(z_NK: FloatArray, size_N: FloatArray) -> FloatArray:
    """Least mean of η + size · exp(−η) with η = z · b: the size of a move around exp(η), exponential; Newton's steps."""
    penalty = _RIDGE / size_N.size * np.eye(z_NK.shape[1])
    penalty[0, 0] = 0.0
    b = np.zeros(z_NK.shape[1])
    b[0] = np.log(size_N.mean())

    def loss(at: FloatArray) -> float:
        eta = z_NK @ at
        return float((eta + size_N * np.exp(-eta)).mean() + 0.5 * at @ penalty @ at)

    now = loss(b)
    for _ in range(_STEPS):
        ratio = size_N * np.exp(-(z_NK @ b))
        gradient = z_NK.T @ (1.0 - ratio) / size_N.size + penalty @ b
        curvature = (z_NK * (ratio / size_N.size)[:, None]).T @ z_NK + penalty
        step = np.linalg.solve(curvature + 1e-9 * np.eye(b.size), gradient)
        length = 1.0
        while length > 1e-6 and loss(b - length * step) > now:
            length *= 0.5
        before, b = now, b - length * step
        now = loss(b)
        if before - now < _DONE:
            break
    return b
