"""The one truth of the local world: what every market did, candle by candle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self

import numpy as np

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.core.market import Candles
from heliograph.core.money import to_ticks
from heliograph.core.resample import resample
from heliograph.core.timeframe import DAY_MS, Timeframe, parse
from heliograph.sandbox import folder, generator

Bases = Mapping[str, Mapping[str, Candles]]

RECORDED_SYMBOLS = tuple(f"{base}/USDT" for base in ("BTC", "ETH", "SOL", "XRP", "ADA", "DOGE", "LINK", "LTC"))
RECORDED_MINUTE_SYMBOLS = RECORDED_SYMBOLS[:2]
_RECORDED_HOURS = (1_672_531_200_000, 1_735_689_600_000)  # 2023-01-01 to 2025-01-01


@dataclass(frozen=True, slots=True)
class Bar:
    """One candle; an unfinished one where its holder says so. Prices in quote units, volume in base units."""

    open_ts_ms: int
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def mean(self) -> float:
        """Mean of the four prices."""
        return (self.open + self.high + self.low + self.close) / 4


@dataclass(frozen=True, slots=True)
class Trade:
    """One trade.

    Attributes:
        id: ascending with time, of one symbol.
        is_buy: the taker bought.
    """

    id: int
    ts_ms: int
    price: float
    qty: float
    is_buy: bool


@dataclass(frozen=True, slots=True)
class Scales:
    """Decimals of a symbol's prices and volumes."""

    price: int
    volume: int


