"""Inputs beside the candles: what was known when."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import HOUR_MS, recorded

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.series import Points
from heliograph.features.known import INPUTS, Input, Joints, as_known, by_name, joined, log_basis, until_next_ms

DAY_MS = 24 * HOUR_MS
FLOW = Input(name="flow", unit="coins", delay_ms=0, max_age_ms=100, source="made")


def points(*rows: tuple[int, int, float]) -> Points:
    event, known, value = zip(*rows, strict=True)
    return Points(np.array(event), np.array(known), np.array(value, dtype=float))


@st.composite
def tapes(draw: st.DrawFn) -> tuple[Points, npt.NDArray[np.int64]]:
    """Points with delays of any kind (late, revised, known ahead, repeated, without a number), and closes."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(0, 40))
    event = rng.integers(0, 300, n)
    value = np.where(rng.random(n) < 0.1, rng.choice([np.nan, np.inf], n), rng.normal(size=n))
    closes = np.unique(rng.integers(0, 400, draw(st.integers(1, 60))))
    return Points(event, event + rng.integers(-20, 80, n), value), closes


def newest_known(told: Points, close: int) -> int | None:
    """Straight from the rules: of what is known, the newest event, and of that the newest word."""
    order = np.argsort(told.known_ts_ms, kind="stable")
    known = [k for k in order if told.known_ts_ms[k] <= close and np.isfinite(told.value[k])]
    return max(known, key=lambda k: (told.event_ts_ms[k], known.index(k))) if known else None


@settings(max_examples=150)
@given(tape=tapes())
def test_value_is_the_newest_event_known_by_the_close(tape: tuple[Points, npt.NDArray[np.int64]]) -> None:
    told, closes = tape
    value, age_ms = as_known(told.known_ts_ms, told.value, closes, max_age_ms=100, event_ts_ms=told.event_ts_ms)
    for close, got, age in zip(closes, value, age_ms, strict=True):
        k = newest_known(told, close)
        wanted_age = np.nan if k is None else close - told.event_ts_ms[k]
        np.testing.assert_equal(age, wanted_age)
        np.testing.assert_equal(got, told.value[k] if k is not None and wanted_age <= 100 else np.nan)


@settings(max_examples=100)
@given(tape=tapes(), seed=st.integers(0, 2**32 - 1))
def test_batch_equals_live_with_points_fed_as_they_become_known(
    tape: tuple[Points, npt.NDArray[np.int64]], seed: int
) -> None:
    told, closes = tape
    rng = np.random.default_rng(seed)
    whole = Joints([FLOW, by_name("event")])
    whole.add("flow", told)
    whole.add("event", told)
    wanted = whole.advance(closes)
    running, found, at = Joints([FLOW, by_name("event")]), [], 0
    queue = told.take(np.argsort(told.known_ts_ms, kind="stable"))
    while at < closes.size:
        end = at + int(rng.integers(1, 4))
        near = closes[min(end, closes.size) - 1] + int(rng.integers(0, 30))
        fed = int(np.searchsorted(queue.known_ts_ms, near, side="right"))
        for name in ("flow", "event"):
            running.add(name, queue.take(slice(0, fed)))
        queue = queue.take(slice(fed, None))
        found.append(running.advance(closes[at:end]))
        at = end
        if rng.random() < 0.3:
            carried, running = running.save(), Joints([FLOW, by_name("event")])
            running.load(carried)
    for name, values in wanted.items():
        np.testing.assert_array_equal(np.concatenate([part[name] for part in found]), values)


@settings(max_examples=100)
@given(tape=tapes(), cut=st.integers(0, 400))
def test_what_becomes_known_later_changes_nothing(tape: tuple[Points, npt.NDArray[np.int64]], cut: int) -> None:
    told, closes = tape
    past = told.take(told.known_ts_ms <= cut)
    before = closes[closes <= cut]
    whole, alone = Joints([FLOW]), Joints([FLOW])
    whole.add("flow", told)
    alone.add("flow", past)
    found, wanted = whole.advance(closes), alone.advance(before)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name][: before.size], values)


def test_a_revision_counts_from_its_own_known_time_and_never_back() -> None:
    told = points((0, 10, 1.0), (0, 30, 2.0))
    value, _ = as_known(
        told.known_ts_ms, told.value, np.array([9, 10, 29, 30]), max_age_ms=99, event_ts_ms=told.event_ts_ms
    )
    np.testing.assert_array_equal(value, [np.nan, 1.0, 1.0, 2.0])


