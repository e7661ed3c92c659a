"""Blame: a fault falls on the series that has it, not on those that it is compared with."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.bench.corruption import Subject, generated
from tests.bench.injections import KINDS, Source

from heliograph.audit import truth

kinds = st.sampled_from(sorted(KINDS))
seeds = st.integers(0, 2**32 - 1)


@cache
def market() -> Subject:
    return generated(7, bars=4_000)


@settings(max_examples=60)
@given(kinds, seeds)
def test_a_fault_in_one_of_two_peers_never_falls_on_the_series(kind: str, seed: int) -> None:
    true = market()
    peer, other_peer = true.evidence.peers
    wrong = KINDS[kind](Source(peer, true.timeframe, true.other), np.random.default_rng(seed)).candles
    evidence = replace(true.evidence, peers=[wrong, other_peer])
    assert truth.check(("v", "BTC/USDT"), true.timeframe, true.candles, evidence) == []


@settings(max_examples=40)
@given(kinds, seeds)
def test_a_fault_in_the_series_is_found_though_a_peer_has_one_too(kind: str, seed: int) -> None:
    """The two faults are of different kinds and at different places, as chance makes them."""
    true, rng = market(), np.random.default_rng(seed)
    peer, other_peer = true.evidence.peers
    also = sorted(KINDS)[int(rng.integers(len(KINDS)))]
    wrong = KINDS[also](Source(peer, true.timeframe, true.other), rng).candles
    injected = KINDS[kind](Source(true.candles, true.timeframe, true.other), rng)
    evidence = replace(true.evidence, peers=[wrong, other_peer])
    found = truth.check(("v", "BTC/USDT"), true.timeframe, injected.candles, evidence)
    assert any(f.start_ms < injected.end_ms and f.end_ms > injected.start_ms for f in found)
