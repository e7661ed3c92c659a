"""Several symbols beside each other: numbers by definition, symbols that come and go, nothing from the future."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from tests.unit.features.candles import HOUR_MS, START_MS, market, recorded

from heliograph.core import timeframe
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.features import panel
from heliograph.features.panel import SERIES, Panel

FloatArray = npt.NDArray[np.float64]
HOUR = timeframe.parse("1h")


def made(symbols: int, bars: int, *, missing: float = 0.02, quiet: float = 0.05, seed: int = 5) -> dict[str, Candles]:
    """Symbols with gaps of their own, their prices far apart."""
    return {
        f"C{s}/USDT": market(bars, seed=seed + s, missing=missing, quiet=quiet, price=10.0 ** (2 - s % 4), tick=1e-6)
        for s in range(symbols)
    }


def whole(candles: Mapping[str, Candles]) -> dict[str, FloatArray]:
    return Panel([*candles], HOUR).advance(panel.times(candles), candles)


def own(candles: Candles) -> dict[str, FloatArray]:
    """What a symbol brings, by plain loops over its rows."""
    n, close, volume = len(candles), candles.close, candles.volume
    number = candles.open_ts_ms // HOUR_MS
    ret, sigma, above, turnover, trade = (np.full(n, np.nan) for _ in range(5))
    momentum = {k: np.full(n, np.nan) for k in (24, 168)}
    for t in range(n):
        if t:
            ret[t] = np.log(close[t] / close[t - 1]) / np.sqrt(number[t] - number[t - 1])
        if t >= 24:
            weight = 0.97 ** np.arange(t)[::-1]
            sigma[t] = max(np.sqrt(weight @ ret[1 : t + 1] ** 2 / weight.sum()), 1e-6)
            turnover[t] = np.mean((close * volume)[t - 24 : t])
        if t >= 49:
            off = close[t] - close[t - 49 : t + 1].mean()
            above[t] = 0.5 if abs(off) <= 1e-12 * close[t] else float(off > 0)
        if t >= 167:
            base = volume[t - 167 : t + 1].mean()
            trade[t] = volume[t - 23 : t + 1].mean() / base if base > 0 else 1.0
        for k, values in momentum.items():
            if t >= k:
                values[t] = np.log(close[t] / close[t - k])
    return {
        "return": ret,
        "volatility": sigma,
        "above": above,
        "turnover": turnover,
        "volume": trade,
        "momentum_24": momentum[24],
        "momentum_168": momentum[168],
    }


def reference(candles: Mapping[str, Candles], rows: npt.NDArray[np.int64]) -> dict[str, FloatArray]:
    """`SERIES` at some rows of the grid, straight from the definitions."""
    ts = panel.times(candles)
    shape = (len(candles), ts.size)
    x: dict[str, FloatArray] = {}
    here = np.zeros(shape, dtype=bool)
    for s, bars in enumerate(candles.values()):
        at = np.searchsorted(ts, bars.open_ts_ms)
        here[s, at] = True
        for name, values in own(bars).items():
            x.setdefault(name, np.full(shape, np.nan))[s, at] = values
    found = {name: np.full((shape[0], rows.size), np.nan) for name in SERIES}
    for j, t in enumerate(rows):
        r, size = x["return"][:, t], x["turnover"][:, t]
        known = ~np.isnan(r)
        weighs = known & (size > 0)
        one = {
            "market_return": r[known].mean(),
            "market_return_weighted": (r[weighs] * size[weighs]).sum() / size[weighs].sum(),
            "market_momentum_24": np.nanmean(x["momentum_24"][:, t]),
            "dispersion": r[known].std(),
            "breadth_rising": ((np.sign(r[known]) + 1) / 2).mean(),
            "breadth_above_mean": np.nanmean(x["above"][:, t]),
            "leader_return": r[np.argmax(np.where(known & ~np.isnan(size), size, -1.0))],
            "market_symbols": known.sum(),
        }
        for name, value in one.items():
            found[name][here[:, t], j] = value
        found["turnover_share"][:, j] = size / np.nansum(size)
        for name in ("momentum_24", "momentum_168", "volatility", "volume", "turnover"):
            v = x[name][:, t]
            for s in np.flatnonzero(~np.isnan(v)):
                rest = np.delete(v, s)
                rest = rest[~np.isnan(rest)]
                share = ((rest < v[s]).sum() + 0.5 * (rest == v[s]).sum()) / max(rest.size, 1)
                found[f"rank_{name}"][s, j] = share if rest.size else 0.5
    return found


def assert_equals_reference(candles: Mapping[str, Candles], rows: npt.NDArray[np.int64]) -> None:
    found, wanted = whole(candles), reference(candles, rows)
    for name in SERIES:
        np.testing.assert_allclose(found[name][:, rows], wanted[name], rtol=1e-9, atol=1e-12, err_msg=name)


def test_every_number_is_what_its_definition_says() -> None:
    candles = made(6, 400)
    assert_equals_reference(candles, np.arange(200, panel.times(candles).size, 7))


def test_recorded_symbols_are_compared_by_definition(shared_data: Path) -> None:
    """Nine Binance pairs over the days in which SOL was listed and an outage stopped the venue."""
    candles = binance(shared_data)
    rows = np.random.default_rng(1).integers(400, panel.times(candles).size, 60)
    assert_equals_reference(candles, rows)


def binance(folder: Path) -> dict[str, Candles]:
    names = ("BTC", "ETH", "XRP", "ADA", "LTC", "LINK", "DOGE", "SOL", "AVAX")
    found = {f"{n}/USDT": recorded(folder, "binance", f"{n}-USDT", "1h") for n in names}
    first, end = 1_595_000_000_000, 1_602_000_000_000  # 2020-07-17 … 2020-10-06
    return {name: c.take((c.open_ts_ms >= first) & (c.open_ts_ms < end)) for name, c in found.items()}


def test_a_symbol_listed_later_changes_nothing_before() -> None:
    candles = made(4, 400, missing=0.0)
    young = made(5, 400, missing=0.0)["C4/USDT"].take(slice(250, None))
    alone, joined = whole(candles), whole({**candles, "C4/USDT": young})
    for name in SERIES:
        np.testing.assert_array_equal(joined[name][:4, :251], alone[name][:, :251], err_msg=name)
    assert np.isnan(joined["market_return"][4, :250]).all()
    assert joined["market_symbols"][0, 250:252].tolist() == [4.0, 5.0]


def test_a_symbol_that_stops_is_left_out_from_then_on() -> None:
    candles = made(3, 300, missing=0.0)
    candles["C2/USDT"] = candles["C2/USDT"].take(slice(0, 200))
    found = whole(candles)
    assert found["market_symbols"][0, 199:201].tolist() == [3.0, 2.0]
    assert all(np.isnan(found[name][2, 200:]).all() for name in SERIES)
    assert set(np.unique(found["rank_momentum_24"][:2, 200:])) <= {0.0, 0.5, 1.0}


def test_one_symbol_alone_is_the_market() -> None:
    candles = made(1, 300, missing=0.0, quiet=0.0)
    found = whole(candles)
    np.testing.assert_array_equal(found["dispersion"][0, 1:], 0.0)
    np.testing.assert_array_equal(found["market_return"], found["leader_return"])
    np.testing.assert_array_equal(found["rank_momentum_168"][0, 168:], 0.5)


def test_a_still_market_without_trades_stays_finite() -> None:
    candles = made(3, 300, quiet=1.0, missing=0.0)
    found = whole(candles)
    for name in SERIES:
        assert np.isfinite(found[name][:, 200:]).all(), name
    np.testing.assert_allclose(found["turnover_share"][:, 200:], 1 / 3)
    np.testing.assert_array_equal(found["rank_volume"][:, 200:], 0.5)


def test_no_symbol_sees_the_future_of_another() -> None:
    candles = made(5, 300)
    ts, cut = panel.times(candles), 220
    before = {name: grid[:, : cut + 1] for name, grid in whole(candles).items()}
    rng = np.random.default_rng(3)
    for symbol, bars in candles.items():
        past, future = (bars.take(bars.open_ts_ms <= ts[cut]), bars.take(bars.open_ts_ms > ts[cut]))
        prices = (c * rng.lognormal(0, 0.3, len(future)) for c in (future.open, future.high, future.low, future.close))
        wild = Candles(future.open_ts_ms, *prices, future.volume * 9.0)
        for other in (past, Candles.concat([past, wild])):
            after = whole({**candles, symbol: other})
            for name, grid in before.items():
                np.testing.assert_array_equal(after[name][:, : cut + 1], grid, err_msg=name)


def test_a_panel_with_a_further_symbol_takes_over() -> None:
    candles = made(4, 300, missing=0.0)
    late = candles["C3/USDT"].take(slice(200, None))
    everything = whole({**candles, "C3/USDT": late})
    ts = panel.times(candles)
    first = Panel([*candles][:3], HOUR)
    first.advance(ts[:200], {s: c.take(slice(0, 200)) for s, c in [*candles.items()][:3]})
    second = Panel([*candles], HOUR)
    second.load(first.save())
    rest = {s: c.take(slice(200, None)) for s, c in candles.items()} | {"C3/USDT": late}
    for name, grid in second.advance(ts[200:], rest).items():
        np.testing.assert_array_equal(grid, everything[name][:, 200:], err_msg=name)


def test_what_a_symbol_reads_stands_at_its_own_bars() -> None:
    candles = made(2, 60, missing=0.2)
    ts, found = panel.times(candles), whole(candles)
    rows = np.searchsorted(ts, candles["C1/USDT"].open_ts_ms)
    read = panel.others(found, 1, rows)
    assert [*read] == [*SERIES]
    assert all(values.size == len(candles["C1/USDT"]) for values in read.values())
    assert np.isfinite(read["market_return"][1:]).all()


def test_months_count_as_one_step() -> None:
    month = timeframe.parse("1M")
    opens = np.array([START_MS])
    while opens.size < 30:
        opens = np.append(opens, month.next(int(opens[-1])))
    bars = market(30, quiet=0.0)
    bars = Candles(opens, bars.open, bars.high, bars.low, bars.close, bars.volume)
    found = Panel(["A"], month).advance(opens, {"A": bars})
    np.testing.assert_allclose(found["market_return"][0, 1:], np.diff(np.log(bars.close)), rtol=1e-9)


def test_bad_input_is_refused_and_nothing_is_taken() -> None:
    with pytest.raises(ConfigError, match="each once"):
        Panel(["A", "A"], HOUR)
    candles = made(2, 20, missing=0.0)
    ts = panel.times(candles)
    one = Panel([*candles], HOUR)
    one.advance(ts[:10], {s: c.take(slice(0, 10)) for s, c in candles.items()})
    carried = one.save()
    fresh = {s: c.take(slice(10, 12)) for s, c in candles.items()}
    with pytest.raises(SchemaMismatch, match="must ascend"):
        one.advance(ts[9:12], {})
    with pytest.raises(SchemaMismatch, match="does not hold D/USDT"):
        one.advance(ts[10:12], {**fresh, "D/USDT": fresh["C0/USDT"]})
    with pytest.raises(SchemaMismatch, match=f"C0/USDT: the bar of {ts[11]} is not the next one"):
        one.advance(ts[10:11], fresh)
    with pytest.raises(SchemaMismatch, match=f"the bar of {ts[10]} is not the next one"):
        one.advance(ts[:0], fresh)
    twice = fresh["C1/USDT"].take(np.array([0, 0]))
    with pytest.raises(SchemaMismatch, match="came late or twice"):
        one.advance(ts[10:12], {**fresh, "C1/USDT": twice})
    for key, kept in one.save().items():
        np.testing.assert_array_equal(kept, carried[key])
