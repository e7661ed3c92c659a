"""Every setting of Heliograph, typed, with its unit and bounds. A function receives only its section."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator, model_validator

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

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Positive = Annotated[float, Field(gt=0.0)]
Bps = Annotated[float, Field(ge=0.0, le=1_000.0)]
EpochMs = Annotated[int, Field(ge=0, description="UTC epoch milliseconds")]


def _known_timeframe(name: str) -> str:
    if name not in timeframes.TIMEFRAMES:
        raise ValueError(f"unknown timeframe {name!r}: use one of {', '.join(timeframes.TIMEFRAMES)}")
    return name


class Section(BaseModel):
    """A frozen part of the settings; unknown keys are errors."""

    model_config = ConfigDict(frozen=True, extra="forbid")


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


class LabelSettings(Section):
    """What the model forecasts."""

    horizons_bars: tuple[int, ...] = (1, 4, 12, 24)
    levels: tuple[float, ...] = (0.01, 0.025, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9, 0.95, 0.975, 0.99)
    barrier_sigma: float = Field(1.0, gt=0, description="triple-barrier width in predicted standard deviations")

    @field_validator("horizons_bars")
    @classmethod
    def _horizons(cls, h: tuple[int, ...]) -> tuple[int, ...]:
        if not h or list(h) != sorted(set(h)) or h[0] < 1:
            raise ValueError("horizons_bars must be ascending positive integers")
        return h

    @field_validator("levels")
    @classmethod
    def _levels(cls, q: tuple[float, ...]) -> tuple[float, ...]:
        if list(q) != sorted(set(q)) or 0.5 not in q or q[0] <= 0 or q[-1] >= 1:
            raise ValueError("levels must ascend within (0, 1) and hold 0.5")
        if any(abs(a + b - 1) > 1e-9 for a, b in zip(q, reversed(q), strict=True)):
            raise ValueError("levels must be symmetric about 0.5")
        return q


class FoldSettings(Section):
    """Walk-forward folds: expanding train, then a purged and embargoed test slice."""

    count: int = Field(3, ge=1, le=100)
    test_bars: int = Field(2_880, ge=24, description="bars of one outer test slice")
    validation_fraction: float = Field(
        0.15, gt=0, lt=0.5, description="tail of the train slice kept for early stopping and calibration"
    )
    embargo_bars: int = Field(24, ge=0)


class ModelSettings(Section):
    """The network's size."""

    kind: Literal["hybrid", "lstm", "transformer"] = "hybrid"
    window_bars: int = Field(64, ge=8, le=4_096)
    width: int = Field(32, ge=4, le=4_096)
    patch_bars: int = Field(4, ge=1)
    lstm_layers: int = Field(1, ge=1, le=8)
    attention_layers: int = Field(1, ge=1, le=64)
    attention_heads: int = Field(4, ge=1)
    dropout: Fraction = 0.3

    @model_validator(mode="after")
    def _divides(self) -> Self:
        faults = []
        if self.window_bars % self.patch_bars:
            faults.append(f"window_bars {self.window_bars} must be a multiple of patch_bars {self.patch_bars}")
        if self.width % self.attention_heads:
            faults.append(f"width {self.width} must be a multiple of attention_heads {self.attention_heads}")
        if faults:
            raise ValueError("; ".join(faults))
        return self


class TrainSettings(Section):
    """How the network is fitted."""

    venue: str = "binance"
    symbols: tuple[str, ...] = ("*",)
    strategy: Literal["single", "ddp", "deepspeed"] = "single"
    workers: int = Field(1, ge=1, le=1_024, description="data-parallel workers of one fold")
    use_gpu: bool = Field(False, description="one GPU each worker")
    folds_at_once: int = Field(2, ge=1, le=1_024)
    epochs: int = Field(8, ge=1, le=10_000)
    samples_per_epoch: int = Field(8_192, ge=64)
    batch_size: int = Field(512, ge=8)
    learning_rate: Positive = 1e-3
    weight_decay: float = Field(0.05, ge=0)
    clip_norm: Positive = 1.0
    patience_epochs: int = Field(3, ge=1)
    seed: int = 1

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.strategy == "single" and self.workers > 1:
            raise ValueError(f"strategy single has one worker, not {self.workers}; choose ddp or deepspeed")
        if self.batch_size % self.workers:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of workers {self.workers}")
        return self


class SweepSettings(Section):
    """Search over settings, folds as trials."""

    trials: int = Field(4, ge=1)
    learning_rate: tuple[Positive, Positive] = (5e-4, 5e-3)
    widths: tuple[int, ...] = (16, 32)
    dropout: tuple[Fraction, Fraction] = (0.0, 0.3)


class CostSettings(Section):
    """What trading costs."""

    fee_bps: Bps = 5.0
    slippage_bps: Bps = 2.0


class RiskSettings(Section):
    """Limits and sizes."""

    initial_cash_quote: Positive = 100_000.0
    kelly_fraction: float = Field(0.25, gt=0, le=1)
    horizon_bars: int = Field(24, ge=1, description="the forecast horizon that sizes follow")
    annual_vol_target: float = Field(0.20, gt=0, le=5, description="of one position, as a share of equity")
    max_symbol_weight: float = Field(0.25, gt=0, description="of equity, each symbol")
    max_leverage: float = Field(1.0, gt=0, le=20)
    soft_drawdown: Fraction = Field(0.10, description="sizes shrink linearly from here")
    hard_drawdown: Fraction = Field(0.25, description="to zero here; positions are closed and trading halts")
    min_confidence: Fraction = 0.50
    no_trade_band: float = Field(0.02, ge=0, description="least change of weight worth an order")
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
    warmup_bars: int = Field(1_000, ge=50, description="history that seeds features and the model's window")
    max_candles: int | None = Field(None, ge=1, description="stop after so many closed candles; None: run on")


class Settings(Section):
    """All of it."""

    var: Path = Field(Path("var"), description="whatever a run makes lies under this folder")
    data_origin: str = Field("Candles from the venues' public endpoints.", description="one sentence, said in reports")
    lake: LakeSettings = LakeSettings()
    fetch: FetchSettings = FetchSettings()
    features: FeatureSettings = FeatureSettings()
    labels: LabelSettings = LabelSettings()
    folds: FoldSettings = FoldSettings()
    model: ModelSettings = ModelSettings()
    train: TrainSettings = TrainSettings()
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
        told = self.model_dump_json(
            exclude={"var": True, "data_origin": True, "lake": True, "serve": True, "fetch": {"venues"}}
        )
        return hashlib.sha256(told.encode()).hexdigest()[:12]

    @property
    def models_folder(self) -> Path:
        """Where fitted models lie."""
        return self.var / "models"
