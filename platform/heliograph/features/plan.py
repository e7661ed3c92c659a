"""The columns that a choice of features needs, who fills each, and the table of formulas that the kernel evaluates."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import talib

from heliograph.config.settings import FeatureSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.timeframe import Timeframe
from heliograph.features import align, catalog, kernels
from heliograph.features.spec import Feature, Indicator, Output, Term

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]
CONTEXT_RESULTS = slice(kernels.C_LOG_RETURN, len(kernels.CONTEXT_COLUMNS))


@dataclass(frozen=True, slots=True)
class Plan:
    """How to compute a choice of features.

    Attributes:
        base: timeframe of the rows.
        features: F declarations in column order.
        num_columns: K columns of the work matrix: the kernel's own, then TA-Lib's, then the higher timeframes'.
        indicators: each TA-Lib indicator with its input rows and its output rows.
        contexts: each higher timeframe with the rows of its results.
        rows_F7, constants_F7, range_F5: the formulas, as `kernels.scale` reads them.
    """

    base: Timeframe
    features: tuple[Feature, ...]
    num_columns: int
    indicators: tuple[tuple[Indicator, tuple[int, ...], slice], ...]
    contexts: tuple[tuple[Timeframe, slice], ...]
    rows_F7: IntArray
    constants_F7: FloatArray
    range_F5: FloatArray

    @property
    def names(self) -> tuple[str, ...]:
        """Column names of the table."""
        return tuple(f.name for f in self.features)


def make(settings: FeatureSettings) -> Plan:
    """Lay out the work matrix.

    Raises:
        ConfigError: a name matches no feature, or a context timeframe is not made of whole base bars.
    """
    base = timeframes.parse(settings.timeframe)
    features = catalog.chosen(settings)
    rows: dict[str | Output, int] = {name: k for k, name in enumerate(kernels.COLUMNS)}
    indicators = []
    for found in dict.fromkeys(t.indicator for f in features for t in f.terms if isinstance(t, Output)):
        first = len(rows)
        rows.update({found[k]: first + k for k in range(found.num_outputs)})
        indicators.append((found, tuple(rows[name] for name in found.inputs), slice(first, len(rows))))
    contexts = []
    for name in dict.fromkeys(f.timeframe for f in features if f.timeframe):
        first = len(rows)
        align.require_nested(base, timeframes.parse(name))
        rows.update({f"{name}:{c}": first + k for k, c in enumerate(kernels.CONTEXT_COLUMNS[CONTEXT_RESULTS])})
        contexts.append((timeframes.parse(name), slice(first, len(rows))))
    return Plan(
        base=base,
        features=features,
        num_columns=len(rows),
        indicators=tuple(indicators),
        contexts=tuple(contexts),
        rows_F7=np.array([[_row(t, rows) for t in f.terms] for f in features], dtype=np.int64),
        constants_F7=np.array([[t if isinstance(t, float) else 0.0 for t in f.terms] for f in features]),
        range_F5=np.array([[f.factor, f.least, f.otherwise, f.low, f.high] for f in features]),
    )


def _row(term: Term, rows: dict[str | Output, int]) -> int:
    return -1 if isinstance(term, float) else rows[term]


def fingerprint(settings: FeatureSettings) -> str:
    """Names what the features mean: other declarations, kernels or another TA-Lib give another one; 12 hex digits."""
    todo = make(settings)
    meaning = [repr((todo.base, todo.features, todo.contexts, talib.__version__, talib.__ta_version__)).encode()]
    meaning += [inspect.getsource(module).encode() for module in (kernels, align)]
    return hashlib.sha256(b"\n".join(meaning)).hexdigest()[:12]


def warmup_bars(settings: FeatureSettings) -> int:
    """Base bars after which a live start gives what the whole history gives, to 1e-9, where no bar is missing."""
    plan = make(settings)
    return max(_in_base_bars(f, plan.base) for f in plan.features)


def _in_base_bars(feature: Feature, base: Timeframe) -> int:
    bars = max(feature.lookback_bars, feature.settle_bars)
    return (bars + 1) * timeframes.parse(feature.timeframe).ms // base.ms if feature.timeframe else bars
