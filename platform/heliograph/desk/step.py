"""A closed candle → features → forecast → commands: the desk that paper and live trading sit at, one bar at a time.

Shapes: B batch (here 1), T bars of the window, F features, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Protocol

import numpy as np
import numpy.typing as npt

from heliograph.config.settings import FeatureSettings, RiskSettings
from heliograph.core.commands import CancelOrder, Command, SubmitOrder
from heliograph.core.errors import ConfigError, DataError, LookAhead, SchemaMismatch
from heliograph.core.events import (
    CandleClosed,
    Event,
    ForecastMade,
    OrderAccepted,
    OrderCancelled,
    OrderFilled,
    OrderRejected,
)
from heliograph.core.market import Market
from heliograph.core.ports import Broker
from heliograph.features import catalog, table, tiles
from heliograph.model.spec import Forecaster
from heliograph.model.tracker import Follower, Tracker
from heliograph.trading import engine

Record = Callable[[Event | Command, bool], object]
"""Remembers one entry; the second argument says whether it must be on disk before the call returns."""

_ORDER_NEWS = (OrderAccepted, OrderRejected, OrderCancelled, OrderFilled)


class BarBroker(Broker, Protocol):
    """A broker that also tells what happened to resting orders while a bar was forming."""

    def on_candle(self, candle: CandleClosed) -> Iterable[Event]:
        """Events of the bar that just closed, oldest first."""


class Decides(Protocol):
    """Whoever holds the engine's state."""

    def on_event(self, event: Event) -> tuple[Command, ...]:
        """Take note of the event and answer with what is to be done."""


class Trader:
    """Holds the engine's state; the only thing that changes it is an event.

    Attributes:
        state: the engine's state after the last event.
    """

    def __init__(self, *, limits: RiskSettings, state: engine.State) -> None:
        self.state = state
        self._limits = limits

    def on_event(self, event: Event) -> tuple[Command, ...]:
        """One step of the engine."""
        self.state, commands = engine.step(self.state, event, limits=self._limits)
        return commands


class _Stream:
    """Live features and the window of one (venue, symbol).

    The ring is written twice, T rows apart, so that every window of T rows is one contiguous view.

    Attributes:
        last_open_ts_ms: of the newest bar; None before the first.
        whole_ts_ms: when the first whole window was known; None before it.
    """

    def __init__(self, market: tuple[str, str], features: FeatureSettings, window_bars: int, num_features: int) -> None:
        self._features = table.LiveFeatures(features, market=market)
        self._ring_TF: npt.NDArray[np.float32] = np.full((2 * window_bars, num_features), np.nan, dtype=np.float32)
        self._window_bars = window_bars
        self._next = 0
        self._finite_bars = 0
        self.last_open_ts_ms: int | None = None
        self.whole_ts_ms: int | None = None

    def push(self, candle: CandleClosed) -> None:
        """Take one bar in.

        Raises:
            DataError: the bar is not after the last one.
        """
        if self.last_open_ts_ms is not None and candle.open_ts_ms <= self.last_open_ts_ms:
            raise DataError(
                f"{candle.venue} {candle.symbol}: the bar that opens at {candle.open_ts_ms} came after the bar that opens at "
                f"{self.last_open_ts_ms}; feed each bar once, in order"
            )
        row_F = self._features.update(candle).astype(np.float32)
        self._ring_TF[self._next] = self._ring_TF[self._next + self._window_bars] = row_F
        self._next = (self._next + 1) % self._window_bars
        self._finite_bars = self._finite_bars + 1 if np.isfinite(row_F).all() else 0
        self.last_open_ts_ms = candle.open_ts_ms
        if self.whole_ts_ms is None and self._finite_bars == self._window_bars:
            self.whole_ts_ms = candle.known_ts_ms

    def window(self) -> npt.NDArray[np.float32] | None:
        """float32[1,T,F], the newest bar last; None until T rows in a row are finite."""
        if self._finite_bars < self._window_bars:
            return None
        return self._ring_TF[None, self._next : self._next + self._window_bars]


