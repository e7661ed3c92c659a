"""The short form of the corruption bench: every kind of fault in a generated market, and no alarm where there is none."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
from tests.bench.corruption import BROKEN, Recorded, Subject, generated, recall
from tests.bench.injections import KINDS

from heliograph.audit import gather, truth
from heliograph.audit.finding import flagged
from heliograph.core.calendars import grid


@cache
def market() -> Subject:
    return generated(1)


@pytest.mark.parametrize("kind", KINDS)
def test_every_injection_of_a_kind_is_found(kind: str):
    tally = recall(kind, [market()], seeds=4)
    assert tally.found == tally.of == 4


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"revised", "half_bar"}))
def test_a_kind_is_found_without_the_markets_other_timeframes(kind: str):
    """Only a bar whose numbers stay likely needs them: what an unfinished bar shows is what a calmer bar would show."""
    tally = recall(kind, [market()], seeds=4)
    assert tally.by_peers == 4


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"split", "shifted_zone", "swapped_symbol", "duplicated_page"}))
def test_a_fault_does_not_spoil_the_verdict_on_the_rest(kind: str):
    """Where a page stands twice, or the price level changes for good, either side may be the wrong one."""
    assert recall(kind, [market()], seeds=4).spilled_pct < 0.1


@pytest.mark.parametrize("seed", range(6))
def test_a_true_generated_market_gets_no_finding(seed: int):
    assert generated(seed).known == set()


@pytest.mark.parametrize(
    "key",
    [
        ("binance", "1h", "ETH/USDT"),
        ("binance-us", "1m", "BTC/USDT"),
        ("hyperliquid", "5m", "BTC/USDC:USDC"),
        ("kraken", "15m", "BTC/USDT"),
        ("bybit", "5m", "SOL/USDT:USDT"),
        ("kucoin", "1h", "BTC/USDT"),
    ],
)
def test_hardly_a_recorded_bar_gets_a_finding(shared_data: Path, key: tuple[str, str, str]):
    """Five recorded series out of 130; `tests/bench/corruption.py` asks of all."""
    recorded = Recorded(shared_data)
    candles, evidence = recorded.load(key), gather.evidence(key, recorded.keys, recorded.load)
    found = truth.check((key[0], key[2]), grid(*key[:2]), candles, evidence)
    assert int(flagged(candles, found).sum()) <= 0.0012 * len(candles)


def test_pages_cut_short_are_seen_in_the_recorded_series_that_has_them(shared_data: Path):
    """A paging fault left 200 of every 1,000 minutes; no other series is there to compare with."""
    key = (BROKEN, "1m", "OP/USDT:USDT")
    candles = Recorded(shared_data).load(key)
    found = truth.check((BROKEN, key[2]), grid("bybit", "1m"), candles)
    holes = [f for f in found if f.kind == "missing"]
    assert len(holes) == 199
    assert sum(f.bars for f in holes) == 159_399
