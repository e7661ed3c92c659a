"""The feature table: batch and live alike, warm-up as declared, finite for ever after."""

from __future__ import annotations

import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.unit.features.candles import HOUR_MS, START_MS, closed, market, recorded

from heliograph.config.settings import FeatureSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.features import catalog
from heliograph.features.table import SIGMA, FeatureTable, LiveFeatures, compute, from_arrow, names, to_arrow

HOURLY = FeatureSettings()
MINUTE = FeatureSettings(timeframe="1m", context_timeframes=("15m", "1h"))


def live_rows(candles: Candles, settings: FeatureSettings, step_ms: int = HOUR_MS) -> np.ndarray:
    live = LiveFeatures(settings)
    return np.array([live.update(c) for c in closed(candles, settings.timeframe, step_ms)])


def assert_settled(table: FeatureTable, settings: FeatureSettings) -> None:
    """NaN comes first and never again, and what is finite lies in the declared range."""
    for k, feature in enumerate(catalog.chosen(settings)):
        finite = np.isfinite(table.values[:, k])
        assert not (np.diff(finite.astype(int)) < 0).any(), feature.name
        assert not np.isinf(table.values[:, k]).any(), feature.name
        inside = table.values[finite, k]
        assert ((inside >= feature.low) & (inside <= feature.high)).all(), feature.name


@pytest.mark.parametrize("symbol", ["BTC-USDT", "LINK-USDT"])
def test_live_bar_equals_batch_row_bit_for_bit_through_the_outages_of_2018_to_2020(
    shared_data: Path, symbol: str
) -> None:
    candles = recorded(shared_data, "binance", symbol, "1h").between(START_MS, START_MS + 20_000 * HOUR_MS)
    candles = candles.take(slice(0, 6_000)) if symbol == "BTC-USDT" else candles.take(slice(-6_000, None))
    assert (np.diff(candles.open_ts_ms) > HOUR_MS).any()
    table = compute(candles, HOURLY)
    np.testing.assert_array_equal(live_rows(candles, HOURLY), table.values)
    assert_settled(table, HOURLY)


def test_live_bar_equals_batch_row_where_four_of_five_minutes_are_missing(shared_data: Path) -> None:
    folder = next((shared_data / "candles" / "quirk-bybit-gappy").iterdir())
    candles = recorded(shared_data, "quirk-bybit-gappy", folder.name, "1m").take(slice(0, 6_000))
    table = compute(candles, MINUTE)
    np.testing.assert_array_equal(live_rows(candles, MINUTE, 60_000), table.values)
    assert_settled(table, MINUTE)


def test_live_ring_wraps_without_a_trace() -> None:
    candles = market(4_500, missing=0.01)
    np.testing.assert_array_equal(live_rows(candles, HOURLY), compute(candles, HOURLY).values)


@pytest.mark.parametrize(("base", "higher"), [("1d", ("1w", "1M")), ("15m", ("1h", "1d")), ("4h", ())])
def test_any_base_timeframe_serves(base: str, higher: tuple[str, ...]) -> None:
    settings = FeatureSettings(timeframe=base, context_timeframes=higher)
    step_ms = timeframes.parse(base).ms
    candles = market(2_600, missing=0.02, step_ms=step_ms)
    table = compute(candles, settings)
    assert np.isfinite(table.values[-1]).all()
    np.testing.assert_array_equal(live_rows(candles, settings, step_ms), table.values)


def test_first_finite_row_is_the_declared_lookback() -> None:
    table = compute(market(1_000), HOURLY)
    for k, feature in enumerate(catalog.chosen(HOURLY)):
        first = int(np.argmax(np.isfinite(table.values[:, k])))
        if feature.timeframe:
            bars = {"4h": 4, "1d": 24}[feature.timeframe]  # the market starts at midnight
            assert first == feature.lookback_bars * bars - 1, feature.name
        else:
            assert first == feature.lookback_bars - 1, feature.name


def test_live_start_after_the_declared_warm_up_gives_what_all_history_gives(shared_data: Path) -> None:
    candles = recorded(shared_data, "binance", "ETH-USDT", "1h").take(slice(30_000, 36_000))
    whole = compute(candles, HOURLY)
    warmup = catalog.warmup_bars(catalog.chosen(HOURLY), timeframes.parse("1h"))
    late = compute(candles.take(slice(4_000, None)), HOURLY)
    assert warmup <= 2_000
    np.testing.assert_allclose(late.values[warmup:], whole.values[4_000 + warmup :], rtol=1e-12, atol=1e-12)


def test_rows_are_the_existing_candles_known_at_their_close_plus_delay() -> None:
    candles = market(50, missing=0.3)
    table = compute(candles, HOURLY, close_delay_ms=1_500)
    np.testing.assert_array_equal(table.open_ts_ms, candles.open_ts_ms)
    np.testing.assert_array_equal(table.known_ts_ms, candles.open_ts_ms + HOUR_MS + 1_500)


