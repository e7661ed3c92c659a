"""How many kinds of corruption the audit catches, and how often it cries wolf over real candles.

    python tests/bench/corruption.py [seeds] [folder of recorded data]

A kind counts as found when at least 95 % of its injections get a finding that overlaps the wrong interval and that the
true series does not get. Each injection is judged by the same asset on other venues, and by the market's own next
timeframe, which the venue sent before the fault: resampled from the true bars, as native and derived are equal there.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tests.bench.injections import KINDS, Injected, Source

from heliograph.audit import derived, gather, truth
from heliograph.audit.finding import Finding, flagged
from heliograph.audit.moves import WINDOW
from heliograph.audit.truth import Evidence
from heliograph.core.calendars import grid
from heliograph.core.market import Candles, FloatArray
from heliograph.core.timeframe import Timeframe
from heliograph.lake.coverage import Key

ENOUGH = 0.95
BROKEN = "quirk-bybit-gappy"  # on purpose
COLUMNS = ("ts", "open", "high", "low", "close", "volume")
MARKETS: tuple[tuple[Key, str, int, int], ...] = (
    (("binance", "1m", "BTC/USDT"), "ETH/USDT", 0, 20_000),
    (("binance-usdm", "1m", "ETH/USDT:USDT"), "SOL/USDT:USDT", 25_000, 20_000),
    (("bitfinex", "1m", "BTC/USD"), "ETH/USD", 85_000, 20_000),
    (("bitmex", "1m", "BTC/USD:BTC"), "", 220_000, 20_000),
    (("bybit", "5m", "SOL/USDT:USDT"), "ETH/USDT:USDT", 0, 20_000),
    (("hyperliquid", "5m", "BTC/USDC:USDC"), "SOL/USDC:USDC", 6_000, 20_000),
    (("binance", "1h", "ETH/USDT"), "XRP/USDT", 51_300, 9_500),
    (("kucoin", "1h", "BTC/USDT"), "ETH/USDT", 0, 9_500),
)
"""Series under test, the symbol that a swapped page comes from, first row, rows."""


@dataclass(frozen=True)
class Subject:
    """A true series, what it is judged by, and another asset's candles."""

    key: Key
    timeframe: Timeframe
    candles: Candles
    evidence: Evidence
    other: Candles

    @cached_property
    def known(self) -> set[tuple[str, int, int]]:
        """What the audit says of the true series."""
        return {(f.kind, f.start_ms, f.end_ms) for f in self.findings(self.candles)}

    def findings(self, candles: Candles) -> list[Finding]:
        """What the audit says of these candles in the series' place."""
        return truth.check((self.key[0], self.key[2]), self.timeframe, candles, self.evidence)


class Recorded:
    """The candles of a folder ``candles/<venue>/<symbol>/<timeframe>.parquet``."""

    def __init__(self, folder: Path) -> None:
        self._paths = {self._key(p): p for p in sorted(folder.glob("candles/*/*/*.parquet"))}
        self.load = cache(self._read)

    @property
    def keys(self) -> list[Key]:
        """Every series but the one that is broken on purpose."""
        return [key for key in self._paths if key[0] != BROKEN]

    @staticmethod
    def _key(path: Path) -> Key:
        base, quote, *perpetual = path.parent.name.split("-")
        base = {"XBT": "BTC"}.get(base, base)
        settle = base if quote == "USD" else quote
        return path.parent.parent.name, path.stem, f"{base}/{quote}" + (f":{settle}" if perpetual else "")

    def _read(self, key: Key) -> Candles:
        table = pq.read_table(self._paths[key])
        return Candles(*(table.column(name).to_numpy() for name in COLUMNS))


def generated(seed: int, bars: int = 6_000) -> Subject:
    """A market made by chance on three venues, its hours, a sibling that has every bar, and another asset."""
    frame, rng = grid("binance", "1m"), np.random.default_rng(seed)
    spread = 3e-4 * np.exp(0.5 * np.sin(np.arange(bars) / 700.0))
    path = np.log(30_000.0) + np.cumsum(spread * rng.standard_t(4, bars))
    own, *peers = (_quoted(path, rng, spread) for _ in range(3))
    other = _quoted(np.log(2_000.0) + np.cumsum(spread * rng.standard_t(4, bars)), rng, spread)
    hours = grid("binance", "1h")
    evidence = Evidence(peers, [own.open_ts_ms], [(hours, derived.summed(own, hours))])
    return Subject(("binance", "1m", "BTC/USDT"), frame, own, evidence, other)


def _quoted(path: FloatArray, rng: np.random.Generator, spread: FloatArray) -> Candles:
    """One venue's candles of a log-price path: a tick of 0.1, a noise of half a basis point, volumes of its own."""
    price: FloatArray = np.exp(path + rng.normal(0.0, 5e-5, path.size))
    close = price.round(1)
    opened = np.round(np.append(close[0], close[:-1]) + np.where(rng.random(path.size) < 0.3, 0.1, 0.0), 1)
    up, down = 1.0 + spread * np.abs(rng.standard_normal((2, path.size))) / 2
    high = np.maximum(np.round(np.maximum(opened, close) * up, 1), np.maximum(opened, close))
    low = np.minimum(np.round(np.minimum(opened, close) / down, 1), np.minimum(opened, close))
    volume = np.round(rng.lognormal(2.0, 0.6, path.size) + 0.001, 3)
    start_ms = 1_735_689_600_000
    return Candles(start_ms + 60_000 * np.arange(path.size, dtype=np.int64), opened, high, low, close, volume)


