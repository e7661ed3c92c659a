"""Settings of what is learned, and how: labels, folds, network, trees, search."""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from heliograph.config.section import Fraction, Positive, Section


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
    """Walk-forward folds: train, validation and a test slice, purged and embargoed; expanding, or rolling."""

    count: int = Field(3, ge=1, le=100)
    rolling_bars: int | None = Field(
        None, ge=48, description="train and validation together see no more than so many bars; None: all (expanding)"
    )
    purge_windows: bool = Field(
        False, description="purge by the model's window too: no later slice sees a bar that an earlier label ended in"
    )
    test_bars: int = Field(2_880, ge=24, description="bars of one outer test slice")
    validation_fraction: float = Field(
        0.15, gt=0, lt=0.5, description="tail of the train slice kept for early stopping and calibration"
    )
    embargo_bars: int = Field(24, ge=0)
    warm_start: bool = Field(
        False, description="a fold begins with the weights of the one before it, so they are fitted one after the other"
    )


class ModelSettings(Section):
    """The network's size."""

    kind: Literal["hybrid", "lstm", "transformer"] = "hybrid"
    window_bars: int = Field(64, ge=8, le=4_096)
    width: int = Field(32, ge=4, le=4_096)
    patch_bars: int = Field(8, ge=1, description="base bars of one token")
    higher_bars: int = Field(12, ge=1, description="newest bars of each longer timeframe, as far as the window reaches")
    last_width: int = Field(64, ge=4, le=4_096, description="of the branch that reads the last bar alone")
    companion_width: int = Field(
        32, ge=4, le=4_096, description="of the layer before the logits of setup and direction"
    )
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
    strategy: Literal["single", "ddp", "fsdp", "deepspeed"] = "single"
    zero_stage: int = Field(1, ge=1, le=3, description="what DeepSpeed shards: optimiser, and gradients, and weights")
    workers: int = Field(1, ge=1, le=1_024, description="data-parallel workers of one fold")
    use_gpu: bool = Field(False, description="one GPU each worker")
    folds_at_once: int = Field(2, ge=1, le=1_024)
    epochs: int = Field(8, ge=1, le=10_000)
    samples_per_epoch: int = Field(16_384, ge=64)
    batch_size: int = Field(512, ge=8)
    learning_rate: Positive = 1e-3
    weight_decay: float = Field(0.2, ge=0)
    clip_norm: Positive = 1.0
    ema_decay: float = Field(0.0, ge=0, lt=1, description="of the moving average of the weights, a step; 0: no average")
    precision: Literal["fp32", "bf16"] = Field(
        "fp32", description="of matrix products; losses and quantiles are float64 in both"
    )
    companion_samples: int = Field(
        32_768, ge=64, description="windows that the setup and direction heads learn from, after the quantiles"
    )
    companion_epochs: int = Field(6, ge=1, le=10_000)
    patience_epochs: int = Field(4, ge=1)
    seed: int = 1

    @model_validator(mode="after")
    def _shared(self) -> Self:
        if self.strategy == "single" and self.workers > 1:
            raise ValueError(f"strategy single has one worker, not {self.workers}; choose ddp, fsdp or deepspeed")
        if self.batch_size % self.workers:
            raise ValueError(f"batch_size {self.batch_size} must be a multiple of workers {self.workers}")
        return self


class Range(Section):
    """Where a searched setting may lie: from low to high (whole numbers where the setting is one), or one of choices.

    A list is taken for the choices.
    """

    low: float | None = None
    high: float | None = None
    log: bool = Field(False, description="drawn evenly over the logarithm")
    choices: tuple[Any, ...] = Field((), description="of any setting; lists for settings that are lists")

    @model_validator(mode="before")
    @classmethod
    def _listed(cls, given: Any) -> Any:
        if isinstance(given, list | tuple):
            return {"choices": given}
        if not isinstance(given, dict | Range):
            raise ValueError(f"give a range as {{low: 1, high: 8}}, or a list of choices, not {given!r}")
        return given

    @model_validator(mode="after")
    def _either(self) -> Self:
        if self.choices and (self.low, self.high) == (None, None):
            return self
        if self.choices or self.low is None or self.high is None:
            raise ValueError("give either low and high, or choices")
        if not self.low < self.high:
            raise ValueError(f"low {self.low} must be below high {self.high}")
        if self.log and self.low <= 0:
            raise ValueError(f"low {self.low} has no logarithm: log needs a range above zero")
        return self


class TreeSettings(Section):
    """How trees are boosted on what the volatility model leaves."""

    rounds: int = Field(100, ge=1, le=100_000, description="at a horizon of one bar; longer ones take fewer")
    learning_rate: Positive = 0.05
    leaves: int = Field(8, ge=2, le=1_024)
    leaf_fraction: float = Field(0.02, gt=0, lt=0.5, description="least share of the origins in a leaf")
    l2: float = Field(100.0, ge=0, description="added to a leaf's curvature; that of an origin is about a third")
    feature_fraction: float = Field(0.3, gt=0, le=1)
    row_fraction: float = Field(0.7, gt=0, le=1)
    bins: int = Field(63, ge=3, le=65_535)
    every_bars: int = Field(
        3, ge=1, description="one origin in so many; prime to 24 takes every hour of the day in turn"
    )


class SweepSettings(Section):
    """Search over settings, folds as trials."""

    space: dict[str, Range] = Field(
        default_factory=lambda: {
            "train.learning_rate": Range(low=5e-4, high=5e-3, log=True),
            "model.width": Range(choices=(16, 32)),
            "model.dropout": Range(low=0.0, high=0.3),
        },
        description="by section.field: any of model, features, labels, train and risk that can make a forecast better",
    )
    objective: Literal["skill", "sharpe"] = Field(
        "skill",
        description="on the inner validation: pinball skill over the scaled baseline, or the backtest's yearly Sharpe ratio after costs",
    )
    candidates: int = Field(8, ge=1, le=100_000, description="raised later, the search goes on where it ended")
    abreast: int = Field(
        4, ge=1, le=1_024, description="candidates under way at once; one is drawn knowing all but so many before it"
    )
    reduction: int = Field(2, ge=2, le=10, description="one of so many goes on after 1, n, n² … folds (ASHA)")
    grace: int = Field(4, ge=1, description="nobody is stopped before so many have reached a rung")
    startup: int = Field(
        8, ge=1, description="drawn at random before the tree-structured Parzen estimator (TPE) begins"
    )
    score_chosen: bool = Field(False, description="afterwards fit the chosen candidate and open its test slices, once")