@pytest.mark.parametrize("volume", [0.0, 5.0])
def test_market_where_nothing_moves_has_the_declared_neutral_values(volume: float) -> None:
    n = 800
    still = Candles.of([[START_MS + HOUR_MS * k, 7, 7, 7, 7, volume] for k in range(n)])
    table = compute(still, HOURLY)
    assert np.isfinite(table.values[-1]).all()
    neutral = {SIGMA: 1e-6, "close_position": 0.5}
    for k, feature in enumerate(catalog.chosen(HOURLY)):
        if feature.family != "season":
            assert table.values[-1, k] == pytest.approx(neutral.get(feature.name, 0.0), abs=0.011), feature.name
    np.testing.assert_array_equal(live_rows(still, HOURLY), table.values)


def test_flat_market_that_wakes_stays_finite() -> None:
    asleep = market(600, quiet=1.0)
    awake = market(600, seed=2)
    later = Candles(awake.open_ts_ms + 600 * HOUR_MS, awake.open, awake.high, awake.low, awake.close, awake.volume)
    table = compute(Candles.concat([asleep, later]), HOURLY)
    assert_settled(table, HOURLY)
    assert np.isfinite(table.values[-1]).all()


def test_print_at_almost_nothing_does_not_poison_the_range_features() -> None:
    """LINK/USDT on 2020-03-12 printed a low of 0.0001 at a price of 2: range estimators stayed wild for weeks."""
    candles = market(1_000)
    wild = Candles(*(np.array(getattr(candles, f)) for f in ("open_ts_ms", "open", "high", "low", "close", "volume")))
    wild.low[500] = 0.0001
    calm, table = compute(candles, HOURLY), compute(wild, HOURLY)
    for name in ("parkinson_24", "garman_klass_24", "rogers_satchell_24", "atr_ratio_14_100"):
        assert abs(table.column(name) - calm.column(name))[500:].max() < 1.6, name
    np.testing.assert_allclose(table.values[700:], calm.values[700:], atol=1e-4)


def test_open_and_low_of_zero_are_no_prices() -> None:
    """Bybit's first day of BCH/USDT:USDT has open 0 and low 0 at a close of 277: the whole market was refused."""
    candles = market(600)
    for row in (0, 300):
        candles.open[row] = candles.low[row] = 0.0
    table = compute(candles, HOURLY)
    assert_settled(table, HOURLY)
    assert table.column("body_ratio")[[0, 300]].tolist() == [0.0, 0.0]
    np.testing.assert_array_equal(live_rows(candles, HOURLY), table.values)


def test_features_do_not_depend_on_the_unit_of_the_price() -> None:
    candles = market(700, missing=0.02, quiet=0.1)
    prices = (candles.open, candles.high, candles.low, candles.close)
    plain = compute(candles, HOURLY).values
    exact = compute(Candles(candles.open_ts_ms, *(p * 2.0**-30 for p in prices), candles.volume * 2.0**-20), HOURLY)
    np.testing.assert_array_equal(exact.values, plain)
    rounded = compute(Candles(candles.open_ts_ms, *(p * 1e-9 for p in prices), candles.volume * 1e-6), HOURLY)
    np.testing.assert_allclose(rounded.values, plain, rtol=1e-7, atol=1e-7)


def test_table_survives_arrow() -> None:
    table = compute(market(300), HOURLY)
    back = from_arrow(to_arrow(table))
    assert back.names == table.names
    for a, b in (
        (back.open_ts_ms, table.open_ts_ms),
        (back.known_ts_ms, table.known_ts_ms),
        (back.values, table.values),
    ):
        np.testing.assert_array_equal(a, b)


def test_foreign_arrow_table_is_refused() -> None:
    arrow = to_arrow(compute(market(30), HOURLY))
    with pytest.raises(SchemaMismatch, match="open_ts_ms"):
        from_arrow(arrow.drop_columns(["known_ts_ms"]))


def test_globs_choose_columns_and_volatility_is_always_there() -> None:
    settings = FeatureSettings(names=("rsi_14*", "macd_12_26"))
    assert names(settings)[0] == SIGMA
    assert set(names(settings)) == {SIGMA, "rsi_14", "macd_12_26", "rsi_14_4h", "rsi_14_1d"}
    candles = market(1_700)
    few, core = compute(candles, settings), compute(candles, HOURLY)
    for name in set(few.names) & set(core.names):
        np.testing.assert_array_equal(few.column(name), core.column(name))


