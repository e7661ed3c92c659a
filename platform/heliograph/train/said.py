"""What forecasters said at test origins, beside what came; and what a release makes of it.

Shapes: N test origins of all symbols, H horizons, Q quantile levels, F features.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from heliograph.model.confidence import Confidence
from heliograph.model.spec import Forecast
from heliograph.model.tracker import Tracker
from heliograph.train import score

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Truth:
    """What came after N test origins, symbol after symbol within each refit.

    Attributes:
        symbols: unified names; ``symbol_N`` points into them.
        known_ts_ms: int64[N], when the origin is known; ``end_ts_ms_NH``, when its labels are.
        y_NH: float64 log-return.
        sigma_N: float64, volatility per bar known at the origin.
        regime_N: int64, of `score.regimes`.
    """

    symbols: tuple[str, ...]
    symbol_N: IntArray
    known_ts_ms: IntArray
    end_ts_ms_NH: IntArray
    y_NH: FloatArray
    sigma_N: FloatArray
    regime_N: IntArray


@dataclass(frozen=True, slots=True)
class Said:
    """What one forecaster said at these origins.

    Attributes:
        quantile_NHQ: of the log-return.
        confidence_NH: how sure it is of the median's sign.
        up_NH: probability of a positive return, where it is more than the confidence tells: that of strange markets is
            lowered, whatever their direction.
    """

    quantile_NHQ: FloatArray
    confidence_NH: FloatArray
    up_NH: FloatArray | None = None

    @property
    def up(self) -> FloatArray:
        """Probability of a positive return, float64[N, H]."""
        if self.up_NH is not None:
            return self.up_NH
        return score.probability_up(self.quantile_NHQ, self.confidence_NH)


@dataclass(frozen=True, slots=True)
class Outcome:
    """Truth beside all that was said about it."""

    truth: Truth
    said: dict[str, Said]


def tracked(truth: Truth, said: Said, tracker: Tracker) -> Said:
    """The same with the widths that were right so far, each label counting from when it is known."""
    regime_N = np.empty(truth.known_ts_ms.size, dtype=np.int64)
    for k, symbol in enumerate(truth.symbols):
        mine = truth.symbol_N == k
        regime_N[mine] = tracker.regimes.of(symbol, truth.sigma_N[mine])
    quantile_NHQ, _ = tracker.run(
        truth.known_ts_ms, truth.end_ts_ms_NH, said.quantile_NHQ, truth.y_NH, regime_N=regime_N
    )
    return replace(said, quantile_NHQ=quantile_NHQ)


def assured(wide: Said, plain: Said, sure: Confidence, last_NF: Float32Array) -> Said:
    """The tracked cones with the confidence that the fitted forecaster's own statements earn."""
    num, horizons = plain.confidence_NH.shape
    forecast = Forecast(plain.quantile_NHQ, np.empty((num, horizons, 0)), plain.confidence_NH)
    up_NH = score.probability_up(plain.quantile_NHQ, sure.probability(forecast))
    return Said(wide.quantile_NHQ, sure.apply(forecast, last_NF), up_NH)


def end_to_end(outcomes: Sequence[Outcome]) -> Outcome:
    """Several folds' outcomes as one; only forecasters that all of them have are kept."""
    truth, said = [o.truth for o in outcomes], [o.said for o in outcomes]
    columns = {
        f.name: np.concatenate([getattr(t, f.name) for t in truth]) for f in fields(Truth) if f.name != "symbols"
    }
    kept = [name for name in said[0] if all(name in s for s in said)]
    return Outcome(
        Truth(symbols=truth[0].symbols, **columns),
        {name: _joined_said([s[name] for s in said]) for name in kept},
    )


def _joined_said(parts: Sequence[Said]) -> Said:
    up = [p.up_NH for p in parts if p.up_NH is not None]
    return Said(
        np.concatenate([p.quantile_NHQ for p in parts]),
        np.concatenate([p.confidence_NH for p in parts]),
        np.concatenate(up) if len(up) == len(parts) else None,
    )
