"""How much to hold: fractional Kelly on the predictive distribution after costs, cut by volatility, tail and drawdown.

Weights are signed shares of equity. All of it is float arithmetic; exact quantities are made in `trading.targets`.

Source: Kelly (1956) for the growth-optimal share; Davis & Norman (1990) for why proportional costs make a region in
which nothing is traded, rather than a point.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from heliograph.config.settings import RiskSettings
from heliograph.trading.signals import Signal

_TAIL = 0.05
_STEPS = 64


@dataclass(frozen=True, slots=True)
class Account:
    """What sizing must know of the account.

    Attributes:
        held: weight of the market now, signed.
        room: weight that `max_leverage` leaves to this market beside all others; not negative.
        drawdown: of equity from its peak, in [0, 1).
    """

    held: float
    room: float
    drawdown: float


def target_weight(signal: Signal, account: Account, limits: RiskSettings) -> float:
    """The weight to hold until the next forecast.

    On the side of the expected return there is a region between the share that pays for opening and closing
    (``enter``) and the share that is right when trading is free (``keep``): below it the position grows to ``enter``,
    above it shrinks to ``keep``, inside it stays. A signal that abstains has ``enter`` = 0: it opens nothing, closes
    what stands against the expected return, and leaves the rest to shrink to ``keep``. A change smaller than
    ``no_trade_band`` is not made, except to flat.
    """
    side = math.copysign(1.0, signal.expected_return)
    most = ceiling(signal, account, limits, side)
    scale = limits.kelly_fraction * signal.confidence * drawdown_scale(account.drawdown, limits)
    if scale <= 0.0 or most <= 0.0:
        return 0.0
    held = side * account.held
    enter = 0.0
    if not signal.abstains:
        paid = [side * r - signal.round_trip_cost for r in signal.returns]
        enter = scale * kelly(paid, signal.weights, at_most=most / scale)
    if held <= enter:
        target = enter
    else:
        free = [side * r for r in signal.returns]
        target = min(held, scale * kelly(free, signal.weights, at_most=most / scale))
    if target != 0.0 and abs(target - held) < limits.no_trade_band:
        target = held
    return side * target


def ceiling(signal: Signal, account: Account, limits: RiskSettings, side: float) -> float:
    """Largest weight on ``side`` (1 or −1) that every cap allows.

    - `max_symbol_weight`, and the room that leverage leaves;
    - the position's annual volatility stays within `annual_vol_target`;
    - its expected shortfall (worst 5 %) over the horizon stays within the symbol's share, `max_symbol_weight`, of the
      loss that is left before the hard drawdown.
    """
    if side < 0 and not limits.allow_short:
        return 0.0
    most = min(limits.max_symbol_weight, account.room)
    annual_vol = signal.spread * math.sqrt(signal.horizons_per_year)
    if annual_vol > 0.0:
        most = min(most, limits.annual_vol_target / annual_vol)
    shortfall = expected_shortfall([side * r for r in signal.returns], signal.weights)
    if shortfall > 0.0:
        left = max(0.0, limits.hard_drawdown - account.drawdown)
        most = min(most, limits.max_symbol_weight * left / shortfall)
    return max(0.0, most)


def kelly(returns: list[float], weights: tuple[float, ...], *, at_most: float = math.inf) -> float:
    """The share f in [0, at_most] that maximises E log(1 + f r).

    Args:
        returns: simple returns, in any order.
        weights: their probabilities.
        at_most: needed where no return is negative, for then more is always better.

    >>> round(kelly([1.0, -1.0], (0.6, 0.4)), 12), round(kelly([2.0, -1.0], (0.5, 0.5)), 12)
    (0.2, 0.25)
    """
    nodes = list(zip(returns, weights, strict=True))
    if math.fsum([w * r for r, w in nodes]) <= 0.0:
        return 0.0
    worst = min(returns)
    ruin = -1.0 / worst if worst < 0.0 else math.inf  # the share at which the worst return takes everything
    if at_most < ruin and _slope(nodes, at_most)[0] >= 0.0:
        return at_most
    return _root(nodes, min(at_most, ruin))


def expected_shortfall(returns: list[float], weights: tuple[float, ...], tail: float = _TAIL) -> float:
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


def _slope(nodes: list[tuple[float, float]], f: float) -> tuple[float, float]:
    """First and second derivative of E log(1 + f r)."""
    first = second = 0.0
    for r, w in nodes:
        x = r / (1.0 + f * r)
        first += w * x
        second -= w * x * x
    return first, second


def _root(nodes: list[tuple[float, float]], high: float) -> float:
    """Where the slope is zero in (0, high): Newton, kept inside a shrinking bracket."""
    low, f = 0.0, 0.0
    for _ in range(_STEPS):
        first, second = _slope(nodes, f)
        low, high = (f, high) if first > 0.0 else (low, f)
        step = f - first / second
        new = step if low < step < high else (low + high) / 2.0
        if abs(new - f) <= 1e-12 * max(1.0, f):
            return new
        f = new
    return f
