"""The search space says what it can't search, and every point of it is a whole set of settings."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.config.learning import Range, SweepSettings
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError
from heliograph.train import space


def searching(ranges, **sweep) -> Settings:
    return Settings(sweep=SweepSettings(space={name: Range(**r) for name, r in ranges.items()}, **sweep))


def refused(ranges, **sweep) -> str:
    with pytest.raises(ConfigError) as caught:
        space.read(searching(ranges, **sweep))
    return str(caught.value)


def test_one_space_holds_model_feature_label_train_and_risk_settings():
    axes = space.read(
        searching(
            {
                "model.lstm_layers": {"low": 1, "high": 3},
                "train.learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
                "features.names": {"choices": (["core"], ["core", "har_*"])},
                "labels.barrier_sigma": {"low": 0.5, "high": 2},
                "risk.kelly_fraction": {"low": 0.1, "high": 0.5},
            },
            objective="sharpe",
        )
    )
    assert [(a.name, a.kind, a.is_log) for a in axes] == [
        ("features.names", "choice", False),
        ("labels.barrier_sigma", "float", False),
        ("model.lstm_layers", "int", False),
        ("risk.kelly_fraction", "float", False),
        ("train.learning_rate", "float", True),
    ]


def test_default_space_can_be_searched_and_holds_what_stands():
    settings = Settings()
    axes = space.read(settings)
    point = space.standing(settings, axes)
    assert point == {"model.dropout": 0.3, "model.width": 32, "train.learning_rate": 1e-3}
    assert space.candidate(settings, point) == settings


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("model.dropuot", "model.dropout"),
        ("dropout", "model.dropout"),
        ("training.learning_rate", "train.learning_rate"),
    ],
)
def test_unknown_setting_is_refused_with_near_matches(name, near):
    said = refused({name: {"low": 0, "high": 0.3}})
    assert f"{name}: there is no such setting; did you mean {near}" in said


@pytest.mark.parametrize(
    ("ranges", "said"),
    [
        (
            {"model.dropout": {"low": 0, "high": 1.5}},
            "model.dropout can't be 1.5: Input should be less than or equal to 1",
        ),
        ({"model.lstm_layers": {"low": 1.5, "high": 3}}, "model.lstm_layers can't be 1.5: .*valid integer"),
        ({"model.kind": {"choices": ("hybrid", "mamba")}}, "model.kind can't be mamba: .*'hybrid', 'lstm'"),
        ({"model.kind": {"low": 1, "high": 2}}, "model.kind is no number: give choices"),
        ({"features.context_timeframes": {"choices": (["4h"], ["9d"])}}, "unknown timeframe '9d'"),
        ({"model.width": {"choices": (16, 16)}}, "model.width has a choice twice"),
        ({"train.seed": {"low": 1, "high": 9}}, "train.seed is not searched: the best of several seeds is luck"),
        ({"labels.levels": {"choices": ([0.5],)}}, "can't be compared"),
        ({"costs.fee_bps": {"low": 1, "high": 2}}, "a space has settings of model, features, labels, train, risk only"),
        ({"risk.kelly_fraction": {"low": 0.1, "high": 0.5}}, "set sweep.objective to sharpe"),
        ({}, "it is empty"),
    ],
)
def test_range_outside_of_what_the_setting_takes_is_refused(ranges, said):
    with pytest.raises(ConfigError, match=said):
        space.read(searching(ranges))


def test_every_fault_is_told_at_once():
    said = refused({"model.dropout": {"low": 0, "high": 2}, "nope": {"choices": (1, 2)}})
    assert "model.dropout can't be 2.0" in said
    assert "nope: there is no such setting" in said


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"low": 1.0, "high": 1.0}, "must be below"),
        ({"low": 0.0, "high": 1.0, "log": True}, "no logarithm"),
        ({"low": 1.0}, "give either"),
        ({}, "give either"),
        ({"low": 1.0, "high": 2.0, "choices": (1,)}, "give either"),
    ],
)
def test_range_that_is_none_is_refused(fields, said):
    with pytest.raises(ValueError, match=said):
        Range(**fields)


def test_values_that_contradict_each_other_are_refused_with_their_names():
    with pytest.raises(ConfigError, match=r"model\.width=18: width 18 must be a multiple of attention_heads 4"):
        space.candidate(Settings(), {"model.width": 18})


def test_width_that_only_other_heads_divide_is_no_fault_of_the_space():
    axes = space.read(searching({"model.width": {"choices": (16, 18)}, "model.attention_heads": {"choices": (2, 4)}}))
    assert axes[1].choices == (16, 18)


def test_standing_settings_outside_of_the_space_are_no_candidate():
    settings = searching({"model.dropout": {"low": 0.4, "high": 0.5}})
    assert space.standing(settings, space.read(settings)) is None


@given(
    width=st.sampled_from((16, 32)),
    rate=st.floats(1e-6, 1.0),
    names=st.lists(st.sampled_from(("core", "rsi_*", "har_*")), min_size=1, max_size=3),
)
def test_candidate_differs_from_the_settings_in_its_point_alone(width, rate, names):
    settings = Settings()
    point = {"model.width": width, "train.learning_rate": rate, "features.names": names}
    made = space.candidate(settings, point)
    assert (made.model.width, made.train.learning_rate, made.features.names) == (width, rate, tuple(names))
    stood = {"model.width": settings.model.width, "train.learning_rate": settings.train.learning_rate}
    assert space.candidate(made, stood | {"features.names": list(settings.features.names)}) == settings
