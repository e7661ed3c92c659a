"""Fold scores as training writes them, with the slice's ends."""

from __future__ import annotations

from typing import Any

from tests.unit.backtest.tapes import HOUR, START_MS


def score(fold: int, *, loss: tuple[float, float] = (9.0, 9.5), t: float = 3.0, origins: int = 200) -> dict[str, Any]:
    """Two horizons, both baselines lose 10 on average; ``loss`` is the model's."""
    names = ("unconditional", "volatility_scaled")
    return {
        "fold": fold,
        "model": "scripted",
        "test_start_ms": START_MS + fold * 100 * HOUR.ms,
        "test_end_ms": START_MS + (fold + 1) * 100 * HOUR.ms,
        "origins": origins,
        "horizons_bars": (1, 24),
        "pinball": {"model": loss, **dict.fromkeys(names, (10.0, 10.0))},
        "skill_pct": {n: tuple(100 * (1 - x / 10) for x in loss) for n in names},
        "dm_t": dict.fromkeys(names, (t, t)),
        "coverage": {0.8: (0.79, 0.81), 0.95: (0.95, 0.94)},
        "hit_rate": (0.5, 0.52),
        "hit_by_decile": ((0.5,) * 10, tuple(0.48 + 0.01 * i for i in range(10))),
        "stated_by_decile": ((0.5,) * 10, tuple(0.5 + 0.01 * i for i in range(10))),
        "calibration": calibration(),
    }


def calibration() -> dict[str, Any]:
    """Two horizons, ten classes of direction, three regimes."""
    tenths = tuple(0.45 + 0.01 * i for i in range(10))
    return {
        "pit_density": ((1.0,) * 4,) * 2,
        "direction": ({"stated": tenths, "came": tenths, "count": (20,) * 10},) * 2,
        "direction_ece": (0.004, 0.006),
        "abstention": (tuple(0.5 + 0.005 * i for i in range(10)),) * 2,
        "regime_coverage": {0.8: ((0.79, 0.8, 0.82),) * 2, 0.95: ((0.94, 0.95, 0.96),) * 2},
        "regime_origins": (100, 60, 40),
    }
