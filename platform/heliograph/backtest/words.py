"""Numbers and time as people read them, and the verdict in plain words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from heliograph.backtest.folds import Skill
from heliograph.backtest.metrics import Activity, Metrics

NOTHING = "–"
PROVEN = 0.95
"""Least probability that the true Sharpe ratio is above zero at which a profit counts as shown."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a reader should take away.

    Attributes:
        is_good: forecast skill over every baseline and a profit, both shown.
        headline: one sentence.
        details: the figures behind it, a sentence each.
    """

    is_good: bool
    headline: str
    details: tuple[str, ...]


def percent(value: float, digits: int = 1, *, signed: bool = False) -> str:
    """A fraction as per cent, with a true minus sign; a dash for NaN.

    >>> percent(-0.0312), percent(0.5, 0), percent(0.021, signed=True), percent(float("nan"))
    ('−3.1\\u202f%', '50\\u202f%', '+2.1\\u202f%', '–')
    """
    text = number(100 * value, digits, signed=signed)
    return text if text == NOTHING else f"{text}\u202f%"


def number(value: float, digits: int = 2, *, signed: bool = False) -> str:
    """A number with thousands separated by narrow spaces that don't break; a dash for NaN and infinities.

    >>> number(-1234.5, 1), number(2, 0, signed=True), number(-0.001, 1)
    ('−1\\u202f234.5', '+2', '0.0')
    """
    if not math.isfinite(value):
        return NOTHING
    rounded = round(value, digits) or 0.0
    return f"{rounded:{'+' if signed and rounded else ''},.{digits}f}".replace(",", "\u202f").replace("-", "−")


def day(ts_ms: int) -> str:
    """A moment's UTC date.

    >>> day(1_704_067_200_000)
    '2024-01-01'
    """
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC).strftime("%Y-%m-%d")


def horizon(bars: int, timeframe: str) -> str:
    """How far a horizon reaches.

    >>> horizon(24, "1h"), horizon(12, "5m"), horizon(1, "1d")
    ('24\\xa0h', '60\\xa0min', '1\\xa0d')
    """
    count, unit = int(timeframe[:-1]) * bars, timeframe[-1]
    return f"{count}\u00a0{({'m': 'min', 'M': 'months'}).get(unit, unit)}"


def baseline(name: str) -> str:
    """A baseline's name in words, held together by hyphens that don't break.

    >>> baseline("volatility_scaled")
    'volatility\\u2011scaled'
    """
    return name.replace("_", "\u2011")


def verdict(
    strategy: Metrics, holding: Metrics, activity: Activity, skills: Sequence[Skill], *, timeframe: str, num_fills: int
) -> Verdict:
    """Say what was shown and what was not.

    Skill counts as shown over a baseline where it is shown at half of the horizons at least; a profit where net return
    is positive and the probabilistic Sharpe ratio is 95 % or more.
    """
    names = list(dict.fromkeys(s.baseline for s in skills))
    beaten = [n for n in names if _is_beaten(n, skills)]
    profit_shown = strategy.total_return > 0 and strategy.probabilistic_sharpe >= PROVEN
    headline = f"{_forecast_headline(names, beaten)}; {_trading_headline(strategy, profit_shown, num_fills)}."
    details = [_skill_sentence(n, skills, timeframe) for n in names]
    if not names:
        details.append("No fold scores were given, so nothing is said about the forecasts' skill.")
    details.append(_trading_sentence(strategy, holding, activity, num_fills))
    return Verdict(
        bool(names) and len(beaten) == len(names) and profit_shown, headline[0].upper() + headline[1:], tuple(details)
    )


def _is_beaten(name: str, skills: Sequence[Skill]) -> bool:
    shown = [s.is_shown for s in skills if s.baseline == name]
    return 2 * sum(shown) >= len(shown)


def _forecast_headline(names: Sequence[str], beaten: Sequence[str]) -> str:
    missed = " and the ".join(baseline(n) for n in names if n not in beaten)
    if not names:
        return "forecast skill was not scored"
    if not beaten:
        return f"on this slice the forecasts show no skill over the {missed} baseline{'s' * (len(names) > 1)}"
    won = " and the ".join(baseline(n) for n in beaten)
    if not missed:
        return f"on this slice the forecasts beat the {won} baseline{'s' * (len(names) > 1)}"
    return f"on this slice the forecasts beat the {won} baseline, but show no skill over the {missed} one"


def _trading_headline(strategy: Metrics, profit_shown: bool, num_fills: int) -> str:
    if not num_fills:
        return "nothing was traded"
    if profit_shown:
        return f"trading made {percent(strategy.total_return)} after costs, more than luck explains"
    if strategy.total_return > 0:
        return f"trading made {percent(strategy.total_return)} after costs, which luck can explain"
    if strategy.total_return == 0:
        return "trading made nothing after costs"
    return f"trading lost {percent(-strategy.total_return)} after costs"


def _skill_sentence(name: str, skills: Sequence[Skill], timeframe: str) -> str:
    own = [s for s in skills if s.baseline == name]
    cells = ", ".join(
        f"{horizon(s.horizon_bars, timeframe)} {number(s.skill_pct, 2, signed=True)}\u202f% (t\u00a0{number(s.t, 1)})"
        for s in own
    )
    missed = [horizon(s.horizon_bars, timeframe) for s in own if not s.is_shown]
    where = "any horizon" if len(missed) == len(own) else ", ".join(missed)
    end = f"; no skill is shown at {where}" if missed else "; shown at every horizon"
    return f"Skill over the {baseline(name)} baseline, as pinball loss avoided: {cells}{end}."


def _trading_sentence(strategy: Metrics, holding: Metrics, activity: Activity, num_fills: int) -> str:
    held = f"Equal-weight buy-and-hold at the same costs returned {percent(holding.total_return, signed=True)}"
    if not num_fills:
        return f"{held}; the strategy stayed in cash."
    chance = f"the probability that its true Sharpe ratio is above zero is {percent(strategy.probabilistic_sharpe)}"
    return (
        f"{held}, the strategy {percent(strategy.total_return, signed=True)} with a mean exposure of "
        f"{percent(activity.mean_exposure, 0)}; {chance}. Fees and slippage took {percent(activity.cost_drag)} of the "
        "starting capital."
    )
