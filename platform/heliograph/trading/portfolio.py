"""How risky all markets are together, from prices alone: what the volatility target leaves to each.

A market's volatility is the geometric mean of a fast and a slow moving average of its squared returns. Returns in these
units have two moments, averaged over markets and recent bars: ``own`` says how far the volatilities hold (one where they
do), ``shared`` how much markets move together. A portfolio whose positions have the volatilities x then has the variance
``own · Σx² + shared · ((Σx)² − Σx²)``; two numbers serve any count of markets. No forecast enters: a model that is wrong
about everything still can't lever its account.

Source: R. Engle & B. Kelly, Dynamic Equicorrelation, Journal of Business & Economic Statistics 30 (2012).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from heliograph.config.settings import RiskSettings

YEAR_MS = 365 * 86_400_000
DAY_MS = 86_400_000

_FAST, _SLOW = 0.25, 3.0  # half-lives, in those of the moments
_FIRST_VARIANCE, _FIRST_BARS = 0.64, 24  # a year's variance to begin with, and how many bars it is worth
_FIRST_SHARED = 0.65  # of hourly returns of the ten largest coins, 2018 to 2024
_LARGEST = 10.0  # standard deviations; a print beyond says nothing more about tomorrow
_LEAST_OWN = 0.25  # prices that stand still never let positions grow beyond twice what was measured before
_LEAST_VARIANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Volatility:
    """One market's variance a year, over a fast and a slow memory, after so many bars."""

    fast: float = _FIRST_VARIANCE
    slow: float = _FIRST_VARIANCE
    bars: int = _FIRST_BARS

    @property
    def annual(self) -> float:
        """Standard deviation of the log-return, a year."""
        return math.sqrt(math.sqrt(self.fast * self.slow))

    def standard(self, log_return: float, elapsed_ms: int) -> float:
        """The return in standard deviations of that much time, at most ten."""
        return max(-_LARGEST, min(_LARGEST, log_return / (self.annual * math.sqrt(elapsed_ms / YEAR_MS))))

    def after(self, z: float, elapsed_ms: int, limits: RiskSettings) -> Volatility:
        """Once a `standard` return is known."""
        fast, slow = (self._kept(share, elapsed_ms, limits) for share in (_FAST, _SLOW))
        square = z * z * math.sqrt(self.fast * self.slow)
        return Volatility(
            max(_LEAST_VARIANCE, fast * self.fast + (1.0 - fast) * square),
            max(_LEAST_VARIANCE, slow * self.slow + (1.0 - slow) * square),
            self.bars + 1,
        )

    def _kept(self, share: float, elapsed_ms: int, limits: RiskSettings) -> float:
        """A plain mean until the memory is full."""
        return min(_kept(elapsed_ms, share * limits.risk_memory_days), self.bars / (self.bars + 1.0))


@dataclass(frozen=True, slots=True)
class Together:
    """Moments of standard returns up to the last whole bar, and the bar that is being gathered.

    Attributes:
        own: mean square; ``shared``: mean product over pairs of markets.
        open_ts_ms: of the bar that is being gathered; -1 before the first.
        markets: how many have closed it, with the ``total`` and the ``squares`` of their standard returns.
    """

    own: float = 1.0
    shared: float = _FIRST_SHARED
    open_ts_ms: int = -1
    markets: int = 0
    total: float = 0.0
    squares: float = 0.0

    def closed(self, open_ts_ms: int, z: float, limits: RiskSettings) -> Together:
        """After one market's bar; a late bar changes nothing."""
        if open_ts_ms < self.open_ts_ms:
            return self
        if open_ts_ms == self.open_ts_ms:
            total, squares = self.total + z, self.squares + z * z
            return Together(self.own, self.shared, open_ts_ms, self.markets + 1, total, squares)
        own, shared = self._folded(open_ts_ms, limits) if self.markets else (self.own, self.shared)
        return Together(own, shared, open_ts_ms, 1, z, z * z)

    def variance(self, total: float, squares: float) -> float:
        """Of positions whose signed volatilities have this sum and this sum of squares."""
        return max(0.0, self.own * squares + self.shared * (total * total - squares))

    def _folded(self, now_ms: int, limits: RiskSettings) -> tuple[float, float]:
        kept = _kept(now_ms - self.open_ts_ms, limits.risk_memory_days)
        own = max(_LEAST_OWN, kept * self.own + (1.0 - kept) * self.squares / self.markets)
        shared = self.shared
        if self.markets > 1:
            pairs = self.markets * (self.markets - 1)
            shared = kept * shared + (1.0 - kept) * (self.total * self.total - self.squares) / pairs
        return own, min(own, max(0.0, shared))


@dataclass(frozen=True, slots=True)
class Beside:
    """The risk beside which one market finds its place.

    Attributes:
        annual_vol: of the market itself.
        total, squares: sum, and sum of squares, of all others' signed weight times volatility, open orders as if filled.
        active: how many others are held; ``markets``: how many there are, this one among them.
    """

    together: Together
    annual_vol: float
    total: float = 0.0
    squares: float = 0.0
    active: int = 0
    markets: int = 1

    def most(self, side: float, held: float, limits: RiskSettings) -> float:
        """Largest weight on ``side`` that `annual_vol_target` allows.

        It is what the others leave, or an equal part among those that are held, if that is more: they are cut in
        their turn. A position grows in steps of an equal part among all markets, so that those which come first
        do not take everything, and many that come at once do not take too much.
        """
        target = limits.annual_vol_target
        part, step = (target / self._alike(n) for n in (self.active + 1, max(self.markets, self.active + 1)))
        grown = max(0.0, side * held) * self.annual_vol + max(step, 2.0 * limits.no_trade_band * self.annual_vol)
        return min(max(part, self._left(side, target)), grown) / self.annual_vol

    def _alike(self, n: int) -> float:
        """Volatility of n positions of volatility one on one side."""
        return math.sqrt(self.together.variance(n, n))

    def _left(self, side: float, target: float) -> float:
        own, half = self.together.own, self.together.shared * side * self.total
        inside = half * half + own * (target * target - self.together.variance(self.total, self.squares))
        return max(0.0, (math.sqrt(inside) - half) / own) if inside > 0.0 else 0.0


def _kept(elapsed_ms: int, half_life_days: float) -> float:
    kept: float = 0.5 ** (elapsed_ms / (half_life_days * DAY_MS))
    return kept
