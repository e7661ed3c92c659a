"""The canary on three seeds: silent over noise, loud over what is planted and over a split that leaks."""

from __future__ import annotations

import pytest
from tests.bench import canary

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

SEEDS = range(3)


@pytest.fixture(scope="module")
def told() -> dict[str, list[canary.Verdict]]:
    return {kind: [canary.judged(kind, seed) for seed in SEEDS] for kind in canary.KINDS}


def test_no_edge_is_claimed_on_noise(told):
    assert not any(v.is_claimed for v in told["noise"])


def test_planted_edge_is_found_where_it_is(told):
    assert all(v.is_claimed for v in told["planted"])
    assert all(v.hit_rate[0] > 0.53 for v in told["planted"])


def test_nothing_but_a_leak_has_skill_that_the_plain_cones_and_the_truth_lack(told):
    assert all(max(v.volatility_pct) <= canary.LEAST_SKILL_PCT for v in told["noise"])
    assert all(max(v.over_pct[canary.TRUTH]) <= canary.LEAST_SKILL_PCT for v in told["noise"])
    assert all(min(v.volatility_pct[:1]) > 1.0 for v in told["planted"])
    assert all(max(v.over_pct[canary.TRUTH]) <= canary.LEAST_SKILL_PCT for v in told["planted"])
    assert all(v.over_pct[canary.TRUTH][-1] > 1.0 and v.truth_t[-1] > canary.LEAST_DM_T for v in told["shuffled"])


def test_shuffled_split_trips_it_by_remembering_overlapping_labels(told):
    assert all(v.is_claimed for v in told["shuffled"])
    assert all(v.hit_rate[-1] > 0.6 for v in told["shuffled"])


def test_summary_counts_seeds_and_claims(told):
    line = canary.summary(**told)
    assert (line["noise_seeds"], line["claimed"], line["planted"], line["found"]) == (3, 0, 3, 3)
    assert line["shuffled_tripped"] == 3
    assert line["planted_direction_skill_mean_pct"] > 1.0
    assert (line["skilled"], line["skill_over"][canary.TRUTH]["seeds"]) == (0, 0)
    assert line["skill_max_pct"] <= canary.LEAST_SKILL_PCT
