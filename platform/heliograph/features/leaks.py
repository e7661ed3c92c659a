"""Ten ways in which research reads the future without meaning to, each as a small pipeline, and its sound twin.

They are what the prover is tested on: it must find every leak, and have nothing to say about any twin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np
import numpy.typing as npt

from heliograph.core.timeframe import HOUR_MS, parse
from heliograph.features import specimen
from heliograph.features.futures import Inputs, Stream
from heliograph.features.prove import Compute, Table, cuts, look_ahead
from heliograph.features.table import FeatureTable

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

HOUR = parse("1h")
BARS = 400
SYMBOLS = ("BTC/USDT", "ETH/USDT", "SOL/USDT", "XRP/USDT")


@dataclass(frozen=True, slots=True)
class Leak:
    """One mistake.

    Attributes:
        told: what it does, in a sentence.
        leaky, clean: the pipeline with it and without it.
        inputs: what both read, made from a seed.
    """

    name: str
    told: str
    leaky: Compute
    clean: Compute
    inputs: Callable[[int], Inputs]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the prover said.

    Attributes:
        is_found: the leak was.
        is_twin_flagged: the sound twin was too, which is wrong.
    """

    leak: str
    is_found: bool
    is_twin_flagged: bool


def judge(leak: Leak, *, num_cuts: int = 9, seed: int = 1) -> Verdict:
    """Put a leak and its twin to the proof."""
    inputs = leak.inputs(seed)
    moments = cuts(next(iter(inputs.values())), num_cuts, seed=seed)
    is_found = any(look_ahead(leak.leaky, inputs, moments, seed=seed))
    return Verdict(leak.name, is_found, any(look_ahead(leak.clean, inputs, moments, seed=seed)))


def _table(stream: Stream, values: FloatArray, known_ts_ms: IntArray | None = None) -> Table:
    known = stream.known_ts_ms if known_ts_ms is None else known_ts_ms
    return FeatureTable(stream.of_ts_ms, known, ("value",), values[:, None])


def _candles(seed: int) -> Inputs:
    return {"candles": Stream.of_candles(specimen.market(BARS, HOUR, seed=seed), HOUR)}


def _returns(stream: Stream) -> FloatArray:
    return np.diff(np.log(stream.columns["close"]), prepend=np.nan)


def _shifted(inputs: Inputs) -> Table:
    """``returns.shift(-1)``: the label stands among the features."""
    return _table(inputs["candles"], np.append(_returns(inputs["candles"])[1:], np.nan))


def _unshifted(inputs: Inputs) -> Table:
    return _table(inputs["candles"], _returns(inputs["candles"]))


def _window(inputs: Inputs, bars: int, ahead: int) -> Table:
    """Mean of so many log-closes, the newest of them so many bars ahead."""
    price = np.log(inputs["candles"].columns["close"])
    padded = np.concatenate([np.full(bars, np.nan), price, np.full(ahead, np.nan)])
    shifts = [padded[bars + ahead - k : bars + ahead - k + price.size] for k in range(bars)]
    return _table(inputs["candles"], price - np.add.reduce(shifts) / bars)


def _centred(inputs: Inputs) -> Table:
    """``rolling(11, center=True)``."""
    return _window(inputs, 11, 5)


def _trailing(inputs: Inputs) -> Table:
    return _window(inputs, 11, 0)


def _with_funding(seed: int) -> Inputs:
    candles = specimen.market(BARS, HOUR, seed=seed)
    settled = parse("8h").opens(int(candles.open_ts_ms[0]), int(candles.open_ts_ms[-1]))
    funding = specimen.events(settled, "funding", seed=seed, delay_ms=0)
    return {"candles": Stream.of_candles(candles, HOUR), "funding": funding}


def _back_filled(inputs: Inputs) -> Table:
    """``funding.reindex(candles.index).bfill()``: between two settlements stands the next one."""
    funding = inputs["funding"]
    values = np.append(funding.columns["funding"], np.nan)
    return _table(inputs["candles"], values[np.searchsorted(funding.of_ts_ms, inputs["candles"].known_ts_ms)])


