"""A download is killed again and again, and goes on from what it has committed."""

from __future__ import annotations

import itertools

import pytest
from tests.bench import chaos

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("ray_session"), pytest.mark.timeout(600)]


def test_download_that_is_killed_everywhere_ends_with_each_candle_once():
    """`make chaos-fetch` in short: a worker, the store, the driver, and the driver in the middle of a commit."""
    tally = chaos.run(4, victims=itertools.cycle(("worker", "store", "driver", "committer")))
    assert tally.kills.total() == 4
    assert (tally.missing, tally.duplicates, tally.wrong, tally.bad_parts) == (0, 0, 0, 0)
    assert tally.requests_again == 0
    assert tally.worst_batches <= 1.0
