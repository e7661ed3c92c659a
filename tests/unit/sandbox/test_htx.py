"""HTX's wire shape, without a network."""

from __future__ import annotations

import gzip
from typing import Any

import orjson
import pytest

from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS, MINUTE_MS
from heliograph.sandbox.clock import VirtualClock
from heliograph.sandbox.exchange.htx import Htx
from heliograph.sandbox.exchange.wire import Request
from heliograph.sandbox.tape import Tape

T0 = 1_700_006_400_000  # 2023-11-15 00:00 UTC
HOURS = 2_500
NOW = T0 + HOURS * HOUR_MS
QUIET = T0 + 2_400 * HOUR_MS  # BTC has no trade then
OUTAGE = T0 + 2_410 * HOUR_MS  # nobody has
SPOT, SWAP = "/market/history/candles", "/linear-swap-ex/market/history/kline"


def bars(skip: tuple[int, ...], count: int = HOURS + 10) -> Candles:
    rows = [[T0 + i * HOUR_MS, 100 + i, 101.5 + i, 99.25 + i, 100.5 + i, (1_500 + i) / 1000] for i in range(count)]
    return Candles.of([row for row in rows if row[0] not in skip])


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock(NOW, NOW + 10 * HOUR_MS)


@pytest.fixture
def htx(clock: VirtualClock) -> Htx:
    bases = {
        "BTC/USDT": {"1h": bars((QUIET, OUTAGE))},
        "ETH/USDT": {"1h": bars((OUTAGE,))},
        "LTC/USDT": {"1h": bars((), 800)},
    }
    return Htx.of(Tape(bases, origin=""), clock)


def call(htx: Htx, path: str, **query: object) -> Any:
    asked = {name.rstrip("_"): str(value) for name, value in query.items()}
    host = "api.huobi.pro" if path == SPOT else "api.hbdm.vn"
    return orjson.loads(htx.answer(Request(host, path, asked)).body)


def opens(htx: Htx, path: str, **query: object) -> list[int]:
    given = (
        {"period": "60min", "symbol": "btcusdt"} if path == SPOT else {"period": "60min", "contract_code": "BTC-USDT"}
    )
    return [row["id"] * 1_000 for row in call(htx, path, **(given | query))["data"]]


