"""The anchors of the skill table: every baseline fitted on what is known before a test slice, symbol by symbol or pooled.

A symbol that can't carry a forecaster of its own (too few origins, a price that stood still, a likelihood without a
maximum) gets the one of all symbols together; so a young listing is scored too, and by a fair rival.

Shapes: N training origins, M rows, H horizons.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Self

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import DataError
from heliograph.model.baselines import PooledForecaster, month_sigma
from heliograph.model.ewma import EwmaForecaster, Moves
from heliograph.model.garch import GarchForecaster
from heliograph.model.har import CORSI, HAR_FEATURES, HarForecaster
from heliograph.model.spec import Forecaster, Spec
from heliograph.train.pool import realised_log_vol
from heliograph.train.protocol import Fit, Task
from heliograph.windows.sample import SymbolData

Float32Array = npt.NDArray[np.float32]
FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

_QUANTILE_ROWS = 1_000  # of an own distribution
_GARCH_ROWS = 2_000
_HAR_ROWS = 300  # for each feature read: with fewer a symbol's own HAR falls behind the pooled one by over a per cent
_POOLED_ROWS = 150_000  # evenly out of those of all symbols; more make a pooled scale no better


@dataclass(frozen=True, slots=True)
class Origins:
    """Training origins of one symbol, or of several end to end.

    Attributes:
        moves: of all rows, warm-up and all.
        rows: int64[N] into ``moves``; each has a whole window of its symbol.
        last_NF: raw features of the origins.
        log_return_NH, setup_NH: labels.
        realised_NH: volatility of the bars up to each horizon, log-return.
    """

    moves: Moves
    rows: IntArray
    last_NF: Float32Array
    log_return_NH: FloatArray
    setup_NH: IntArray
    realised_NH: FloatArray

    @classmethod
    def of(cls, spec: Spec, data: SymbolData, rows: IntArray) -> Self:
        """Of one symbol."""
        last_NF = data.x_NF[rows]
        realised_NH = np.exp(realised_log_vol(data, spec)[rows]) * _assumed(spec, last_NF)
        return cls(
            moves=Moves.of(spec, data.x_NF),
            rows=rows,
            last_NF=last_NF,
            log_return_NH=data.log_return_NH[rows],
            setup_NH=data.setup_NH[rows],
            realised_NH=realised_NH,
        )

    @classmethod
    def pooled(cls, spec: Spec, task: Task) -> Self:
        """Of all symbols, thinned evenly.

        Raises:
            DataError: there is none.
        """
        rows_S = [task.rows(d) for d in task.data]
        total = sum(rows.size for rows in rows_S)
        if not total:
            raise DataError("no symbol has a whole window with its labels before the test: fetch a longer history")
        step = -(-total // _POOLED_ROWS)
        parts = [cls.of(spec, d, rows[::step]) for d, rows in zip(task.data, rows_S, strict=True)]
        first_S = np.cumsum([0, *(d.known_ts_ms.size for d in task.data[:-1])])
        return cls(
            moves=Moves.joined([p.moves for p in parts]),
            rows=np.concatenate([p.rows + first for p, first in zip(parts, first_S, strict=True)]),
            **{
                name: np.concatenate([getattr(p, name) for p in parts])
                for name in ("last_NF", "log_return_NH", "setup_NH", "realised_NH")
            },
        )


Measure = Callable[[Spec, Origins], Forecaster]
"""Fits one forecaster to training origins."""


def _assumed(spec: Spec, last_NF: Float32Array) -> FloatArray:
    sigma_N = last_NF[:, spec.sigma_index].astype(np.float64)
    assumed_NH: FloatArray = sigma_N[:, None] * spec.root_horizons
    return assumed_NH


def _unconditional(spec: Spec, on: Origins) -> Forecaster:
    return PooledForecaster.fit(
        spec,
        "unconditional",
        sigma_N=on.last_NF[:, spec.sigma_index].astype(np.float64),
        log_return_NH=on.log_return_NH,
        setup_NH=on.setup_NH,
    )


def _rolling(spec: Spec, on: Origins) -> Forecaster:
    return PooledForecaster.fit(
        spec,
        "rolling",
        sigma_N=month_sigma(spec, on.last_NF),
        log_return_NH=on.log_return_NH,
        setup_NH=on.setup_NH,
    )


def _ewma_t(spec: Spec, on: Origins) -> Forecaster:
    return EwmaForecaster.fit(spec, on.moves, rows=on.rows, log_return_NH=on.log_return_NH, setup_NH=on.setup_NH)


def _garch_t(spec: Spec, on: Origins) -> Forecaster:
    return GarchForecaster.fit(spec, on.moves, rows=on.rows, log_return_NH=on.log_return_NH, setup_NH=on.setup_NH)


def _har(spec: Spec, on: Origins, features: tuple[str, ...] = HAR_FEATURES) -> Forecaster:
    return HarForecaster.fit(
        spec,
        last_NF=on.last_NF,
        log_return_NH=on.log_return_NH,
        setup_NH=on.setup_NH,
        realised_NH=on.realised_NH,
        features=features,
    )


_corsi = partial(_har, features=CORSI)


def _each(
    task: Task, measure: Measure, otherwise: Measure, *, least_rows: int = _QUANTILE_ROWS
) -> Mapping[str, Forecaster]:
    """One forecaster a symbol; where that can't be measured, what ``otherwise`` measures on all symbols."""
    own = {d.symbol: _own(task, d, measure, least_rows) for d in task.data}
    if all(own.values()):
        return {symbol: forecaster for symbol, forecaster in own.items() if forecaster is not None}
    shared = otherwise(task.spec, Origins.pooled(task.spec, task))
    return {symbol: forecaster or shared for symbol, forecaster in own.items()}


