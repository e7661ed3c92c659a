"""Planted worlds for the tests of training: symbols whose future is partly written in their features."""

from __future__ import annotations

import numpy as np

from heliograph.config.learning import LabelSettings, ModelSettings, TrainSettings
from heliograph.features.table import SIGMA
from heliograph.model.spec import Spec
from heliograph.train.pool import spec_of
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData

HOUR_MS = 3_600_000
NAMES = (SIGMA, "signal", "noise")
LABELS = LabelSettings(horizons_bars=(1, 4), levels=(0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975))
MODEL = ModelSettings(window_bars=8, patch_bars=2, width=8, attention_heads=2, dropout=0.0)
TRAIN = TrainSettings(
    epochs=3,
    samples_per_epoch=1_024,
    batch_size=128,
    learning_rate=5e-3,
    patience_epochs=3,
    seed=3,
    companion_samples=2_048,
)
GAP = 10


def spec() -> Spec:
    """Of all tests here."""
    return spec_of(NAMES, LABELS, MODEL)


def symbol(name: str, step_N: np.ndarray, signal_N: np.ndarray, *, sigma: float, noise_N: np.ndarray) -> SymbolData:
    """A market whose log-price takes these steps; row n's features are known before step n + 1."""
    num = step_N.size
    known = (np.arange(num) + 1) * HOUR_MS
    log_close = np.cumsum(step_N)
    returns = np.full((num, 2), np.nan)
    for column, horizon in enumerate(LABELS.horizons_bars):
        returns[:-horizon, column] = log_close[horizon:] - log_close[:-horizon]
    width = sigma * np.sqrt(LABELS.horizons_bars)
    setup = np.where(np.isnan(returns), -1, 1 + (returns > width) - (returns < -width)).astype(np.int64)
    x = np.column_stack([np.full(num, sigma), signal_N, noise_N]).astype(np.float32)
    x[:3] = np.nan
    ends = known[:, None] + HOUR_MS * np.array(LABELS.horizons_bars)
    return SymbolData("planted", name, known, 100.0 * np.exp(log_close), x, returns, setup, ends)


def world(kind: str, *, num: int = 4_000, symbols: int = 2, seed: int = 0) -> list[SymbolData]:
    """``volatility``: the signal is the log of the next bars' spread; ``drift``: their mean; ``walk``: nothing."""
    made = []
    for index in range(symbols):
        rng = np.random.default_rng([seed, index])
        state = np.zeros(num)
        for i in range(1, num):
            state[i] = 0.95 * state[i - 1] + 0.31 * rng.normal()
        shock = rng.normal(size=num) * 0.01
        before = np.concatenate([[0.0], state[:-1]])
        step = {"volatility": shock * np.exp(0.8 * before), "drift": shock + 0.005 * before, "walk": shock}[kind]
        made.append(symbol(f"S{index}/USDT", step, state, sigma=0.01, noise_N=rng.normal(size=num)))
    return made


def fold(num: int = 4_000, index: int = 0) -> Fold:
    """60 % train, 20 % validation, 20 % test, with gaps."""
    a, b = int(0.6 * num) * HOUR_MS, int(0.8 * num) * HOUR_MS
    gap = GAP * HOUR_MS
    return Fold(index=index, train=(0, a - gap), validation=(a, b - gap), test=(b, (num + 1) * HOUR_MS))
