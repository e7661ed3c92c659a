"""The verdict says what was shown, and what was not."""

from __future__ import annotations

import math
from dataclasses import replace

from heliograph.backtest import words
from heliograph.backtest.folds import Skill
from heliograph.backtest.metrics import Activity, Metrics

MADE = Metrics(0.12, 0.2, 0.1, 2.0, 2.5, 0.05, 4.0, 0.99)
LUCKY = replace(MADE, probabilistic_sharpe=0.7)
LOST = replace(MADE, total_return=-0.08, probabilistic_sharpe=0.2)
ACTIVITY = Activity(10.0, 0.4, 0.8, 100.0, 50.0, 150.0, 0.14, 0.02, 0.5, 0.51)


def _verdict(strategy: Metrics, skills: list[Skill], *, num_fills: int = 10) -> words.Verdict:
    return words.verdict(strategy, MADE, ACTIVITY, skills, timeframe="1h", num_fills=num_fills)


def _skills(unconditional_t: float, scaled_t: float) -> list[Skill]:
    pairs = (("unconditional", unconditional_t), ("volatility_scaled", scaled_t))
    return [Skill(name, bars, math.copysign(0.5, t), t) for name, t in pairs for bars in (1, 24)]


def test_skill_and_profit_shown_is_good_news() -> None:
    verdict = _verdict(MADE, _skills(5.0, 3.0))
    assert verdict.is_good
    assert "beat the unconditional and the volatility\u2011scaled baselines" in verdict.headline
    assert "more than luck explains" in verdict.headline


def test_no_skill_over_the_stronger_baseline_is_said_in_plain_words() -> None:
    verdict = _verdict(LUCKY, _skills(5.0, 0.3))
    assert not verdict.is_good
    assert "but show no skill over the volatility\u2011scaled one" in verdict.headline
    assert "which luck can explain" in verdict.headline
    assert "no skill is shown at any horizon" in verdict.details[1]


def test_no_skill_at_all_and_a_loss() -> None:
    verdict = _verdict(LOST, _skills(-1.0, -4.0))
    assert verdict.headline.startswith("On this slice the forecasts show no skill over the unconditional and the")
    assert "trading lost 8.0\u202f% after costs" in verdict.headline


def test_horizons_without_skill_are_named() -> None:
    skills = [Skill("unconditional", 1, 0.5, 4.0), Skill("unconditional", 24, 0.2, 1.0)]
    assert "no skill is shown at 24\u00a0h" in _verdict(MADE, skills).details[0]


def test_profit_without_scores_is_not_good_news() -> None:
    verdict = _verdict(MADE, [])
    assert not verdict.is_good
    assert verdict.headline.startswith("Forecast skill was not scored")


def test_idle_strategy_is_said_to_be_idle() -> None:
    verdict = _verdict(replace(MADE, total_return=0.0), _skills(5, 5), num_fills=0)
    assert verdict.headline.endswith("nothing was traded.")
    assert "stayed in cash" in verdict.details[-1]
