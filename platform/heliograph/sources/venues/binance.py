"""Binance spot: https://developers.binance.com/docs/binance-spot-api-docs."""

from __future__ import annotations

from heliograph.core.market import VenueRules
from heliograph.sources.dialect import Ask, Call, Dialect, Layout, Verdict

CODES: dict[str, Verdict] = {
    "-1000": "retry",
    "-1001": "retry",
    "-1003": "rate",
    "-1006": "retry",
    "-1007": "timeout",
    "-1008": "retry",
    "-1015": "rate",
    "-1016": "retry",  # shutting down; ccxt takes it for a bad request
    "-1021": "retry",
    "-1121": "gone",
}
LAYOUT = Layout((0, 1, 2, 3, 4, 5))


def call(ask: Ask) -> Call:
    """Both ends are inclusive."""
    return Call(ask.start_ms, ask.limit, {"until": ask.end_ms - 1})


DIALECT = Dialect(
    rules={
        "spot": VenueRules(
            venue="binance",
            # 3d is left out: its bars are not proved to open on our grid
            timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h", "1d", "1w", "1M"),
            page_limit=1_000,
            horizon_candles=None,
            weight_per_page=0.4,
            weight_limit=1_200.0,  # 6,000 a minute, at five to ccxt's unit
            window_s=60.0,
            seeks_first=True,
            pool="binance",
        )
    },
    layouts={"spot": LAYOUT},
    call=call,
    options={"spot": {"fetchMarkets": {"types": ["spot"]}}},
    codes=CODES,
    statuses={403: "rate"},  # its web firewall answers so to an address that asks too much
    used_weight_header="x-mbx-used-weight-1m",
    used_weight_unit=0.2,
)
