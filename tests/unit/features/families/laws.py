"""What every family of features must obey, whatever it computes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from tests.unit.features.candles import market
from tests.unit.features.graphs import assert_laws, inputs

from heliograph.core.market import Candles
from heliograph.features.declare import Feature
from heliograph.features.engine import Pass, Program
from heliograph.features.market import INPUTS

FloatArray = npt.NDArray[np.float64]


def table(features: Sequence[Feature], candles: Candles) -> FloatArray:
    """float64[n, F], each column cut to its range."""
    program = Program.of([feature.of for feature in features], INPUTS)
    return Pass(program, [(feature.low, feature.high) for feature in features]).advance(inputs(candles))


def assert_agree_however_cut(features: Sequence[Feature], candles: Candles) -> None:
    """Batch, tiles and bar by bar are bit-equal, also across a save."""
    assert_laws([feature.of for feature in features], candles)


def assert_lookback_is_exact(features: Sequence[Feature]) -> None:
    """The first value comes at the row that the graph says, and none is missing after it."""
    values = table(features, market(max(feature.lookback_bars for feature in features) + 50, seed=5))
    for feature, column in zip(features, values.T, strict=True):
        known = np.isfinite(column)
        assert int(np.argmax(known)) + 1 == feature.lookback_bars, feature.name
        assert known[feature.lookback_bars - 1 :].all(), feature.name


def assert_sound(features: Sequence[Feature], candles: Candles) -> None:
    """Finite and in range from the lookback on."""
    values = table(features, candles)
    for feature, column in zip(features, values.T, strict=True):
        known = column[feature.lookback_bars - 1 :]
        assert np.isfinite(known).all(), feature.name
        assert ((known >= feature.low) & (known <= feature.high)).all(), feature.name


def assert_free_of_scale(features: Sequence[Feature], *, seed: int = 7) -> None:
    """Another unit of price or of volume gives the same numbers."""
    candles = market(1_000, seed=seed, missing=0.02, quiet=0.1)
    open_, high, low, close = (1_024.0 * price for price in (candles.open, candles.high, candles.low, candles.close))
    scaled = Candles(candles.open_ts_ms, open_, high, low, close, candles.volume / 4_096.0)
    np.testing.assert_allclose(table(features, scaled), table(features, candles), rtol=1e-8, atol=1e-8)


def assert_forgets(features: Sequence[Feature], *, seed: int = 9) -> None:
    """A history that begins later gives the same after ``settle_bars``, to 1e-9."""
    longest = max(feature.settle_bars or 0 for feature in features)
    candles = market(longest + 400, seed=seed, missing=0.02, quiet=0.1)
    late = Candles(*(getattr(candles, name)[300:] for name in Candles.__slots__))
    whole, part = table(features, candles)[300:], table(features, late)
    for k, feature in enumerate(features):
        assert feature.settle_bars is not None, feature.name
        since = feature.settle_bars - 1
        np.testing.assert_allclose(part[since:, k], whole[since:, k], rtol=1e-9, atol=1e-9, err_msg=feature.name)
