"""From a fit to a released forecaster: what is planted is found, what is not there is not claimed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.train import makes

from heliograph.core.timeframe import HOUR_MS
from heliograph.model.forecaster import load
from heliograph.model.table import FORECASTS
from heliograph.model.tracker import Tracker
from heliograph.train import fold as finishing
from heliograph.train import loop, score
from heliograph.train.fold import OuterSlice

SETTINGS = makes.TRAIN.model_copy(update={"epochs": 4, "samples_per_epoch": 2_048})


def release(data, folder):
    best = loop.fit(data, makes.fold(), spec=makes.spec(), model=makes.MODEL, settings=SETTINGS, folder=folder)
    return finishing.finish(best, data, makes.fold(), folder=folder / "final", provenance={"lake": "7"})


def scored(kind, folder, seed=0):
    data = makes.world(kind, seed=seed)
    forecaster = release(data, folder)
    bases = finishing.baselines(data, makes.fold(), makes.spec())
    return score.score({"model": forecaster, **bases}, OuterSlice(data, makes.fold())), forecaster, data


@pytest.fixture(scope="module")
def volatile(tmp_path_factory):
    return scored("volatility", tmp_path_factory.mktemp("volatility"))


def test_visible_volatility_regime_is_found(volatile):
    result = volatile[0]
    for baseline in ("unconditional", "volatility_scaled"):
        assert min(result.skill_pct[baseline]) > 4.0
        assert min(result.dm_t[baseline]) > 3.0
    assert result.coverage[0.8] == pytest.approx((0.8, 0.8), abs=0.03)
    assert result.coverage[0.95] == pytest.approx((0.95, 0.95), abs=0.02)


def test_visible_drift_is_found_and_confidence_knows_where(tmp_path):
    result, _, _ = scored("drift", tmp_path)
    assert min(result.skill_pct["volatility_scaled"]) > 3.0
    assert min(result.hit_rate) > 0.6
    for hits, stated in zip(result.hit_by_decile, result.stated_by_decile, strict=True):
        assert hits[-1] > hits[0] + 0.1
        assert stated[-1] == pytest.approx(hits[-1], abs=0.08)


@pytest.mark.parametrize("seed", [1, 2])
def test_random_walk_has_no_skill_and_does_no_harm(tmp_path, seed):
    result, _, _ = scored("walk", tmp_path, seed)
    assert max(result.skill_pct["volatility_scaled"]) <= 0.3
    assert min(result.skill_pct["volatility_scaled"]) >= -0.5


def test_released_forecaster_is_the_one_on_disk(volatile, tmp_path):
    _, forecaster, data = volatile
    folder = tmp_path / "again"
    again = release(data, folder)
    assert (
        load(folder / "final", expected_features=makes.NAMES).fingerprint == again.fingerprint == forecaster.fingerprint
    )
    provenance = json.loads((folder / "final" / "forecaster.json").read_text())["provenance"]
    assert provenance == {"lake": "7", "fold": "0"}


def test_forecasts_cover_the_test_slice_and_nothing_else(volatile):
    _, forecaster, data = volatile
    table, _ = finishing.forecasts(forecaster, OuterSlice(data, makes.fold()))
    assert table.schema.equals(FORECASTS)
    assert {k.decode(): json.loads(v) for k, v in table.schema.metadata.items()} == {
        "horizons_bars": [1, 4],
        "levels": list(makes.LABELS.levels),
        "model": forecaster.fingerprint,
    }
    known = table["known_ts_ms"].to_numpy()
    assert known.min() == makes.fold().test[0]
    assert known.max() == data[0].known_ts_ms[-1]  # origins without labels too: the backtest trades them
    assert table.num_rows == 2 * (known.max() - known.min() + makes.HOUR_MS) // makes.HOUR_MS


def test_stored_forecast_is_the_one_that_the_forecaster_makes(volatile):
    _, forecaster, data = volatile
    table, _ = finishing.forecasts(forecaster, OuterSlice(data, makes.fold()))
    row = table.slice(5, 1).to_pylist()[0]
    place = int(np.searchsorted(data[0].known_ts_ms, row["known_ts_ms"]))
    alone = forecaster.forecast(data[0].x_NF[None, place - 7 : place + 1])
    assert row["symbol"] == "S0/USDT"
    assert row["price"] == data[0].close[place]
    np.testing.assert_allclose(np.reshape(row["quantile"], (2, 7)), alone.quantile_BHQ[0], rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(np.reshape(row["setup"], (2, 3)), alone.setup_BHC[0], rtol=1e-5)
    np.testing.assert_allclose(row["confidence"], alone.confidence_BH[0], rtol=1e-5)


def test_test_slice_never_reaches_calibration(volatile, tmp_path):
    """Law no look-ahead: another future gives the same forecaster, to the fingerprint."""
    _, forecaster, _ = volatile
    other = makes.world("volatility")
    for symbol in other:
        late = symbol.known_ts_ms >= makes.fold().test[0]
        symbol.log_return_NH[late] *= 7.0
        symbol.x_NF[late] -= 1.0
        symbol.close[late] *= 1.1
    assert release(other, tmp_path).fingerprint == forecaster.fingerprint


def test_tracked_widths_are_those_of_the_score_and_learn_no_unknown_label(volatile):
    _, forecaster, data = volatile
    tracker = Tracker.fresh(forecaster.levels, forecaster.horizons_bars, bar_ms=HOUR_MS)
    parts = [(d, finishing.scored_rows(d, makes.fold(), forecaster.window_bars)) for d in data]
    plain, _ = finishing.told(forecaster, parts)
    wide, left = finishing.told(forecaster, parts, tracker)
    middle = len(forecaster.levels) // 2
    for narrow, tracked in zip(plain, wide, strict=True):
        np.testing.assert_array_equal(narrow.quantile_BHQ[..., middle], tracked.quantile_BHQ[..., middle])
        assert (np.diff(tracked.quantile_BHQ, axis=-1) >= 0).all()
    assert left is not None
    assert np.abs(left.log_width_GHK).max() > 0
    unknown = [(replace(d, log_return_NH=np.full_like(d.log_return_NH, np.nan)), rows) for d, rows in parts]
    untold, same = finishing.told(forecaster, unknown, tracker)
    np.testing.assert_allclose(untold[0].quantile_BHQ, plain[0].quantile_BHQ, rtol=1e-12)
    assert same is not None
    assert not same.log_width_GHK.any()
