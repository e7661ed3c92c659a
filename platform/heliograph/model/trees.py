"""Boosted trees of all symbols: they move the median of the volatility model's quantiles, and widen either side.

Shapes: B windows, T bars, F features, K features that the trees read, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any, ClassVar, Self

import lightgbm as lgb
import numpy as np
import numpy.typing as npt

from heliograph.model.baselines import Cone
from heliograph.model.calibrate import sigmoid
from heliograph.model.checkpoint import Tensors
from heliograph.model.har import HAR_FEATURES, Har
from heliograph.model.spec import Forecast, Spec, digest

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

TREE_FEATURES = tuple(
    dict.fromkeys(
        (
            *HAR_FEATURES,
            "ewma_volatility", "volatility_ratio_24_168", "parkinson_24", "rogers_satchell_24", "atr_ratio_14_100",
            "log_return_12", "log_return_168", "acceleration_12", "close_position", "body_ratio", "heikin_body",
            "bollinger_20", "distance_high_168", "distance_low_168", "donchian_50", "donchian_200", "rsi_2", "rsi_14",
            "macd_12_26", "macd_histogram_9", "adx_14", "adx_50", "directional_14", "stochastic_14", "aroon_14", "cci_20",
            "kama_distance_10", "hull_distance_20", "ema_distance_200", "ema_slope_200", "ema_cross_50_200",
            "supertrend_10", "choppiness_50", "line_share_50", "line_r2_72", "line_r2_168", "price_z_336",
            "close_rank_168", "sigma_rank_336", "range_z_168", "variance_ratio_16_168", "value_at_risk_168",
            "max_drawdown_168", "flow_24", "money_flow_14", "vpin_50", "root_volume_autocorrelation_24_168",
            "vwap_distance_168", "vwap_distance_day", "day_position", "bars_missing", "funding_wait",
            "cross_market_return", "cross_market_momentum_24", "cross_market_volatility_24_168",
            "cross_residual_momentum_24", "cross_large_minus_small_24", "cross_dispersion", "cross_beta_72",
        )
    )
)  # fmt: skip
"""What trees gained from on hourly candles, in trials on pairs before 2023: name these in ``features.names`` for them."""

LONG_CLOCKS = frozenset(
    (
        "month_day_sin", "month_day_cos", "year_day_sin", "year_day_cos", "month_gone", "quarter_gone", "year_gone",
        "turn_of_month", "weekly_expiry_wait", "monthly_expiry_wait", "quarterly_expiry_wait",
    )
)  # fmt: skip
"""What trees never read: in a few years it names dates, and trees learn by heart what happened on these."""

PARTS = 5
"""Outputs of a correction: shift of the median, then log-factors of the inner and the outer gaps below and above it."""

_REACH = 1.0  # a log-factor or a shift saturates here


def columns(spec: Spec) -> tuple[int, ...]:
    """Where the features that the trees read stand among the spec's: all but `LONG_CLOCKS`."""
    return tuple(c for c, name in enumerate(spec.feature_names) if name not in LONG_CLOCKS)


def gaps(base_Q: FloatArray) -> FloatArray:
    """What the log-factors multiply: gaps to the median, inner and outer, below and above it; float64[PARTS - 1, Q].

    Outer is what lies beyond the middle one of the level pairs.

    >>> gaps(np.array([-4.0, -1.0, 0.0, 2.0, 6.0]))[[1, 2]].tolist()
    [[-3.0, 0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 2.0, 2.0]]
    """
    middle = base_Q.size // 2
    pair = (middle + 1) // 2
    gap_Q = base_Q - base_Q[middle]
    inner_Q = np.clip(gap_Q, gap_Q[pair], gap_Q[-1 - pair])
    outer_Q = gap_Q - inner_Q
    return np.stack([side(part, 0.0) for side in (np.minimum, np.maximum) for part in (inner_Q, outer_Q)])