@pytest.mark.parametrize("path", [SPOT, SWAP])
def test_bounds_are_whole_seconds_and_both_inclusive(htx: Htx, path: str) -> None:
    found = opens(htx, path, from_=T0 // 1_000, to=T0 // 1_000 + 7_200)
    assert sorted(found) == [T0, T0 + HOUR_MS, T0 + 2 * HOUR_MS]
    assert found == sorted(found, reverse=path == SPOT)


def test_spot_gives_150_unless_told_and_at_most_1000(htx: Htx) -> None:
    assert len(opens(htx, SPOT)) == 150
    assert len(opens(htx, SPOT, size=1_000)) == 1_000
    assert opens(htx, SPOT, size=1_001) == []


def test_contracts_ignore_both_ends_where_a_size_is_said(htx: Htx) -> None:
    span = {"from_": T0 // 1_000, "to": T0 // 1_000 + 3_600}
    assert len(opens(htx, SWAP, **span)) == 2
    assert opens(htx, SWAP, **span, size=3) == [NOW - 2 * HOUR_MS, NOW - HOUR_MS, NOW][-3:]
    assert len(opens(htx, SWAP, from_=T0 // 1_000, to=NOW // 1_000)) == 2_000
    assert call(htx, SWAP, contract_code="BTC-USDT", period="60min")["status"] == "error"


def test_start_before_2017_is_an_error(htx: Htx) -> None:
    told = call(htx, SPOT, symbol="btcusdt", period="60min", from_=1_291_132_800, to=T0 // 1_000)
    assert told["err-code"] == "base-date-limit-error"


@pytest.mark.parametrize(("period", "hours"), [("1day", 24), ("4hour", 4)])
def test_days_open_at_midnight_of_utc_8(htx: Htx, period: str, hours: int) -> None:
    assert {t // HOUR_MS % hours for t in opens(htx, SPOT, period=period)} == {16 % hours}


def test_months_open_at_midnight_of_utc_8(htx: Htx) -> None:
    """As ccxt's pull request 18014 shows: 2023-01-31 16:00 UTC."""
    assert opens(htx, SPOT, period="1mon")[0] == 1_706_716_800_000  # 2024-01-31 16:00


def test_candle_is_corrected_until_ten_minutes_after_its_close(htx: Htx, clock: VirtualClock) -> None:
    last = {"symbol": "btcusdt", "period": "60min", "from_": NOW // 1_000 - 3_600, "to": NOW // 1_000 - 1}
    (early,) = call(htx, SPOT, **last)["data"]
    clock.move_to(NOW + 10 * MINUTE_MS - 1)
    assert call(htx, SPOT, **last)["data"] == [early]
    clock.move_to(NOW + 10 * MINUTE_MS)
    (late,) = call(htx, SPOT, **last)["data"]
    assert late["amount"] == (1_500 + HOURS - 1) / 1000
    assert early["amount"] == pytest.approx(late["amount"] - 0.001)


def test_quiet_bars_are_filled_and_outages_are_not(htx: Htx) -> None:
    rows = call(htx, SPOT, symbol="btcusdt", period="60min", from_=QUIET // 1_000 - 3_600, to=OUTAGE // 1_000 + 3_600)
    by_open = {row["id"] * 1_000: row for row in rows["data"]}
    quiet, before = by_open[QUIET], by_open[QUIET - HOUR_MS]
    assert {quiet[name] for name in ("open", "high", "low", "close")} == {before["close"]}
    assert (quiet["amount"], quiet["count"]) == (0, 0)
    assert OUTAGE not in by_open


def test_listing_says_what_is_halted_and_how_prices_step(htx: Htx) -> None:
    pairs = {m["symbol"]: m for m in call(htx, "/v1/common/symbols")["data"]}
    assert (pairs["btcusdt"]["state"], pairs["ltcusdt"]["state"]) == ("online", "offline")
    assert (pairs["btcusdt"]["price-precision"], pairs["btcusdt"]["amount-precision"]) == (2, 3)
    told = call(htx, "/linear-swap-api/v1/swap_contract_info")
    contracts = {m["contract_code"]: m for m in told["data"]}
    assert (contracts["BTC-USDT"]["contract_status"], contracts["LTC-USDT"]["contract_status"]) == (1, 3)
    assert (contracts["BTC-USDT"]["price_tick"], contracts["BTC-USDT"]["create_date"]) == (0.01, "20231115")


def test_each_host_tells_its_time_in_its_own_way(htx: Htx) -> None:
    assert call(htx, "/v1/common/timestamp") == {"status": "ok", "data": NOW}
    assert call(htx, "/api/v1/timestamp") == {"status": "ok", "ts": NOW}
    pools = {htx.charge(Request(host, "/", {})).pool for host in ("api.huobi.pro", "api.hbdm.vn", "api.hbdm.com")}
    assert pools == {"spot", "swap"}


@pytest.mark.parametrize(
    ("path", "query", "said"),
    [
        (SPOT, {"symbol": "nope", "period": "60min"}, "invalid symbol"),
        (SPOT, {"symbol": "BTC-USDT", "period": "60min"}, "invalid symbol"),
        (SWAP, {"contract_code": "btcusdt", "period": "60min", "size": 1}, "invalid symbol"),
        (SPOT, {"symbol": "btcusdt", "period": "2hour"}, "invalid period"),
        (SPOT, {"symbol": "btcusdt", "period": "60min", "size": "x"}, "invalid size, valid range: [1,2000]"),
    ],
)
def test_wrong_requests_get_the_venues_own_words(htx: Htx, path: str, query: dict[str, Any], said: str) -> None:
    told = call(htx, path, **query)
    assert (told["status"], told["err-msg"]) == ("error", said)
    assert htx.answer(Request("api.huobi.pro", "/nope", {})).status == 404


@pytest.mark.parametrize(
    ("kind", "status", "said"),
    [
        ("rate_limit", 200, '"err_code":1032'),
        ("ban", 429, '"api-limit"'),
        ("maintenance", 200, '"system-maintenance"'),
        ("server_error", 200, '"gateway-internal-error"'),
    ],
)
def test_refusals_are_the_venues_own(htx: Htx, kind: Any, status: int, said: str) -> None:
    reply = htx.refuse(kind, retry_after_s=1.0)
    assert reply.status == status
    assert said in reply.body.decode()


def unpacked(frame: Any) -> Any:
    return orjson.loads(gzip.decompress(frame))


def test_every_frame_is_packed_by_gzip_and_a_socket_starts_with_a_ping(htx: Htx) -> None:
    assert unpacked(htx.greet()[0]) == {"ping": NOW}
    assert htx.hear(f'{{"pong":{NOW}}}').replies == ()
    assert unpacked(htx.hear('{"ping":5}').replies[0]) == {"pong": 5}


@pytest.mark.parametrize("name", ["market.btcusdt.kline.60min", "market.BTC-USDT.kline.60min"])
def test_subscriptions_begin_with_the_open_bar_and_end(htx: Htx, name: str) -> None:
    talk = htx.hear(orjson.dumps({"sub": name, "id": "7"}).decode())
    done, tick = (unpacked(frame) for frame in talk.replies)
    assert (done["id"], done["status"], done["subbed"]) == ("7", "ok", name)
    assert (tick["ch"], tick["tick"]["id"]) == (name, NOW // 1_000)
    ended = htx.hear(orjson.dumps({"unsub": name, "id": "8"}).decode())
    assert ended.ended == talk.begun
    assert unpacked(ended.replies[0])["unsubbed"] == name


def test_unknown_topic_is_an_error(htx: Htx) -> None:
    talk = htx.hear('{"sub":"market.nope.kline.60min","id":"1"}')
    assert (unpacked(talk.replies[0])["err-code"], talk.begun) == ("bad-request", ())
