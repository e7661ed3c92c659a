"""Feature scales measured on training rows and on nothing else.

Shapes: N rows, n rows chosen, F features.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError, DataError, SchemaMismatch

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

Kind = Literal["robust", "standard"]
"""Median and interquartile range, or mean and standard deviation."""

_NORMAL_IQR = 1.349  # interquartile range of N(0, 1)


@dataclass(frozen=True, slots=True)
class Scaler:
    """Centre and spread of each feature; it transforms the very features that it was fitted on.

    Attributes:
        names: the F features, in order.
        centre_F, spread_F: float64[F], of the feature or of its log; spreads are positive.
        floor_F: float64[F]; where finite, the feature is floored at it and read in logs; NaN elsewhere.
    """

    names: tuple[str, ...]
    centre_F: FloatArray
    spread_F: FloatArray
    floor_F: FloatArray

    @classmethod
    def fit(
        cls,
        x_NF: npt.NDArray[np.floating],
        rows: IntArray,
        *,
        names: tuple[str, ...],
        kind: Kind = "robust",
        log_floors: dict[str, float] | None = None,
    ) -> Scaler:
        """Measure on the given rows; NaN and infinite values are passed over.

        The robust spread is the interquartile range over 1.349; where that is next to zero (flags, rare events) the
        standard deviation; where that is zero too, one. Columns are read one by one, so memory is that of one.

        Args:
            x_NF: raw features; may be a memory map.
            rows: int64[n], of the fold's train slice.
            log_floors: features that are read in logs, and the least value of each.

        Raises:
            ConfigError: there are no rows, or a feature to log is not among the names.
            SchemaMismatch: there are not as many names as columns.
            DataError: a feature has no finite value in these rows; the message names it.
        """
        _require_width(x_NF.shape, names)
        if not rows.size:
            raise ConfigError(
                "there are no training rows to measure scales on: fetch a longer history, or lower folds.count"
            )
        floors = log_floors or {}
        if strange := sorted(set(floors) - set(names)):
            raise ConfigError(f"{', '.join(strange)} can't be read in logs: add to features.names, or leave out")
        floor_F = np.array([floors.get(name, np.nan) for name in names])
        measured = [
            _measure(_logged(x_NF[rows, f : f + 1], floor_F[f : f + 1]), name, kind) for f, name in enumerate(names)
        ]
        centre_F, spread_F = np.array(measured).reshape(-1, 2).T
        return cls(names, centre_F, spread_F, floor_F)

    def transform(self, x: npt.NDArray[np.floating], names: tuple[str, ...]) -> FloatArray:
        """Features on one scale, ``(x − centre) / spread``, float64, any leading axes; NaN stays NaN.

        Raises:
            SchemaMismatch: these are not the features that it was fitted on, in their order.
        """
        self.require(names)
        _require_width(x.shape, names)
        scaled: FloatArray = (_logged(x, self.floor_F) - self.centre_F) / self.spread_F
        return scaled

    def require(self, names: tuple[str, ...]) -> None:
        """Check that these are its features.

        Raises:
            SchemaMismatch: they are not; the message names the first that differs.
        """
        if names == self.names:
            return
        pairs = zip((*self.names, *[None] * len(names)), (*names, *[None] * len(self.names)), strict=False)
        place, (ours, theirs) = next((k, pair) for k, pair in enumerate(pairs) if pair[0] != pair[1])
        raise SchemaMismatch(
            f"feature {place} is {theirs or 'missing'} and the scales were measured with {ours or 'none there'}: fit on "
            "these features, or set features.names to those of the fold"
        )

    def to_json(self) -> str:
        """Text that `of_json` makes the same scaler of, to the last bit; it is kept beside the fold's weights."""
        columns = zip(self.names, self.centre_F.tolist(), self.spread_F.tolist(), self.floor_F.tolist(), strict=True)
        return json.dumps([[n, c, s, None if np.isnan(f) else f] for n, c, s, f in columns])

    @classmethod
    def of_json(cls, text: str) -> Scaler:
        """Inverse of `to_json`."""
        table = json.loads(text)
        centre_F, spread_F, floor_F = (np.array([row[k] for row in table], dtype=np.float64) for k in (1, 2, 3))
        return cls(tuple(str(row[0]) for row in table), centre_F, spread_F, floor_F)


def _logged(x: npt.NDArray[np.floating], floor_F: FloatArray) -> FloatArray:
    logged = x.astype(np.float64)
    is_logged_F = np.isfinite(floor_F)
    logged[..., is_logged_F] = np.log(np.maximum(logged[..., is_logged_F], floor_F[is_logged_F]))
    return logged


def _measure(column: FloatArray, name: str, kind: Kind) -> tuple[float, float]:
    finite = column[np.isfinite(column)]
    if not finite.size:
        raise DataError(
            f"{name} has no finite value in the training rows: fetch a longer history, or take it out of features.names"
        )
    deviation = float(finite.std())
    low, centre, high = np.quantile(finite, [0.25, 0.5, 0.75])
    spread = (high - low) / _NORMAL_IQR
    if kind == "standard":
        centre, spread = finite.mean(), deviation
    spread = spread if spread > 1e-6 * deviation else deviation
    return float(centre), float(spread) if spread > 1e-12 else 1.0


def _require_width(shape: tuple[int, ...], names: tuple[str, ...]) -> None:
    if not shape or shape[-1] != len(names):
        raise SchemaMismatch(f"an array of shape {shape} does not hold {len(names)} features: give one column a name")
