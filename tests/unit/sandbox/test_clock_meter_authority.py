"""The small parts: time that stands still, budgets in real time, and a certificate for every host."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import HOUR_MS, parse
from heliograph.sandbox import authority
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.meter import Charge, Meter


def test_clock_moves_forward_only_and_not_past_the_tape() -> None:
    clock = VirtualClock(10, 20)
    clock.move_to(15)
    assert clock.now_ms() == 15
    for wrong in (14, 21):
        with pytest.raises(ConfigError, match="can't move"):
            clock.move_to(wrong)


def test_clock_needs_history_before_it() -> None:
    with pytest.raises(ConfigError, match="not longer than 10 bars"):
        VirtualClock.before_end(0, 10 * HOUR_MS, parse("1h"), 10)


@given(st.lists(st.tuples(st.floats(0, 3), st.floats(0.5, 5)), max_size=60), st.floats(0.1, 4))
def test_no_window_ever_holds_more_than_its_limit(calls: list[tuple[float, float]], scale: float) -> None:
    meter, now_s, granted = Meter(scale), 0.0, []
    for wait_s, weight in calls:
        now_s += wait_s
        if meter.take(Charge("pool", weight, limit=10.0, window_s=5.0), now_s):
            granted.append((now_s, weight))
        assert sum(w for t, w in granted if t > now_s - 5.0) <= 10.0 * scale + 1e-9
    assert meter.violations == len(calls) - len(granted)


def test_pools_do_not_share_a_budget() -> None:
    meter = Meter(1.0)
    one = [Charge(pool, 1.0, limit=1.0, window_s=1.0) for pool in "ab"]
    assert [meter.take(charge, 0.0) for charge in one] == [True, True]
    assert not meter.take(one[0], 0.5)
    assert meter.retry_after_s(one[0], 0.5) == 0.5
    assert (meter.used(one[0]), meter.recent_refusals(one[0], 0.5), meter.spent) == (1.0, 1, 2.0)


def test_certificate_covers_the_domains_and_the_authoritys_key_is_not_kept(tmp_path: Path) -> None:
    ca_file, _ = authority.issue(tmp_path, ["binance.com", "okx.com"])
    leaf = x509.load_pem_x509_certificate((tmp_path / "leaf.pem").read_bytes())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    assert names == ["binance.com", "*.binance.com", "okx.com", "*.okx.com"]
    leaf.verify_directly_issued_by(x509.load_pem_x509_certificate(ca_file.read_bytes()))
    assert b"PRIVATE" not in ca_file.read_bytes()
    assert stat.S_IMODE((tmp_path / "leaf.pem").stat().st_mode) == 0o600