def _forward_filled(inputs: Inputs) -> Table:
    return _table(inputs["candles"], inputs["funding"].known_at(inputs["candles"].known_ts_ms, "funding"))


def _scaled(inputs: Inputs) -> Table:
    """``(x - x.mean()) / x.std()`` over all there is."""
    volume = inputs["candles"].columns["volume"]
    return _table(inputs["candles"], (volume - volume.mean()) / (volume.std() + 1e-9))


def _scaled_so_far(inputs: Inputs) -> Table:
    volume = inputs["candles"].columns["volume"]
    count = np.arange(1, volume.size + 1)
    mean = np.cumsum(volume) / count
    variance = np.maximum(np.cumsum(volume**2) / count - mean**2, 0.0)
    return _table(inputs["candles"], (volume - mean) / (np.sqrt(variance) + 1e-9))


def _unclosed(inputs: Inputs) -> Table:
    """``groupby(4h).close.transform("last")``: the higher bar's close from its first hour on."""
    stream = inputs["candles"]
    bucket = parse("4h").floor_array(stream.of_ts_ms)
    return _table(stream, stream.columns["close"][np.searchsorted(bucket, bucket, side="right") - 1])


def _closed(inputs: Inputs) -> Table:
    stream = inputs["candles"]
    at = np.searchsorted(stream.known_ts_ms, parse("4h").floor_array(stream.known_ts_ms), side="right") - 1
    values = np.append(stream.columns["close"], np.nan)
    return _table(stream, values[at])


def _panel(seed: int) -> Inputs:
    return specimen.panel(BARS, SYMBOLS, seed=seed)


def _joined(inputs: Inputs) -> tuple[Stream, FloatArray]:
    """Returns of the bars that all symbols have; float64[n, S]."""
    opens = reduce(np.intersect1d, [stream.of_ts_ms for stream in inputs.values()])
    streams = [stream.take(np.isin(stream.of_ts_ms, opens)) for stream in inputs.values()]
    price_NS = np.log(np.stack([stream.columns["close"] for stream in streams], axis=1))
    return streams[0], np.diff(price_NS, axis=0, prepend=price_NS[:1])


def _scores(stream: Stream, return_NS: FloatArray, covariance_NSS: FloatArray) -> Table:
    """Each row on the first principal component of its covariance."""
    first_NS = np.linalg.eigh(covariance_NSS).eigenvectors[..., -1]
    scores = (return_NS * first_NS * np.sign(first_NS.sum(axis=1, keepdims=True))).sum(axis=1)
    return _table(stream, scores)


def _global_component(inputs: Inputs) -> Table:
    """PCA fitted on all rows, then applied to each of them."""
    stream, return_NS = _joined(inputs)
    covariance = (return_NS[:, :, None] * return_NS[:, None, :]).sum(axis=0)
    return _scores(stream, return_NS, np.broadcast_to(covariance, (len(stream), *covariance.shape)))


def _component_so_far(inputs: Inputs) -> Table:
    stream, return_NS = _joined(inputs)
    return _scores(stream, return_NS, np.cumsum(return_NS[:, :, None] * return_NS[:, None, :], axis=0))


def _corrected(seed: int) -> Inputs:
    return {"candles": specimen.revised(specimen.market(BARS, HOUR, seed=seed), HOUR, seed=seed)}


def _one_each(stream: Stream, which: int) -> Table:
    """Of each bar the first (0) or the last (-1) revision, as if known when the first was."""
    opens, first = np.unique(stream.of_ts_ms, return_index=True)
    last = np.append(first[1:], len(stream)) - 1
    chosen, known = stream.take(first if which == 0 else last), stream.known_ts_ms[first]
    return FeatureTable(opens, known, ("value",), np.log(chosen.columns["close"])[:, None])