def test_fingerprint_follows_what_the_features_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    first = catalog.fingerprint(HOURLY)
    assert catalog.fingerprint(FeatureSettings()) == first
    assert catalog.fingerprint(MINUTE) != first
    wider = (replace(catalog.BASE[0], high=2.0), *catalog.BASE[1:])
    monkeypatch.setattr(catalog, "BASE", wider)
    assert catalog.fingerprint(HOURLY) != first


def test_glob_that_matches_nothing_lists_the_names() -> None:
    with pytest.raises(ConfigError, match=r"features.names: rsy_14 .*rsi_14"):
        names(FeatureSettings(names=("rsy_14",)))


def test_context_timeframe_that_the_base_does_not_divide_is_refused() -> None:
    with pytest.raises(ConfigError, match="can't be made of"):
        compute(market(5), FeatureSettings(timeframe="3d", context_timeframes=("1w",)))


def test_no_candles_give_an_empty_table() -> None:
    table = compute(Candles.empty(), HOURLY)
    assert table.values.shape == (0, len(table.names))


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("close", 0.0, "above 0"),
        ("high", math.inf, "not finite"),
        ("volume", -1.0, "at least 0"),
    ],
)
def test_unsound_bar_is_refused_by_batch_and_live(column: str, value: float, message: str) -> None:
    candles = market(5)
    getattr(candles, column)[3] = value
    with pytest.raises(SchemaMismatch, match=message):
        compute(candles, HOURLY)
    with pytest.raises(SchemaMismatch, match=message):
        live_rows(candles, HOURLY)


def test_live_refuses_a_bar_twice_and_a_bar_of_another_timeframe() -> None:
    live = LiveFeatures(HOURLY)
    first, second = closed(market(2), "1h")
    live.update(second)
    with pytest.raises(SchemaMismatch, match="is not after"):
        live.update(first)
    with pytest.raises(SchemaMismatch, match="4h bar"):
        live.update(next(closed(market(9).take(slice(8, 9)), "4h")))


def test_a_refused_bar_leaves_the_live_state_as_it_was() -> None:
    candles = market(400)
    live, bars = LiveFeatures(HOURLY), list(closed(candles, "1h"))
    for bar in bars[:399]:
        live.update(bar)
    with pytest.raises(SchemaMismatch):
        live.update(bars[10])
    np.testing.assert_array_equal(live.update(bars[399]), compute(candles, HOURLY).values[-1])


def test_saved_features_go_on_in_another_process_as_if_nothing_had_happened() -> None:
    candles = market(900, missing=0.02)
    whole, bars = compute(candles, HOURLY), list(closed(candles, "1h"))
    first = LiveFeatures(HOURLY)
    for bar in bars[:700]:
        first.update(bar)
    second = LiveFeatures(HOURLY)
    second.load(pickle.loads(pickle.dumps(first.save())))
    np.testing.assert_array_equal(np.array([second.update(bar) for bar in bars[700:]]), whole.values[700:])


def test_state_of_other_features_is_refused() -> None:
    few = LiveFeatures(FeatureSettings(names=("rsi_14",)))
    with pytest.raises(SchemaMismatch, match="start again from the first bar"):
        LiveFeatures(HOURLY).load(few.save())


def test_infinite_result_of_a_users_feature_is_not_known_rather_than_the_end_of_its_range(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "from heliograph.features.declare import Feature\n"
        "from heliograph.features.market import CLOSE, VOLUME\n"
        "FEATURES = (Feature(name='price_of_volume', family='own', unit='none', source='own definition',"
        " of=CLOSE / VOLUME, low=-1.0, high=1.0),)\n"
    )
    settings = FeatureSettings(names=("price_of_volume",), files=(file,), context_timeframes=())
    still = market(50)
    still.volume[20] = 0.0
    column = compute(still, settings).column("price_of_volume")
    assert np.flatnonzero(np.isnan(column)).tolist() == [20]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FEATURES = ()", "needs FEATURES"),
        ("FEATURES = 1", "needs FEATURES"),
        ("import nothing_like_this", "fails: ModuleNotFoundError"),
        ("from heliograph.features.families.trend import FEATURES", "called .* already"),
    ],
)
def test_file_of_own_features_that_is_wrong_is_refused(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "own.py"
    file.write_text(text)
    with pytest.raises(ConfigError, match=message):
        names(FeatureSettings(files=(file,)))
    with pytest.raises(ConfigError, match="there is no file"):
        names(FeatureSettings(files=(tmp_path / "gone.py",)))


def test_feature_whose_input_is_not_given_names_itself_and_the_market() -> None:
    settings = FeatureSettings(names=("funding_*",), context_timeframes=())
    with pytest.raises(ConfigError, match=r"okx BTC/USDT: funding_.* reads funding_rate"):
        compute(market(5), settings, market=("okx", "BTC/USDT"))
