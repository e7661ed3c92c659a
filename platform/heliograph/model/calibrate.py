"""Calibration on the validation slice: how far to trust the network, how wide its cone is, how sure its heads are.

Every head and horizon has a temperature of its own. Labels of long horizons overlap and markets move together, so that
half a year of hourly origins of ten markets tells about a day's direction what 270 coin tosses would: each temperature is
therefore pulled towards what held in general, the more the fewer origins count as independent (`effective`).

A width that was measured on half a year tells half of that half year's weather: applied to the next one it costs pinball,
under the width tracker too. Only what goes beyond such weather is corrected here, the rest is the tracker's.

Shapes: N validation origins, B windows, H horizons, Q quantile levels, K level pairs from the outermost inward,
C setups, E kinds of evidence. All arrays are float64.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from heliograph.model.spec import Forecast

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

ALIKE = 0.65
"""Mean correlation of hourly returns of the ten largest coins, 2018 to 2024."""

USUAL_EVIDENCE = (0.3, 0.8)
"""Weights of what the quantiles say of a sign, and of what the forecaster states, where little is known of either."""

_TRUSTS = np.linspace(0.0, 1.0, 21)
_LEAST = 1e-6
_STEEPEST = 3.0  # a slope beyond comes of a handful of origins
_SPREAD = 0.4  # standard deviation of slopes about their usual values
_USUAL_SETUP, _USUAL_DIRECTION = 1.0, 0.8
_WEATHER = 0.1  # log-width; what the next half year undoes
_STEPS = 50


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


def effective(known_ts_ms: IntArray, horizons_bars: tuple[int, ...], bar_ms: int) -> FloatArray:
    """How many of N origins of all symbols count as independent outcomes at each horizon, float64[H].

    A label that overlaps the one before it adds the part that is new, and a symbol beside others what is its own.

    >>> hours = np.repeat(np.arange(48), 2) * 3_600_000
    >>> effective(hours, (1, 24), 3_600_000).round(1).tolist()
    [58.2, 2.4]
    """
    moments = np.unique(known_ts_ms)
    if moments.size < 2:
        return np.full(len(horizons_bars), float(moments.size))
    symbols = known_ts_ms.size / moments.size
    step_bars = float(np.diff(moments).mean()) / bar_ms
    own = symbols / (1.0 + (symbols - 1.0) * ALIKE)
    new_H: FloatArray = np.minimum(step_bars / np.asarray(horizons_bars, dtype=np.float64), 1.0)
    return moments.size * own * new_H


def fit(
    raw: Raw,
    *,
    z_NH: FloatArray,
    scale_NH: FloatArray,
    setup_NH: IntArray,
    base_HQ: FloatArray,
    setup_prior_HC: FloatArray,
    levels: tuple[float, ...],
    effective_H: FloatArray | None = None,
) -> Calibration:
    """Choose trust, widths and slopes that serve the validation slice best.

    Args:
        raw: what the network said of N origins.
        z_NH: what came, log-return / (σ√h).
        scale_NH: σ√h; weighs origins so that the loss is one of log-returns.
        setup_NH: setup class that came; -1 where unknown.
        effective_H: how many origins count as independent; None takes the slice at its word.
    """
    trust_H = fit_trust(raw.z_BHQ, z_NH=z_NH, scale_NH=scale_NH, base_HQ=base_HQ, levels=levels)
    width_HK = fit_widths(blended(raw.z_BHQ, base_HQ, trust_H), z_NH, levels, effective_H)
    width_HK[trust_H == 0.0] = 1.0
    return Calibration(
        trust_H=trust_H,
        width_HK=width_HK,
        setup_slope_H=fit_setup_slope(raw.setup_BHC, setup_prior_HC, setup_NH, effective_H),
        direction_slope_H=fit_direction_slope(raw.direction_BH, z_NH > 0, effective_H),
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


def fit_widths(
    z_NHQ: FloatArray, z_NH: FloatArray, levels: tuple[float, ...], effective_H: FloatArray | None = None
) -> FloatArray:
    """Factors that give each level pair its nominal coverage, float64[H, K] (symmetric split-conformal in widths).

    Where ``effective_H`` is given, a factor is pulled towards one by what passes: a tenth, and a standard error.
    """
    middle = len(levels) // 2
    median_NH1 = z_NHQ[..., middle : middle + 1]
    error_NH1 = z_NH[..., None] - median_NH1
    side_NHK = np.where(error_NH1 >= 0, z_NHQ[..., :middle:-1] - median_NH1, median_NH1 - z_NHQ[..., :middle])
    need_NHK = np.abs(error_NH1) / np.maximum(side_NHK, 1e-12)
    nominal_K = 1.0 - 2.0 * np.asarray(levels[:middle])
    width_KH = np.stack([np.quantile(need_NHK[..., k], nominal, axis=0) for k, nominal in enumerate(nominal_K)])
    if effective_H is not None:
        log_KH = np.log(np.maximum(width_KH, _LEAST))
        passing_H = _WEATHER + 1.0 / np.sqrt(np.maximum(effective_H, 1.0))
        width_KH = np.exp(np.sign(log_KH) * np.maximum(np.abs(log_KH) - passing_H, 0.0))
    return np.ascontiguousarray(width_KH.T)


def fit_setup_slope(
    setup_NHC: FloatArray, prior_HC: FloatArray, setup_NH: IntArray, effective_H: FloatArray | None = None
) -> FloatArray:
    """Inverse temperature per horizon with the least cross-entropy; unknown setups (-1) are passed over."""
    slopes = []
    for h in range(setup_NH.shape[1]):
        is_known_N = setup_NH[:, h] >= 0
        logit_NC, came_N = setup_NHC[is_known_N, h], setup_NH[is_known_N, h]
        said_N = np.take_along_axis(logit_NC, came_N[:, None], axis=-1)[:, 0]
        pull = _pull(None if effective_H is None else effective_H[h])
        slope = _USUAL_SETUP
        for _ in range(_STEPS if came_N.size else 0):
            share_NC = softmax(prior_HC[h] + slope * logit_NC)
            mean_N = (share_NC * logit_NC).sum(axis=-1)
            first = float((mean_N - said_N).mean()) + pull * (slope - _USUAL_SETUP)
            second = float(((share_NC * logit_NC**2).sum(axis=-1) - mean_N**2).mean()) + pull
            before, slope = slope, _stepped(slope, first, second)
            if abs(slope - before) < _LEAST:
                break
        slopes.append(slope)
    return np.array(slopes)


def fit_direction_slope(
    direction_NH: FloatArray, is_up_NH: npt.NDArray[np.bool_], effective_H: FloatArray | None = None
) -> FloatArray:
    """Inverse temperature per horizon with the least cross-entropy of the sign."""
    signed_NH1 = np.where(is_up_NH, direction_NH, -direction_NH)[..., None]
    return np.array(
        [
            fit_odds(signed_NH1[:, h], (_USUAL_DIRECTION,), None if effective_H is None else effective_H[h])[0]
            for h in range(direction_NH.shape[1])
        ]
    )


def fit_odds(signed_NE: FloatArray, usual_E: tuple[float, ...], effective: float | None = None) -> FloatArray:
    """Weights float64[E] of log-odds, each in [0, 3], with the least cross-entropy; without a constant: no evidence is a
    coin toss.

    Args:
        signed_NE: evidence for what came, negative where it spoke against it.
        usual_E: what the weights are pulled towards.
        effective: how many origins count as independent; None pulls not at all.
    """
    usual, pull = np.array(usual_E), _pull(effective)
    weight_E = usual.copy()
    for _ in range(_STEPS if signed_NE.shape[0] else 0):
        wrong_N = sigmoid(-signed_NE @ weight_E)
        first_E = -(wrong_N @ signed_NE) / wrong_N.size + pull * (weight_E - usual)
        second_EE = (signed_NE.T * (wrong_N * (1.0 - wrong_N))) @ signed_NE / wrong_N.size + pull * np.eye(usual.size)
        is_free_E = ((weight_E > 0.0) | (first_E < 0.0)) & ((weight_E < _STEEPEST) | (first_E > 0.0))
        free = np.flatnonzero(is_free_E)
        if not free.size:
            break
        damped = second_EE[np.ix_(free, free)] + _LEAST * np.eye(free.size)
        moved_E = weight_E.copy()
        moved_E[free] -= np.linalg.solve(damped, first_E[free])
        moved_E = np.clip(moved_E, np.maximum(weight_E - 1.0, 0.0), np.minimum(weight_E + 1.0, _STEEPEST))
        is_done = bool(np.abs(moved_E - weight_E).max() < _LEAST)
        weight_E = moved_E
        if is_done:
            break
    return weight_E


def _pull(effective: float | None) -> float:
    """Curvature, for each origin, of the penalty that pulls slopes to their usual values."""
    return 0.0 if effective is None else 1.0 / (max(float(effective), 1.0) * _SPREAD**2)


def _stepped(slope: float, first: float, second: float) -> float:
    """One of Newton's steps, at most one long, that stays in [0, 3]."""
    step = max(-1.0, min(1.0, first / max(second, _LEAST)))
    return max(0.0, min(_STEEPEST, slope - step))


