"""Bitstamp spot: https://www.bitstamp.net/api."""

from __future__ import annotations

import re

from heliograph.core.market import VenueRules
from heliograph.sources.dialect import Ask, Call, Dialect, Layout


def call(ask: Ask) -> Call:
    """Where both bounds are given it counts back from the end, which is inclusive: a wider window would lose the first bars."""
    return Call(ask.start_ms, ask.limit, {"until": ask.window_end_ms - 1})


DIALECT = Dialect(
    rules={
        "spot": VenueRules(
            venue="bitstamp",
            # 1w is left out: ccxt asks for three days
            timeframes=("1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "12h", "1d"),
            page_limit=1_000,
            horizon_candles=None,
            weight_per_page=1.0,
            weight_limit=800.0,  # of 8,000 in ten minutes
            window_s=60.0,
            seeks_first=False,
            pool="bitstamp",
            fills_quiet=True,  # with flat bars; not verified
        )
    },
    layouts={"spot": Layout(("timestamp", "open", "high", "low", "close", "volume"), unit_ms=1_000)},
    call=call,
    clock="public_get_eur_usd",  # the shortest of its answers: no endpoint tells the time
    # ccxt lists the currencies from the same answer, if that is not older
    options={"spot": {"fetchMarkets": {"expires": 60_000}}},
    codes={"400.002": "rate", "API0017": "retry"},
    code_pattern=re.compile(r'"(?:response_code|code)"\s*:\s*"([\w.]+)"'),
    statuses={404: "gone"},  # of the pair; ccxt takes it for a venue that can't answer
    wait_s=30.0,
)
