"""The tape as one venue shows it: its names, gap policy, horizon and revisions, and nothing that is not known yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import numpy as np

from heliograph.core.market import Candles, FloatArray, Kind, kind_of
from heliograph.core.ports import Clock
from heliograph.core.timeframe import HOUR_MS, TIMEFRAMES, Timeframe
from heliograph.sandbox.tape import Bar, Scales, Tape, Trade

SWAP_VOLUME = 3
_CHUNK = 250

Number = TypeVar("Number", float, FloatArray)


@dataclass(frozen=True, slots=True)
class Listing:
    """One market of a venue.

    Attributes:
        symbol: unified; a swap's ends in its settlement currency, ``BTC/USDT:USDT``.
        listed_ms: when its history begins.
        is_halted: it has history but no new candles.
    """

    symbol: str
    base: str
    quote: str
    scales: Scales
    listed_ms: int
    is_halted: bool

    @property
    def kind(self) -> Kind:
        """Spot or swap."""
        return kind_of(self.symbol)


Render = Callable[[Listing, Timeframe, Bar, bool], bytes]


class Series:
    """Every closed candle of one market and timeframe, with the wire rows that were rendered from it.

    Attributes:
        candles: ascending, fills included where the venue fills.
        close_ts_ms: int64[n], when each became known.
    """

    def __init__(self, candles: Candles, timeframe: Timeframe) -> None:
        self.candles = candles
        self.timeframe = timeframe
        closes = [timeframe.close_ms(int(t)) for t in candles.open_ts_ms] if timeframe.is_calendar else None
        self.close_ts_ms = candles.open_ts_ms + timeframe.ms if closes is None else np.asarray(closes, dtype=np.int64)
        self._chunks: dict[int, list[bytes]] = {}

    def bars(self, start: int, stop: int) -> Iterator[Bar]:
        """Rows ``start`` to ``stop``, exclusive."""
        c = self.candles.take(slice(start, stop))
        columns = (c.open_ts_ms, c.open, c.high, c.low, c.close, c.volume)
        return (Bar(*row) for row in zip(*(column.tolist() for column in columns), strict=True))

    def rows(self, start: int, stop: int, listing: Listing, render: Render) -> list[bytes]:
        """Wire rows ``start`` to ``stop``, rendered once and kept."""
        rows: list[bytes] = []
        for chunk in range(start // _CHUNK, -(-stop // _CHUNK)):
            if chunk not in self._chunks:
                bars = self.bars(chunk * _CHUNK, (chunk + 1) * _CHUNK)
                self._chunks[chunk] = [render(listing, self.timeframe, bar, True) for bar in bars]
            rows += self._chunks[chunk][max(start - chunk * _CHUNK, 0) : stop - chunk * _CHUNK]
        return rows


@dataclass(frozen=True, slots=True)
class Window:
    """The bars that answer one request: rows ``start`` to ``stop`` of a series, then the unfinished bar, if any.

    Attributes:
        settled: rows of the series from this one on can still change.
    """

    series: Series
    start: int
    stop: int
    forming: Bar | None
    settled: int

    def __len__(self) -> int:
        return self.stop - self.start + (self.forming is not None)

    def oldest(self, limit: int) -> Window:
        """The first ``limit`` bars."""
        stop = min(self.stop, self.start + limit)
        forming = self.forming if limit > self.stop - self.start else None
        return replace(self, stop=stop, forming=forming)

    def newest(self, limit: int) -> Window:
        """The last ``limit`` bars."""
        if limit <= 0:
            return replace(self, start=self.stop, forming=None)
        return replace(self, start=max(self.start, self.stop - limit + (self.forming is not None)))

    def closed(self) -> Window:
        """Without the unfinished bar."""
        return replace(self, forming=None)

    def bars(self, listing: Listing) -> list[Bar]:
        """As shown now, ascending: those that are not settled lack the least part of their volume."""
        least = 10.0**-listing.scales.volume
        shown = list(self.series.bars(self.start, self.stop))
        for i in range(max(self.settled - self.start, 0), len(shown)):
            shown[i] = replace(shown[i], volume=max(round(shown[i].volume - least, listing.scales.volume), 0.0))
        return shown + ([self.forming] if self.forming else [])

    def rows(self, listing: Listing, render: Render) -> list[bytes]:
        """As shown now, ascending, on the wire; settled rows are rendered once and kept."""
        settled = min(max(self.settled, self.start), self.stop)
        rows = self.series.rows(self.start, settled, listing, render)
        late = replace(self, start=settled).bars(listing)
        is_closed = [True] * (self.stop - settled) + [False]
        return rows + [render(listing, self.series.timeframe, bar, c) for bar, c in zip(late, is_closed, strict=False)]


class Book:
    """One venue's markets.

    A swap has the prices of the tape's symbol and three times its volume, so that nobody can take one for the other.

    Attributes:
        symbols: what it lists, unified names.
        horizon: how many of the newest closed candles it still shows, by kind; all where a kind is absent.
    """

    def __init__(
        self,
        tape: Tape,
        clock: Clock,
        symbols: Sequence[str] | Mapping[str, str],
        *,
        horizon: int | Mapping[Kind, int] | None = None,
        is_filled: bool = False,
        settles_ms: int = 0,
        late_ms: int = 0,
        funding_every_ms: int = 8 * HOUR_MS,
    ) -> None:
        """Make the venue's view.

        Args:
            symbols: unified names; a mapping gives each one's symbol on the tape.
            is_filled: flat bars of no volume are sent where nothing was traded.
            settles_ms: so long after its close a bar still lacks the least part of its volume.
            late_ms: so long after its close a bar is not to be had at all.
            funding_every_ms: between two charges of a swap.
        """
        self.tape = tape
        self.clock = clock
        self._names = dict(symbols) if isinstance(symbols, Mapping) else {s: s.partition(":")[0] for s in symbols}
        self.symbols = tuple(self._names)
        by_kind: Mapping[Kind, int] = (
            {} if horizon is None else {"spot": horizon, "swap": horizon} if isinstance(horizon, int) else horizon
        )
        self.horizon = by_kind
        self._is_filled = is_filled
        self._settles_ms = settles_ms
        self._late_ms = late_ms
        self._funding_every_ms = funding_every_ms
        self._series: dict[tuple[str, Timeframe], Series] = {}

    def listing(self, symbol: str) -> Listing:
        """A market as it is now."""
        base, quote = symbol.partition(":")[0].split("/")
        name = self._names[symbol]
        halted = self.tape.is_halted(name, self.clock.now_ms())
        return Listing(symbol, base, quote, self.tape.scales(name), self.tape.listed_ms(name), halted)

    def listings(self, kind: Kind | None = None) -> list[Listing]:
        """Every market as it is now, or those of one kind."""
        return [self.listing(symbol) for symbol in self.symbols if kind in (None, kind_of(symbol))]

    def series(self, symbol: str, timeframe: Timeframe) -> Series:
        """All closed candles of a market, those of the future too: select from them by `window`."""
        key = (symbol, timeframe)
        if key not in self._series:
            candles = self._traded(symbol, timeframe)
            self._series[key] = Series(self._fill(candles, timeframe) if self._is_filled else candles, timeframe)
        return self._series[key]

    def forming(self, symbol: str, timeframe: Timeframe) -> Bar | None:
        """The open bar, made of what has happened so far; None where nothing has."""
        bar = self.tape.forming(self._names[symbol], timeframe, self.clock.now_ms())
        return None if bar is None else replace(bar, volume=self._scaled(symbol, bar.volume))

    def trades(self, symbol: str, start_ms: int, end_ms: int) -> list[Trade]:
        """The trades known now, of ``[start_ms, end_ms)``, ascending; their candles are the tape's."""
        known_ms = min(end_ms, self.clock.now_ms() + 1)
        times = 1 if kind_of(symbol) == "spot" else SWAP_VOLUME
        return self.tape.trades(self._names[symbol], start_ms, known_ms, times=times)

    def funding(self, symbol: str, start_ms: int, end_ms: int) -> list[tuple[int, float]]:
        """Funding rates charged in ``[start_ms, end_ms)`` and by now, ascending: a hundredth of the price's last move."""
        every_ms = self._funding_every_ms
        hours, last_ms = self._traded(symbol, TIMEFRAMES["1h"]), min(end_ms, self.clock.now_ms() + 1)
        first_ms = max(start_ms, int(hours.open_ts_ms[0]) + 2 * every_ms)
        found = []
        for ts_ms in range(-(-first_ms // every_ms) * every_ms, last_ms, every_ms):
            now, before = (int(np.searchsorted(hours.open_ts_ms, t)) - 1 for t in (ts_ms, ts_ms - every_ms))
            if hours.open_ts_ms[now] + 2 * every_ms > ts_ms:  # a halted market is charged nothing
                found.append((ts_ms, round(float(hours.close[now] / hours.close[before] - 1) / 100, 8)))
        return found

    def open_interest(self, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int) -> list[tuple[int, float]]:
        """Open contracts at each bar's open in ``[start_ms, end_ms)`` and by now, ascending: the last bar's volume, tenfold."""
        bars = self._traded(symbol, timeframe).between(
            start_ms - timeframe.ms, min(end_ms, self.clock.now_ms() + 1) - timeframe.ms
        )
        scale = self.tape.scales(self._names[symbol]).volume
        return [
            (int(t) + timeframe.ms, round(float(v) * 10, scale))
            for t, v in zip(bars.open_ts_ms, bars.volume, strict=True)
        ]

    def window(self, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int) -> Window:
        """What is known now of the bars that open in ``[start_ms, end_ms)``, within the horizon."""
        series, now_ms = self.series(symbol, timeframe), self.clock.now_ms()
        known, settled = (
            int(np.searchsorted(series.close_ts_ms, now_ms - ms, side="right"))
            for ms in (self._late_ms, self._settles_ms)
        )
        horizon = self.horizon.get(kind_of(symbol))
        oldest = 0 if horizon is None else max(known - horizon, 0)
        start, stop = (int(i) for i in np.searchsorted(series.candles.open_ts_ms, [start_ms, end_ms]))
        start, stop = max(start, oldest), min(stop, known)
        forming = self.forming(symbol, timeframe)
        is_in = forming is not None and start_ms <= forming.open_ts_ms < end_ms
        return Window(series, min(start, stop), stop, forming if is_in else None, settled)

    def news(self, symbol: str, timeframe: Timeframe, since_ms: int) -> list[tuple[Bar, bool]]:
        """What a stream tells when the clock comes from ``since_ms``: bars closed by now, then the open one.

        Bars in which nothing was traded are not told, not even by a venue that fills them in its history.
        """
        candles, now_ms = self._traded(symbol, timeframe), self.clock.now_ms()
        bars = Series(candles.between(timeframe.floor(since_ms - 1), now_ms), timeframe)
        closed = [
            bar for bar in bars.bars(0, len(bars.candles)) if since_ms < timeframe.close_ms(bar.open_ts_ms) <= now_ms
        ]
        forming = self.forming(symbol, timeframe)
        return [(bar, True) for bar in closed] + ([(forming, False)] if forming else [])

    def _traded(self, symbol: str, timeframe: Timeframe) -> Candles:
        candles = self.tape.series(self._names[symbol], timeframe)
        return candles if kind_of(symbol) == "spot" else replace(candles, volume=self._scaled(symbol, candles.volume))

    def _scaled(self, symbol: str, volume: Number) -> Number:
        """Volume of a swap: a multiple, rounded to the decimals that it has."""
        if kind_of(symbol) == "spot":
            return volume
        scaled: Number = np.round(volume * SWAP_VOLUME, self.tape.scales(self._names[symbol]).volume)
        return scaled

    def _fill(self, candles: Candles, timeframe: Timeframe) -> Candles:
        """Flat bars of no volume where this market had no trade but another market of the venue had one."""
        if not len(candles):
            return candles
        own = candles.open_ts_ms
        traded = np.sort(np.concatenate([self._traded(symbol, timeframe).open_ts_ms for symbol in self.symbols]))
        traded = traded[(np.diff(traded, prepend=-1) > 0) & (traded > own[0]) & (traded < own[-1])]
        lacking = traded[own[np.searchsorted(own, traded)] != traded]
        flat = candles.close[np.searchsorted(own, lacking) - 1]
        fills = Candles(lacking, flat, flat, flat, flat, np.zeros(lacking.size))
        return Candles.concat([candles, fills])