def _newest_revision(inputs: Inputs) -> Table:
    """``drop_duplicates("open", keep="last")``: what was corrected later stands at the old time."""
    return _one_each(inputs["candles"], -1)


def _first_revision(inputs: Inputs) -> Table:
    return _one_each(inputs["candles"], 0)


def _with_chain(seed: int) -> Inputs:
    candles = specimen.market(BARS, HOUR, seed=seed)
    blocks = parse("30m").opens(int(candles.open_ts_ms[0]), int(candles.open_ts_ms[-1]))
    inflow = specimen.events(blocks, "inflow", seed=seed, delay_ms=3 * HOUR_MS)
    return {"candles": Stream.of_candles(candles, HOUR), "inflow": inflow}


def _at_event_time(inputs: Inputs) -> Table:
    """``merge_asof`` on the block's time: the indexer told it hours later."""
    inflow, candles = inputs["inflow"], inputs["candles"]
    values = np.append(inflow.columns["inflow"], np.nan)
    return _table(candles, values[np.searchsorted(inflow.of_ts_ms, candles.known_ts_ms, side="right") - 1])


def _at_known_time(inputs: Inputs) -> Table:
    return _table(inputs["candles"], inputs["inflow"].known_at(inputs["candles"].known_ts_ms, "inflow"))


CALM, WILD, STAYS = 0.002, 0.01, 0.97


def _likelihoods(stream: Stream) -> list[tuple[float, float]]:
    moves = np.nan_to_num(_returns(stream))
    return [
        (float(calm), float(wild))
        for calm, wild in zip(*(np.exp(-0.5 * (moves / s) ** 2) / s + 1e-12 for s in (CALM, WILD)), strict=True)
    ]


def _forward(seen: list[tuple[float, float]]) -> FloatArray:
    """Probability of the wild state given the bars so far: Hamilton's filter."""
    wild, found = 0.5, np.empty(len(seen))
    for k, (if_calm, if_wild) in enumerate(seen):
        before = wild * STAYS + (1 - wild) * (1 - STAYS)
        wild = before * if_wild / (before * if_wild + (1 - before) * if_calm)
        found[k] = wild
    return found


def _smoothed(inputs: Inputs) -> Table:
    """A hidden Markov model's smoothed states: each looks at the bars after it too."""
    seen = _likelihoods(inputs["candles"])
    ahead, behind = _forward(seen), _forward(seen[::-1])[::-1]
    odds = ahead / (1 - ahead) * behind / (1 - behind)
    return _table(inputs["candles"], odds / (1 + odds))


def _filtered(inputs: Inputs) -> Table:
    return _table(inputs["candles"], _forward(_likelihoods(inputs["candles"])))


def _known_at_open(inputs: Inputs) -> Table:
    """The bar's open taken for the moment at which it is known."""
    return _table(inputs["candles"], _returns(inputs["candles"]), inputs["candles"].of_ts_ms)


LEAKS = (
    Leak("shift(-1)", "the next bar's return among the features", _shifted, _unshifted, _candles),
    Leak("centred window", "half of the window lies ahead", _centred, _trailing, _candles),
    Leak("back-fill", "gaps are filled with what comes next", _back_filled, _forward_filled, _with_funding),
    Leak("full-sample z-score", "mean and deviation of all bars, later ones too", _scaled, _scaled_so_far, _candles),
    Leak("unclosed higher bar", "the 4h close before 4h have passed", _unclosed, _closed, _candles),
    Leak("global PCA", "components fitted on later bars too", _global_component, _component_so_far, _panel),
    Leak("revised candle", "a later correction at the old time", _newest_revision, _first_revision, _corrected),
    Leak("late chain data", "a value at its event, before it was told", _at_event_time, _at_known_time, _with_chain),
    Leak("smoothed regime", "states smoothed from both sides", _smoothed, _filtered, _candles),
    Leak("wrong known-time", "a bar said to be known at its open", _known_at_open, _unshifted, _candles),
)