def logit(probability: FloatArray) -> FloatArray:
    """Inverse of `sigmoid`; certainty counts as one in a million less."""
    inner = np.minimum(np.maximum(probability, _LEAST), 1.0 - _LEAST)
    odds: FloatArray = np.log(inner) - np.log1p(-inner)
    return odds


def probability_up(quantile_BHQ: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """What the quantiles say of a rise: one minus their distribution at zero, linear between them; float64[B, H].

    >>> probability_up(np.array([[[-1.0, 1.0, 3.0], [1.0, 2.0, 3.0]]]), (0.25, 0.5, 0.75)).round(6).tolist()
    [[0.625, 0.75]]
    """
    level_Q = np.asarray(levels)
    quantile_RQ = quantile_BHQ.reshape(-1, level_Q.size)
    row_R = np.arange(quantile_RQ.shape[0])
    right_R = np.minimum(np.maximum((quantile_RQ < 0.0).sum(axis=1), 1), level_Q.size - 1)
    low_R, high_R = quantile_RQ[row_R, right_R - 1], quantile_RQ[row_R, right_R]
    share_R = np.minimum(np.maximum(-low_R / np.maximum(high_R - low_R, np.finfo(np.float64).tiny), 0.0), 1.0)
    low_level_R = level_Q[right_R - 1]
    up_BH: FloatArray = (1.0 - low_level_R - share_R * (level_Q[right_R] - low_level_R)).reshape(
        quantile_BHQ.shape[:-1]
    )
    return up_BH
