"""Markets, bars, forecasts and fills for the tests of trading, sim and live."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from statistics import NormalDist

from heliograph.config.settings import CostSettings, RiskSettings
from heliograph.core.commands import Command, SubmitOrder
from heliograph.core.events import CandleClosed, Event, ForecastMade, OrderAccepted, OrderFilled
from heliograph.core.market import Market
from heliograph.trading import engine

HOUR_MS = 3_600_000
LEVELS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.975, 0.99)
_SCORES = tuple(NormalDist().inv_cdf(q) for q in LEVELS)
BTC, ETH = ("binance", "BTC/USDT"), ("binance", "ETH/USDT")
FREE = CostSettings(fee_bps=0.0, slippage_bps=0.0)
COSTS = CostSettings(fee_bps=5.0, slippage_bps=2.0)
LIMITS = RiskSettings(horizon_bars=1)


def market(key: tuple[str, str] = BTC, **changes: object) -> Market:
    base = key[1].split("/")[0]
    made = Market(key[0], key[1], "spot", base, "USDT", Decimal("0.01"), Decimal("0.00001"), Decimal("5"))
    return replace(made, **changes)


MARKETS = {key: market(key) for key in (BTC, ETH)}


def candle(bar: int, close: float, key: tuple[str, str] = BTC, *, open_: float | None = None) -> CandleClosed:
    first = close if open_ is None else open_
    high, low = max(first, close), min(first, close)
    return CandleClosed(*key, "1h", bar * HOUR_MS, (bar + 1) * HOUR_MS, first, high, low, close, 1.0)


def forecast(
    bar: int,
    mean: float,
    key: tuple[str, str] = BTC,
    *,
    sigma: float = 0.02,
    confidence: float = 0.6,
    price: float = 100.0,
) -> ForecastMade:
    row = tuple(mean + sigma * z for z in _SCORES)
    return ForecastMade(
        *key, "1h", (bar + 1) * HOUR_MS, price, (1,), LEVELS, (row,), ((0.3, 0.4, 0.3),), (confidence,), "test"
    )


def start(limits: RiskSettings = LIMITS, *, costs: CostSettings = FREE, markets: dict | None = None) -> engine.State:
    return engine.initial(limits, MARKETS if markets is None else markets, costs=costs)


def steps(state: engine.State, *events: Event, limits: RiskSettings = LIMITS) -> tuple[engine.State, list[Command]]:
    commands: list[Command] = []
    for event in events:
        state, more = engine.step(state, event, limits=limits)
        commands += more
    return state, commands


def order(
    side: str = "buy", qty: str = "1", *, bar: int = 0, key: tuple[str, str] = BTC, client_id: str = ""
) -> SubmitOrder:
    name = client_id or f"o{bar}{key[1][:3]}"
    return SubmitOrder(name, *key, side, Decimal(qty), Decimal(100), False, (bar + 1) * HOUR_MS)


def accepted(intent: SubmitOrder) -> OrderAccepted:
    return OrderAccepted(intent.client_id, intent.ts_ms)


def fill(
    intent: SubmitOrder, qty: str | None = None, *, price: str = "100", fee: str = "0", trade: str = "1"
) -> OrderFilled:
    return OrderFilled(
        intent.client_id,
        trade,
        intent.venue,
        intent.symbol,
        intent.side,
        intent.qty_base if qty is None else Decimal(qty),
        Decimal(price),
        Decimal(fee),
        intent.ts_ms,
    )