def _own(task: Task, data: SymbolData, measure: Measure, least_rows: int) -> Forecaster | None:
    rows = task.rows(data)
    if rows.size < least_rows:
        return None
    try:
        return measure(task.spec, Origins.of(task.spec, data, rows))
    except DataError:
        return None


def _har_rows(spec: Spec, features: tuple[str, ...]) -> int:
    return _HAR_ROWS * (1 + len({*features} & {*spec.feature_names}))


def unconditional(task: Task) -> Mapping[str, Forecaster]:
    """Each symbol's own distribution of returns, whatever the market does."""
    return _each(task, _unconditional, _unconditional)


def rolling(task: Task) -> Mapping[str, Forecaster]:
    """Each symbol's own distribution, as wide as its last 720 bars.

    Raises:
        ConfigError: the feature that tells their volatility is not there.
    """
    return _each(task, _rolling, _rolling)


def ewma_t(task: Task) -> Mapping[str, Forecaster]:
    """Each symbol's EWMA with Student-t tails.

    Raises:
        ConfigError: the feature of the last return is not there.
        DataError: all symbols together have too little history.
    """
    return _each(task, _ewma_t, _ewma_t)


def garch_t(task: Task) -> Mapping[str, Forecaster]:
    """Each symbol's GARCH(1,1) with Student-t tails; where it does not converge, EWMA of all symbols.

    Raises:
        ConfigError: the feature of the last return is not there.
        DataError: all symbols together have too little history.
    """
    return _each(task, _garch_t, _ewma_t, least_rows=_GARCH_ROWS)


def har_corsi(task: Task) -> Mapping[str, Forecaster]:
    """Each symbol's HAR as it was published, day, week and month, with filtered historical simulation.

    Raises:
        DataError: all symbols together have too little history.
    """
    return _each(task, _corsi, _corsi, least_rows=_har_rows(task.spec, CORSI))


def har(task: Task) -> Mapping[str, Forecaster]:
    """Each symbol's HAR with filtered historical simulation.

    Raises:
        DataError: all symbols together have too little history.
    """
    return _each(task, _har, _har, least_rows=_har_rows(task.spec, HAR_FEATURES))


def har_pooled(task: Task) -> Mapping[str, Forecaster]:
    """One HAR of all symbols together.

    Raises:
        DataError: they have too little history.
    """
    return dict.fromkeys((d.symbol for d in task.data), _har(task.spec, Origins.pooled(task.spec, task)))


ANCHORS: dict[str, Fit] = {
    "unconditional": unconditional,
    "rolling": rolling,
    "ewma_t": ewma_t,
    "garch_t": garch_t,
    "har_corsi": har_corsi,
    "har": har,
    "har_pooled": har_pooled,
}
"""By the names that the skill table gives them, the plainest first."""
