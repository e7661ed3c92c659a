"""Calibration on the validation slice: how far to trust the network, how wide its cone is, how sure its signs are.

Shapes: N validation origins, B windows, H horizons, Q quantile levels, K level pairs from the outermost inward,
C setups. All arrays are float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.model.spec import Forecast

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_TRUSTS = np.linspace(0.0, 1.0, 21)
_SLOPES = np.linspace(0.0, 3.0, 121)


@dataclass(frozen=True, slots=True)
class Raw:
    """What a network says before calibration.

    Attributes:
        z_BHQ: quantiles of log-return / (σ√h).
        setup_BHC: logits, as corrections of the training frequencies' logs.
        direction_BH: logit of a positive return.
    """

    z_BHQ: FloatArray
    setup_BHC: FloatArray
    direction_BH: FloatArray


@dataclass(frozen=True, slots=True)
class Calibration:
    """Measured once per fold, on its validation slice.

    Attributes:
        trust_H: share of the network in the quantiles; the rest is the volatility-scaled baseline.
        width_HK: factor on the distance from the median to both levels of a pair; one where trust is zero.
        setup_slope_H, direction_slope_H: inverse temperatures of the logits; zero falls back to the frequencies of
            the training slice, or to one half.
    """

    trust_H: FloatArray
    width_HK: FloatArray
    setup_slope_H: FloatArray
    direction_slope_H: FloatArray

    @classmethod
    def identity(cls, num_horizons: int, num_levels: int) -> Calibration:
        """The network as it is."""
        one_H = np.ones(num_horizons)
        return cls(one_H, np.ones((num_horizons, num_levels // 2)), one_H, one_H)

    def apply(self, raw: Raw, *, base_HQ: FloatArray, setup_prior_HC: FloatArray, scale_BH: FloatArray) -> Forecast:
        """Calibrated distributions of the log-return; ``scale_BH`` is σ√h, ``setup_prior_HC`` log-frequencies."""
        z_BHQ = widened(blended(raw.z_BHQ, base_HQ, self.trust_H), self.width_HK)
        setup_BHC = softmax(setup_prior_HC + self.setup_slope_H[:, None] * raw.setup_BHC)
        up_BH = sigmoid(self.direction_slope_H * raw.direction_BH)
        is_up_BH = z_BHQ[..., z_BHQ.shape[-1] // 2] >= 0
        return Forecast(z_BHQ * scale_BH[..., None], setup_BHC, np.where(is_up_BH, up_BH, 1.0 - up_BH))


def sigmoid(logit: FloatArray) -> FloatArray:
    """1 / (1 + e^-x), without overflow."""
    half: FloatArray = 0.5 * (1.0 + np.tanh(0.5 * logit))
    return half


def softmax(logit: FloatArray) -> FloatArray:
    """Probabilities along the last axis."""
    weight = np.exp(logit - logit.max(axis=-1, keepdims=True))
    share: FloatArray = weight / weight.sum(axis=-1, keepdims=True)
    return share


def pinball(y_BH: FloatArray, quantile_BHQ: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """Quantile loss of every origin and horizon, mean over levels, float64[B, H].

    >>> pinball(np.array([[1.0]]), np.array([[[0.0, 1.0, 2.0]]]), (0.25, 0.5, 0.75)).round(4).tolist()
    [[0.1667]]
    """
    level_Q = np.asarray(levels)
    assert quantile_BHQ.shape == (*y_BH.shape, *level_Q.shape), f"{quantile_BHQ.shape} for {y_BH.shape}"
    error_BHQ = y_BH[..., None] - quantile_BHQ
    loss: FloatArray = np.maximum(level_Q * error_BHQ, (level_Q - 1.0) * error_BHQ).mean(axis=-1)
    return loss


def blended(z_BHQ: FloatArray, base_HQ: FloatArray, trust_H: FloatArray) -> FloatArray:
    """Quantiles averaged level by level (Vincent's mean), so that they stay in order; trust 0 is the baseline."""
    mixed: FloatArray = base_HQ + trust_H[:, None] * (z_BHQ - base_HQ)
    return mixed


def widened(z_BHQ: FloatArray, width_HK: FloatArray) -> FloatArray:
    """Each pair's distance from the median times its factor; the median stays, and an outer level never comes inside.

    >>> widened(np.array([[[-2.0, -1.0, 0.0, 1.0, 2.0]]]), np.array([[2.0, 1.0]])).tolist()
    [[[-4.0, -1.0, 0.0, 1.0, 4.0]]]
    """
    middle = z_BHQ.shape[-1] // 2
    median_BH1 = z_BHQ[..., middle : middle + 1]
    below = (median_BH1 - z_BHQ[..., :middle]) * width_HK
    above = (z_BHQ[..., middle + 1 :] - median_BH1) * width_HK[:, ::-1]
    below = np.maximum.accumulate(below[..., ::-1], axis=-1)[..., ::-1]
    above = np.maximum.accumulate(above, axis=-1)
    wide: FloatArray = np.concatenate([median_BH1 - below, median_BH1, median_BH1 + above], axis=-1)
    return wide


def fit(
    raw: Raw,
    *,
    z_NH: FloatArray,
    scale_NH: FloatArray,
    setup_NH: IntArray,
    base_HQ: FloatArray,
    setup_prior_HC: FloatArray,
    levels: tuple[float, ...],
) -> Calibration:
    """Choose trust, widths and slopes that serve the validation slice best.

    Args:
        raw: what the network said of N origins.
        z_NH: what came, log-return / (σ√h).
        scale_NH: σ√h; weighs origins so that the loss is one of log-returns.
        setup_NH: setup class that came; -1 where unknown.
    """
    trust_H = fit_trust(raw.z_BHQ, z_NH=z_NH, scale_NH=scale_NH, base_HQ=base_HQ, levels=levels)
    width_HK = fit_widths(blended(raw.z_BHQ, base_HQ, trust_H), z_NH, levels)
    width_HK[trust_H == 0.0] = 1.0
    return Calibration(
        trust_H=trust_H,
        width_HK=width_HK,
        setup_slope_H=fit_setup_slope(raw.setup_BHC, setup_prior_HC, setup_NH),
        direction_slope_H=fit_direction_slope(raw.direction_BH, z_NH > 0),
    )


def fit_trust(
    z_NHQ: FloatArray, *, z_NH: FloatArray, scale_NH: FloatArray, base_HQ: FloatArray, levels: tuple[float, ...]
) -> FloatArray:
    """Share of the network per horizon that has the least pinball; ties go to the baseline."""
    loss_SH = np.stack(
        [
            (scale_NH * pinball(z_NH, blended(z_NHQ, base_HQ, np.full(base_HQ.shape[0], trust)), levels)).mean(axis=0)
            for trust in _TRUSTS
        ]
    )
    best_H: FloatArray = _TRUSTS[np.argmin(loss_SH, axis=0)]
    return best_H


def fit_widths(z_NHQ: FloatArray, z_NH: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """Factors that give each level pair its nominal coverage, float64[H, K] (symmetric split-conformal in widths)."""
    middle = len(levels) // 2
    median_NH1 = z_NHQ[..., middle : middle + 1]
    error_NH1 = z_NH[..., None] - median_NH1
    side_NHK = np.where(error_NH1 >= 0, z_NHQ[..., :middle:-1] - median_NH1, median_NH1 - z_NHQ[..., :middle])
    need_NHK = np.abs(error_NH1) / np.maximum(side_NHK, 1e-12)
    nominal_K = 1.0 - 2.0 * np.asarray(levels[:middle])
    width_KH = np.stack([np.quantile(need_NHK[..., k], nominal, axis=0) for k, nominal in enumerate(nominal_K)])
    return np.ascontiguousarray(width_KH.T)


def fit_setup_slope(setup_NHC: FloatArray, prior_HC: FloatArray, setup_NH: IntArray) -> FloatArray:
    """Inverse temperature per horizon with the least cross-entropy; unknown setups (-1) are passed over."""
    is_known_NH = setup_NH >= 0
    pick_NH1 = np.maximum(setup_NH, 0)[..., None]
    loss = [
        -(
            np.log(np.take_along_axis(softmax(prior_HC + slope * setup_NHC), pick_NH1, axis=-1)[..., 0]) * is_known_NH
        ).sum(axis=0)
        for slope in _SLOPES
    ]
    best_H: FloatArray = _SLOPES[np.argmin(np.stack(loss), axis=0)]
    return best_H


def fit_direction_slope(direction_NH: FloatArray, is_up_NH: npt.NDArray[np.bool_]) -> FloatArray:
    """Inverse temperature per horizon with the least cross-entropy of the sign."""
    signed_NH = np.where(is_up_NH, direction_NH, -direction_NH)
    loss = [np.logaddexp(0.0, -slope * signed_NH).sum(axis=0) for slope in _SLOPES]
    best_H: FloatArray = _SLOPES[np.argmin(np.stack(loss), axis=0)]
    return best_H
