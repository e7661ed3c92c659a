"""How sure a forecast's sign is: a calibrated probability, less where the market looks like nothing seen in training.

Confidence is the probability that the sign of the median is right, times one minus an out-of-distribution score. Both are
measured for whatever forecaster makes the quantiles; only the newest row of features is read.

Shapes: N training origins, V validation origins, B windows, F features, H horizons, Q quantile levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import DataError
from heliograph.model.calibrate import USUAL_EVIDENCE, fit_odds, logit, probability_up, sigmoid
from heliograph.model.checkpoint import Tensors
from heliograph.model.spec import Forecast

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

_START = 0.999  # share of training origins that are surely none of the strange ones
_HALF = 0.5  # a score of one half lies at the median of those beyond
_LEAST_TAIL = 2.0  # of squared distances; χ² falls off that fast
_LEAST_SPREAD = 1e-9
_LEAST_ROWS = 50


@dataclass(frozen=True, slots=True)
class Strangeness:
    """How far a row of features lies outside of what training showed, from 0 to 1.

    The squared Mahalanobis distance with Ledoit and Wolf's covariance: zero up to the level that 99.9 % of the
    training rows keep, from there on the share of an exponential tail that is nearer; its rate is that of the
    training rows beyond.

    Attributes:
        centre_F, spread_F: of each feature in training.
        whitener_FF: turns standardised rows into uncorrelated ones of variance one.
        start, tail: squared distance from which a row is strange, and how fast the training rows beyond thin out.
    """

    centre_F: FloatArray
    spread_F: FloatArray
    whitener_FF: FloatArray
    start: float
    tail: float

    @classmethod
    def fit(cls, last_NF: Float32Array) -> Self:
        """Measure on the newest rows of training origins; rows that are not finite are left out.

        Raises:
            DataError: fewer than fifty rows are finite.
        """
        x_NF = last_NF[np.isfinite(last_NF).all(axis=1)].astype(np.float64)
        if x_NF.shape[0] < _LEAST_ROWS:
            raise DataError(
                f"{x_NF.shape[0]} training origins are finite in every feature and {_LEAST_ROWS} are needed to tell what "
                "is strange: take a longer history"
            )
        centre_F, spread_F = x_NF.mean(axis=0), np.maximum(x_NF.std(axis=0), _LEAST_SPREAD)
        value_F, vector_FF = np.linalg.eigh(ledoit_wolf((x_NF - centre_F) / spread_F))
        whitener_FF = vector_FF / np.sqrt(np.maximum(value_F, _LEAST_SPREAD))
        plain = cls(centre_F, spread_F, whitener_FF, 0.0, 1.0)
        far_N = plain.distance(x_NF)
        start = float(np.quantile(far_N, _START))
        beyond = far_N[far_N > start] - start
        tail = float(np.median(beyond)) / np.log(1.0 / _HALF) if beyond.size else 0.0
        return cls(centre_F, spread_F, whitener_FF, start, max(tail, _LEAST_TAIL))

    def distance(self, last_BF: npt.NDArray[np.floating[Any]]) -> FloatArray:
        """Squared Mahalanobis distance from the centre, float64[B]."""
        white_BF = ((last_BF.astype(np.float64) - self.centre_F) / self.spread_F) @ self.whitener_FF
        squared: FloatArray = (white_BF * white_BF).sum(axis=1)
        return squared

    def score(self, last_BF: npt.NDArray[np.floating[Any]]) -> FloatArray:
        """From 0, as in training, to 1, as nothing there; float64[B]."""
        beyond_B = np.maximum(self.distance(last_BF) - self.start, 0.0)
        score_B: FloatArray = -np.expm1(-beyond_B / self.tail)
        return score_B


def ledoit_wolf(z_NF: FloatArray) -> FloatArray:
    """Covariance of centred rows, shrunk towards a multiple of the identity; float64[F, F].

    The share of shrinkage is the one of least expected squared error. Source: O. Ledoit & M. Wolf, A Well-Conditioned
    Estimator for Large-Dimensional Covariance Matrices, Journal of Multivariate Analysis 88 (2004).
    """
    num, wide = z_NF.shape
    plain_FF = z_NF.T @ z_NF / num
    mean = np.trace(plain_FF) / wide
    spread = float((plain_FF**2).sum()) - wide * mean**2
    noise = float(((z_NF**2).sum(axis=1) ** 2).mean() - (plain_FF**2).sum()) / num
    share = min(1.0, max(0.0, noise / spread)) if spread > 0.0 else 1.0
    shrunk_FF: FloatArray = (1.0 - share) * plain_FF + share * mean * np.eye(wide)
    return shrunk_FF


@dataclass(frozen=True, slots=True)
class Confidence:
    """Turns what a forecaster says into how sure it may be; a part of whoever makes the final forecast.

    Attributes:
        levels: Q quantile levels of the forecasts.
        weight_HE: log-odds of the median's sign by each kind of `evidence`.
        strangeness: of the newest row.
    """

    levels: tuple[float, ...]
    weight_HE: FloatArray
    strangeness: Strangeness

    @classmethod
    def fit(
        cls,
        levels: tuple[float, ...],
        forecast: Forecast,
        y_VH: FloatArray,
        *,
        effective_H: FloatArray,
        last_NF: Float32Array,
    ) -> Self:
        """Measure how sure it may be on the validation slice, and what is strange on the train slice.

        Args:
            forecast: of the validation origins, B = V.
            y_VH: log-return that came; NaN where unknown. Unmoved prices say nothing.
            effective_H: how many of them count as independent; see `calibrate.effective`.
            last_NF: newest rows of the training origins.

        Raises:
            DataError: too few training rows are finite.
        """
        evidence_VHE = evidence(forecast, levels)
        is_right_VH = is_up(forecast) == (y_VH > 0)
        told_VH = np.isfinite(y_VH) & (y_VH != 0.0)
        weight_HE = []
        for h, told_V in enumerate(told_VH.T):
            signed_VE = np.where(is_right_VH[told_V, h, None], 1.0, -1.0) * evidence_VHE[told_V, h]
            weight_HE.append(fit_odds(signed_VE, USUAL_EVIDENCE, float(effective_H[h])))
        return cls(levels, np.stack(weight_HE), Strangeness.fit(last_NF))

    def probability(self, forecast: Forecast) -> FloatArray:
        """Probability that the sign of the median is right, whatever the market looks like; float64[B, H]."""
        return sigmoid((evidence(forecast, self.levels) * self.weight_HE).sum(axis=-1))

    def apply(self, forecast: Forecast, x_last: Float32Array) -> FloatArray:
        """Confidence of every window and horizon, float64[B, H].

        Args:
            forecast: what was said, with the confidence that its maker states.
            x_last: the newest row of each window, float32[B, F].
        """
        confidence_BH: FloatArray = self.probability(forecast) * (1.0 - self.strangeness.score(x_last))[:, None]
        return confidence_BH

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """What `restore` makes the same of."""
        strange = self.strangeness
        tensors: Tensors = {
            "weight_HE": self.weight_HE,
            "centre_F": strange.centre_F,
            "spread_F": strange.spread_F,
            "whitener_FF": strange.whitener_FF,
        }
        return tensors, {"levels": list(self.levels), "start": strange.start, "tail": strange.tail}

    @classmethod
    def restore(cls, tensors: Tensors, header: dict[str, Any]) -> Self:
        """Inverse of `state`."""
        strangeness = Strangeness(
            centre_F=tensors["centre_F"],
            spread_F=tensors["spread_F"],
            whitener_FF=tensors["whitener_FF"],
            start=header["start"],
            tail=header["tail"],
        )
        return cls(tuple(header["levels"]), tensors["weight_HE"], strangeness)


def is_up(forecast: Forecast) -> npt.NDArray[np.bool_]:
    """Sign of the median; zero says up; bool[B, H]."""
    up_BH: npt.NDArray[np.bool_] = forecast.quantile_BHQ[..., forecast.quantile_BHQ.shape[-1] // 2] >= 0
    return up_BH


def evidence(forecast: Forecast, levels: tuple[float, ...]) -> FloatArray:
    """Log-odds that the sign of the median is right, float64[B, H, 2]: by the quantiles, and as the forecast states it."""
    up_BH, is_up_BH = probability_up(forecast.quantile_BHQ, levels), is_up(forecast)
    by_quantiles_BH = logit(np.where(is_up_BH, up_BH, 1.0 - up_BH))
    return np.stack([by_quantiles_BH, logit(forecast.confidence_BH)], axis=-1)
