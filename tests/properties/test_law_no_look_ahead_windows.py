"""Law 2, no look-ahead: labels see only up to their end, and no label of a slice reaches into the next."""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from tests.unit.features.candles import HOUR_MS, market

from heliograph.config.settings import FoldSettings, LabelSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles
from heliograph.windows.folds import walk_forward
from heliograph.windows.labels import make
from heliograph.windows.sample import SymbolData, origins

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
