"""The network as a fit: one forecaster for all symbols, calibrated, and warm-started from the fold before."""

from __future__ import annotations

import numpy as np
import pytest
from tests.unit.train import makes

from heliograph.model.forecaster import load
from heliograph.train import neural
from heliograph.train.loop import epochs_again
from heliograph.train.progress import noted
from heliograph.train.protocol import Task, until
from heliograph.windows.sample import gather


def task(folder, *, seed=3):
    fold = makes.fold()
    data = tuple(until(d, fold.test[0]) for d in makes.world("volatility"))
    return Task(data, fold, makes.spec(), seed, folder)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    return folder, neural.fit(task(folder), model=makes.MODEL, settings=makes.TRAIN)


def test_one_forecaster_serves_all_symbols_and_lies_in_the_folder(fitted):
    folder, made = fitted
    assert set(made) == {"S0/USDT", "S1/USDT"}
    assert len({id(forecaster) for forecaster in made.values()}) == 1
    assert load(folder / "model").fingerprint == made["S0/USDT"].fingerprint


def test_symbol_that_training_never_saw_is_forecast(fitted):
    _, made = fitted
    (stranger,) = makes.world("volatility", symbols=1, seed=9)
    x_BTF = gather(stranger.x_NF, np.arange(100, 200), makes.MODEL.window_bars)
    assert np.isfinite(made["S0/USDT"].forecast(x_BTF).quantile_BHQ).all()


def test_seed_of_the_task_is_the_fits(fitted, tmp_path):
    _, made = fitted
    other = neural.fit(task(tmp_path, seed=4), model=makes.MODEL, settings=makes.TRAIN)
    assert other["S0/USDT"].fingerprint != made["S0/USDT"].fingerprint


def test_fit_starts_from_the_model_of_the_fold_before(fitted, tmp_path):
    """One tiny step from a finished forecaster leaves its weights; a cold fit would stand near the baseline."""
    folder, made = fitted
    settings = makes.TRAIN.model_copy(update={"epochs": 1, "learning_rate": 1e-9})
    warm = neural.fit(task(tmp_path), model=makes.MODEL, settings=settings, warm=folder / "model")
    ours, theirs = (f["S0/USDT"].network.heads.linear.weight.detach().numpy() for f in (warm, made))
    assert np.abs(theirs).max() > 0.05
    np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_network_trained_anew_keeps_the_calibration_and_the_epochs(fitted):
    folder, made = fitted
    held = made["S0/USDT"]
    again = neural.anew(task(folder), held, model=makes.MODEL, settings=makes.TRAIN)["S0/USDT"]
    assert again.fingerprint != held.fingerprint
    assert again.calibration is held.calibration
    assert noted(folder / "anew").quantiles == epochs_again(noted(folder).quantiles, makes.TRAIN.epochs)
