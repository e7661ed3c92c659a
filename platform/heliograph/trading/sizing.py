"""How much to hold: fractional Kelly on the predictive distribution after costs, cut by volatility, tail and drawdown.

Weights are signed shares of equity. All of it is float arithmetic; exact quantities are made in `trading.targets`.

Source: Kelly (1956) for the growth-optimal share; Davis & Norman (1990) for why proportional costs make a region in
which nothing is traded, rather than a point; Rockafellar & Uryasev (2000) for the expected shortfall.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from heliograph.config.settings import RiskSettings
from heliograph.trading.kelly import growth, kelly
from heliograph.trading.portfolio import Beside
from heliograph.trading.signals import Signal

_TAIL = 0.05
_OVERHANG = 0.02  # of a limit: with the whole band above it, ten small positions would stand well over their target


@dataclass(frozen=True, slots=True)
class Account:
    """What sizing must know of the account.

    Attributes:
        held: weight of the market now, signed.
        room: weight that `max_leverage` leaves to this market beside all others; not negative.
        drawdown: of equity from its peak, in [0, 1).
        beside: the risk of all other markets; None where there is no other, and the forecast's own volatility is believed.
    """

    held: float
    room: float
    drawdown: float
    beside: Beside | None = None


def target_weight(signal: Signal, account: Account, limits: RiskSettings) -> float:
    """The weight to hold until the next forecast.

    On the side of the expected return there is a region between the share that pays for opening and closing
    (``enter``) and the share that is right when trading is free (``keep``): below it the position grows to ``enter``,
    above it shrinks to ``keep``, inside it stays. A signal that abstains has ``enter`` = 0. Limits cut what stands above
    them; any other change must earn more over the horizon than it costs. A change smaller than ``no_trade_band`` is
    not made, except to flat and where a limit is exceeded by more than a fiftieth.
    """
    scale = limits.kelly_fraction * signal.confidence * drawdown_scale(account.drawdown, limits)
    if scale <= 0.0:
        return 0.0
    side = math.copysign(1.0, signal.expected_return)
    held, most = side * account.held, ceiling(signal, account, limits, side)
    least = -ceiling(signal, account, limits, -side) if held < 0.0 else 0.0
    allowed = max(least, min(held, most))
    enter = 0.0
    if not signal.abstains:
        paid = [side * r - signal.round_trip_cost for r in signal.returns]
        enter = scale * kelly(paid, signal.weights, at_most=most / scale)
    target = enter
    if allowed > enter:
        free = [side * r for r in signal.returns]
        target = min(allowed, scale * kelly(free, signal.weights, at_most=most / scale))
    if target != allowed and not _pays(signal, side, scale, before=allowed, after=target):
        target = allowed
    band = limits.no_trade_band if allowed == held else min(limits.no_trade_band, _OVERHANG * abs(allowed))
    if target != 0.0 and abs(target - held) < band:
        target = held
    return side * target


def ceiling(signal: Signal, account: Account, limits: RiskSettings, side: float) -> float:
    """Largest weight on ``side`` (1 or −1) that every cap allows.

    - `max_symbol_weight`, and the room that leverage leaves;
    - `annual_vol_target`, of the position by its forecast, and of the portfolio by its prices;
    - the position's expected shortfall (worst 5 %) over the horizon stays within the symbol's share, `max_symbol_weight`,
      of the loss that is left before the hard drawdown.
    """
    if side < 0 and not limits.allow_short:
        return 0.0
    most = min(limits.max_symbol_weight, account.room)
    annual_vol = signal.spread * math.sqrt(signal.horizons_per_year)
    if annual_vol > 0.0:
        most = min(most, limits.annual_vol_target / annual_vol)
    if account.beside is not None:
        most = min(most, account.beside.most(side, account.held, limits))
    shortfall = expected_shortfall([side * r for r in signal.returns], signal.weights)
    if shortfall > 0.0:
        left = max(0.0, limits.hard_drawdown - account.drawdown)
        most = min(most, limits.max_symbol_weight * left / shortfall)
    return max(0.0, most)


def expected_shortfall(returns: Sequence[float], weights: Sequence[float], tail: float = _TAIL) -> float:
    """Mean loss in the worst ``tail`` of outcomes, positive for a loss.

    >>> round(expected_shortfall([-0.1, 0.0, 0.2], (0.025, 0.475, 0.5)), 12)
    0.05
    """
    left, total = tail, 0.0
    for r, w in sorted(zip(returns, weights, strict=True)):
        taken = min(w, left)
        total -= taken * r
        left -= taken
        if left <= 0.0:
            break
    return total / tail


def drawdown_scale(drawdown: float, limits: RiskSettings) -> float:
    """1 up to the soft drawdown, linearly down to 0 at the hard one."""
    left = (limits.hard_drawdown - drawdown) / (limits.hard_drawdown - limits.soft_drawdown)
    return min(1.0, max(0.0, left))


def _pays(signal: Signal, side: float, scale: float, *, before: float, after: float) -> bool:
    """Whether the growth that a change of weight adds covers one side's cost; fractional Kelly is ``scale`` of the growth
    at ``weight / scale``."""
    gained = growth(signal.returns, signal.weights, side * after / scale)
    kept = growth(signal.returns, signal.weights, side * before / scale)
    return scale * (gained - kept) >= 0.5 * signal.round_trip_cost * abs(after - before)
