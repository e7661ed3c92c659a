"""Laws of the settings as a whole."""

from __future__ import annotations

from heliograph.config.learning import Range, SweepSettings
from heliograph.config.settings import Settings


def test_fingerprint_knows_no_order_of_keys():
    space = {"model.width": Range(choices=(16, 32)), "model.dropout": Range(low=0.0, high=0.3)}
    one, other = (
        Settings(sweep=SweepSettings(space=dict(items))) for items in (space.items(), reversed(space.items()))
    )
    assert one.fingerprint == other.fingerprint
    assert one.fingerprint != Settings(sweep=SweepSettings(space=space, candidates=3)).fingerprint
