"""After the fit: calibrate on the validation slice, and open the outer test slice, once.

Shapes: N rows, B windows, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from heliograph.core.errors import ConfigError, InvariantBroken
from heliograph.features.table import SIGMA
from heliograph.model import calibrate
from heliograph.model.baselines import PooledForecaster
from heliograph.model.calibrate import Calibration, Raw
from heliograph.model.forecaster import save
from heliograph.model.neural import NetworkForecaster, har_of, load_network
from heliograph.model.spec import Forecast, Forecaster, Spec
from heliograph.model.table import to_arrow
from heliograph.model.tracker import Tracker
from heliograph.train.pool import Pool
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData, gather, origins

IntArray = npt.NDArray[np.int64]

_BATCH = 2_048
_NEVER_MS = 2**62


def finish(
    best: Path, data: Sequence[SymbolData], fold: Fold, *, folder: Path, provenance: dict[str, str]
) -> NetworkForecaster:
    """Calibrate the fitted network on the fold's validation slice and save the forecaster to ``folder``.

    Args:
        best: what `loop.fit` returned.
        provenance: where it came from, e.g. the settings' fingerprint and the lake's version; kept beside the weights.
    """
    network = load_network(best)
    spec = network.spec
    plain = NetworkForecaster(network, Calibration.identity(len(spec.horizons_bars), len(spec.levels)))
    pool = Pool.of(data, spec)
    rows = np.concatenate(pool.rows(data, fold.validation, spec, labelled_by_ms=fold.test[0]))
    parts = [plain.raw(gather(pool.x_NF, chunk, spec.window_bars)) for chunk in _chunks(rows)]
    scale_NH = har_of(network).scale(pool.x_NF[rows])
    raw = Raw(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("z_BHQ", "setup_BHC", "direction_BH")))
    calibration = calibrate.fit(
        raw,
        z_NH=pool.log_return_NH[rows] / scale_NH,
        scale_NH=scale_NH,
        setup_NH=pool.setup_NH[rows],
        base_HQ=plain.base_HQ,
        setup_prior_HC=plain.setup_prior_HC,
        levels=spec.levels,
    )
    forecaster = NetworkForecaster(network, calibration)
    save(folder, forecaster, provenance={**provenance, "fold": str(fold.index)})
    return forecaster


def baselines(data: Sequence[SymbolData], fold: Fold, spec: Spec) -> dict[str, PooledForecaster]:
    """``unconditional`` and ``volatility_scaled``, measured on the fold's train slice."""
    pool = Pool.of(data, spec)
    rows = np.concatenate(pool.rows(data, fold.train, spec, labelled_by_ms=fold.validation[0]))
    return {kind: pool.baseline(spec, rows, kind) for kind in ("unconditional", "volatility_scaled")}


class OuterSlice:
    """The test slice of a fold: it is scored once, and forecast once for the backtest."""

    def __init__(self, data: Sequence[SymbolData], fold: Fold) -> None:
        self.fold = fold
        self._data = data
        self._opened: set[str] = set()

    def open(self, purpose: str) -> Sequence[SymbolData]:
        """The data, the first time that this purpose asks.

        Raises:
            InvariantBroken: the slice was opened for this purpose before; a second look would select on it.
        """
        if purpose in self._opened:
            raise InvariantBroken(
                f"the test slice of fold {self.fold.index} was opened before to {purpose}: select on validation"
            )
        self._opened.add(purpose)
        return self._data


def scored_rows(data: SymbolData, fold: Fold, window_bars: int) -> IntArray:
    """Rows of the test slice that can be scored: whole windows, every label known."""
    return origins(data, fold.test, window_bars, labelled_by_ms=int(data.known_ts_ms[-1]))


def predict(forecaster: Forecaster, data: SymbolData, rows: IntArray) -> Forecast:
    """Forecasts at these rows of one symbol, in batches."""
    return joined([forecaster.forecast(gather(data.x_NF, chunk, forecaster.window_bars)) for chunk in _chunks(rows)])


def joined(parts: Sequence[Forecast]) -> Forecast:
    """One forecast out of several, end to end."""
    return Forecast(
        quantile_BHQ=np.concatenate([p.quantile_BHQ for p in parts]),
        setup_BHC=np.concatenate([p.setup_BHC for p in parts]),
        confidence_BH=np.concatenate([p.confidence_BH for p in parts]),
    )


def told(
    forecaster: Forecaster, parts: Sequence[tuple[SymbolData, IntArray]], tracker: Tracker | None = None
) -> tuple[list[Forecast], Tracker | None]:
    """Forecasts at rows of several symbols, with the widths that were right so far where a tracker goes along.

    Returns:
        One forecast a symbol, and the tracker as the last of all origins leaves it.
    """
    made = [predict(forecaster, symbol, rows) for symbol, rows in parts]
    if tracker is None or not made:
        return made, tracker
    sigma_index = forecaster.feature_names.index(SIGMA)
    y_NH = np.concatenate([symbol.log_return_NH[rows] for symbol, rows in parts])
    end_ts_ms_NH = np.concatenate([symbol.end_ts_ms_NH[rows] for symbol, rows in parts])
    wide_NHQ, left = tracker.run(
        np.concatenate([symbol.known_ts_ms[rows] for symbol, rows in parts]),
        np.where(np.isfinite(y_NH), end_ts_ms_NH, _NEVER_MS),
        np.concatenate([f.quantile_BHQ for f in made]),
        y_NH,
        regime_N=np.concatenate([tracker.regimes.of(s.symbol, s.x_NF[rows, sigma_index]) for s, rows in parts]),
    )
    ends = np.cumsum([rows.size for _, rows in parts])
    return [replace(f, quantile_BHQ=w) for f, w in zip(made, np.split(wide_NHQ, ends[:-1]), strict=True)], left


def forecasts(
    forecaster: Forecaster, outer: OuterSlice, tracker: Tracker | None = None
) -> tuple[pa.Table, Tracker | None]:
    """Out-of-sample forecasts at every origin of the test slice, labelled or not, as `model.table.FORECASTS`.

    Args:
        tracker: of the forecaster's widths, as it stands before the slice.

    Returns:
        The table, and the tracker as the slice leaves it.

    Raises:
        ConfigError: no symbol has a whole window in the slice.
        InvariantBroken: the slice was forecast before.
    """
    parts = [
        (symbol, origins(symbol, outer.fold.test, forecaster.window_bars, labelled_by_ms=None))
        for symbol in outer.open("forecast")
    ]
    parts = [(symbol, rows) for symbol, rows in parts if rows.size]
    if not parts:
        raise ConfigError(f"fold {outer.fold.index} has no test origin: fetch later candles, or lower folds.test_bars")
    made, left = told(forecaster, parts, tracker)
    tables = [
        to_arrow(
            forecaster,
            venue=symbol.venue,
            symbol=symbol.symbol,
            known_ts_ms=symbol.known_ts_ms[rows],
            price_N=symbol.close[rows],
            forecast=forecast,
        )
        for (symbol, rows), forecast in zip(parts, made, strict=True)
    ]
    return pa.concat_tables(tables), left


def _chunks(rows: IntArray) -> list[IntArray]:
    return [rows[start : start + _BATCH] for start in range(0, rows.size, _BATCH)]
