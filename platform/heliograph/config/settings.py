"""Every setting of Heliograph, typed, with its unit and bounds. A function receives only its section."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from heliograph.config.learning import (
    FoldSettings,
    LabelSettings,
    ModelSettings,
    SweepSettings,
    TrainSettings,
    TreeSettings,
)
from heliograph.config.section import Bps, EpochMs, Fraction, Positive, Section
from heliograph.core import timeframe as timeframes

CERTIFIED = (
    "binance",
    "binanceusdm",
    "bitfinex",
    "bitget",
    "bitstamp",
    "bybit",
    "coinbase",
    "cryptocom",
    "gate",
    "htx",
    "hyperliquid",
    "kraken",
    "kucoin",
    "mexc",
    "okx",
)
"""Venues that the contract suite proves."""


def _known_timeframe(name: str) -> str:
    if name not in timeframes.TIMEFRAMES:
        raise ValueError(f"unknown timeframe {name!r}: use one of {', '.join(timeframes.TIMEFRAMES)}")
    return name


class LakeSettings(Section):
    """Where candles lie."""

    uri: str = Field("var/lake", min_length=1, description="a folder, or s3://bucket/prefix")
    s3_endpoint_url: str | None = Field(
        None, description="for stores other than AWS; keys come from AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
    s3_region: str = "us-east-1"
    parts_per_commit: int = Field(200, ge=1, description="parts in one transaction of the Delta log")
    retention_days: float = Field(
        30.0, ge=0, description="how long files that compaction or a repair replaced stay, for as_of reads"
    )
    orphan_hours: float = Field(24.0, gt=0, description="how long a file that no commit names may stay")
    lease_s: float = Field(30.0, gt=0, description="how long a committer may be silent before another takes over")


class RegistrySettings(Section):
    """Where models and the ledger of trials lie."""

    uri: str | None = Field(
        None,
        min_length=1,
        description="a folder, or s3://bucket/prefix, reached with the lake's endpoint, region and keys; None: under var",
    )


class VenueSettings(Section):
    """How a venue is reached."""

    http_proxy: str | None = Field(None, description="http://host:port of a CONNECT proxy")
    ws_proxy: str | None = None
    ca_file: str | None = Field(None, description="PEM file with the certificate authority to trust")
    budget_scale: float = Field(0.8, gt=0, le=1_000, description="share of the venue's published rate limit to use")
    timeout_s: float = Field(20.0, gt=0, description="for every call")


class Selection(Section):
    """Which candles to have: the product of venues, symbols and timeframes."""

    venues: tuple[str, ...] = ("*",)
    symbols: tuple[str, ...] = Field(("*",), description="globs on unified names, e.g. */USDT")
    timeframes: tuple[str, ...] = ("1h",)
    data: tuple[Literal["candles", "trades", "funding", "open_interest"], ...] = Field(
        ("candles",), description="trades and funding have no timeframe; open interest comes hourly"
    )
    start_ms: EpochMs = 0
    end_ms: EpochMs | None = Field(None, description="exclusive; None: up to the venue's now")

    @field_validator("timeframes")
    @classmethod
    def _timeframes(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_known_timeframe(n) for n in names if n != "*") if names != ("*",) else names

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end_ms is not None and self.end_ms <= self.start_ms:
            raise ValueError(f"end_ms {self.end_ms} must be after start_ms {self.start_ms}")
        return self


class FallbackSettings(Section):
    """A paid provider that is asked for what a venue does not give."""

    provider: Literal["coinapi"] = Field("coinapi", description="its key comes from HELIO_COINAPI_KEY")
    url: str = Field("https://rest.coinapi.io", description="without a slash at its end")
    requests_per_s: Positive = 5.0
    timeout_s: Positive = 30.0


class FetchSettings(Section):
    """What is downloaded, and how wide."""

    venues: dict[str, VenueSettings] = Field(
        default_factory=lambda: {n: VenueSettings() for n in CERTIFIED},
        description="by ccxt's id; any exchange of ccxt that gives candles may be named",
    )
    archives: bool = Field(True, description="history comes from the venue's bulk files first, where it has them")
    fallback: FallbackSettings | None = Field(None, description="asked for what a venue does not give any more")
    selections: tuple[Selection, ...] = (Selection(),)
    workers: int = Field(2, ge=1, le=1_000, description="fetch actors; the budget is shared by all")
    pages_per_shard: int = Field(20, ge=1, le=1_000)
    shards_per_block: int = Field(8, ge=1, description="shards that one Ray Data block carries")
    pages_in_flight: int = Field(8, ge=1, le=256, description="concurrent pages of one worker")
    attempts: int = Field(5, ge=1, le=20, description="tries of one page before its shard is given up")


class FeatureSettings(Section):
    """Which features, on which bars."""

    timeframe: str = "1h"
    context_timeframes: tuple[str, ...] = Field(("4h", "1d"), description="higher timeframes, resampled from the base")
    names: tuple[str, ...] = Field(("core",), description="globs on feature names; core: the small default set")
    files: tuple[Path, ...] = Field((), description="Python files with features of your own, see docs/usage.md")
    universe: tuple[str, ...] = Field(
        ("*",), description="globs on the venue's symbols that cross-sectional features compare, each kind for itself"
    )

    @field_validator("timeframe")
    @classmethod
    def _base(cls, name: str) -> str:
        return _known_timeframe(name)

    @field_validator("context_timeframes")
    @classmethod
    def _context(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(_known_timeframe(n) for n in names)

    @model_validator(mode="after")
    def _higher(self) -> Self:
        base = timeframes.TIMEFRAMES[self.timeframe].ms
        low = [n for n in self.context_timeframes if timeframes.TIMEFRAMES[n].ms <= base]
        if low:
            raise ValueError(f"context_timeframes {low} must be longer than timeframe {self.timeframe}")
        return self


class CostSettings(Section):
    """What trading costs."""

    fee_bps: Bps = 5.0
    slippage_bps: Bps = 2.0


class RiskSettings(Section):
    """Limits and sizes."""

    initial_cash_quote: Positive = 100_000.0
    kelly_fraction: float = Field(0.25, gt=0, le=1)
    horizon_bars: int = Field(24, ge=1, description="the forecast horizon that sizes follow")
    annual_vol_target: float = Field(0.20, gt=0, le=5, description="most of the portfolio, as a share of equity")
    risk_memory_days: float = Field(10.0, gt=0, description="half-life of how wide and how alike markets move")
    max_symbol_weight: float = Field(0.25, gt=0, description="of equity, each symbol")
    max_leverage: float = Field(1.0, gt=0, le=20)
    soft_drawdown: Fraction = Field(0.10, description="sizes shrink linearly from here")
    hard_drawdown: Fraction = Field(0.25, description="to zero here; positions are closed and trading halts")
    min_confidence: Fraction = 0.50
    no_trade_band: float = Field(0.005, ge=0, description="least change of weight worth an order")
    allow_short: bool = True
    max_order_notional_quote: Positive = 50_000.0
    stale_after_bars: int = Field(2, ge=1, description="no order on a candle older than this")

    @model_validator(mode="after")
    def _drawdowns(self) -> Self:
        if self.soft_drawdown >= self.hard_drawdown:
            raise ValueError(f"soft_drawdown {self.soft_drawdown} must be below hard_drawdown {self.hard_drawdown}")
        return self


class ServeSettings(Section):
    """The signal service."""

    host: str = "127.0.0.1"
    port: int = Field(8_100, ge=1_024, le=65_535)
    api_key: SecretStr | None = Field(
        None, description="from HELIO_API_KEY; None: one is made and kept, readable by you alone, in the run folder"
    )


class LiveSettings(Section):
    """The execution actor."""

    mode: Literal["paper"] = Field("paper", description="orders go to the simulated broker; there is no other yet")
    venues: tuple[str, ...] = ("binance", "okx")
    symbols: tuple[str, ...] = ("*",)
    warmup_bars: int = Field(
        1_000, ge=50, description="history before the first bar that the cone's tracker has yet to learn from"
    )
    max_candles: int | None = Field(None, ge=1, description="stop after so many closed candles; None: run on")


class Settings(Section):
    """All of it."""

    var: Path = Field(Path("var"), description="whatever a run makes lies under this folder")
    data_origin: str = Field("Candles from the venues' public endpoints.", description="one sentence, said in reports")
    lake: LakeSettings = LakeSettings()
    registry: RegistrySettings = RegistrySettings()
    fetch: FetchSettings = FetchSettings()
    features: FeatureSettings = FeatureSettings()
    labels: LabelSettings = LabelSettings()
    folds: FoldSettings = FoldSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
    trees: TreeSettings = TreeSettings()
    sweep: SweepSettings = SweepSettings()
    costs: CostSettings = CostSettings()
    risk: RiskSettings = RiskSettings()
    serve: ServeSettings = ServeSettings()
    live: LiveSettings = LiveSettings()

    @model_validator(mode="after")
    def _horizon_is_forecast(self) -> Self:
        if self.risk.horizon_bars not in self.labels.horizons_bars:
            raise ValueError(
                f"risk.horizon_bars {self.risk.horizon_bars} must be one of labels.horizons_bars {self.labels.horizons_bars}"
            )
        return self

    @property
    def fingerprint(self) -> str:
        """First 12 hex digits of the sha256 of all settings that can change a result; places and secrets stay out."""
        places = {"var", "data_origin", "lake", "registry", "serve"}
        told = self.model_dump(mode="json", exclude=dict.fromkeys(places, True) | {"fetch": {"venues"}})
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:12]

    @property
    def models_folder(self) -> Path:
        """Where runs leave what they fit, and without ``registry.uri`` the models too."""
        return self.var / "models"
