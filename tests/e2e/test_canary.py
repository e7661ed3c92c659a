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


def test_shuffled_split_trips_it_by_remembering_overlapping_labels(told):
    assert all(v.is_claimed for v in told["shuffled"])
    assert all(v.hit_rate[-1] > 0.62 for v in told["shuffled"])


def test_summary_counts_seeds_and_claims(told):
    line = canary.summary(**told)
    assert (line["noise_seeds"], line["claimed"], line["planted"], line["found"]) == (3, 0, 3, 3)
    assert line["shuffled_tripped"] == 3
    assert line["skill_max_pct"] < 1.0 < line["planted_direction_skill_mean_pct"]
