"""Features on trial: batch against tiles and single bars, and everything that is known later changed.

The whole way is on trial, not the formulas alone: the joints of other inputs, the panel of other symbols, the higher
timeframes and the rows' known times.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from heliograph.core import timeframe as timeframes
from heliograph.core.market import Candles
from heliograph.core.series import Points
from heliograph.core.timeframe import MINUTE_MS, Timeframe
from heliograph.features import known, panel, reach, specimen
from heliograph.features.align import closes
from heliograph.features.declare import Feature
from heliograph.features.engine import LIVE_BARS
from heliograph.features.featurizer import Featurizer
from heliograph.features.futures import Inputs, Stream
from heliograph.features.market import INPUTS
from heliograph.features.prove import Table, cuts, look_ahead
from heliograph.features.table import FeatureTable

FloatArray = npt.NDArray[np.float64]
Told = Callable[[float], None]

OWN = "candles"
PARITY_RTOL = 1e-12
SPARE_BARS = 400
NEIGHBOURS = ("AAA/USDT", "BBB/USDT", "CCC/USDT")
UNTIL = "_until_ms"
SCALES = {"funding_rate": 1e-4, "basis": 1e-3, "book_spread": 1e-4, "fear_greed": 50.0}
SIGNED = {"funding_rate", "basis", "book_imbalance", "news_score"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What the trial of one feature showed.

    Attributes:
        parity_max_rel_err: largest |a − b| / max(|a|, |b|) between batch, random tiles and bar by bar; 2 where only
            one of them is known.
        lookahead_ok: nothing known later moved it.
        num_values: how many of its values were on trial; with none nothing is proved.
        told: sentences on what is wrong.
    """

    feature: str
    parity_max_rel_err: float
    lookahead_ok: bool
    num_values: int
    told: tuple[str, ...]

    @property
    def is_sound(self) -> bool:
        """Parity and look-ahead hold, and its kernels read what they say."""
        return not self.told

    def __or__(self, other: Finding) -> Finding:
        """The same feature on a further market."""
        return Finding(
            self.feature,
            max(self.parity_max_rel_err, other.parity_max_rel_err),
            self.lookahead_ok and other.lookahead_ok,
            self.num_values + other.num_values,
            tuple(dict.fromkeys([*self.told, *other.told])),
        )


def _tell_nobody(fraction: float) -> None:
    """Progress that is not shown."""


def bars_needed(features: Sequence[Feature], base: Timeframe) -> int:
    """Base bars until every feature has had values for a while, gaps allowed for."""
    lengths = [timeframes.parse(f.timeframe).ms / base.ms if f.timeframe else 1.0 for f in features]
    longest = max([f.lookback_bars * length for f, length in zip(features, lengths, strict=True)], default=0.0)
    return int(1.08 * (longest + 2 * max(lengths, default=1.0))) + SPARE_BARS


def try_features(
    features: Sequence[Feature],
    candles: Candles,
    base: Timeframe,
    *,
    num_cuts: int = 12,
    seed: int = 1,
    close_delay_ms: int = 0,
    progress: Told = _tell_nobody,
) -> tuple[Finding, ...]:
    """Put features to the proof on one market.

    Args:
        candles: of the base timeframe. The other symbols and inputs that the features read are made up.
        num_cuts: moments after which everything is changed.
        progress: is told the share that is done.

    Returns:
        one finding a feature, in order.
    """
    wide = tuple(replace(f, low=-np.inf, high=np.inf) for f in features)  # a cut value would hide what moves it
    inputs = made_inputs(wide, candles, base, close_delay_ms=close_delay_ms, seed=seed)
    errors = _parity(wide, candles, base, _others(wide, base, close_delay_ms, inputs), seed)
    progress(0.2)
    told: dict[str, list[str]] = {f.name: [] for f in features}
    moments = cuts(inputs[OWN], num_cuts, seed=seed)
    compute = table_of(wide, base, close_delay_ms)
    whole = compute(inputs)
    proof = look_ahead(compute, inputs, moments, seed=seed)
    for k, found in enumerate(proof, start=1):
        for violation in found:
            for name in [violation.column] if violation.column in told else told:
                told[name].append(str(violation))
        progress(0.2 + 0.7 * k / len(moments))
    wrong = _kernel_faults(wide, candles, base, _others(wide, base, close_delay_ms, inputs), seed)
    is_known = whole.known_ts_ms <= max(moments, default=0)
    num_values = np.count_nonzero(np.isfinite(whole.values[is_known]), axis=0)
    progress(1.0)
    return tuple(
        _finding(f.name, float(errors[k]), told[f.name], wrong.get(f.name, []), int(num_values[k]))
        for k, f in enumerate(features)
    )