def test_a_late_point_about_an_older_event_changes_nothing() -> None:
    told = points((10, 10, 1.0), (5, 20, 2.0))
    value, age = as_known(told.known_ts_ms, told.value, np.array([10, 20]), max_age_ms=99, event_ts_ms=told.event_ts_ms)
    np.testing.assert_array_equal(value, [1.0, 1.0])
    np.testing.assert_array_equal(age, [0.0, 10.0])


def test_a_point_that_comes_too_late_is_counted_and_holds_from_the_next_bar() -> None:
    joints = Joints([FLOW])
    joints.advance(np.array([10]))
    assert joints.add("flow", points((8, 9, 1.0), (12, 12, 5.0))) == 1
    np.testing.assert_array_equal(joints.advance(np.array([11, 12]))["flow"], [1.0, 5.0])


def test_flow_sums_what_was_told_since_the_row_before() -> None:
    joints = Joints([FLOW])
    joints.add("flow", points((1, 1, 1.0), (3, 3, 2.0), (4, 4, 3.0), (4, 7, 3.5)))
    told = joints.advance(np.array([2, 5, 6, 7, 200]))["flow_told"]
    np.testing.assert_array_equal(told, [np.nan, 5.0, 0.0, 0.5, np.nan])


def test_until_next_counts_announced_events_only() -> None:
    event, known = np.array([50, 100, 150]), np.array([60, 10, 120])
    found = until_next_ms(event, known, np.array([0, 10, 99, 100, 120, 150]))
    np.testing.assert_array_equal(found, [np.nan, 90.0, 1.0, np.nan, 30.0, np.nan])


def test_bad_input_is_refused_with_a_sentence() -> None:
    with pytest.raises(ConfigError, match="there is no input 'moon': use one of funding_rate"):
        joined({"moon": Points.empty()}, np.array([1]))
    with pytest.raises(SchemaMismatch, match="closes must ascend"):
        joined({}, np.array([2, 2]))
    joints = Joints([FLOW])
    joints.advance(np.array([5]))
    with pytest.raises(SchemaMismatch, match="5 comes after 5"):
        joints.advance(np.array([5]))
    with pytest.raises(SchemaMismatch, match="events must ascend"):
        until_next_ms(np.array([2, 1]), np.array([0, 0]), np.array([0]))


def test_every_declared_input_says_what_it_is() -> None:
    assert len({name for one in INPUTS for name in one.series}) == 4 * len(INPUTS)
    assert all(one.unit and one.source and 0 <= one.delay_ms < one.max_age_ms for one in INPUTS)


def test_basis_takes_the_spot_close_known_by_then() -> None:
    hour = np.arange(1, 6) * HOUR_MS
    found = log_basis(np.full(5, 101.0), hour, np.array([100.0, 100.5]), hour[[0, 2]] + 1)
    np.testing.assert_allclose(found.value, [np.nan, np.log(1.01), np.nan, np.log(101 / 100.5), np.nan])


def closes(folder: Path, symbol: str) -> npt.NDArray[np.int64]:
    return recorded(folder, "binance", symbol, "1h").open_ts_ms + HOUR_MS


def test_recorded_funding_is_known_when_it_is_charged(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "extras/funding/binance-usdm_BTC-USDT-PERP.parquet")
    ts, rate = (table[name].to_numpy() for name in ("ts", "rate"))
    at = closes(shared_data, "BTC-USDT")
    found = joined({"funding_rate": by_name("funding_rate").points(ts, rate)}, at)
    is_after = at >= ts[0]
    assert np.isnan(found["funding_rate"][~is_after]).all()
    np.testing.assert_array_equal(found["funding_rate"][is_after], rate[np.searchsorted(ts, at[is_after], "right") - 1])
    assert found["funding_rate_age_ms"][is_after].max() <= 8 * HOUR_MS
    assert set(found["funding_rate_period_ms"][at >= ts[1]]) == {8.0 * HOUR_MS}
    until = np.searchsorted(ts, at[-1], "right")
    np.testing.assert_allclose(np.nansum(found["funding_rate_told"]), rate[:until].sum(), rtol=1e-12)


def test_hourly_funding_is_stamped_a_few_milliseconds_after_the_bar_closes(shared_data: Path) -> None:
    """A rate stamped 48 ms after the hour is not known at the hour's close: it counts at the next one."""
    table = pq.read_table(shared_data / "extras/funding/hyperliquid_BTC-USDC-PERP.parquet")
    ts, rate = (table[name].to_numpy() for name in ("ts", "rate"))
    at = recorded(shared_data, "hyperliquid", "BTC-USDC-PERP", "1h").open_ts_ms + HOUR_MS
    found = joined({"funding_rate": by_name("funding_rate").points(ts, rate)}, at)
    row = np.searchsorted(ts, at, "right") - 1
    np.testing.assert_array_equal(found["funding_rate"], rate[row])
    assert (ts[row] <= at).all()