def corrected(base_Q: FloatArray, part_BP: FloatArray) -> FloatArray:
    """Quantiles float64[B, Q] with a moved median and scaled gaps; they stay in order.

    Args:
        base_Q: ascending, the median in the middle.
        part_BP: see `PARTS`; the shift is in the unit of the base.

    >>> corrected(np.array([-1.0, 0.0, 1.0]), np.array([[0.5, 0.0, 0.0, 0.0, np.log(2.0)]])).round(9).tolist()
    [[-0.5, 0.5, 2.5]]
    """
    part_BP = np.clip(part_BP, -_REACH, _REACH)
    quantile_BQ: FloatArray = base_Q[base_Q.size // 2] + part_BP[:, :1] + np.exp(part_BP[:, 1:]) @ gaps(base_Q)
    return quantile_BQ


class TreesForecaster:
    """The pooled volatility model, corrected by trees; without any tree it is that model.

    Attributes:
        har, cone: the pooled volatility model and what its scale left in training.
        correction: per horizon a booster of `PARTS` outputs; None leaves the cone as it is.
        direction: per horizon a booster of the logit of a positive return; None says one half.
        slope_H: inverse temperature of that logit.
    """

    kind: ClassVar[str] = "trees"

    def __init__(
        self,
        har: Har,
        cone: Cone,
        *,
        correction: tuple[lgb.Booster | None, ...],
        direction: tuple[lgb.Booster | None, ...],
        slope_H: FloatArray,
    ) -> None:
        self.spec = har.spec
        self.feature_names, self.window_bars = har.spec.feature_names, har.spec.window_bars
        self.horizons_bars, self.levels = har.spec.horizons_bars, har.spec.levels
        self.har, self.cone, self.slope_H = har, cone, slope_H
        self.correction, self.direction = correction, direction
        self._columns = list(columns(har.spec))
        tensors, header = self.state()
        self.fingerprint = digest([self.kind, asdict(har.spec), header], [tensors[name] for name in sorted(tensors)])

    def forecast(self, x_BTF: Float32Array) -> Forecast:
        """Distributions after the last bar of each window of raw features, float32[B, T, F].

        Raises:
            SchemaMismatch: the windows have another shape.
        """
        self.spec.sigma(x_BTF)
        last_BF = x_BTF[:, -1]
        plain = self.cone.forecast(self.har.scale(last_BF))
        z_BHQ = self.standard(last_BF)
        up_BH = self.up(last_BF)
        is_up_BH = z_BHQ[..., len(self.levels) // 2] >= 0
        return Forecast(
            quantile_BHQ=z_BHQ * self.har.scale(last_BF)[..., None],
            setup_BHC=plain.setup_BHC,
            confidence_BH=np.where(is_up_BH, up_BH, 1.0 - up_BH),
        )

    def standard(self, last_BF: Float32Array) -> FloatArray:
        """Quantiles of log-return / scale after each newest row, float64[B, H, Q]."""
        x_BK = np.ascontiguousarray(last_BF[:, self._columns])
        z_BHQ = np.stack(
            [
                corrected(base_Q, predict(booster, x_BK, PARTS))
                for base_Q, booster in zip(self.cone.quantile_HQ, self.correction, strict=True)
            ],
            axis=1,
        )
        ascending: FloatArray = np.maximum.accumulate(z_BHQ, axis=-1)  # rounding alone could swap two equal levels
        return ascending

    def up(self, last_BF: Float32Array) -> FloatArray:
        """Probability of a positive return after each newest row, float64[B, H]."""
        x_BK = np.ascontiguousarray(last_BF[:, self._columns])
        logit_BH = np.concatenate([predict(booster, x_BK, 1) for booster in self.direction], axis=1)
        return sigmoid(self.slope_H * logit_BH)

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """What `restore` makes the same forecaster of; a booster is its text."""
        har, header = self.har.state()
        tensors: Tensors = {f"har.{name}": value for name, value in har.items()}
        tensors |= self.cone.tensors() | {"slope_H": self.slope_H}
        for name, boosters in (("correction", self.correction), ("direction", self.direction)):
            tensors |= {f"{name}.{h}": _bytes(booster) for h, booster in enumerate(boosters)}
        return tensors, {"har": header, "trees": sum(b.num_trees() for b in (*self.correction, *self.direction) if b)}

    @classmethod
    def restore(cls, spec: Spec, tensors: Tensors, header: dict[str, Any]) -> Self:
        """Inverse of `state`."""
        har = {name.removeprefix("har."): value for name, value in tensors.items() if name.startswith("har.")}
        correction, direction = (
            tuple(_booster(tensors[f"{name}.{h}"]) for h in range(len(spec.horizons_bars)))
            for name in ("correction", "direction")
        )
        return cls(
            Har.restore(spec, har, header["har"]),
            Cone.of(tensors),
            correction=correction,
            direction=direction,
            slope_H=tensors["slope_H"],
        )


def predict(booster: lgb.Booster | None, x_BK: Float32Array, outputs: int, *, rounds: int | None = None) -> FloatArray:
    """Raw scores float64[B, outputs]; zeros without a booster.

    Args:
        rounds: of its first trees; None for all.
    """
    if booster is None or rounds == 0:
        return np.zeros((x_BK.shape[0], outputs))
    told = booster.predict(x_BK, raw_score=True, num_iteration=rounds, num_threads=1)
    return np.asarray(told, dtype=np.float64).reshape(-1, outputs)


def _bytes(booster: lgb.Booster | None) -> npt.NDArray[np.uint8]:
    text = booster.model_to_string() if booster else ""
    return np.frombuffer(text.encode(), dtype=np.uint8)


def _booster(text: npt.NDArray[np.generic]) -> lgb.Booster | None:
    return lgb.Booster(model_str=text.tobytes().decode()) if text.size else None
