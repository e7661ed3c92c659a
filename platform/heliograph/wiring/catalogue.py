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

_MONEY = ("price_tick", "qty_step", "min_notional_quote")


def write(lake: LakeSettings, venue: str, markets: Sequence[Market]) -> None:
    """Keep a venue's markets; the newest listing wins."""
    store = open_store(lake)
    body = json.dumps([asdict(m) for m in markets], default=str, indent=1).encode()
    while True:
        held = store.get_tagged(_key(venue))
        if (held and held[0] == body) or store.put_if_match(_key(venue), body, held[1] if held else None):
            return


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


def _key(venue: str) -> str:
    return f"catalogue/{venue}.json"
