"""Labels against a slow reading of their definition, on made and on recorded bars."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests.unit.features.candles import HOUR_MS, START_MS, market, recorded

from heliograph.config.learning import LabelSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import DataError
from heliograph.core.market import Candles
from heliograph.windows.barriers import PROFIT, STOP, TIMEOUT, UNKNOWN
from heliograph.windows.labels import make

HOUR = timeframes.parse("1h")


def bars(rows: list[tuple[int, float, float, float]]) -> Candles:
    """From (hour, high, low, close)."""
    return Candles.of([[START_MS + h * HOUR_MS, close, high, low, close, 1] for h, high, low, close in rows])


def slow(candles: Candles, sigma: np.ndarray, settings: LabelSettings) -> tuple[np.ndarray, np.ndarray]:
    row_of = {int(ts): i for i, ts in enumerate(candles.open_ts_ms)}
    returns = np.full((len(candles), len(settings.horizons_bars)), np.nan)
    setups = np.full(returns.shape, UNKNOWN)
    for i, ts in enumerate(candles.open_ts_ms.tolist()):
        for k, h in enumerate(settings.horizons_bars):
            end = row_of.get(ts + h * HOUR_MS)
            if end is None:
                continue
            returns[i, k] = np.log(candles.close[end]) - np.log(candles.close[i])
            if not np.isfinite(sigma[i]):
                continue
            width = settings.barrier_sigma * sigma[i] * np.sqrt(h)
            setups[i, k] = TIMEOUT
            for j in range(i + 1, end + 1):
                below = candles.low[j] <= candles.close[i] * np.exp(-width)
                above = candles.high[j] >= candles.close[i] * np.exp(width)
                if below or above:
                    setups[i, k] = STOP if below else PROFIT
                    break
    return returns, setups


@pytest.mark.parametrize("missing", [0.0, 0.1, 0.6])
def test_labels_follow_their_definition(missing: float) -> None:
    candles = market(400, missing=missing)
    sigma = np.where(np.arange(len(candles)) < 24, np.nan, 0.006)
    settings = LabelSettings()
    labels = make(candles, HOUR, sigma, settings)
    returns, setups = slow(candles, sigma, settings)
    np.testing.assert_allclose(labels.log_return_NH, returns, rtol=1e-12)
    np.testing.assert_array_equal(labels.setup_NH, setups)
    assert set(np.unique(labels.setup_NH)) == {UNKNOWN, STOP, TIMEOUT, PROFIT}


def test_recorded_outage_leaves_exactly_the_labels_that_end_in_it_unknown(shared_data: Path) -> None:
    candles = recorded(shared_data, "binance", "BTC-USDT", "1h").take(slice(0, 3_000))
    labels = make(candles, HOUR, np.full(len(candles), 0.01), LabelSettings())
    ends = candles.open_ts_ms[:, None] + HOUR_MS * np.array([1, 4, 12, 24])
    np.testing.assert_array_equal(np.isfinite(labels.log_return_NH), np.isin(ends, candles.open_ts_ms))


def test_bar_that_touches_both_barriers_is_a_stop() -> None:
    candles = bars([(0, 100, 100, 100), (1, 120, 80, 100)])
    assert make(candles, HOUR, np.full(2, 0.01), LabelSettings(horizons_bars=(1,))).setup_NH[0, 0] == STOP


def test_first_touch_decides_and_the_origins_own_range_does_not() -> None:
    rows = [(0, 150, 50, 100), (1, 100, 100, 100), (2, 103, 100, 100), (3, 100, 90, 100)]
    labels = make(bars(rows), HOUR, np.full(4, 0.01), LabelSettings(horizons_bars=(1, 3)))
    assert labels.setup_NH[0].tolist() == [TIMEOUT, PROFIT]


def test_label_is_known_at_the_close_of_its_horizon_plus_delay() -> None:
    candles = market(30)
    labels = make(candles, HOUR, np.full(30, 0.01), LabelSettings(horizons_bars=(1, 4)), close_delay_ms=7)
    close = candles.open_ts_ms + HOUR_MS
    np.testing.assert_array_equal(labels.end_ts_ms_NH, np.stack([close + HOUR_MS, close + 4 * HOUR_MS], axis=1) + 7)


def test_months_count_by_the_calendar() -> None:
    month = timeframes.parse("1M")
    opens = month.opens(START_MS, START_MS + 400 * 86_400_000)
    candles = Candles.of([[ts, 1, 1, 1, 1 + k, 1] for k, ts in enumerate(opens.tolist())])
    labels = make(candles, month, np.full(len(candles), 0.1), LabelSettings(horizons_bars=(1, 12)))
    assert labels.log_return_NH[0].tolist() == pytest.approx([np.log(2), np.log(13)])
    assert labels.end_ts_ms_NH[0].tolist() == [opens[2], opens[13] if opens.size > 13 else month.next(int(opens[12]))]


def test_no_candles_have_no_labels() -> None:
    labels = make(Candles.empty(), HOUR, np.empty(0), LabelSettings())
    assert labels.log_return_NH.shape == labels.setup_NH.shape == labels.end_ts_ms_NH.shape == (0, 4)


def test_read_only_columns_serve() -> None:
    candles = market(50)
    for column in (candles.high, candles.low, candles.close):
        column.setflags(write=False)
    assert make(candles, HOUR, np.full(50, 0.01), LabelSettings()).setup_NH[0, 0] != UNKNOWN


def test_interval_runs_from_when_the_row_is_known_to_when_its_outcome_is() -> None:
    candles = market(200, missing=0.1)
    labels = make(candles, HOUR, np.full(len(candles), 0.006), LabelSettings(), close_delay_ms=7)
    np.testing.assert_array_equal(labels.start_ts_ms_N, candles.open_ts_ms + HOUR_MS + 7)
    known = labels.is_known()
    assert (labels.start_ts_ms_N[:, None] < labels.touch_ts_ms_NH)[known].all()
    assert (labels.touch_ts_ms_NH <= labels.end_ts_ms_NH).all()
    at_end = labels.touch_ts_ms_NH == labels.end_ts_ms_NH
    assert at_end[labels.setup_NH == TIMEOUT].all()
    assert not at_end[known].all()
    rows, intervals = labels.known()
    np.testing.assert_array_equal(rows, np.flatnonzero(known.all(axis=1)))
    np.testing.assert_array_equal(intervals.end_ts_ms_N, labels.end_ts_ms_NH[rows, -1])


def test_setup_is_known_at_the_close_of_the_bar_that_touched() -> None:
    rows = [(0, 100, 100, 100), (1, 100, 100, 100), (2, 103, 100, 100), (5, 100, 90, 100)]
    labels = make(bars(rows), HOUR, np.full(4, 0.01), LabelSettings(horizons_bars=(1, 5)), close_delay_ms=7)
    assert (labels.touch_ts_ms_NH[0] - START_MS).tolist() == [2 * HOUR_MS + 7, 3 * HOUR_MS + 7]


def test_candles_that_are_no_prices_leave_their_labels_unknown() -> None:
    """A NaN or a price of nothing is masked; the labels that do not need it stay as they were."""
    whole = market(60)
    settings, sigma = LabelSettings(horizons_bars=(1, 4)), np.full(60, 0.006)
    clean = make(whole, HOUR, sigma, settings)
    for wrong in (np.nan, 0.0, -1.0):
        holed = Candles(
            *(np.array(c) for c in (whole.open_ts_ms, whole.open, whole.high, whole.low, whole.close, whole.volume))
        )
        holed.close[20] = wrong
        holed.high[40] = np.nan
        labels = make(holed, HOUR, sigma, settings)
        assert not labels.is_known()[[20, 19, 16], [0, 0, 1]].any()
        assert labels.setup_NH[39, 0] == UNKNOWN
        far = [r for r in range(60) if r != 20 and not 36 <= r < 40]
        for row in far:
            for k, h in enumerate((1, 4)):
                if row + h != 20:
                    assert labels.setup_NH[row, k] == clean.setup_NH[row, k]


def test_candles_out_of_order_are_refused_by_row() -> None:
    candles = bars([(0, 1, 1, 1), (2, 1, 1, 1), (1, 1, 1, 1)])
    with pytest.raises(DataError, match=r"the candle in row 2 opens at .* sort candles by open_ts_ms"):
        make(candles, HOUR, np.full(3, 0.01), LabelSettings())
    with pytest.raises(DataError, match="row 1"):
        make(bars([(0, 1, 1, 1), (0, 1, 1, 1)]), HOUR, np.full(2, 0.01), LabelSettings())