def test_recorded_fear_and_greed_never_meets_the_returns_of_its_own_day_before_it_is_published(
    shared_data: Path,
) -> None:
    """What the declared delay rests on: the value moves with the day before, and not with the day it is dated by."""
    table = pq.read_table(shared_data / "extras/sentiment/fear_greed_daily.parquet")
    ts, value = table["ts"].to_numpy(), table["value"].to_numpy().astype(float)
    daily = recorded(shared_data, "binance", "BTC-USDT", "1d")
    log_return = dict(zip(daily.open_ts_ms[1:].tolist(), np.diff(np.log(daily.close)).tolist(), strict=True))
    change = np.diff(value)
    before, own = (np.array([log_return[int(t + k * DAY_MS)] for t in ts[1:]]) for k in (-1, 0))
    assert np.corrcoef(change, before)[0, 1] > 0.5
    assert abs(np.corrcoef(change, own)[0, 1]) < 0.05
    at = closes(shared_data, "BTC-USDT")
    found = joined({"fear_greed": by_name("fear_greed").points(ts, value)}, at)["fear_greed"]
    published = ts + 3 * HOUR_MS
    is_after = at >= published[0]
    row = np.searchsorted(published, at[is_after], "right") - 1
    is_fresh = at[is_after] - ts[row] <= 3 * DAY_MS
    np.testing.assert_array_equal(found[is_after], np.where(is_fresh, value[row], np.nan))
    assert is_fresh.mean() > 0.998


def test_recorded_chain_day_counts_after_it_is_over(shared_data: Path) -> None:
    """The row dated by a day holds that day's close: joined by its date it would be a day early."""
    table = pq.read_table(shared_data / "extras/onchain/ethereum_gas_daily.parquet")
    ts, count, price = (table[name].to_numpy() for name in ("ts", "tx_count", "ether_price_usd"))
    daily = recorded(shared_data, "binance", "ETH-USDT", "1d")
    _, ours, theirs = np.intersect1d(daily.open_ts_ms, ts, return_indices=True)
    assert np.median(np.abs(price[theirs] / daily.close[ours] - 1)) < 1e-3
    at = closes(shared_data, "ETH-USDT")
    found = joined({"chain_transactions": by_name("chain_transactions").points(ts, count)}, at)
    assert found["chain_transactions_age_ms"].min() == 30 * HOUR_MS
    day = (at - 30 * HOUR_MS) // DAY_MS * DAY_MS
    np.testing.assert_array_equal(found["chain_transactions"], count[np.searchsorted(ts, day)])


def test_recorded_open_interest_goes_stale_where_the_recorder_stood_still(shared_data: Path) -> None:
    table = pq.read_table(shared_data / "extras/open_interest/okx_swaps.parquet")
    ts, value = table["ts"].to_numpy(), table["oi_contracts_value"].to_numpy()
    is_btc = table["symbol"].to_numpy(zero_copy_only=False) == "BTC-USDT-SWAP"
    told = Points(ts[is_btc], ts[is_btc], value[is_btc])
    at = np.arange(ts[0] // HOUR_MS + 1, ts[-1] // HOUR_MS + 2) * HOUR_MS
    found = joined({"open_interest": told}, at)
    age = found["open_interest_age_ms"]
    np.testing.assert_array_equal(np.isnan(found["open_interest"]), age > 4 * HOUR_MS)
    assert 0 < np.isnan(found["open_interest"]).sum() < 24


def test_recorded_events_count_when_their_day_is_over(shared_data: Path) -> None:
    with (shared_data / "extras/sentiment/crypto_events_2019_2025.csv").open(encoding="utf-8") as file:
        days = [datetime.fromisoformat(row["date"]).replace(tzinfo=UTC) for row in csv.DictReader(file)]
    ts = np.unique(np.array([int(day.timestamp() * 1000) for day in days]))
    at = closes(shared_data, "BTC-USDT")
    found = joined({"event": by_name("event").points(ts, np.ones(ts.size))}, at)
    assert np.nanmin(found["event_age_ms"]) == DAY_MS
    assert np.isnan(found["event"][at < ts[0] + DAY_MS]).all()
