"""Fetch what the lake lacks: the plan goes out over Ray Data, the manifests come back to one committer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray

from heliograph.cluster.governor import LeasedBudget
from heliograph.config.settings import FetchSettings, LakeSettings, Settings
from heliograph.core import schema
from heliograph.ingest import plan as planning
from heliograph.ingest import shard
from heliograph.lake import commit, coverage, store
from heliograph.sources.catalog import rules
from heliograph.sources.rest import CcxtSource
from heliograph.telemetry.progress import Bar


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What one run did.

    Attributes:
        requests_minimum: fewest pages that could have brought the planned candles.
        probes: other requests: catalogues, clocks, first candles.
        failed: shards that the next run will try again, with the reason.
    """

    shards: int
    candles: int
    requests: int
    requests_minimum: int
    probes: int
    failed: tuple[str, ...]
    version: int


def source(venue: str, fetch: FetchSettings) -> CcxtSource:
    """A venue's history under the cluster's shared budget."""
    settings = fetch.venues[venue]
    return CcxtSource(venue, settings, LeasedBudget(rules(venue), settings.budget_scale))
