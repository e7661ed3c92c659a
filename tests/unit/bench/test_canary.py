"""The canary's own parts: its markets are plausible, its rule knows chance from an edge, its shuffle moves whole rows."""

from __future__ import annotations

import numpy as np
import pytest
from tests.bench import canary

from heliograph.config.settings import FeatureSettings
from heliograph.core.timeframe import HOUR_MS
from heliograph.train import protocol


@pytest.fixture(scope="module")
def candles():
    return canary.market(1, edge=0.0, num_bars=3_000)


def test_market_is_plausible_and_the_same_each_time(candles):
    again = canary.market(1, edge=0.0, num_bars=3_000)
    np.testing.assert_array_equal(candles.close, again.close)
    assert (candles.high >= np.maximum(candles.open, candles.close)).all()
    assert (candles.low <= np.minimum(candles.open, candles.close)).all()
    assert (candles.low > 0).all()
    assert (candles.volume > 0).all()
    assert (np.diff(candles.open_ts_ms) == HOUR_MS).all()


def test_noise_has_clusters_of_volatility_and_no_memory_of_direction(candles):
    r = np.diff(np.log(candles.close))
    assert abs(np.corrcoef(r[1:], r[:-1])[0, 1]) < 0.05
    assert np.corrcoef(np.abs(r[1:]), np.abs(r[:-1]))[0, 1] > 0.05


def test_planted_edge_has_the_stated_size():
    r = np.diff(np.log(canary.market(1, edge=canary.PLANTED, num_bars=6_000).close))
    assert np.corrcoef(r[1:], r[:-1])[0, 1] == pytest.approx(canary.PLANTED, abs=0.05)
    assert (np.sign(r[1:]) == np.sign(r[:-1])).mean() == pytest.approx(
        0.5 + np.arcsin(canary.PLANTED) / np.pi, abs=0.02
    )


def test_shuffled_rows_keep_their_own_features_and_labels(candles):
    features = FeatureSettings(names=("ewma_volatility", "log_return_1"))
    label = canary.settings_small().labels
    (data,) = protocol.symbols_data({"A/USDT": candles}, venue="binance", features=features, label=label)
    dealt = canary.dealt(data, 0)
    row = {close: i for i, close in enumerate(data.close)}
    back = np.array([row[close] for close in dealt.close])
    assert (np.sort(back) != back).any()
    np.testing.assert_array_equal(dealt.x_NF, data.x_NF[back])
    np.testing.assert_array_equal(dealt.log_return_NH, data.log_return_NH[back])
    assert (np.diff(dealt.known_ts_ms) > 0).all()
    assert (dealt.end_ts_ms_NH > dealt.known_ts_ms[:, None]).all()


def test_hits_of_chance_are_seldom_beyond_it_and_an_edge_is():
    """Law: at p < .001 hardly one of two hundred worlds of chance counts, overlapping labels or not."""
    rng = np.random.default_rng(0)
    known = np.arange(1_200)
    wrong = 0
    for _ in range(100):
        step = rng.normal(size=1_224)
        for bars in (1, 24):
            y = np.convolve(step, np.ones(bars), mode="valid")[:1_200]
            said = np.convolve(rng.normal(size=1_224), np.ones(bars), mode="valid")[:1_200]
            wrong += canary.hits_beyond_chance(known, said, y, bars)[1] > canary.LEAST_HIT_T
    assert wrong <= 4
    y = rng.normal(size=1_200)
    rate, t = canary.hits_beyond_chance(known, np.where(rng.random(1_200) < 0.58, y, -y), y, 1)
    assert rate > 0.55
    assert t > canary.LEAST_HIT_T


def test_sign_that_never_changes_is_no_edge_however_often_it_is_right():
    y = np.random.default_rng(1).normal(0.2, 1.0, size=1_000)
    rate, t = canary.hits_beyond_chance(np.arange(1_000), np.ones(1_000), y, 1)
    assert rate > 0.55
    assert np.isnan(t)


def verdict(**figures) -> canary.Verdict:
    plain = dict.fromkeys(("skill_pct", "dm_t", "volatility_pct", "hit_rate", "hit_t"), (0.0,))
    return canary.Verdict(**(plain | {name: (value,) for name, value in figures.items()}))


def test_claim_needs_size_and_significance_and_volatility_is_none():
    assert not verdict(skill_pct=0.5, dm_t=2.9).is_claimed
    assert not verdict(skill_pct=0.09, dm_t=9.0).is_claimed
    assert not verdict(volatility_pct=5.0).is_claimed
    assert verdict(skill_pct=0.11, dm_t=3.1).is_claimed
    assert verdict(hit_t=3.2).is_claimed
    assert not verdict(hit_t=float("nan")).is_claimed
