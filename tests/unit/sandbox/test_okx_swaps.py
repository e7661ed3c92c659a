"""OKX's perpetual swaps on the wire, without a network."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.okx import Okx
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000
NOW = T0 + 400 * HOUR_MS


@pytest.fixture(scope="module")
def venue() -> Okx:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(410)]
    return Okx.of(Tape({"BTC/USDT": {"1h": Candles.of(rows)}}, origin=""), VirtualClock(NOW, NOW + 10 * HOUR_MS))


def get(venue: Okx, path: str, **query: object) -> Any:
    request = Request("www.okx.com", f"/api/v5/{path}", {name: str(value) for name, value in query.items()})
    return orjson.loads(venue.answer(request).body)["data"]


def test_sixth_field_counts_contracts_and_the_seventh_coins(venue: Okx) -> None:
    span = {"bar": "1H", "before": T0 - 1, "after": T0 + 1}
    pair, swap = (
        get(venue, "market/history-candles", instId=name, **span)[0] for name in ("BTC-USDT", "BTC-USDT-SWAP")
    )
    assert pair[5] == "1.500"
    assert float(pair[6]) == pytest.approx(1.5 * 100.3125)
    assert (swap[5], swap[6], swap[8]) == ("45.000", "4.500", "1")
    assert pair[:5] == swap[:5]


def test_each_type_has_its_instruments(venue: Okx) -> None:
    assert [m["instId"] for m in get(venue, "public/instruments", instType="SPOT")] == ["BTC-USDT"]
    swap = get(venue, "public/instruments", instType="SWAP")[0]
    assert (swap["instId"], swap["uly"], swap["settleCcy"], swap["ctType"], swap["ctVal"], swap["ctValCcy"]) == (
        "BTC-USDT-SWAP", "BTC-USDT", "USDT", "linear", "0.1", "BTC",
    )  # fmt: skip
    assert get(venue, "public/instruments", instType="FUTURES") == []


def test_swaps_have_candle_channels_of_their_own(venue: Okx) -> None:
    args = [{"channel": "candle1H", "instId": name} for name in ("BTC-USDT", "BTC-USDT-SWAP")]
    talk = venue.hear(orjson.dumps({"op": "subscribe", "args": args}).decode())
    assert [topic.symbol for topic in talk.begun] == ["BTC/USDT", "BTC/USDT:USDT"]
    told = [orjson.loads(text) for text in talk.replies[2:]]
    assert [push["arg"] for push in told] == args