def _finding(name: str, error: float, moved: list[str], kernels: list[str], num_values: int) -> Finding:
    drift = [f"batch, tiles and single bars differ by {error:.1e} of the value"] * (error > PARITY_RTOL)
    return Finding(name, error, not moved, num_values, (*moved[:1], *drift, *kernels))


def table_of(features: Sequence[Feature], base: Timeframe, close_delay_ms: int = 0) -> Callable[[Inputs], Table]:
    """The computation on trial: from streams to a table, by way of joints, panel and graph."""
    running = Featurizer(features, base)
    blank = running.save()  # to lay a graph out anew takes longer than to run it

    def compute(inputs: Inputs) -> Table:
        candles = inputs[OWN].candles()
        others = _others(features, base, close_delay_ms, inputs)
        running.load(blank)
        values = running.advance(candles, others)
        ts = candles.open_ts_ms
        return FeatureTable(ts, closes(base, ts) + close_delay_ms, tuple(f.name for f in features), values)

    return compute


def made_inputs(
    features: Sequence[Feature], candles: Candles, base: Timeframe, *, close_delay_ms: int = 0, seed: int = 1
) -> dict[str, Stream]:
    """The candles, and made-up streams of all else that the features read."""
    streams = {OWN: Stream.of_candles(candles, base, close_delay_ms=close_delay_ms)}
    wanted = {_stream_of(name) for name in _other_names(features)}
    if "" in wanted:
        for k, symbol in enumerate(NEIGHBOURS):
            rng = np.random.default_rng([seed, k])
            part = candles.take(rng.random(len(candles)) < 0.95)
            factor = np.exp(np.cumsum(rng.normal(0.0, 0.004, len(part))))
            prices = (part.open * factor, part.high * factor, part.low * factor, part.close * factor)
            moved = Candles(part.open_ts_ms, *prices, part.volume * rng.lognormal(0.0, 0.5, len(part)))
            streams[symbol] = Stream.of_candles(moved, base, close_delay_ms=close_delay_ms)
    ts = closes(base, candles.open_ts_ms)
    for name in sorted(wanted - {""}):
        ages = [one.max_age_ms for one in known.INPUTS if one.name == name]
        is_brief = bool(ages) and ages[0] < 8 * base.ms
        of = ts - min(ages[0], base.ms) // 3 if is_brief else ts[::5] - base.ms // 2
        delay_ms = min(ages[0], base.ms) // 3 if is_brief else 2 * base.ms
        streams[name] = specimen.events(
            of, name, seed=seed, delay_ms=delay_ms, scale=SCALES.get(name, 1.0), signed=name in SIGNED
        )
    return streams


def _other_names(features: Iterable[Feature]) -> list[str]:
    return sorted(frozenset[str]().union(*(f.of.node.sources for f in features)) - set(INPUTS))


def _stream_of(name: str) -> str:
    """The stream that a series of the graph comes from; empty for those of the panel."""
    if name in panel.SERIES:
        return ""
    declared = [one.name for one in known.INPUTS if name in one.series]
    return declared[0] if declared else name.removesuffix(UNTIL)