class Tape:
    """Candles of every symbol at the timeframes they were recorded in, and exact resamples of those.

    Attributes:
        symbols: unified names, in the order of the market's own ranking.
        origin: one sentence that says where the candles come from.
        end_ms: close of the last candle of any symbol; nothing is known after it.
    """

    def __init__(self, bases: Bases, *, origin: str) -> None:
        self.symbols = tuple(bases)
        self.origin = origin
        self._bases = {
            symbol: sorted(((parse(name), candles) for name, candles in series.items()), key=lambda item: item[0].ms)
            for symbol, series in bases.items()
        }
        self._assembled: dict[tuple[str, Timeframe], Candles] = {}
        self._scales = {symbol: _scales(symbol, [c for _, c in series]) for symbol, series in self._bases.items()}
        self.end_ms = max(self.halt_ms(symbol) for symbol in self.symbols)

    @classmethod
    def from_folder(cls, path: Path) -> Self:
        """A folder of Parquet files, ``<symbol>/<timeframe>.parquet`` or ``<venue>/<symbol>/<timeframe>.parquet``.

        Columns: ``ts`` or ``open_ts_ms`` (bar open, epoch ms), ``open``, ``high``, ``low``, ``close``, ``volume``.

        Raises:
            ConfigError: there is no such file in it, or one that can't be used; the message names the file.
        """
        return cls(folder.read(path), origin=f"candles from the folder {path}")

    @classmethod
    def recorded(cls, shared_data: Path) -> Self:
        """Real candles of Binance: eight symbols of 1h over 2023 and 2024, two of them of 1m in the summer of 2025.

        Raises:
            ConfigError: the folder does not hold them; the message names the missing file.
        """
        root = shared_data / "candles" / "binance"
        bases = {
            symbol: {"1h": folder.read_candles(root / symbol.replace("/", "-") / "1h.parquet", parse("1h"))}
            for symbol in RECORDED_SYMBOLS
        }
        bases = {symbol: {"1h": series["1h"].between(*_RECORDED_HOURS)} for symbol, series in bases.items()}
        for symbol in RECORDED_MINUTE_SYMBOLS:
            bases[symbol]["1m"] = folder.read_candles(root / symbol.replace("/", "-") / "1m.parquet", parse("1m"))
        return cls(bases, origin="real recorded candles of Binance: 1h of 2023 and 2024, 1m from May to August 2025")

    @classmethod
    def generated(cls, seed: int = 7, *, days: int = 730, minute_days: int = 60) -> Self:
        """A generated market; the same seed and lengths give the same candles.

        Raises:
            ConfigError: the lengths don't fit, see `heliograph.sandbox.generator.generate`.
        """
        origin = (
            f"a generated market (seed {seed}): {days} days of 1h, the last {minute_days} days of two symbols in 1m"
        )
        return cls(generator.generate(seed, days=days, minute_days=minute_days), origin=origin)

    def scales(self, symbol: str) -> Scales:
        """Decimals of the symbol's prices and volumes."""
        return self._scales[symbol]

    def series(self, symbol: str, timeframe: Timeframe) -> Candles:
        """Every finished candle of a symbol, ascending; none where the timeframe is finer than what was recorded.

        A bar that stands in the record itself is taken from there; the others are resampled from the next finer
        timeframe.
        """
        bars = self._assemble(symbol, timeframe)
        is_last_open = len(bars) and timeframe.close_ms(int(bars.open_ts_ms[-1])) > self.end_ms
        return bars.take(slice(0, -1)) if is_last_open else bars

    def candles(self, symbol: str, timeframe: Timeframe, start_ms: int, end_ms: int) -> Candles:
        """Finished candles that open in ``[start_ms, end_ms)``."""
        return self.series(symbol, timeframe).between(start_ms, end_ms)

    def first_ms(self, symbol: str, timeframe: Timeframe) -> int | None:
        """Open of the first candle; None where there is none."""
        bars = self.series(symbol, timeframe)
        return int(bars.open_ts_ms[0]) if len(bars) else None

    def last_ms(self, symbol: str, timeframe: Timeframe) -> int | None:
        """Open of the last candle; None where there is none."""
        bars = self.series(symbol, timeframe)
        return int(bars.open_ts_ms[-1]) if len(bars) else None

    def listed_ms(self, symbol: str) -> int:
        """Open of the symbol's first candle in any timeframe."""
        return min(int(candles.open_ts_ms[0]) for _, candles in self._bases[symbol])

    def halt_ms(self, symbol: str) -> int:
        """Close of the symbol's last candle in any timeframe."""
        return max(timeframe.close_ms(int(candles.open_ts_ms[-1])) for timeframe, candles in self._bases[symbol])

    def is_halted(self, symbol: str, now_ms: int) -> bool:
        """True once the symbol has missed its next candle for good, so trading has stopped."""
        longest, _ = self._bases[symbol][-1]
        return self.halt_ms(symbol) + longest.ms <= now_ms

    def forming(self, symbol: str, timeframe: Timeframe, now_ms: int) -> Bar | None:
        """The bar that is open at ``now_ms``, made of what had happened by then; None where nothing had.

        Whole finer candles count once they have closed; of the one that is open, only its first trade counts, with
        the least volume that the market has.
        """
        opened = timeframe.floor(now_ms)
        for base, candles in self._bases[symbol]:
            part = candles.between(opened, now_ms + 1)
            if base.ms > timeframe.ms or not len(part):
                continue
            return self._aggregate(symbol, opened, _as_seen(part, base, now_ms, 10.0 ** -self._scales[symbol].volume))
        return None

    def trades(self, symbol: str, start_ms: int, end_ms: int, *, times: int = 1) -> list[Trade]:
        """Trades of ``[start_ms, end_ms)``, ascending, whose candles are the tape's: four to each of its finest bars.

        Args:
            times: multiplies every quantity.
        """
        found: list[Trade] = []
        told = np.empty(0, dtype=np.int64)  # opens of the finer bars that have told theirs
        for base, candles in self._bases[symbol]:
            part = candles.between(base.floor(start_ms), end_ms)
            untold = np.searchsorted(told, part.open_ts_ms) == np.searchsorted(told, part.open_ts_ms + base.ms)
            part = part.take(untold & (part.volume > 0))
            found += _trades(part, base, self._scales[symbol].volume, times)
            told = np.union1d(told, part.open_ts_ms)
        return [t for t in sorted(found, key=lambda t: t.id) if start_ms <= t.ts_ms < end_ms]

    def _aggregate(self, symbol: str, opened: int, part: Candles) -> Bar:
        volume = round(float(part.volume.sum()), self._scales[symbol].volume)
        low, high = float(part.low.min()), float(part.high.max())
        return Bar(opened, float(part.open[0]), high, low, float(part.close[-1]), volume)

    def _assemble(self, symbol: str, timeframe: Timeframe) -> Candles:
        """All bars of the record, the one that the tape's end leaves unfinished too."""
        key = (symbol, timeframe)
        if key not in self._assembled:
            own = [c for t, c in self._bases[symbol] if t == timeframe]
            finer = [t for t, _ in self._bases[symbol] if _divides(t, timeframe)]
            derived = [resample(self._assemble(symbol, finer[-1]), timeframe)] if finer else []
            self._assembled[key] = Candles.concat(derived + own)
        return self._assembled[key]


