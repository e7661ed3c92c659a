"""The markets that the lake knows: written by the fetch, read by everything that has no venue at hand."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.market import Market
from heliograph.lake.store import open_store

_ORIGIN = "catalogue/origin.txt"
_NAMED = 5
_MONEY = ("price_tick", "qty_step", "min_notional_quote")


def write(lake: LakeSettings, venue: str, markets: Sequence[Market]) -> None:
    """Keep a venue's markets; the newest listing wins."""
    _put(lake, _key(venue), json.dumps([asdict(m) for m in markets], default=str, indent=1).encode())


def write_origin(lake: LakeSettings, sentence: str) -> None:
    """Keep where the lake's candles come from, in one sentence; reports say it."""
    _put(lake, _ORIGIN, sentence.encode())


def read_origin(lake: LakeSettings) -> str:
    """Where the lake's candles come from.

    Raises:
        ConfigError: nothing was ever fetched.
    """
    held = open_store(lake).get_tagged(_ORIGIN)
    if held is None:
        raise ConfigError(f"nothing was fetched into the lake {lake.uri}; run `helio fetch` first")
    return held[0].decode()


def read(lake: LakeSettings, venue: str) -> dict[tuple[str, str], Market]:
    """A venue's markets by (venue, unified symbol).

    Raises:
        ConfigError: nothing was ever fetched from that venue.
    """
    held = open_store(lake).get_tagged(_key(venue))
    if held is None:
        raise ConfigError(f"the lake {lake.uri} knows no markets of {venue}; run `helio fetch` with that venue first")
    rows: list[dict[str, Any]] = json.loads(held[0])
    markets = [Market(**{**row, **{name: Decimal(row[name]) for name in _MONEY}}) for row in rows]
    return {(m.venue, m.symbol): m for m in markets}


def backtested(lake: LakeSettings, keys: Collection[tuple[str, str]]) -> dict[tuple[str, str], Market]:
    """These markets as a backtest trades them: open, since that one closed later is hindsight.

    Args:
        keys: (venue, unified symbol).

    Raises:
        ConfigError: the newest listing of a venue lacks one.
    """
    known = {key: market for venue in {v for v, _ in keys} for key, market in read(lake, venue).items()}
    if lacking := sorted(set(keys) - set(known)):
        named = ", ".join(f"{symbol} on {venue}" for venue, symbol in lacking[:_NAMED])
        raise ConfigError(
            f"the lake {lake.uri} has no listing of {named}, and so no price ticks and quantity steps to trade by: leave "
            f"{'it' if len(lacking) == 1 else 'them'} out of train.symbols, or run `helio fetch` where it is listed"
        )
    return {key: replace(known[key], is_active=True) for key in keys}


def _put(lake: LakeSettings, key: str, body: bytes) -> None:
    store = open_store(lake)
    while True:
        held = store.get_tagged(key)
        if (held and held[0] == body) or store.put_if_match(key, body, held[1] if held else None):
            return


def _key(venue: str) -> str:
    return f"catalogue/{venue}.json"
