"""Feature tables of every symbol, spread over Ray Data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import ray

from heliograph.config.settings import Settings
from heliograph.features import table
from heliograph.telemetry.progress import Bar
from heliograph.train import dataset


@dataclass(frozen=True, slots=True)
class FeatureReport:
    """What one run did; ``reused`` counts tables that were there already."""

    tables: int
    reused: int
    rows: int
    features: int


def run(settings: Settings, shown: Bar) -> FeatureReport:
    """Compute what is missing of the training and trading venues' feature tables."""
    venue = settings.train.venue
    chosen = dataset.symbols(settings, venue, settings.train.symbols)
    tasks = ray.data.from_items([{"venue": venue, "symbol": s} for s in chosen], override_num_blocks=len(chosen))

    def make(row: dict[str, Any]) -> dict[str, Any]:
        return asdict(dataset.make_features(settings, row["venue"], row["symbol"]))

    made = []
    for row in tasks.map(make).iter_rows():
        made.append(row)
        shown.reach(len(made) / len(chosen), str(row["symbol"]))
    return FeatureReport(
        tables=len(made),
        reused=sum(bool(r["reused"]) for r in made),
        rows=sum(int(r["rows"]) for r in made),
        features=len(table.names(settings.features)),
    )
