"""Forecasters by name; what several of one task have in common is fitted once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.unit.train import makes

from heliograph.config.learning import TreeSettings
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
        fits.workshop(Settings()).fits(["oracle"])


def test_global_forecaster_is_the_same_for_every_symbol_and_an_own_one_is_not(tmp_path):
    task = a_task(tmp_path)
    made = {name: fit(task) for name, fit in fits.workshop(Settings()).fits(["har", "har_pooled"]).items()}
    assert list(made["har"]) == list(made["har_pooled"]) == ["S0/USDT", "S1/USDT"]
    assert made["har_pooled"]["S0/USDT"] is made["har_pooled"]["S1/USDT"]
    assert made["har"]["S0/USDT"] is not made["har"]["S1/USDT"]


def test_seed_of_the_task_is_the_seed_of_the_network(tmp_path):
    settings = Settings(model=makes.MODEL, train=makes.TRAIN.model_copy(update={"epochs": 1, "seed": 999}))
    task = a_task(tmp_path)
    first, again = (fits.workshop(settings).held("network", task) for _ in range(2))
    assert first["S0/USDT"].fingerprint == again["S0/USDT"].fingerprint


def test_what_leaves_validation_aside_is_measured_there_and_forecasts_as_it_was_fitted_anew(tmp_path):
    task, made = a_task(tmp_path), []

    def member(task, others):
        return {"S0/USDT": "held"}

    def again(task, others, held):
        made.append((task.folder.name, held))
        return {"S0/USDT": "known"}

    def ensemble_again(task, others, held):
        return {"S0/USDT": ("of", others("member")["S0/USDT"], held["S0/USDT"])}

    def ensemble(task, others):
        return {"S0/USDT": ("of", others("member")["S0/USDT"])}

    makers = {"member": member, "ensemble": ensemble}
    shop = fits.Workshop(makers, {"member": again, "ensemble": ensemble_again})
    assert shop.held("ensemble", task)["S0/USDT"] == ("of", "held")
    told = shop.fits()
    assert told["ensemble"](task)["S0/USDT"] == ("of", "known", ("of", "held"))
    assert told["member"](task)["S0/USDT"] == "known"
    assert made == [("member", {"S0/USDT": "held"})]


def test_ensemble_of_all_that_is_known_keeps_the_weights_that_validation_gave(tmp_path):
    settings = Settings(
        model=makes.MODEL,
        train=makes.TRAIN.model_copy(update={"epochs": 1}),
        trees=TreeSettings(rounds=3, every_bars=2),
    )
    task, shop = a_task(tmp_path), fits.workshop(settings)
    (known,) = set(shop.fits(["ensemble"])["ensemble"](task).values())
    (held,) = set(shop.held("ensemble", task).values())
    np.testing.assert_array_equal(known.weight_HM, held.weight_HM)
    assert all(a.fingerprint != b.fingerprint for a, b in zip(known.members, held.members, strict=True))
    assert set(shop.releases(["ensemble"])) == {"released"}
    assert not shop.releases(["trees"])
