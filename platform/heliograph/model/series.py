"""Forecasts of any series: naive, linear in closed form, and the network as a residual on the linear one.

Values are standardised: a series less its training mean, over its training deviation.
Shapes: B windows, T steps of a look-back, F channels of a step (the series itself is the first), K regressors,
H steps ahead, Q quantile levels, C series, P groups of weights (one for all series, or one each).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from heliograph.config.learning import ModelSettings
from heliograph.core.errors import ConfigError
from heliograph.model.encoder import Encoder, Inputs
from heliograph.model.heads import Heads
from heliograph.model.spec import Spec

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

Anchor = Literal["last", "mean"]
"""What a window is told relative to: its last value (NLinear), or the mean of the series' training slice (HAR)."""

_FLOOR = 1e-6
_CLIP = 10.0
_BATCH = 1_024


class SeriesForecaster(Protocol):
    """Windows of standardised series in, quantiles of the next steps out."""

    def forecast(self, x_BTF: FloatArray, series_B: IntArray) -> FloatArray:
        """Quantiles after each window, float64[B, H, Q], never decreasing along Q.

        Args:
            x_BTF: standardised look-backs; the last step is the origin.
            series_B: which of the C series each is from.
        """


@dataclass(frozen=True, slots=True)
class SeasonalNaive:
    """The last season again, at every level: a point and no spread. With a season of one: the last value.

    Raises:
        ConfigError: a season is longer than the window.
    """

    season: int
    horizon: int
    levels: tuple[float, ...]

    def forecast(self, x_BTF: FloatArray, series_B: IntArray) -> FloatArray:  # noqa: ARG002 - as the port has it
        """See `SeriesForecaster`.

        >>> x = np.arange(6.0).reshape(1, 6, 1)
        >>> SeasonalNaive(3, 4, (0.5,)).forecast(x, np.zeros(1, dtype=np.int64))[0, :, 0].tolist()
        [3.0, 4.0, 5.0, 3.0]
        """
        if self.season > x_BTF.shape[1]:
            raise ConfigError(f"a season of {self.season} steps does not fit a look-back of {x_BTF.shape[1]}")
        season_BS = x_BTF[:, x_BTF.shape[1] - self.season :, 0]
        point_BH = season_BS[:, np.arange(self.horizon) % self.season]
        quantile_BHQ: FloatArray = np.repeat(point_BH[..., None], len(self.levels), axis=-1)
        return quantile_BHQ


