"""The tape as one venue shows it: its symbols, its gap policy, its horizon, and nothing that is not known yet."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from heliograph.core.market import Candles
from heliograph.core.ports import Clock
from heliograph.core.timeframe import Timeframe
from heliograph.sandbox.tape import Bar, Scales, Tape

_CHUNK = 250


@dataclass(frozen=True, slots=True)
class Listing:
    """One market of a venue.

    Attributes:
        listed_ms: when its history begins.
        is_halted: it has history but no new candles.
    """

    symbol: str
    base: str
    quote: str
    scales: Scales
    listed_ms: int
    is_halted: bool


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
    """The bars that answer one request: rows ``start`` to ``stop`` of a series, then the unfinished bar, if any."""

    series: Series
    start: int
    stop: int
    forming: Bar | None

    def __len__(self) -> int:
        return self.stop - self.start + (self.forming is not None)

    def oldest(self, limit: int) -> Window:
        """The first ``limit`` bars."""
        stop = min(self.stop, self.start + limit)
        return Window(self.series, self.start, stop, self.forming if limit > self.stop - self.start else None)

    def newest(self, limit: int) -> Window:
        """The last ``limit`` bars."""
        if limit <= 0:
            return Window(self.series, self.stop, self.stop, None)
        return Window(
            self.series, max(self.start, self.stop - limit + (self.forming is not None)), self.stop, self.forming
        )


class Book:
    """One venue's markets.

    Attributes:
        symbols: what it lists.
        horizon: how many of the newest closed candles it still shows; None for all.
    """

    def __init__(
        self, tape: Tape, clock: Clock, symbols: Sequence[str], *, horizon: int | None = None, is_filled: bool = False
    ) -> None:
        self.tape = tape
        self.clock = clock
        self.symbols = tuple(symbols)
        self.horizon = horizon
        self._is_filled = is_filled
        self._series: dict[tuple[str, Timeframe], Series] = {}

    def listing(self, symbol: str) -> Listing:
        """A market as it is now."""
        base, quote = symbol.split("/")
        halted = self.tape.is_halted(symbol, self.clock.now_ms())
        return Listing(symbol, base, quote, self.tape.scales(symbol), self.tape.listed_ms(symbol), halted)

    def listings(self) -> list[Listing]:
        """Every market as it is now."""
        return [self.listing(symbol) for symbol in self.symbols]

    def series(self, symbol: str, timeframe: Timeframe) -> Series:
        """All closed candles of a market, those of the future too: select from them by `window`."""
        key = (symbol, timeframe)
        if key not in self._series:
            candles = self.tape.series(symbol, timeframe)
            self._series[key] = Series(self._fill(candles, timeframe) if self._is_filled else candles, timeframe)
        return self._series[key]

    def window(self, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int) -> Window:
        """What is known now of the bars that open in ``[start_ms, end_ms)``, within the horizon."""
        series, now_ms = self.series(symbol, timeframe), self.clock.now_ms()
        known = int(np.searchsorted(series.close_ts_ms, now_ms, side="right"))
        oldest = max(known - self.horizon, 0) if self.horizon is not None else 0
        start, stop = (int(i) for i in np.searchsorted(series.candles.open_ts_ms, [start_ms, end_ms]))
        start, stop = max(start, oldest), min(stop, known)
        forming = self.tape.forming(symbol, timeframe, now_ms)
        is_in = forming is not None and start_ms <= forming.open_ts_ms < end_ms
        return Window(series, min(start, stop), stop, forming if is_in else None)

    def news(self, symbol: str, timeframe: Timeframe, since_ms: int) -> list[tuple[Bar, bool]]:
        """What a stream tells when the clock comes from ``since_ms``: bars closed by now, then the open one.

        Bars in which nothing was traded are not told, not even by a venue that fills them in its history.
        """
        candles, now_ms = self.tape.series(symbol, timeframe), self.clock.now_ms()
        bars = Series(candles.between(timeframe.floor(since_ms - 1), now_ms), timeframe)
        closed = [
            bar for bar in bars.bars(0, len(bars.candles)) if since_ms < timeframe.close_ms(bar.open_ts_ms) <= now_ms
        ]
        forming = self.tape.forming(symbol, timeframe, now_ms)
        return [(bar, True) for bar in closed] + ([(forming, False)] if forming else [])

    def _fill(self, candles: Candles, timeframe: Timeframe) -> Candles:
        """Flat bars of no volume where this market had no trade but another market of the venue had one."""
        if not len(candles):
            return candles
        own = candles.open_ts_ms
        traded = np.sort(np.concatenate([self.tape.series(symbol, timeframe).open_ts_ms for symbol in self.symbols]))
        traded = traded[(np.diff(traded, prepend=-1) > 0) & (traded > own[0]) & (traded < own[-1])]
        lacking = traded[own[np.searchsorted(own, traded)] != traded]
        flat = candles.close[np.searchsorted(own, lacking) - 1]
        fills = Candles(lacking, flat, flat, flat, flat, np.zeros(lacking.size))
        return Candles.concat([candles, fills])
