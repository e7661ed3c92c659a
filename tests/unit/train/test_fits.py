"""Forecasters by name; what several of one task have in common is fitted once."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.train import makes

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError
from heliograph.features.table import SIGMA
from heliograph.train import anchors, fits
from heliograph.train.protocol import Task

SPEC = replace(makes.spec(), feature_names=(SIGMA, "log_return_1", "noise"))


def a_task(folder) -> Task:
    return Task(tuple(makes.world("volatility", num=1_500)), makes.fold(1_500), SPEC, 3, folder)


class Counting:
    """Makers that tell how often each was asked: two ensembles of one and the same member."""

    def __init__(self) -> None:
        self.made: list[tuple[str, str]] = []

    def makers(self) -> dict[str, fits.Maker]:
        def member(task, others):
            self.made.append(("member", task.folder.name))
            return anchors.unconditional(task)

        def ensemble(task, others):
            self.made.append(("ensemble", task.folder.name))
            return others("member")

        return {"member": member, "ensemble": ensemble, "other_ensemble": ensemble}


def test_member_of_two_ensembles_is_fitted_once_a_task(tmp_path):
    counting = Counting()
    made = fits.Workshop(counting.makers()).fits()
    task = a_task(tmp_path)
    answers = [fit(task) for fit in made.values()]
    assert [name for name, _ in counting.made].count("member") == 1
    assert answers[0] is answers[1] is answers[2]
    made["ensemble"](a_task(tmp_path))
    assert [name for name, _ in counting.made].count("member") == 2


def test_every_fit_writes_under_its_own_name(tmp_path):
    counting = Counting()
    fits.Workshop(counting.makers()).fits(["other_ensemble"])["other_ensemble"](a_task(tmp_path))
    assert counting.made == [("ensemble", "other_ensemble"), ("member", "member")]


def test_unknown_name_is_refused_with_those_that_are_there():
    with pytest.raises(ConfigError, match="no forecaster is called oracle: there are unconditional"):
        fits.of(Settings(), ["oracle"])


def test_global_forecaster_is_the_same_for_every_symbol_and_an_own_one_is_not(tmp_path):
    task = a_task(tmp_path)
    made = {name: fit(task) for name, fit in fits.of(Settings(), ["har", "har_pooled"]).items()}
    assert list(made["har"]) == list(made["har_pooled"]) == ["S0/USDT", "S1/USDT"]
    assert made["har_pooled"]["S0/USDT"] is made["har_pooled"]["S1/USDT"]
    assert made["har"]["S0/USDT"] is not made["har"]["S1/USDT"]


def test_seed_of_the_task_is_the_seed_of_the_network(tmp_path):
    settings = Settings(model=makes.MODEL, train=makes.TRAIN.model_copy(update={"epochs": 1, "seed": 999}))
    task = a_task(tmp_path)
    first, again = (fits.of(settings, ["network"])["network"](task) for _ in range(2))
    assert first["S0/USDT"].fingerprint == again["S0/USDT"].fingerprint
