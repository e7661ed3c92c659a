"""Forecasters of any series: naive by hand, linear by algebra, and a network that starts as the linear one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.config.learning import ModelSettings
from heliograph.core.errors import ConfigError
from heliograph.model.series import (
    Hybrid,
    Linear,
    Mean,
    Regressors,
    SeasonalNaive,
    SeriesNetwork,
    har_basis,
    one_thread,
    step_size,
)

LEVELS = (0.1, 0.5, 0.9)
LOOKBACK, HORIZON = 16, 6


@pytest.fixture
def windows() -> np.ndarray:
    """Sixteen walks of two series."""
    return np.cumsum(np.random.default_rng(1).normal(size=(16, LOOKBACK, 1)), axis=1)


SERIES = np.arange(16) % 2


def linear(*, groups: int = 1, is_local: bool = False, anchor: str = "last") -> Linear:
    rng = np.random.default_rng(2)
    z_HQ = np.sort(rng.normal(size=(HORIZON, 3)), axis=1)
    weight_PKH = 0.1 * rng.normal(size=(groups, LOOKBACK + 1, HORIZON))
    return Linear(Regressors(anchor), weight_PKH, np.array([[1.0], [2.0]]) * np.ones(HORIZON), z_HQ, is_local)


def network(anchor: str = "last", channels: int = 1, kind: str = "hybrid") -> SeriesNetwork:
    torch.manual_seed(0)
    size = ModelSettings(window_bars=LOOKBACK, patch_bars=4, width=8, kind=kind, dropout=0.5)
    return SeriesNetwork(size, HORIZON, 3, channels=channels, anchor=anchor)


def shaken(made: SeriesNetwork, size: float = 0.5) -> SeriesNetwork:
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(size * torch.randn(parameter.shape, generator=generator))
    return made


def test_seasonal_naive_goes_round_its_last_season(windows):
    said = SeasonalNaive(4, HORIZON, LEVELS).forecast(windows, SERIES)
    np.testing.assert_array_equal(said[:, :, 1], windows[:, [12, 13, 14, 15, 12, 13], 0])
    np.testing.assert_array_equal(said[..., 0], said[..., 2])


def test_season_longer_than_the_window_is_refused(windows):
    with pytest.raises(ConfigError, match="season of 24"):
        SeasonalNaive(24, HORIZON, LEVELS).forecast(windows, SERIES)


def test_zero_weights_on_the_last_value_are_a_random_walk(windows):
    walk = Linear(Regressors("last"), np.zeros((1, LOOKBACK + 1, 2)), np.ones((2, 2)), np.array([[-1.0, 0.0, 1.0]] * 2))
    said = walk.forecast(windows, SERIES)
    np.testing.assert_array_equal(said, windows[:, -1, 0, None, None] + np.array([-1.0, 0.0, 1.0]) * np.ones((2, 1)))


@settings(max_examples=20, deadline=None)
@given(st.floats(-100, 100))
def test_forecast_moves_with_the_level_where_the_last_value_is_the_anchor(level: float):
    windows = np.cumsum(np.random.default_rng(1).normal(size=(16, LOOKBACK, 1)), axis=1)
    for made in (linear(), linear(is_local=True), Hybrid(linear(), shaken(network()))):
        before, after = made.forecast(windows, SERIES), made.forecast(windows + level, SERIES)
        np.testing.assert_allclose(after, before + level, atol=2e-3)


def test_size_of_a_window_is_nothing_to_the_network(windows):
    """RevIN: what it says of ten times the window is what it says of the window, in units of the linear map's scale."""
    made = shaken(network()).eval()
    z_HQ = torch.from_numpy(linear().z_HQ)
    with torch.inference_mode():
        small, large = (made(torch.from_numpy((k * windows).astype(np.float32)), z_HQ) for k in (1.0, 10.0))
    torch.testing.assert_close(small, large, rtol=1e-3, atol=1e-4)


