"""HTX, once Huobi: https://www.htx.com/en-us/opend/newApiPages/.

Its days and months open at midnight of UTC+8 (`heliograph.core.calendars`), and its candles are still corrected minutes
after their close.
"""

from __future__ import annotations

import re
from dataclasses import replace

from heliograph.core.market import VenueRules
from heliograph.core.timeframe import MINUTE_MS
from heliograph.sources.dialect import Ask, Call, Dialect, Layout

_FIRST_MS = 1_501_174_800_000  # 2017-07-28: an earlier start is an error, "date less than system limit"
_SPOT = VenueRules(
    venue="htx",
    # 1w is left out: which day its weeks open on is not proved
    timeframes=("1m", "5m", "15m", "30m", "1h", "4h", "1d", "1M"),
    page_limit=1_000,
    horizon_candles=None,
    weight_per_page=1.0,
    weight_limit=20.0,  # ten calls a second
    window_s=2.0,
    seeks_first=False,
    pool="htx",
    close_delay_ms=10 * MINUTE_MS,  # huobi_Python issue 45: another volume at 16:10 than at 16:01
    fills_quiet=True,
)
_SWAP = replace(_SPOT, kind="swap", page_limit=2_000, pool="htx:swap")  # on another host
_LAYOUT = Layout(("id", "open", "high", "low", "close", "amount"), unit_ms=1_000)


def call(ask: Ask) -> Call:
    """Whole seconds, both ends inclusive. Contracts ignore both ends where a size is said, so none is."""
    start_ms = max(_up_to_second(ask.start_ms), _FIRST_MS)
    end_ms = max(_up_to_second(min(ask.window_end_ms, ask.now_ms)), start_ms + 1_000)
    return Call(start_ms, ask.limit if ask.kind == "spot" else None, {"until": end_ms - 1_000})


def _up_to_second(ts_ms: int) -> int:
    return -(-ts_ms // 1_000) * 1_000


def _options(*, is_spot: bool) -> dict[str, object]:
    types = {"spot": is_spot, "linear": not is_spot, "inverse": False}
    return {"fetchMarkets": {"types": types}, "defaultType": "spot" if is_spot else "swap"}


DIALECT = Dialect(
    rules={"spot": _SPOT, "swap": _SWAP},
    layouts={"spot": _LAYOUT, "swap": _LAYOUT},
    call=call,
    options={"spot": _options(is_spot=True), "swap": _options(is_spot=False)},
    codes={
        "429": "rate",  # ccxt has no class for it, nor for the next two
        "1032": "rate",
        "api-limit": "rate",
        "base-request-exceed-frequency-limit": "rate",
        "rate-too-many-requests": "rate",
        "request limit": "rate",
        "1013": "gone",
        "base-symbol-error": "gone",
        "invalid symbol": "gone",
        "gateway-internal-error": "retry",
        "system-maintenance": "retry",
        "timeout": "timeout",
    },
    # what is wrong stands in the code or, under the code "invalid-parameter", in the message
    code_pattern=re.compile(r'"(?:code|err[-_](?:code|msg))"\s*:\s*"?([\w. -]+)'),
)
