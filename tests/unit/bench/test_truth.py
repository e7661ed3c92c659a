"""The law of the canary's markets: what it says of the next bars is what came."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.bench import canary
from tests.bench.truth import Law

from heliograph.config.settings import FeatureSettings
from heliograph.model.calibrate import pinball
from heliograph.train import protocol, score
from heliograph.train.said import Outcome, Truth

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
EDGES = (0.0, canary.PLANTED)


def told(edge, num_bars=8_000):
    """Quantiles and returns of one market."""
    law, bars = Law(edge=edge), canary.market(3, edge=edge, num_bars=num_bars)
    quantile_NHQ = law.quantiles(*law.state(bars), horizons=canary.HORIZONS, levels=LEVELS)
    log_close = np.log(bars.close)
    y_NH = np.full((num_bars, len(canary.HORIZONS)), np.nan)
    for h, ahead in enumerate(canary.HORIZONS):
        y_NH[:-ahead, h] = log_close[ahead:] - log_close[:-ahead]
    return quantile_NHQ[: -max(canary.HORIZONS)], y_NH[: -max(canary.HORIZONS)]


@pytest.fixture(scope="module", params=EDGES)
def market(request):
    return told(request.param)


def test_each_interval_holds_what_it_states(market):
    quantile_NHQ, y_NH = market
    held = score.coverage(y_NH, quantile_NHQ, LEVELS)
    apart_H = len(y_NH) / np.array(canary.HORIZONS)
    for nominal in (0.5, 0.8, 0.95):
        error_H = np.sqrt(nominal * (1.0 - nominal) / apart_H)
        assert (np.abs(np.array(held[nominal]) - nominal) < 4.0 * error_H).all()


def test_no_other_width_or_place_of_the_cone_is_better(market):
    quantile_NHQ, y_NH = market
    least_H = pinball(y_NH, quantile_NHQ, LEVELS).mean(axis=0)
    width_NH1 = quantile_NHQ[..., -1:] - quantile_NHQ[..., :1]
    for other_NHQ in (0.85 * quantile_NHQ, 1.15 * quantile_NHQ, quantile_NHQ + 0.05 * width_NH1):
        assert (pinball(y_NH, other_NHQ, LEVELS).mean(axis=0) > least_H).all()


def test_quantiles_grow_with_variance_and_move_with_the_last_return():
    law = Law(edge=0.3)
    wide, narrow, higher = (
        law.quantiles(np.array([v]), np.array([r]), horizons=(1, 4), levels=LEVELS)[0]
        for v, r in ((4.0, 0.0), (1.0, 0.0), (1.0, 0.01))
    )
    np.testing.assert_allclose(wide[0], 2.0 * narrow[0], rtol=0.02)
    np.testing.assert_allclose(higher[0] - narrow[0], 0.003, rtol=1e-9)
    np.testing.assert_allclose(higher[1] - narrow[1], 0.01 * (0.3 + 0.3**2 + 0.3**3 + 0.3**4), rtol=1e-9)
    np.testing.assert_allclose(narrow, -narrow[:, ::-1], rtol=1e-9, atol=1e-12)


def test_state_depends_on_the_past_alone():
    law, bars = Law(), canary.market(4, edge=0.0, num_bars=300)
    whole, early = law.state(bars), law.state(bars.take(slice(200)))
    for long, short in zip(whole, early, strict=True):
        np.testing.assert_array_equal(long[:200], short)


def test_skill_over_the_truth_is_a_claim_where_it_is_significant():
    plain = canary.Verdict((0.0,), (0.0,), (0.0,), (0.5,), (0.0,))
    for pct, t, is_claimed in ((0.2, 3.1, True), (0.2, 2.9, False), (0.05, 9.0, False)):
        assert replace(plain, over_pct={canary.TRUTH: (pct,)}, truth_t=(t,)).is_claimed == is_claimed
        assert not replace(plain, over_pct={"har": (pct,)}).is_claimed


def test_true_quantiles_find_each_row_again_however_rows_are_dealt():
    settings = canary.settings_small()
    candles = {symbol: canary.market(k, edge=0.0, num_bars=860) for k, symbol in enumerate(canary.SYMBOLS)}
    features = FeatureSettings(names=("ewma_volatility", "log_return_1"))
    data = protocol.symbols_data(candles, venue="binance", features=features, label=settings.labels)
    law, levels = Law(), settings.labels.levels
    found = {}
    for name, rows in (("sorted", data), ("dealt", [canary.dealt(d, 0) for d in data])):
        known = [d.known_ts_ms[100:700] for d in rows]
        truth = Truth(
            symbols=canary.SYMBOLS,
            symbol_N=np.repeat([0, 1], 600),
            known_ts_ms=np.concatenate(known),
            end_ts_ms_NH=np.empty((1_200, 3)),
            y_NH=np.empty((1_200, 3)),
            sigma_N=np.empty(1_200),
            regime_N=np.empty(1_200),
        )
        quantile_NHQ = canary.true_quantiles(Outcome(truth, {}), rows, candles, law=law, levels=levels)
        close = np.concatenate([d.close[100:700] for d in rows])
        found[name] = dict(zip(close.tolist(), quantile_NHQ, strict=True))
    both = found["sorted"].keys() & found["dealt"].keys()
    assert len(both) > 200
    for close in both:
        np.testing.assert_array_equal(found["sorted"][close], found["dealt"][close])