def subject(recorded: Recorded, key: Key, other: str, first: int, rows: int) -> Subject:
    """A stretch of a recorded series, with what overlaps it elsewhere, and its own coarser candles."""
    frame = grid(*key[:2])
    candles = recorded.load(key).take(slice(first, first + rows))
    candles = replace(candles, volume=np.round(candles.volume, 6))
    span = int(candles.open_ts_ms[0]), int(candles.open_ts_ms[-1]) + frame.ms
    known = gather.evidence(key, recorded.keys, recorded.load)
    coarser = grid(key[0], "1d" if key[1] == "1h" else "1h")
    another = (key[0], key[1], other) if other else ("bitfinex", "1m", "ETH/USD")
    evidence = Evidence(
        peers=[p for p in (peer.between(*span) for peer in known.peers) if len(p)],
        siblings=[o for o in (opens[(opens >= span[0]) & (opens < span[1])] for opens in known.siblings) if o.size],
        others=[(coarser, derived.summed(candles, coarser))],
    )
    return Subject(key, frame, candles, evidence, recorded.load(another))


@dataclass(frozen=True, slots=True)
class Tally:
    """How many injections of one kind were found, and what the fault did to the verdict on the rest of the series.

    Attributes:
        of: injections.
        found: those with a finding over the wrong interval that the true series does not get.
        by_peers, by_timeframe: those found without, and by, the market's other timeframe.
        spilled_pct: true bars, farther than a window away, that got a finding through the fault; of all bars.
    """

    kind: str
    of: int
    found: int
    by_peers: int
    by_timeframe: int
    spilled_pct: float


def recall(kind: str, subjects: Sequence[Subject], seeds: int) -> Tally:
    """One kind, ``seeds`` times in every subject; the same arguments give the same injections."""
    number, told, spilled = list(KINDS).index(kind), [], 0
    for i, s in enumerate(subjects):
        for seed in range(seeds):
            source = Source(s.candles, s.timeframe, s.other)
            injected = KINDS[kind](source, np.random.default_rng([number, i, seed]))
            news = [f for f in s.findings(injected.candles) if (f.kind, f.start_ms, f.end_ms) not in s.known]
            told.append({f.kind for f in news if f.start_ms < injected.end_ms and f.end_ms > injected.start_ms})
            spilled += _spilled(s, injected, news)
    bars = seeds * sum(len(s.candles) for s in subjects)
    peers = sum(bool(kinds - {"not_derived"}) for kinds in told)
    frame = sum("not_derived" in kinds for kinds in told)
    return Tally(kind, len(told), sum(map(bool, told)), peers, frame, round(100.0 * spilled / bars, 4))


def _spilled(s: Subject, injected: Injected, news: Sequence[Finding]) -> int:
    """Bars of the true series with a new finding, farther than the longest window from what is wrong."""
    away_ms = WINDOW * s.timeframe.ms
    opens = s.candles.open_ts_ms
    far = (opens < injected.start_ms - away_ms) | (opens >= injected.end_ms + away_ms)
    return int((flagged(s.candles, news) & far).sum())


@dataclass(frozen=True, slots=True)
class Alarms:
    """Bars of true series of one venue and timeframe that got a finding; absent bars that got one count too."""

    venue: str
    timeframe: str
    bars: int
    flagged: int
    cpu_s: float


def false_alarms(recorded: Recorded) -> Iterator[Alarms]:
    """Every venue and timeframe of the recorded data, each series judged by all the others."""
    groups: dict[tuple[str, str], list[Key]] = {}
    for key in recorded.keys:
        groups.setdefault(key[:2], []).append(key)
    for (venue, name), keys in groups.items():
        bars = bad = 0
        spent = 0.0
        for key in keys:
            candles, known = recorded.load(key), gather.evidence(key, recorded.keys, recorded.load)
            start = time.process_time()
            findings = truth.check((venue, key[2]), grid(venue, name), candles, known)
            spent += time.process_time() - start
            bars += len(candles)
            bad += int(flagged(candles, findings).sum()) + sum(f.bars for f in findings if f.kind == "missing")
        yield Alarms(venue, name, bars, bad, spent)


def emit(check: str, **figures: object) -> None:
    """One JSON line."""
    sys.stdout.write(json.dumps({"check": check, **figures}) + "\n")
    sys.stdout.flush()


def main(seeds: int, folder: Path) -> None:
    """Print a line a kind, a line a venue and timeframe, and the summary."""
    recorded = Recorded(folder)
    subjects = [subject(recorded, *market) for market in MARKETS]
    tallies = []
    for kind in KINDS:
        tallies.append(t := recall(kind, subjects, seeds))
        emit(
            "corruption",
            kind=t.kind,
            found=t.found,
            of=t.of,
            by_peers=t.by_peers,
            by_timeframe=t.by_timeframe,
            spilled_pct=t.spilled_pct,
        )
    alarms = []
    for a in false_alarms(recorded):
        alarms.append(a)
        emit("corruption_alarms", venue=a.venue, timeframe=a.timeframe, bars=a.bars, flagged=a.flagged)
    bars, bad = sum(a.bars for a in alarms), sum(a.flagged for a in alarms)
    emit(
        "corruption_summary",
        kinds=len(tallies),
        found=sum(t.found >= ENOUGH * t.of for t in tallies),
        found_by_peers_alone=sum(t.by_peers >= ENOUGH * t.of for t in tallies),
        false_alarm_pct=round(100.0 * bad / bars, 4),
        bars=bars,
        flagged=bad,
        mbars_per_cpu_s=round(bars / sum(a.cpu_s for a in alarms) / 1e6, 3),
    )


if __name__ == "__main__":
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, Path(sys.argv[2]) if len(sys.argv) > 2 else beside)
