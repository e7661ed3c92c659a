"""Law: a desk that was stopped and seeded again with the bars so far forecasts on as if it had never been stopped."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.desk.scripted import EAGER, HOUR, START_MS, Scripted, closed, walk

from heliograph.config.settings import CostSettings, FeatureSettings
from heliograph.core.events import CandleClosed
from heliograph.core.market import Market
from heliograph.desk.step import Desk
from heliograph.model.tracker import Regimes, Tracker
from heliograph.trading import engine

KEYS = (("binance", "BTC/USDT"), ("binance", "ETH/USDT"), ("okx", "ETH/USDT"))
MARKETS = {
    key: Market(*key, "spot", key[1][:3], "USDT", Decimal("0.01"), Decimal("0.0001"), Decimal(5)) for key in KEYS
}
REGIMES = Regimes(("BTC/USDT",), np.array([[0.009, 0.011]]))
FEATURES = FeatureSettings(
    timeframe="1h", context_timeframes=(), names=("log_return_1", "log_return_4", "close_position")
)
NUM = 110


def saved(learned_bars: int) -> Tracker:
    """As a release left it: every horizon has learned up to the close of this bar."""
    tracker = Tracker.fresh(Scripted.levels, Scripted.horizons_bars, bar_ms=HOUR.ms, regimes=REGIMES, rate=0.4)
    learned_ms_GH = np.full_like(tracker.learned_ms_GH, START_MS + learned_bars * HOUR.ms)
    return replace(tracker, learned_ms_GH=learned_ms_GH, log_width_GHK=np.full_like(tracker.log_width_GHK, 0.1))


def desk(tracker: Tracker | None) -> Desk:
    state = engine.initial(EAGER, MARKETS, costs=CostSettings.model_validate({}))
    return Desk(
        features=FEATURES,
        forecaster=Scripted(features=FEATURES),
        limits=EAGER,
        markets=MARKETS,
        state=state,
        tracker=tracker,
    )


def bars(seed: int, *, holes: bool) -> list[CandleClosed]:
    found = [bar for n, key in enumerate(KEYS) for bar in closed(key, walk(NUM, seed + n, holes=holes))]
    return sorted(found, key=lambda c: (c.known_ts_ms, c.venue, c.symbol))


@given(
    seed=st.integers(0, 10_000),
    holes=st.booleans(),
    learned_bars=st.integers(0, NUM),
    first=st.integers(0, 2 * NUM),
    data=st.data(),
)
@settings(max_examples=10, deadline=None)
def test_stopped_desk_forecasts_on_to_the_last_bit(seed, holes, learned_bars, first, data) -> None:
    """Wherever it began and was stopped, and in whatever order the markets of a moment came to the one or the other."""
    tape = bars(seed, holes=holes)
    stop = data.draw(st.integers(min(first, len(tape) - 1), len(tape) - 1))
    rng = np.random.default_rng(seed)
    live = sorted(tape[first:], key=lambda c: (c.known_ts_ms, rng.random()))
    through, again = desk(saved(learned_bars)), desk(saved(learned_bars))
    through.seed(tape[:first])
    said = {(c.venue, c.symbol, c.known_ts_ms): through.forecast(c) for c in live}
    again.seed(tape[:stop])
    for bar in tape[stop:]:
        assert again.forecast(bar) == said.get((bar.venue, bar.symbol, bar.known_ts_ms))
    assert again.behind() == through.behind()


def test_what_was_learned_since_the_release_is_in_the_forecasts() -> None:
    """Without its history, or with a tracker of its own time, the same bar gets other widths: the law above says something."""
    tape = bars(1, holes=False)
    whole, late, alone = desk(saved(50)), desk(saved(100)), desk(None)
    for one in (whole, late, alone):
        one.seed(tape[:-1])
    last = [one.forecast(tape[-1]) for one in (whole, late, alone)]
    assert all(f is not None for f in last)
    assert len({f.quantile_HQ[0] for f in last if f is not None}) == 3


def test_history_before_the_release_teaches_nothing() -> None:
    tape = bars(2, holes=False)
    one, other = desk(saved(NUM + 1)), desk(saved(NUM + 50))
    one.seed(tape[:-1])
    other.seed(tape[:-1])
    assert one.forecast(tape[-1]) == other.forecast(tape[-1])
    assert one.behind() == []


def test_markets_whose_history_begins_after_the_release_are_told() -> None:
    """A window is whole some bars after a start; one market has no bar at all."""
    tape = [bar for bar in bars(3, holes=False) if (bar.venue, bar.symbol) != KEYS[1]]
    early, late = desk(saved(100)), desk(saved(25))
    early.seed(tape)
    late.seed(tape)
    assert early.behind() == [KEYS[1]]
    assert late.behind() == [*KEYS]
    assert desk(None).behind() == []


def test_tracker_that_has_learned_nothing_learns_from_all_history_and_is_behind() -> None:
    tape = bars(4, holes=False)
    fresh = Tracker.fresh(Scripted.levels, Scripted.horizons_bars, bar_ms=HOUR.ms, rate=0.4)
    taught, plain = desk(fresh), desk(None)
    taught.seed(tape[:-1])
    plain.seed(tape[:-1])
    assert taught.learned_ms is None
    assert taught.behind() == [*KEYS]
    assert taught.forecast(tape[-1]) != plain.forecast(tape[-1])
