"""Crypto.com Exchange, spot and perpetuals: https://exchange-docs.crypto.com/exchange/v1/rest-ws/index.html."""

from __future__ import annotations

from dataclasses import replace

from heliograph.core.market import VenueRules
from heliograph.sources.dialect import Ask, Call, Dialect, Layout

_COUNT = 300  # bars in an answer, at most
_SPOT = VenueRules(
    venue="cryptocom",
    # 1w and 1M are left out: their bars are not proved to open on our grid
    timeframes=("1m", "5m", "15m", "30m", "1h", "4h", "6h", "12h", "1d"),
    page_limit=_COUNT - 2,
    horizon_candles=None,
    weight_per_page=1.0,
    weight_limit=100.0,
    window_s=1.0,
    seeks_first=False,
    pool="cryptocom",
)
_LAYOUT = Layout(("t", "o", "h", "l", "c", "v"))


def call(ask: Ask) -> Call:
    """A window with room for two bars more than are wanted.

    Nothing says whether its bounds are inclusive, if they are rounded to bars, or which bars it drops where more fit
    than it sends: whichever way, no bar is lost. Without a count, ccxt sends the end in microseconds.
    """
    bounds = {"start_ts": max(ask.start_ms - 1, 0), "end_ts": ask.timeframe.ceil(ask.window_end_ms)}
    return Call(ask.start_ms, _COUNT, bounds)


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": replace(_SPOT, kind="swap")},
    layouts={"spot": _LAYOUT, "swap": _LAYOUT},
    call=call,
    clock="v1_public_get_public_get_risk_parameters",  # it has no clock; this answer needs no parameter, and has a date
    codes={
        "10001": "retry",
        "10006": "rate",
        "10007": "retry",
        "30003": "gone",
        "40102": "retry",
        "40801": "timeout",
        "42901": "rate",
        "50001": "retry",  # ccxt has no class for it
        "9010001": "retry",
    },
    wait_s=2.0,
)