@dataclass(frozen=True, slots=True)
class Regressors:
    """What a linear forecaster makes of a window: all of its values, or the averages that ``basis_JK`` takes of them.

    Attributes:
        anchor: what is taken off the series' own values, and added to the forecast again.
        basis_JK: float64[T F, K], columns are weights of a window's values; None takes them as they are.
    """

    anchor: Anchor = "last"
    basis_JK: FloatArray | None = None

    def of(self, x_BTF: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Regressors float64[B, K + 1], a one at their end; and the anchors, float64[B, 1]."""
        anchor_B1 = x_BTF[:, -1, :1] if self.anchor == "last" else np.zeros((x_BTF.shape[0], 1))
        told = x_BTF.astype(np.float64, copy=True)
        told[..., 0] -= anchor_B1
        flat_BJ = told.reshape(told.shape[0], -1)
        a_BK = flat_BJ if self.basis_JK is None else flat_BJ @ self.basis_JK
        return np.concatenate([a_BK, np.ones((a_BK.shape[0], 1))], axis=1), anchor_B1


def har_basis(lookback: int, channels: int, spans: tuple[int, ...] = (1, 5, 22)) -> FloatArray:
    """Averages of each channel over the last day, week and month; float64[T F, F spans].

    Source: F. Corsi, A Simple Approximate Long-Memory Model of Realized Volatility, 2009; a second channel with the
    negative part of returns makes it the HAR with leverage of Corsi and Renò, 2012.

    Raises:
        ConfigError: the look-back is shorter than the longest span.

    >>> har_basis(4, 1, (1, 2))[:, 1].tolist()
    [0.0, 0.0, 0.5, 0.5]
    """
    if lookback < max(spans):
        raise ConfigError(f"HAR averages {max(spans)} steps: a look-back of {lookback} is too short")
    basis = np.zeros((lookback, channels, channels, len(spans)))
    for k, span in enumerate(spans):
        for c in range(channels):
            basis[lookback - span :, c, c, k] = 1.0 / span
    return basis.reshape(lookback * channels, channels * len(spans))


def step_size(x_BTF: FloatArray) -> FloatArray:
    """Deviation of the steps of each window's own series, float64[B]; never zero.

    >>> step_size(np.array([0.0, 1.0, 0.0, 1.0, 2.0, 1.0, 0.0]).reshape(1, 7, 1)).tolist()
    [1.0]
    """
    size_B: FloatArray = np.maximum(np.diff(x_BTF[..., 0], axis=1).std(axis=1), _FLOOR)
    return size_B


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear map of the window and the empirical quantiles of what it missed on held-out windows.

    With all values of the window as regressors and the last one as anchor this is NLinear (Zeng et al., Are
    Transformers Effective for Time Series Forecasting?, 2023), solved in closed form; with `har_basis` it is HAR-OLS.

    Attributes:
        weight_PKH: float64[P, K + 1, H]; P is one (shared by all series) or C.
        scale_CH: root mean square of the held-out residuals of each series, or of residual over the window's own size.
        z_HQ: quantiles of residual over scale, all series together.
        is_local: the scale goes with the deviation of the window's own steps, or stands still.
    """

    regressors: Regressors
    weight_PKH: FloatArray
    scale_CH: FloatArray
    z_HQ: FloatArray
    is_local: bool = False

    def point(self, x_BTF: FloatArray, series_B: IntArray) -> FloatArray:
        """What is expected, float64[B, H]."""
        a_BK, anchor_B1 = self.regressors.of(x_BTF)
        said = np.empty((a_BK.shape[0], self.weight_PKH.shape[2]))
        if self.weight_PKH.shape[0] == 1:
            return np.matmul(a_BK, self.weight_PKH[0], out=said) + anchor_B1
        for c in np.unique(series_B):
            said[series_B == c] = a_BK[series_B == c] @ self.weight_PKH[c]
        return said + anchor_B1

    def forecast(self, x_BTF: FloatArray, series_B: IntArray) -> FloatArray:
        """See `SeriesForecaster`."""
        return self.point(x_BTF, series_B)[..., None] + self.scale(x_BTF, series_B)[..., None] * self.z_HQ

    def scale(self, x_BTF: FloatArray, series_B: IntArray) -> FloatArray:
        """What standard quantiles are multiplied by, float64[B, H]."""
        scale_BH: FloatArray = self.scale_CH[series_B]
        return scale_BH * step_size(x_BTF)[:, None] if self.is_local else scale_BH

    def reweighted(self, weight_PKH: FloatArray) -> Linear:
        """The same spread about other weights."""
        return replace(self, weight_PKH=weight_PKH)


class SeriesNetwork(nn.Module):
    """The product's encoder and heads on one series: corrections, that can't cross, of the quantiles of `Linear`'s residuals.

    Windows are normalised each by itself (their last value taken off, over their own deviation: Kim et al., RevIN,
    2022), so that a level or a swing that training never saw is nothing new, and no window can be known by its size.
    A series that comes back to a mean (``anchor``) is shown as it is too.
    """

    def __init__(
        self,
        settings: ModelSettings,
        num_horizons: int,
        num_levels: int,
        *,
        channels: int = 1,
        anchor: Anchor = "last",
    ) -> None:
        super().__init__()
        self.anchor: Anchor = anchor
        names = ["away", "step", *(["level"] if anchor == "mean" else [])]
        names += [f"beside_{k}" for k in range(1, channels)]
        levels = tuple(np.linspace(0.0, 1.0, num_levels + 2)[1:-1])  # an encoder asks for names and length alone
        spec = Spec(tuple(names), names[1], tuple(range(1, num_horizons + 1)), levels, settings.window_bars)
        self.encoder = Encoder(spec, settings)
        self.heads = Heads(Encoder.state_width(settings), num_horizons, num_levels)

    def channels(self, x_BTF: Tensor) -> Tensor:
        """What the encoder sees of a window: distance from the last value, steps, both over their size; and the rest."""
        series_BT = x_BTF[..., 0]
        away_BT = series_BT - series_BT[:, -1:]
        step_BT = torch.nn.functional.pad(series_BT.diff(dim=1), (1, 0))
        seen = [s_BT / s_BT.std(dim=1, keepdim=True).clamp_min(_FLOOR) for s_BT in (away_BT, step_BT)]
        if self.anchor == "mean":
            seen.append(series_BT)
        out: Tensor = torch.cat([torch.stack(seen, dim=-1), x_BTF[..., 1:]], dim=-1).clamp(-_CLIP, _CLIP)
        return out

    def forward(self, x_BTF: Tensor, z_HQ: Tensor) -> Tensor:
        """Quantiles of (what comes − what the linear map says) / its scale, float64[B, H, Q]; they can't cross.

        Args:
            z_HQ: the linear map's own, float64: what comes out while nothing was learnt.
        """
        seen_BTF = self.channels(x_BTF)
        z_BHQ: Tensor = self.heads(self.encoder(Inputs((seen_BTF,), seen_BTF[:, -1])), z_HQ)[0]
        return z_BHQ


class Hybrid:
    """A linear forecaster corrected by a network; untrained it is the linear forecaster."""

    def __init__(self, linear: Linear, network: SeriesNetwork) -> None:
        self.linear, self.network = linear, network

    def forecast(self, x_BTF: FloatArray, series_B: IntArray) -> FloatArray:
        """See `SeriesForecaster`; dropout is off whatever mode the network was left in."""
        was_training = self.network.training
        self.network.eval()
        with torch.inference_mode(), one_thread():
            parts = np.array_split(x_BTF.astype(np.float32), max(1, -(-len(x_BTF) // _BATCH)))
            z_HQ = torch.from_numpy(self.linear.z_HQ)
            z_BHQ = np.concatenate([self.network(torch.from_numpy(part), z_HQ).numpy() for part in parts])
        self.network.train(was_training)
        spread_BHQ: FloatArray = self.linear.scale(x_BTF, series_B)[..., None] * z_BHQ
        return self.linear.point(x_BTF, series_B)[..., None] + spread_BHQ


@dataclass(frozen=True, slots=True)
class Mean:
    """The mean of forecasters, level by level (Vincent, 1912): spreads are averaged, not added, and levels can't cross.

    Attributes:
        members: one or more.
    """

    members: tuple[SeriesForecaster, ...]

    def forecast(self, x_BTF: FloatArray, series_B: IntArray) -> FloatArray:
        """See `SeriesForecaster`."""
        total_BHQ = self.members[0].forecast(x_BTF, series_B).copy()
        for member in self.members[1:]:
            total_BHQ += member.forecast(x_BTF, series_B)
        mean_BHQ: FloatArray = total_BHQ / len(self.members)
        return mean_BHQ


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread meanwhile: networks this small gain nothing from more, and sums come out the same twice."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