def test_each_series_has_weights_of_its_own_where_there_are_groups(windows):
    own = linear(groups=2)
    whole = own.point(windows, SERIES)
    for c in (0, 1):
        alone = Linear(own.regressors, own.weight_PKH[c : c + 1], own.scale_CH, own.z_HQ).point(windows, SERIES)
        np.testing.assert_allclose(whole[c == SERIES], alone[c == SERIES])


def test_local_scale_goes_with_the_steps_of_the_window(windows):
    calm, wild = linear(is_local=True).scale(windows, SERIES), linear(is_local=True).scale(3 * windows, SERIES)
    np.testing.assert_allclose(wild, 3 * calm)
    np.testing.assert_allclose(calm[:, 0], step_size(windows) * np.where(SERIES == 0, 1.0, 2.0))
    assert (step_size(np.zeros((2, LOOKBACK, 1))) > 0).all()


def test_har_basis_takes_averages_of_each_channel():
    x = np.random.default_rng(0).normal(size=(3, 30, 2))
    told = Regressors("mean", har_basis(30, 2)).of(x)[0]
    means = [x[:, -span:, c].mean(axis=1) for c in (0, 1) for span in (1, 5, 22)]
    np.testing.assert_allclose(told, np.column_stack([*means, np.ones(3)]))
    with pytest.raises(ConfigError, match="too short"):
        har_basis(21, 1)


@pytest.mark.parametrize("kind", ["hybrid", "lstm", "transformer"])
@pytest.mark.parametrize("anchor", ["last", "mean"])
def test_untrained_hybrid_is_its_linear_forecaster(kind, anchor, windows):
    base = linear(anchor=anchor)
    said = Hybrid(base, network(anchor, kind=kind)).forecast(windows, SERIES)
    np.testing.assert_allclose(said, base.forecast(windows, SERIES), rtol=1e-12, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(st.floats(0.1, 30.0))
def test_quantiles_never_cross_whatever_the_weights(size: float):
    windows = np.cumsum(np.random.default_rng(1).normal(size=(16, LOOKBACK, 1)), axis=1)
    said = Hybrid(linear(), shaken(network(), size)).forecast(windows, SERIES)
    assert np.isfinite(said).all()
    assert (np.diff(said, axis=-1) >= 0).all()


def test_dropout_is_off_in_a_forecast_and_the_mode_is_left_as_it_was(windows):
    made = shaken(network()).train()
    first, second = (Hybrid(linear(), made).forecast(windows, SERIES) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert made.training


def test_second_channel_reaches_the_network():
    x = np.random.default_rng(1).normal(size=(8, LOOKBACK, 2))
    other = x.copy()
    other[..., 1] += 1.0
    base = Linear(Regressors("mean"), np.zeros((1, 2 * LOOKBACK + 1, HORIZON)), np.ones((2, HORIZON)), linear().z_HQ)
    made = Hybrid(base, shaken(network("mean", channels=2)))
    assert np.abs(made.forecast(x, SERIES[:8]) - made.forecast(other, SERIES[:8])).max() > 1e-4


def test_window_that_stands_still_gives_finite_quantiles():
    said = Hybrid(linear(), shaken(network())).forecast(np.ones((4, LOOKBACK, 1)), SERIES[:4])
    assert np.isfinite(said).all()


def test_mean_is_taken_level_by_level_and_leaves_its_members_alone(windows):
    first, second = linear(), linear(is_local=True)
    each = [one.forecast(windows, SERIES) for one in (first, second)]
    said = Mean((first, second)).forecast(windows, SERIES)
    np.testing.assert_allclose(said, (each[0] + each[1]) / 2)
    assert (np.diff(said, axis=-1) >= 0).all()
    np.testing.assert_array_equal(first.forecast(windows, SERIES), each[0])


def test_threads_are_as_they_were_after_one_thread_was_enough():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before