def _others(features: Sequence[Feature], base: Timeframe, close_delay_ms: int, inputs: Inputs) -> dict[str, FloatArray]:
    """Every series beside candles that the features read, as known at each bar's close plus the delay."""
    own = inputs[OWN]
    at_ms = closes(base, own.of_ts_ms) + close_delay_ms
    found: dict[str, FloatArray] = {}
    names = _other_names(features)
    if any(name in panel.SERIES for name in names):
        found |= _beside(base, {name: s for name, s in inputs.items() if name in (OWN, *NEIGHBOURS)})
    declared = {one.name for one in known.INPUTS} & inputs.keys()
    points = {
        name: Points(inputs[name].of_ts_ms, inputs[name].known_ts_ms, inputs[name].columns[name]) for name in declared
    }
    if points:
        found |= known.joined(points, at_ms)
    for name in names:
        if name.endswith(UNTIL):
            found[name] = _until(inputs[name.removesuffix(UNTIL)], at_ms)
        elif name not in found:
            found[name] = inputs[name].known_at(at_ms, name)
    return {name: found[name] for name in names}


def _beside(base: Timeframe, streams: Mapping[str, Stream]) -> dict[str, FloatArray]:
    candles = {name: stream.candles() for name, stream in streams.items()}
    ts = panel.times(candles)
    made = panel.Panel(tuple(candles), base).advance(ts, candles)
    return panel.others(made, [*candles].index(OWN), np.searchsorted(ts, candles[OWN].open_ts_ms))


def _until(stream: Stream, at_ms: npt.NDArray[np.int64]) -> FloatArray:
    """Time until the next event, each announced a while ahead of it."""
    announced = np.unique(stream.known_ts_ms)
    return known.until_next_ms(announced + 60 * MINUTE_MS, announced, at_ms)


def _parity(
    features: Sequence[Feature], candles: Candles, base: Timeframe, others: Mapping[str, FloatArray], seed: int
) -> FloatArray:
    """float64[F]: the largest relative error of tiles and of single bars against batch."""
    rng = np.random.default_rng(seed)
    n = len(candles)
    batch = Featurizer(features, base).advance(candles, others)
    edges = np.unique([0, n, *rng.integers(0, n + 1, 3 + n // 40).tolist()]).tolist()
    runs = ((edges, int(rng.integers(1, 8))), (range(n + 1), LIVE_BARS))
    error = np.zeros(len(features))
    for marks, block_bars in runs:
        running, restart = Featurizer(features, base, block_bars=block_bars), max(20, len(marks) // 20)
        for k, (first, end) in enumerate(pairwise(marks)):
            if k % restart == restart // 2:
                carried = running.save()
                running = Featurizer(features, base, block_bars=block_bars)
                running.load(carried)
            part = {name: values[first:end] for name, values in others.items()}
            found = running.advance(candles.take(slice(first, end)), part)
            error = np.maximum(error, relative_error(batch[first:end], found))
    return error


def relative_error(a_NF: FloatArray, b_NF: FloatArray) -> FloatArray:
    """Largest |a − b| / max(|a|, |b|) of each column, float64[F]; NaN equals NaN, and counts 2 against a number.

    >>> relative_error(np.array([[1.0, np.nan]]), np.array([[0.5, 1.0]])).tolist()
    [0.5, 2.0]
    """
    same = (a_NF == b_NF) | (np.isnan(a_NF) & np.isnan(b_NF))
    if same.all():
        return np.zeros(a_NF.shape[1])
    a, b = np.where(same, 1.0, a_NF), np.where(same, 1.0, b_NF)
    with np.errstate(invalid="ignore"):
        apart = np.abs(a - b) / np.maximum(np.abs(a), np.abs(b))
    worst: FloatArray = np.where(np.isfinite(apart), apart, 2.0).max(axis=0)
    return worst


def _kernel_faults(
    features: Sequence[Feature], candles: Candles, base: Timeframe, others: Mapping[str, FloatArray], seed: int
) -> dict[str, list[str]]:
    bars = min(len(candles), max([f.lookback_bars for f in features], default=0) + SPARE_BARS)
    part = candles.take(slice(0, bars))
    ts, unit = part.open_ts_ms, float(part.close[0]) if bars else 1.0
    prices = (part.open / unit, part.high / unit, part.low / unit, part.close / unit, part.volume)
    rows = [ts.astype(np.float64), (ts // base.ms).astype(np.float64), *prices, *(v[:bars] for v in others.values())]
    return reach.faults(features, (*INPUTS, *others), np.array(rows), seed=seed)
