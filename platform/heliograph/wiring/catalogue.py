"""The markets that the lake knows: written by the fetch, read by everything that has no venue at hand."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from decimal import Decimal
from typing import Any

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.market import Market
from heliograph.lake.store import open_store

_ORIGIN = "catalogue/origin.txt"
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


def _put(lake: LakeSettings, key: str, body: bytes) -> None:
    store = open_store(lake)
    while True:
        held = store.get_tagged(key)
        if (held and held[0] == body) or store.put_if_match(key, body, held[1] if held else None):
            return


def _key(venue: str) -> str:
    return f"catalogue/{venue}.json"