class Desk:
    """One desk for all streams of one process: features and windows per stream, one model, one book.

    The desk keeps nothing that the journal and the candles could not give back: one that was seeded with the bars that
    another one saw forecasts what the other one forecasts, to the last bit.

    Args:
        features: what LiveFeatures computes; must give exactly the forecaster's features.
        markets: the markets that this desk may see, by (venue, symbol).
        tracker: of the forecaster's widths, as it was saved; it learns from this desk's own forecasts.

    Raises:
        SchemaMismatch: the forecaster was trained on other features than the settings give.
    """

    def __init__(
        self,
        *,
        features: FeatureSettings,
        forecaster: Forecaster,
        limits: RiskSettings,
        markets: Mapping[tuple[str, str], Market],
        state: engine.State,
        tracker: Tracker | None = None,
    ) -> None:
        require_features(features, forecaster)
        self._features = features
        self._forecaster = forecaster
        self._num_features = len(forecaster.feature_names)
        self._markets = markets
        self._trader = Trader(limits=limits, state=state)
        self._streams: dict[tuple[str, str], _Stream] = {}
        self._followers = {} if tracker is None else {venue: Follower(tracker) for venue, _ in markets}

    @property
    def state(self) -> engine.State:
        """The engine's state after the last event."""
        return self._trader.state

    def last_open_ts_ms(self, venue: str, symbol: str) -> int | None:
        """Open of the newest bar that the stream has seen; None before its first."""
        stream = self._streams.get((venue, symbol))
        return None if stream is None else stream.last_open_ts_ms

    @property
    def learned_ms(self) -> int | None:
        """The tracker was saved with the outcomes of forecasts up to here; None without a tracker that has learned."""
        return next((follower.since_ms for follower in self._followers.values()), None)

    def behind(self) -> list[tuple[str, str]]:
        """Markets whose first whole window came too late for the tracker: outcomes since `learned_ms` are not in it."""
        return [key for key in self._markets if key[0] in self._followers and self._is_behind(*key)]

    def seed(self, candles: Iterable[CandleClosed]) -> None:
        """Warm features and windows up with history, and let the tracker learn from it; nothing is decided.

        Args:
            candles: of all markets, in the order in which they became known; the tracker learns nothing from others.

        Raises:
            DataError: a bar is late or repeated, or of another timeframe.
            ConfigError: a bar is of a market that the desk does not have.
        """
        for candle in candles:
            if self._teaches(candle):
                self.forecast(candle)
            else:
                self._stream(candle).push(candle)

    def forecast(self, candle: CandleClosed) -> ForecastMade | None:
        """Take one closed bar in and forecast from its close; None while the window is not finite.

        Raises:
            DataError: the bar is late or repeated, or of another timeframe.
            ConfigError: the bar is of a market that the desk does not have.
        """
        stream = self._stream(candle)
        stream.push(candle)
        x_BTF = stream.window()
        if x_BTF is None:
            return None
        made = self._forecaster.forecast(x_BTF)
        quantile_HQ = made.quantile_BHQ[0]
        if candle.venue in self._followers:
            quantile_HQ = self._followers[candle.venue].forecast(
                candle.symbol,
                candle.known_ts_ms,
                quantile_HQ,
                close=candle.close,
                sigma=float(x_BTF[0, -1, self._forecaster.feature_names.index(table.SIGMA)]),
            )
        return ForecastMade(
            venue=candle.venue,
            symbol=candle.symbol,
            timeframe=candle.timeframe,
            known_ts_ms=candle.known_ts_ms,
            price=candle.close,
            horizons_bars=tuple(self._forecaster.horizons_bars),
            levels=tuple(self._forecaster.levels),
            quantile_HQ=tuple(map(tuple, quantile_HQ.tolist())),
            setup_HC=tuple(map(tuple, made.setup_BHC[0].tolist())),
            confidence_H=tuple(made.confidence_BH[0].tolist()),
            model=self._forecaster.fingerprint,
        )

    def on_event(self, event: Event) -> tuple[Command, ...]:
        """One step of the engine on the held state."""
        return self._trader.on_event(event)

    def _teaches(self, candle: CandleClosed) -> bool:
        """Whether the outcome of a forecast at this bar is news to the tracker."""
        follower = self._followers.get(candle.venue)
        return follower is not None and (follower.since_ms is None or candle.known_ts_ms > follower.since_ms)

    def _is_behind(self, venue: str, symbol: str) -> bool:
        follower, stream = self._followers[venue], self._streams.get((venue, symbol))
        if follower.since_ms is None or stream is None or stream.whole_ts_ms is None:
            return True
        return stream.whole_ts_ms > follower.since_ms + follower.tracker.bar_ms

    def _stream(self, candle: CandleClosed) -> _Stream:
        key = (candle.venue, candle.symbol)
        if candle.timeframe != self._features.timeframe:
            raise DataError(
                f"{candle.venue} {candle.symbol}: a {candle.timeframe} bar came to a desk of {self._features.timeframe} bars"
            )
        if key not in self._streams:
            if key not in self._markets:
                raise ConfigError(
                    f"the desk has no market {candle.venue} {candle.symbol}; add it to live.venues and live.symbols"
                )
            self._streams[key] = _Stream(key, self._features, self._forecaster.window_bars, self._num_features)
        return self._streams[key]


