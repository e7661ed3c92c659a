"""Features of every market, spread over Ray Data: one task a market, tile by tile, what is cached left alone."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import ray

from heliograph.config.settings import Settings
from heliograph.core.market import slug
from heliograph.features import catalog
from heliograph.lake import read
from heliograph.lake.store import open_store
from heliograph.telemetry.progress import Bar
from heliograph.train import columns, dataset, inputs

MAX_BLOCKS = 1_000
"""A block costs 10 ms; with thousands of markets, some share one."""


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """What one run did.

    Attributes:
        tables: markets.
        reused: markets of which nothing had to be computed.
        rows: candles of all markets.
        features: columns of a market's table.
        computed_columns, reused_columns: columns of a tile that were computed, and that were there.
        version: of the candles, the same for all markets.
    """

    tables: int
    reused: int
    rows: int
    features: int
    computed_columns: int
    reused_columns: int
    version: int


def run(settings: Settings, shown: Bar) -> FeatureReport:
    """Compute what the cache lacks of the training venue's markets, all at one version of the lake.

    Killed at any point, or run twice at the same time, it leaves what one run leaves.

    Raises:
        ConfigError: the lake has no candles that the settings name, or a feature reads what is not there.
    """
    venue, timeframe = settings.train.venue, settings.features.timeframe
    chosen = dataset.symbols(settings, venue, settings.train.symbols)
    version = read.version(settings.lake)
    spans = columns.spans(settings.lake, venue, timeframe, as_of=version)
    found = {symbol: ray.put(others) for symbol, others in inputs.gathered(settings, chosen, as_of=version).items()}

    def make(row: dict[str, Any]) -> dict[str, Any]:
        """Features are made where they run: compiled kernels do not travel."""
        others, span = ray.get(found[row["symbol"]]), tuple(row["span"])
        past = columns.history(settings.lake, venue, row["symbol"], timeframe, others=others, as_of=version, span=span)
        return row | asdict(columns.fill(open_store(settings.lake), past, catalog.chosen(settings.features)))

    markets = [{"symbol": symbol, "span": spans[slug(symbol)]} for symbol in chosen]
    tasks = ray.data.from_items(markets, override_num_blocks=min(len(markets), MAX_BLOCKS))
    made: list[dict[str, Any]] = []
    for row in tasks.map(make).iter_rows():
        made.append(row)
        shown.reach(len(made) / len(chosen), str(row["symbol"]))
    return FeatureReport(
        tables=len(made),
        reused=sum(row["computed"] == 0 for row in made),
        rows=sum(row["rows"] for row in made),
        features=len(catalog.chosen(settings.features)),
        computed_columns=sum(row["computed"] for row in made),
        reused_columns=sum(row["reused"] for row in made),
        version=version,
    )
