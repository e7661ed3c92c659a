"""Proofs for tests of one's own features: one import, one assert.

A test that holds for every feature of a file:

>>> from heliograph.features.declare import Feature
>>> from heliograph.features.market import CLOSE
>>> from heliograph.testing.prove import faults
>>> mine = Feature(
...     name="rise_3", family="own", unit="share of the price 3 bars ago", source="own definition",
...     of=CLOSE / CLOSE.lag(3), low=0.0, high=10.0,
... )
>>> assert faults([mine]) == []

And one for a pipeline of any other make: a function from candles to a table that says when each row was known.

>>> import numpy as np
>>> from heliograph.features.table import FeatureTable
>>> from heliograph.testing.prove import look_ahead_faults, market
>>> def scaled(inputs):
...     candles = inputs["candles"]
...     z = candles.columns["volume"] / candles.columns["volume"].mean()
...     return FeatureTable(candles.of_ts_ms, candles.known_ts_ms, ("z",), z[:, None])
>>> look_ahead_faults(scaled, market())[0]
'z at row 0 (2018-01-29 00:00:00) changed when what candles told after 2018-02-06 00:00:00 was cut off'
"""

from __future__ import annotations

from collections.abc import Sequence

from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles
from heliograph.features import specimen
from heliograph.features.declare import Feature
from heliograph.features.futures import Inputs, Stream
from heliograph.features.prove import Compute, cuts, look_ahead
from heliograph.features.trial import bars_needed, try_features


def faults(
    features: Sequence[Feature], candles: Candles | None = None, *, timeframe: str = "1h", seed: int = 1
) -> list[str]:
    """What is wrong with features: parity of batch, tiles and single bars, look-ahead, kernels that read too far.

    Args:
        candles: of the timeframe; a made market with gaps, an outage and stillness where None.

    Returns:
        one sentence a fault, each with the feature's name; empty where the proofs hold.
    """
    base = timeframes.parse(timeframe)
    on = specimen.market(bars_needed(features, base), base, seed=seed) if candles is None else candles
    findings = try_features(features, on, base, seed=seed)
    told = [f"{found.feature}: {sentence}" for found in findings for sentence in found.told]
    silent = [
        f"{found.feature}: no value in {len(on)} bars: nothing is proved" for found in findings if not found.num_values
    ]
    return told + silent


def look_ahead_faults(
    compute: Compute, inputs: Inputs, *, num_cuts: int = 12, seed: int = 1, rtol: float = 0.0
) -> list[str]:
    """What of a computation depends on what was not known yet.

    Args:
        compute: from inputs to a table; it must not change its inputs.
        inputs: streams by name, the candles first; see `market`.
        rtol: for computations that are not bit for bit the same on longer arrays.

    Returns:
        one sentence a fault; empty where the law holds.
    """
    moments = cuts(next(iter(inputs.values())), num_cuts, seed=seed)
    found = look_ahead(compute, inputs, moments, seed=seed, rtol=rtol)
    return [str(violation) for cut in found for violation in cut]


def market(bars: int = 400, *, timeframe: str = "1h", seed: int = 1) -> dict[str, Stream]:
    """A made market as the stream ``candles``.

    >>> sorted(market()["candles"].columns)
    ['close', 'high', 'low', 'open', 'volume']
    """
    base = timeframes.parse(timeframe)
    return {"candles": Stream.of_candles(specimen.market(bars, base, seed=seed), base)}