def require_features(features: FeatureSettings, forecaster: Forecaster) -> None:
    """Check that the settings give the forecaster's features, in its order, out of the candles of one market.

    Raises:
        SchemaMismatch: naming the features that differ.
        ConfigError: a feature reads more than these candles.
    """
    for feature in catalog.chosen(features):
        if more := sorted(tiles.others_of(feature)):
            raise ConfigError(
                f"features.names: {feature.name} reads {more[0]}, and a desk has the candles of each market alone: "
                "train a model without it"
            )
    given, wanted = tuple(table.names(features)), tuple(forecaster.feature_names)
    if given != wanted:
        differ = sorted(set(given) ^ set(wanted)) or ["(the same names in another order)"]
        raise SchemaMismatch(
            f"the model {forecaster.fingerprint} was trained on other features than the settings give: {', '.join(differ)}; "
            "load the model's own feature settings or train again"
        )


def trade_bar(
    desk: Decides, candle: CandleClosed, forecast: ForecastMade | None, broker: BarBroker, record: Record
) -> None:
    """Carry one closed bar through the book: the driver of backtest, paper and live alike.

    What filled while the bar formed comes first, then the bar's close, then the forecast made at that close; every
    command is recorded durably before it is sent, and the broker's answers go back to the engine.

    Raises:
        LookAhead: the forecast was not made at this bar's close.
    """
    if forecast is not None and (forecast.venue, forecast.symbol, forecast.known_ts_ms) != (
        candle.venue,
        candle.symbol,
        candle.known_ts_ms,
    ):
        raise LookAhead(
            f"a forecast of {forecast.venue} {forecast.symbol} at {forecast.known_ts_ms} came with the bar of "
            f"{candle.venue} {candle.symbol} known at {candle.known_ts_ms}; pair each forecast with its own bar"
        )
    for event in broker.on_candle(candle):
        settle(desk, event, broker, record)
    settle(desk, candle, broker, record)
    if forecast is not None:
        settle(desk, forecast, broker, record)


def settle(desk: Decides, event: Event, broker: Broker, record: Record) -> None:
    """Give one event to the engine and carry out whatever follows from it, until nothing follows."""
    waiting = deque([event])
    while waiting:
        news = waiting.popleft()
        record(news, isinstance(news, _ORDER_NEWS))
        for command in desk.on_event(news):
            record(command, True)
            waiting.extend(_send(command, broker))


def _send(command: Command, broker: Broker) -> Iterator[Event]:
    if isinstance(command, SubmitOrder):
        yield from broker.submit(command)
    elif isinstance(command, CancelOrder):
        yield from broker.cancel(command)