@dataclass(frozen=True, slots=True)
class TapeSpec:
    """Which tape to build, in plain values that travel to another process.

    Attributes:
        kind: where the candles come from.
        path: of the folder, or of the recorded data; None for a generated market.
        seed, days, minute_days: of a generated market, see `heliograph.sandbox.generator.generate`.
    """

    kind: Literal["folder", "recorded", "generated"]
    path: Path | None = None
    seed: int = 7
    days: int = 730
    minute_days: int = 60

    def build(self) -> Tape:
        """The tape.

        Raises:
            ConfigError: the path is missing or holds no usable candles.
        """
        if self.kind == "generated":
            return Tape.generated(self.seed, days=self.days, minute_days=self.minute_days)
        if self.path is None:
            raise ConfigError(f"a {self.kind} tape needs the path of its folder")
        return Tape.from_folder(self.path) if self.kind == "folder" else Tape.recorded(self.path)


def _trades(candles: Candles, timeframe: Timeframe, volume_scale: int, times: int) -> list[Trade]:
    """Open, the extreme that the close is farther from, the other one, close; the volume in quarters of whole ticks."""
    found = []
    columns = (candles.open_ts_ms, candles.open, candles.high, candles.low, candles.close, candles.volume)
    for opened, first, high, low, last, volume in zip(*(c.tolist() for c in columns), strict=True):
        ticks = round(volume * 10**volume_scale) * times
        extremes = (low, high) if last >= first else (high, low)
        for i, price in enumerate((first, *extremes, last)):
            ts_ms = opened + (timeframe.ms * i) // 4 + i
            share = ticks // 4 + (i < ticks % 4)
            found.append(Trade(ts_ms * 4 + i, ts_ms, price, share / 10**volume_scale, i % 2 == 0))
    return found


def _divides(finer: Timeframe, timeframe: Timeframe) -> bool:
    """Whole bars of ``finer`` make every bar of ``timeframe``."""
    length_ms = DAY_MS if timeframe.is_calendar else timeframe.ms
    offset_ms = timeframe.offset_ms - finer.offset_ms
    return finer.ms < timeframe.ms and length_ms % finer.ms == 0 and offset_ms % finer.ms == 0


def _as_seen(part: Candles, base: Timeframe, now_ms: int, least_volume: float) -> Candles:
    """The candles as known at ``now_ms``: the last one, if still open, holds nothing but its first trade."""
    if base.close_ms(int(part.open_ts_ms[-1])) <= now_ms:
        return part
    first_trade = float(part.open[-1])
    opening = [float(part.open_ts_ms[-1]), first_trade, first_trade, first_trade, first_trade, least_volume]
    return Candles.concat([part.take(slice(0, -1)), Candles.of([opening])])


def _scales(symbol: str, series: list[Candles]) -> Scales:
    try:
        prices = np.concatenate([column for c in series for column in (c.open, c.high, c.low, c.close)])
        return Scales(to_ticks(prices)[1], to_ticks(np.concatenate([c.volume for c in series]))[1])
    except SchemaMismatch as e:
        raise ConfigError(f"the candles of {symbol} can't be replayed: {e}") from e
