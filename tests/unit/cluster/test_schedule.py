"""A whole run on the virtual clock: every limit is used to the end, none is broken, and the finish time is known."""

from __future__ import annotations

import pytest
from tests.bench import simulated


@pytest.mark.parametrize("workers", [1, 4])
def test_run_ends_within_a_twentieth_of_what_the_slowest_limit_takes(workers: int) -> None:
    """`python tests/bench/fetch.py scale` in short: twelve venues, eight timeframes, eight symbols instead of 500."""
    found = simulated.catalogues(8)
    went = simulated.simulate(found, simulated.planned(found, days=5), workers=workers)
    assert len(went.bound_s) == 12
    assert max(went.ended_s.values()) <= 1.05 * max(went.bound_s.values())
    assert went.violations == 0
    assert went.eta_error <= 0.2


def test_no_venue_waits_for_a_slower_one() -> None:
    """Each venue ends about when its own limit lets it, not when the slowest does; hiring takes three seconds."""
    found = simulated.catalogues(8)
    went = simulated.simulate(found, simulated.planned(found, days=5), workers=4)
    for lane, bound_s in went.bound_s.items():
        assert went.ended_s[lane] <= 1.3 * bound_s + 6.0
