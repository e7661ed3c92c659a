"""Laws 1 and 2 across symbols: any cut of time gives the same bits, and no symbol knows another's future."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import START_MS, market

from heliograph.core import timeframe
from heliograph.core.market import Candles
from heliograph.features import panel
from heliograph.features.panel import SERIES, Panel

HOUR = timeframe.parse("1h")


@st.composite
def panels(draw: st.DrawFn) -> dict[str, Candles]:
    """Up to six symbols: gaps, stillness, late listings, early ends, and times at which nobody has a bar."""
    seed, bars = draw(st.integers(0, 2**32 - 1)), draw(st.integers(2, 260))
    rng = np.random.default_rng(seed)
    outage = rng.integers(0, bars, 2) * HOUR.ms + START_MS
    found = {}
    for s in range(draw(st.integers(1, 6))):
        quiet, missing = draw(st.sampled_from([0.0, 0.1, 1.0])), draw(st.sampled_from([0.0, 0.05, 0.6]))
        one = market(bars, seed=seed % 1000 + s, quiet=quiet, missing=missing, price=10.0 ** float(rng.integers(-5, 5)))
        listed, ended = np.sort(rng.integers(0, 2 * bars, 2)) - bars // 2 if rng.random() < 0.3 else (0, bars)
        one = one.take((one.open_ts_ms >= START_MS + listed * HOUR.ms) & (one.open_ts_ms < START_MS + ended * HOUR.ms))
        found[f"C{s}"] = one.take((one.open_ts_ms < outage.min()) | (one.open_ts_ms >= outage.max()))
    return found


def between(candles: dict[str, Candles], first: int, last: int) -> dict[str, Candles]:
    return {s: c.take((c.open_ts_ms >= first) & (c.open_ts_ms <= last)) for s, c in candles.items()}


@settings(max_examples=60)
@given(candles=panels(), seed=st.integers(0, 2**32 - 1), block_bars=st.sampled_from([1, 7, 512]))
def test_batch_random_cuts_and_bar_by_bar_agree_bit_for_bit(
    candles: dict[str, Candles], seed: int, block_bars: int
) -> None:
    ts, rng = panel.times(candles), np.random.default_rng(seed)
    whole = Panel([*candles], HOUR).advance(ts, candles)
    running, found, at = Panel([*candles], HOUR, block_bars=block_bars), [], 0
    while at < ts.size:
        end = min(ts.size, at + (int(rng.integers(1, 50)) if rng.random() < 0.4 else 1))
        found.append(running.advance(ts[at:end], between(candles, ts[at], ts[end - 1])))
        at = end
        if rng.random() < 0.1:
            carried, running = running.save(), Panel([*candles], HOUR, block_bars=block_bars)
            running.load(carried)
    for name in SERIES if found else ():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in found], axis=1), whole[name], err_msg=name)


@settings(max_examples=40)
@given(candles=panels(), share=st.floats(0, 1), seed=st.integers(0, 2**32 - 1))
def test_the_future_of_any_symbol_changes_no_row_of_another(
    candles: dict[str, Candles], share: float, seed: int
) -> None:
    ts, rng = panel.times(candles), np.random.default_rng(seed)
    if not ts.size:
        return
    cut = int(ts[int(share * (ts.size - 1))])
    changed = {}
    for symbol, bars in candles.items():
        future = bars.take(bars.open_ts_ms > cut)
        future = future.take(rng.random(len(future)) < 0.7)
        prices = (c * rng.lognormal(0, 0.3, len(future)) for c in (future.open, future.high, future.low, future.close))
        wild = Candles(future.open_ts_ms, *prices, future.volume * 3.0)
        changed[symbol] = Candles.concat([bars.take(bars.open_ts_ms <= cut), wild])
    rows = int(np.searchsorted(ts, cut, "right"))
    before = Panel([*candles], HOUR).advance(ts, candles)
    after = Panel([*candles], HOUR).advance(panel.times(changed), changed)
    for name in SERIES:
        np.testing.assert_array_equal(after[name][:, :rows], before[name][:, :rows], err_msg=name)


@settings(max_examples=40)
@given(candles=panels())
def test_every_number_stays_in_its_range(candles: dict[str, Candles]) -> None:
    found = Panel([*candles], HOUR).advance(panel.times(candles), candles)
    for name in SERIES:
        values = found[name][~np.isnan(found[name])]
        assert np.isfinite(values).all(), name
        if name.startswith(("rank", "breadth", "turnover")):
            assert ((values >= 0) & (values <= 1)).all(), name
        if name in ("dispersion", "market_symbols"):
            assert (values >= 0).all(), name
