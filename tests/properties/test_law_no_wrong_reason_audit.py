"""No wrong reason: whatever holes a venue's markets have, each absent bar gets the reason that made it absent, or none.

A venue of some liquid markets and some quiet ones goes down now and then, one market stops trading, and pages of another
are cut short. What is then absent is explained, and every bar is held against what was done to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.audit.reasons import CODES, UNEXPLAINED, Held, explain
from heliograph.core.timeframe import parse

MINUTE = parse("1m")
BARS = 4_000
OPENS = np.arange(BARS, dtype=np.int64) * MINUTE.ms
WHOLE = ((0, BARS * MINUTE.ms),)

spans = st.tuples(st.integers(100, BARS - 400), st.integers(2, 200))


@dataclass(frozen=True)
class Holes:
    """What is done to a venue.

    Attributes:
        seed: of which bars are quiet.
        quiet: share of quiet bars of each further market; the first three have none.
        outages: (first bar, bars) in which no market has a bar.
        cut: a page that the second market lacks.
        end: before this bar the last market ends.
    """

    seed: int
    quiet: list[float]
    outages: list[tuple[int, int]]
    cut: tuple[int, int]
    end: int


holes = st.builds(
    Holes,
    seed=st.integers(0, 2**32 - 1),
    quiet=st.lists(st.sampled_from([0.0, 0.01, 0.1, 0.5]), min_size=1, max_size=5),
    outages=st.lists(spans, max_size=3),
    cut=st.tuples(st.integers(100, BARS - 400), st.integers(30, 300)),
    end=st.integers(BARS // 2, BARS - 1),
)


def made(told: Holes, *, fills_quiet: bool) -> tuple[dict[str, Held], dict[str, np.ndarray]]:
    """The venue's markets, and of each what every bar is: "" where it is there."""
    rng = np.random.default_rng(told.seed)
    shares = [0.0, 0.0, 0.0, *told.quiet]
    names = [f"M{i}/USD" for i in range(len(shares))]
    markets, truth = {}, {}
    for name, share in zip(names, shares, strict=True):
        what = np.full(BARS, "", dtype=object)
        if not fills_quiet:
            what[rng.random(BARS) < share] = "no_trades"
        if name == names[1]:
            first, bars = told.cut
            what[first - 1 : first + bars + 1] = ""  # a page ends with a bar
            what[first : first + bars] = "cut"
        for first, bars in told.outages:
            what[first : first + bars] = "venue_outage"
        if name == names[-1]:
            last = int(np.flatnonzero(what[: told.end] == "")[-1])
            what[last + 1 :] = "delisted"
        truth[name] = what
        markets[name] = Held(OPENS[what == ""], WHOLE, is_active=name != names[-1])
    return markets, truth


def reasons(markets: dict[str, Held], *, fills_quiet: bool) -> dict[str, np.ndarray]:
    """Of every market and bar what was told of it; "there" where nothing was."""
    told = {}
    for name, bars in explain(markets, MINUTE, fills_quiet=fills_quiet).items():
        what = np.full(BARS, "there", dtype=object)
        what[bars.opens // MINUTE.ms] = [CODES[code][0] for code in bars.codes]
        told[name] = what
    return told


@settings(max_examples=40)
@given(holes)
def test_on_a_venue_that_leaves_quiet_bars_out_no_reason_is_wrong(told: Holes) -> None:
    markets, truth = made(told, fills_quiet=False)
    found = reasons(markets, fills_quiet=False)
    for name, what in truth.items():
        right = np.where(what == "cut", UNEXPLAINED, np.where(what == "", "there", what))
        is_open = (found[name] == UNEXPLAINED) & (what != "")
        assert (found[name] == right)[~is_open].all()
        assert is_open.mean() <= 0.02 or name == "M1/USD"
    assert (found["M1/USD"][truth["M1/USD"] == "cut"] == UNEXPLAINED).all()


@settings(max_examples=40)
@given(holes)
def test_on_a_venue_that_fills_quiet_bars_every_bar_has_its_reason(told: Holes) -> None:
    markets, truth = made(told, fills_quiet=True)
    found = reasons(markets, fills_quiet=True)
    for name, what in truth.items():
        right = np.where(what == "cut", UNEXPLAINED, np.where(what == "", "there", what))
        assert (found[name] == right).all()


@settings(max_examples=30)
@given(holes)
def test_an_outage_is_told_wherever_liquid_markets_show_it(told: Holes) -> None:
    markets, truth = made(told, fills_quiet=False)
    found = reasons(markets, fills_quiet=False)
    for name, what in truth.items():
        down = what == "venue_outage"
        assert (found[name][down] == "venue_outage").all()


@settings(max_examples=30)
@given(holes, st.integers(0, 3))
def test_what_was_never_fetched_is_never_told(told: Holes, which: int) -> None:
    markets, _ = made(told, fills_quiet=False)
    name = list(markets)[which]
    half = ((0, BARS // 2 * MINUTE.ms),)
    cut = markets | {name: Held(markets[name].opens, half, markets[name].is_active)}
    bars = explain(cut, MINUTE, fills_quiet=False)[name]
    assert (bars.opens < half[0][1]).all()


@settings(max_examples=30)
@given(holes)
def test_the_runs_of_absent_bars_hold_each_bar_once(told: Holes) -> None:
    markets, _ = made(told, fills_quiet=False)
    for bars in explain(markets, MINUTE, fills_quiet=False).values():
        runs = list(bars.absences(MINUTE))
        opens = [ts for run in runs for ts in range(run.start_ms, run.end_ms, MINUTE.ms)]
        assert opens == bars.opens.tolist()
        assert sum(run.bars for run in runs) == bars.opens.size
        assert all(a.end_ms < b.start_ms or a.status != b.status for a, b in pairwise(runs))
