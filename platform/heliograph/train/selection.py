"""Which fold of which candidate is fitted next, who is stopped, and who is chosen: a function of outcomes alone.

Asynchronous successive halving (L. Li et al., A System for Massively Parallel Hyperparameter Tuning, 2020) with folds as
the budget: after 1, n, n² … folds a candidate goes on if it is among the best 1/n of those that came so far. In the
paper this depends on who happens to finish first. Here a candidate is drawn, and measured, knowing exactly those that
came at least ``abreast`` before it, so a search that was killed and resumed, or had more workers, ends the same.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from math import ceil
from statistics import fmean
from typing import Literal

from heliograph.config.learning import SweepSettings
from heliograph.train.protocol import until
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData

Outcomes = Mapping[tuple[int, int], float | None]
"""By (candidate, fold): its value on the inner validation, higher is better; None where it could not be fitted."""

State = Literal["open", "stopped", "failed", "done"]


@dataclass(frozen=True, slots=True)
class Rules:
    """What decides, see `config.settings.SweepSettings`.

    Attributes:
        folds: how many there are.
    """

    candidates: int
    folds: int
    abreast: int
    reduction: int
    grace: int

    @classmethod
    def of(cls, settings: SweepSettings, folds: int) -> Rules:
        """The rules of these settings."""
        return cls(settings.candidates, folds, settings.abreast, settings.reduction, settings.grace)

    @property
    def rungs(self) -> tuple[int, ...]:
        """Folds after which a candidate may be stopped.

        >>> Rules(candidates=8, folds=9, abreast=4, reduction=2, grace=4).rungs
        (1, 2, 4, 8)
        """
        powers = (self.reduction**k for k in range(self.folds))
        return tuple(takewhile(lambda rung: rung < self.folds, powers))


@dataclass(frozen=True, slots=True)
class Standing:
    """How one candidate stands.

    Attributes:
        number: from 0, in the order in which they were drawn.
        state: ``stopped`` at a rung, ``failed`` in a fold, ``done`` with all folds, or ``open``.
        values: of its folds from the first on, as many as count.
        allowed: folds that may be fitted by now.
    """

    number: int
    state: State
    values: tuple[float, ...]
    allowed: int

    @property
    def value(self) -> float:
        """The mean over its folds; NaN without any."""
        return fmean(self.values) if self.values else float("nan")

    @property
    def is_settled(self) -> bool:
        """True where no fold of it will be fitted any more."""
        return self.state != "open"


def standings(outcomes: Outcomes, drawn: int, rules: Rules) -> tuple[Standing, ...]:
    """How the first ``drawn`` candidates stand, in their order.

    >>> rules = Rules(candidates=3, folds=2, abreast=1, reduction=2, grace=2)
    >>> told = {(0, 0): 3.0, (0, 1): 3.0, (1, 0): 1.0, (2, 0): 4.0}
    >>> [(s.state, s.allowed) for s in standings(told, 3, rules)]
    [('done', 2), ('stopped', 1), ('open', 2)]
    """
    seen: dict[int, list[float]] = {rung: [] for rung in rules.rungs}
    made: list[Standing] = []
    for number in range(drawn):
        if number >= rules.abreast:
            _admit(made[number - rules.abreast], seen)
        made.append(_standing(number, outcomes, seen, rules))
    return tuple(made)


def ready(made: Sequence[Standing], outcomes: Outcomes) -> list[tuple[int, int]]:
    """(candidate, fold) that may be fitted now, the oldest candidate's first."""
    return [
        (s.number, fold)
        for s in made
        if not s.is_settled
        for fold in range(s.allowed)
        if (s.number, fold) not in outcomes
    ]


def may_draw(made: Sequence[Standing], rules: Rules) -> bool:
    """True where another candidate is wanted, and all that it is to know of have settled."""
    return len(made) < rules.candidates and all(s.is_settled for s in made[: _known(len(made), rules)])


def known_to(made: Sequence[Standing], rules: Rules) -> tuple[Standing, ...]:
    """The settled candidates that the next one is drawn from; those after them it knows by their settings alone."""
    return tuple(made[: _known(len(made), rules)])


def best(made: Iterable[Standing]) -> Standing | None:
    """The one with the highest mean over all folds, the oldest of equals; None where none ran through all."""
    return max((s for s in made if s.state == "done"), key=lambda s: (s.value, -s.number), default=None)


def inner(data: Iterable[SymbolData], fold: Fold) -> tuple[SymbolData, ...]:
    """What a candidate may see of the data: nothing that was known, and no label that ended, in the fold's test slice."""
    return tuple(until(d, fold.test[0]) for d in data)


def _known(number: int, rules: Rules) -> int:
    return max(0, number + 1 - rules.abreast)


def _admit(settled: Standing, seen: Mapping[int, list[float]]) -> None:
    for rung, values in seen.items():
        if settled.state != "failed" and len(settled.values) >= rung:
            insort(values, fmean(settled.values[:rung]))


def _standing(number: int, outcomes: Outcomes, seen: Mapping[int, list[float]], rules: Rules) -> Standing:
    told = [outcomes[number, fold] for fold in range(rules.folds) if (number, fold) in outcomes]
    if None in told:
        return Standing(number, "failed", (), 0)
    values: list[float] = []
    while (value := outcomes.get((number, len(values)))) is not None:
        values.append(value)
    for rung, others in seen.items():
        if len(values) < rung:
            return Standing(number, "open", tuple(values), rung)
        if _falls(fmean(values[:rung]), others, rules):
            return Standing(number, "stopped", tuple(values[:rung]), rung)
    state: State = "done" if len(values) == rules.folds else "open"
    return Standing(number, state, tuple(values), rules.folds)


def _falls(value: float, others: Sequence[float], rules: Rules) -> bool:
    """True where too many of the others, in ascending order, are better."""
    count = len(others) + 1
    better = len(others) - bisect_right(others, value)
    return count >= rules.grace and better >= ceil(count / rules.reduction)
