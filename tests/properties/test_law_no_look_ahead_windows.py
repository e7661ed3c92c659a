"""Law 2, no look-ahead: labels see only up to their end, and no label of a slice reaches into the next."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import HOUR_MS, market

from heliograph.config.learning import FoldSettings, LabelSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.features.align import higher
from heliograph.windows.folds import walk_forward
from heliograph.windows.labels import Labels, make
from heliograph.windows.meta import Costs, MetaLabels
from heliograph.windows.meta import make as make_meta
from heliograph.windows.sample import Scale, SymbolData, gather_scales, origins, whole

HOUR = timeframes.parse("1h")


@st.composite
def layouts(draw: st.DrawFn) -> tuple[Candles, FoldSettings, LabelSettings]:
    candles = market(
        draw(st.integers(50, 3_000)), seed=draw(st.integers(0, 99)), missing=draw(st.sampled_from([0.0, 0.05, 0.5]))
    )
    folds = FoldSettings(
        count=draw(st.integers(1, 6)),
        test_bars=draw(st.integers(24, 400)),
        validation_fraction=draw(st.floats(0.02, 0.49)),
        embargo_bars=draw(st.integers(0, 60)),
    )
    horizons = draw(st.sets(st.integers(1, 60), min_size=1, max_size=3))
    return candles, folds, LabelSettings(horizons_bars=tuple(sorted(horizons)))


@settings(max_examples=150)
@given(layout=layouts(), window_bars=st.integers(1, 64))
def test_no_label_of_train_or_validation_touches_the_next_slice_or_its_embargo(
    layout: tuple[Candles, FoldSettings, LabelSettings], window_bars: int
) -> None:
    candles, fold_settings, label_settings = layout
    assume(len(candles) > 1)
    known = candles.open_ts_ms + HOUR_MS
    n = len(candles)
    labels = make(candles, HOUR, np.full(n, 0.01), label_settings)
    data = SymbolData(
        "binance", "BTC/USDT", known, candles.close, np.zeros((n, 1), dtype=np.float32),
        labels.log_return_NH, labels.setup_NH, labels.end_ts_ms_NH,
    )  # fmt: skip
    longest = label_settings.horizons_bars[-1]
    try:
        folds = walk_forward(int(known[0]), int(known[-1]), HOUR, fold_settings, longest_horizon_bars=longest)
    except ConfigError:
        assume(False)
    embargo_ms = fold_settings.embargo_bars * HOUR_MS
    for fold in folds:
        for slice_, following in ((fold.train, fold.validation), (fold.validation, fold.test)):
            assert slice_[0] < slice_[1] < following[0] < following[1]
            everyone = origins(data, slice_, window_bars, labelled_by_ms=None)
            labelled = origins(data, slice_, window_bars, labelled_by_ms=following[0] - embargo_ms)
            assert (data.end_ts_ms_NH[everyone] <= following[0] - embargo_ms).all()
            assert set(labelled) <= set(everyone)
            assert all(slice_[0] <= t < slice_[1] for t in known[everyone].tolist())
    assert folds[-1].test[1] == known[-1] + HOUR_MS


@settings(max_examples=60)
@given(seed=st.integers(0, 999), missing=st.sampled_from([0.0, 0.1, 0.6]), data=st.data())
def test_label_sees_nothing_after_its_end_and_nothing_before_its_origin(
    seed: int, missing: float, data: st.DataObject
) -> None:
    candles = market(200, seed=seed, missing=missing)
    label_settings = LabelSettings()
    whole = make(candles, HOUR, np.full(len(candles), 0.006), label_settings)
    row = data.draw(st.integers(0, len(candles) - 1))
    horizon = data.draw(st.integers(0, 3))
    end_ms = int(whole.end_ts_ms_NH[row, horizon])
    seen = candles.take((candles.open_ts_ms >= candles.open_ts_ms[row]) & (candles.open_ts_ms < end_ms))
    alone = make(seen, HOUR, np.full(len(seen), 0.006), label_settings)
    np.testing.assert_array_equal(alone.log_return_NH[0, horizon], whole.log_return_NH[row, horizon])
    assert alone.setup_NH[0, horizon] == whole.setup_NH[row, horizon]


@settings(max_examples=60)
@given(seed=st.integers(0, 999), missing=st.sampled_from([0.0, 0.1, 0.6]), data=st.data())
def test_setup_and_meta_label_see_nothing_after_their_own_end(seed: int, missing: float, data: st.DataObject) -> None:
    """A barrier that was touched settles the label: whatever comes after leaves it as it is."""
    candles = market(200, seed=seed, missing=missing)
    n = len(candles)
    sigma, sides = np.full(n, 0.006), np.random.default_rng(seed).choice([-1, 1], n)
    row, horizon = data.draw(st.integers(0, n - 1)), data.draw(st.integers(0, 3))
    costs = Costs(fee_bps=5.0, slippage_bps=2.0)

    def labelled(bars: Candles) -> tuple[Labels, MetaLabels]:
        meta = make_meta(bars, HOUR, sigma, LabelSettings(), side_N=sides, costs=costs)
        return make(bars, HOUR, sigma, LabelSettings()), meta

    before = labelled(candles)
    for end_ms, value in (
        (before[0].touch_ts_ms_NH[row, horizon], lambda made: made[0].setup_NH[row, horizon]),
        (before[1].end_ts_ms_NH[row, horizon], lambda made: made[1].net_return_NH[row, horizon]),
    ):
        later = candles.open_ts_ms + HOUR_MS > end_ms
        columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
        after = labelled(Candles(candles.open_ts_ms, *(np.where(later, 2.0 * c, c) for c in columns)))
        np.testing.assert_array_equal(value(after), value(before))


@settings(max_examples=60)
@given(seed=st.integers(0, 999), missing=st.sampled_from([0.0, 0.1, 0.6]), data=st.data())
def test_windows_of_every_timeframe_see_nothing_after_their_row(seed: int, missing: float, data: st.DataObject) -> None:
    candles = market(400, seed=seed, missing=missing)
    row = data.draw(st.integers(0, len(candles) - 1))
    later = candles.open_ts_ms > candles.open_ts_ms[row]
    columns = (candles.open, candles.high, candles.low, candles.close, candles.volume)
    changed = Candles(candles.open_ts_ms, *(np.where(later, 3.0 * c, c) for c in columns))
    before, after = (scales(bars) for bars in (candles, changed))
    rows = whole(before, np.array([row]))
    np.testing.assert_array_equal(rows, whole(after, np.array([row])))
    for a, b in zip(gather_scales(before, rows), gather_scales(after, rows), strict=True):
        np.testing.assert_array_equal(a, b)


def scales(candles: Candles) -> tuple[Scale, ...]:
    made = [higher(candles, HOUR, timeframes.parse(name)) for name in ("4h", "1d")]
    columns = [np.stack([c.high, c.volume], axis=1).astype(np.float32) for c in (candles, *(m.candles for m in made))]
    return (Scale(columns[0], 8), *(Scale(x, 2, m.pointer) for x, m in zip(columns[1:], made, strict=True)))
