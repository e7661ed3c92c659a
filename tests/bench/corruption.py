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
from functools import cache
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from tests.bench.injections import KINDS, Injected, Source

from heliograph.audit import derived, gather, truth
from heliograph.audit.finding import Finding, flagged
from heliograph.audit.truth import Evidence
from heliograph.core.calendars import grid
from heliograph.core.market import Candles
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


@dataclass(frozen=True, slots=True)
class Subject:
    """A true series, what it is judged by, and another asset's candles."""

    key: Key
    timeframe: Timeframe
    candles: Candles
    evidence: Evidence
    other: Candles

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
    """How many injections of one kind were found: at all, by peers and habits, by the other timeframe."""

    kind: str
    of: int
    found: int
    by_peers: int
    by_timeframe: int

    @property
    def is_found(self) -> bool:
        """Often enough."""
        return self.found >= ENOUGH * self.of


def recall(subjects: Sequence[Subject], seeds: int) -> Iterator[Tally]:
    """Every kind, ``seeds`` times in every subject."""
    true = [{(f.kind, f.start_ms, f.end_ms) for f in s.findings(s.candles)} for s in subjects]
    for number, (kind, inject) in enumerate(KINDS.items()):
        told = [
            _told(s, known, inject(Source(s.candles, s.timeframe, s.other), np.random.default_rng([number, i, seed])))
            for i, (s, known) in enumerate(zip(subjects, true, strict=True))
            for seed in range(seeds)
        ]
        peers = [bool(kinds - {"not_derived"}) for kinds in told]
        frame = ["not_derived" in kinds for kinds in told]
        yield Tally(kind, len(told), sum(map(bool, told)), sum(peers), sum(frame))


def _told(s: Subject, known: set[tuple[str, int, int]], injected: Injected) -> set[str]:
    """Kinds of the findings over the wrong interval that the true series does not get."""
    return {
        f.kind
        for f in s.findings(injected.candles)
        if f.start_ms < injected.end_ms and f.end_ms > injected.start_ms and (f.kind, f.start_ms, f.end_ms) not in known
    }


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
    for t in recall(subjects, seeds):
        tallies.append(t)
        emit("corruption", kind=t.kind, found=t.found, of=t.of, by_peers=t.by_peers, by_timeframe=t.by_timeframe)
    alarms = []
    for a in false_alarms(recorded):
        alarms.append(a)
        emit("corruption_alarms", venue=a.venue, timeframe=a.timeframe, bars=a.bars, flagged=a.flagged)
    bars, bad = sum(a.bars for a in alarms), sum(a.flagged for a in alarms)
    emit(
        "corruption_summary",
        kinds=len(tallies),
        found=sum(t.is_found for t in tallies),
        false_alarm_pct=round(100.0 * bad / bars, 4),
        bars=bars,
        flagged=bad,
        mbars_per_cpu_s=round(bars / sum(a.cpu_s for a in alarms) / 1e6, 3),
    )


if __name__ == "__main__":
    beside = Path(__file__).resolve().parents[3] / "shared" / "data"
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20, Path(sys.argv[2]) if len(sys.argv) > 2 else beside)
