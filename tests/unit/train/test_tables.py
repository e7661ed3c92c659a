"""The tables against closed forms, on forecasters whose faults are known."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np
import pytest
from tests.unit.train import makes

from heliograph.model.spec import Spec
from heliograph.train import tables
from heliograph.train.said import Outcome, Said, Truth

HOUR_MS, NUM = 3_600_000, 6_000
LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
SPEC = Spec(makes.NAMES, makes.NAMES[0], (1, 4), LEVELS, 8)
Z = np.array([NormalDist().inv_cdf(level) for level in LEVELS])


def truth(seed: int = 0) -> Truth:
    """Two symbols beside each other; the second one is ten times as wild."""
    rng = np.random.default_rng(seed)
    symbol = np.repeat([0, 1], NUM // 2)
    known = np.tile(np.arange(NUM // 2) * HOUR_MS, 2)
    sigma = np.where(symbol == 0, 0.01, 0.1)
    y = rng.normal(size=(NUM, 2)) * sigma[:, None] * np.sqrt([1, 4])
    ends = known[:, None] + HOUR_MS * np.array([1, 4])
    return Truth(("A/USDT", "B/USDT"), symbol, known, ends, y, sigma, rng.integers(3, size=NUM))


def said(truth: Truth, width=1.0, sure=0.5) -> Said:
    """The true normal distribution, ``width`` times as wide (a figure or one for each origin)."""
    scale = (truth.sigma_N * width)[:, None] * np.sqrt([1, 4])
    return Said(scale[..., None] * Z, np.full((NUM, 2), sure))


@pytest.fixture(scope="module")
def outcome() -> Outcome:
    world = truth()
    first_is_wide = np.where(world.symbol_N == 0, 1.3, 1.0)
    return Outcome(world, {"har": said(world, first_is_wide), "true": said(world), "unconditional": said(world, 2.0)})


def test_forecaster_has_no_skill_over_itself(outcome):
    rows = [r for r in tables.skill(outcome, SPEC) if r.forecaster == "har"]
    assert [r.vs_har_pct for r in rows] == [0.0, 0.0]
    assert np.isnan([r.dm_t for r in rows]).all()
    assert np.isnan([r.vs_ewma_pct for r in rows]).all(), "nobody fitted it"


def test_each_symbol_counts_alike_however_wild_it_is(outcome):
    """One symbol of two is better by what thirty per cent of width cost; the tenfold losses of the other do not drown it."""
    world = outcome.truth
    loss = tables.losses(outcome, LEVELS)
    calm = world.symbol_N == 0
    expected = 50.0 * (1 - loss["true"][calm].mean(axis=0) / loss["har"][calm].mean(axis=0))
    rows = [r for r in tables.skill(outcome, SPEC) if r.forecaster == "true"]
    assert [r.vs_har_pct for r in rows] == pytest.approx(expected)
    assert [(r.worst_symbol, r.worst_symbol_pct) for r in rows] == [("B/USDT", 0.0)] * 2
    assert min(r.vs_har_pct for r in rows) > 0.3
    assert min(r.dm_t for r in rows) > 3.0
    assert min(r.vs_uncond_pct for r in rows) > 5.0


def test_missing_symbol_is_left_out_of_the_mean():
    world = truth()
    alone = Truth(("A/USDT", "B/USDT", "C/USDT"), *(getattr(world, n) for n in Truth.__slots__[1:]))
    both = {"har": said(alone, 1.3), "true": said(alone)}
    rows = tables.skill(Outcome(alone, both), SPEC)
    assert np.isfinite([r.vs_har_pct for r in rows]).all()
    assert all(r.worst_symbol != "C/USDT" for r in rows)


def test_true_distribution_covers_what_it_promises_in_every_regime(outcome):
    by_horizon, every = tables.cover(outcome.truth, outcome.said["true"], LEVELS)
    for cover in (*by_horizon, every):
        assert list(cover.cov80) == ["all", *tables.REGIMES]
        assert all(v == pytest.approx(0.80, abs=0.03) for v in cover.cov80.values())
        assert all(v == pytest.approx(0.95, abs=0.02) for v in cover.cov95.values())
        assert cover.monthly_deviation80 < 0.03


def test_distribution_too_narrow_is_seen(outcome):
    narrow = said(outcome.truth, 0.5)
    _, every = tables.cover(outcome.truth, narrow, LEVELS)
    assert every.cov80["all"] == pytest.approx(2 * NormalDist().cdf(0.5 * 1.2816) - 1, abs=0.02)
    assert every.monthly_deviation80 > 0.25


def knowing(world: Truth, seed: int = 1) -> Said:
    """Says each sign with a confidence that is exactly right."""
    rng = np.random.default_rng(seed)
    sure = rng.uniform(0.5, 0.9, size=world.y_NH.shape)
    is_right = rng.random(size=sure.shape) < sure
    sign = np.where(is_right, 1, -1) * np.sign(world.y_NH)
    return Said((sign * 0.001)[..., None] + np.array(LEVELS) * 1e-9, sure)


def test_honest_confidence_shows_in_every_figure():
    world = truth()
    for row in tables.confidence(world, knowing(world), (1, 4)):
        assert row.hit_rate == pytest.approx(0.7, abs=0.02)
        assert row.top_hit == pytest.approx(row.top_stated, abs=0.04)
        assert row.top_hit - row.hit_rate > 0.12
        assert row.is_monotone
        assert row.auc > 0.75
        assert row.ece < 0.03
        assert row.brier_skill_pct > 10
        assert row.rank_ic > 0.2


def test_blind_forecaster_knows_nothing():
    world = truth()
    for row in tables.confidence(world, said(world), (1, 4)):
        assert row.auc == 0.5
        assert row.hit_rate == pytest.approx(0.5, abs=0.03)
        assert abs(row.brier_skill_pct) < 0.5
        assert np.isnan(row.rank_ic)


def test_confidence_turned_round_is_not_monotone():
    world = truth()
    honest = knowing(world)
    assert not any(
        r.is_monotone for r in tables.confidence(world, Said(honest.quantile_NHQ, 1.4 - honest.confidence_NH), (1, 4))
    )
