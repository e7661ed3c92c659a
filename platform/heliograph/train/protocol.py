"""The protocol of the skill table: expanding refits over one history, every forecaster at the same test origins.

A fit is handed the past alone: rows known before its test slice, with labels known before it, so that it can't look.

Shapes: N test origins of all symbols, H horizons, Q quantile levels.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq

from heliograph.config.learning import LabelSettings
from heliograph.config.settings import FeatureSettings
from heliograph.core.calendars import grid
from heliograph.core.errors import ConfigError
from heliograph.core.market import Candles, unslug
from heliograph.core.timeframe import Timeframe
from heliograph.features import panel, table
from heliograph.model.confidence import Confidence
from heliograph.model.spec import Forecaster, Spec
from heliograph.model.tracker import Tracker
from heliograph.train import inputs, score
from heliograph.train.fold import OuterSlice, joined, predict
from heliograph.train.said import Outcome, Said, Truth, assured, tracked
from heliograph.windows import labels
from heliograph.windows.barriers import UNKNOWN
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData, origins

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]

DAY_MS = 86_400_000

_COLUMNS = ("ts", "open", "high", "low", "close", "volume")


@dataclass(frozen=True, slots=True)
class Plan:
    """When is tested, and how often everything is fitted anew.

    Attributes:
        test_from_ms, test_to_ms: half-open, UTC epoch ms; the origins become known in it.
        refit_months: length of a test slice; before each one all forecasters are fitted on all that is known then.
        validation_days: the end of what is known, kept for early stopping, selection and calibration.
        every_bars: an origin each so many bars.
        least_rows: labelled origins that a symbol needs in both the train and the validation slice, else it is left
            out of that refit.
    """

    test_from_ms: int
    test_to_ms: int
    refit_months: int = 6
    validation_days: int = 180
    every_bars: int = 4
    least_rows: int = 1_000


@dataclass(frozen=True, slots=True)
class Task:
    """What a fit may see.

    Attributes:
        data: symbols up to the test slice; labels that end after its start are unknown.
        fold: the slices in time; the test slice has no row in ``data``.
        folder: for what it writes.
    """

    data: tuple[SymbolData, ...]
    fold: Fold
    spec: Spec
    seed: int
    folder: Path

    def rows(self, data: SymbolData) -> IntArray:
        """Origins of one symbol with all labels, up to the test slice: for fits that need no validation slice."""
        known = (self.fold.train[0], self.fold.test[0])
        return origins(data, known, self.spec.window_bars, labelled_by_ms=self.fold.test[0])

    def train_rows(self, data: SymbolData) -> IntArray:
        """Origins of one symbol in the train slice, every label known before the validation slice."""
        return origins(data, self.fold.train, self.spec.window_bars, labelled_by_ms=self.fold.validation[0])

    def validation_rows(self, data: SymbolData) -> IntArray:
        """Origins of one symbol in the validation slice, every label known before the test slice."""
        return origins(data, self.fold.validation, self.spec.window_bars, labelled_by_ms=self.fold.test[0])


Fitted = Mapping[str, Forecaster]
"""The forecaster of each symbol; one and the same for all where it is global."""

Fit = Callable[[Task], Fitted]


@dataclass(frozen=True, slots=True)
class Release:
    """What makes a released forecaster out of a fitted one, measured before the test slice.

    Attributes:
        of: name of the fit.
        track: gives the widths that its cones begin with; outcomes move them.
        assure: gives the odds of its signs.
    """

    of: str
    track: Callable[[Task], Tracker]
    assure: Callable[[Task], Confidence]


def moment_ms(text: str, *, is_end: bool = False) -> int:
    """``2023-01`` or ``2023-01-31`` as UTC epoch ms: its first moment, or the first one after it.

    Raises:
        ConfigError: it is neither.

    >>> (moment_ms("2024-12", is_end=True) - moment_ms("2024-12")) // DAY_MS, moment_ms("1970-01-02")
    (31, 86400000)
    """
    is_month = text.count("-") == 1
    try:
        first = datetime.strptime(text, "%Y-%m" if is_month else "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as e:
        raise ConfigError(f"{text!r} is no date: write 2023-01 or 2023-01-31") from e
    first_ms = round(first.timestamp() * 1e3)
    if not is_end:
        return first_ms
    return months_later(first_ms, 1) if is_month else first_ms + DAY_MS


def months_later(ts_ms: int, months: int) -> int:
    """The same day and time so many months later; a day after the 28th counts as the 28th."""
    then = datetime.fromtimestamp(ts_ms / 1e3, tz=UTC)
    years, month = divmod(then.month - 1 + months, 12)
    later = then.replace(year=then.year + years, month=month + 1, day=min(then.day, 28))
    return round(later.timestamp() * 1e3)


def read_candles(folder: Path, timeframe: str, symbols: Sequence[str] | None = None) -> dict[str, Candles]:
    """Candles by unified symbol out of ``folder/BTC-USDT/1h.parquet``: ts (open, UTC ms), open, high, low, close, volume.

    Args:
        symbols: only these, in this order; None takes all that have the timeframe.

    Raises:
        ConfigError: there is no such file.
    """
    found = {unslug(path.parent.name): path for path in sorted(folder.glob(f"*/{timeframe}.parquet"))}
    missing = sorted(set(symbols or ()) - set(found))
    if missing or not found:
        have = ", ".join(found) or "none"
        raise ConfigError(
            f"{folder} has no {timeframe} candles of {', '.join(missing) or 'any symbol'} (there are: {have})"
        )
    made = {}
    for symbol in symbols or found:
        columns = pq.read_table(found[symbol], columns=list(_COLUMNS))
        ts, *prices = (columns[name].to_numpy() for name in _COLUMNS)
        made[symbol] = Candles(ts.astype(np.int64), *(np.ascontiguousarray(p, dtype=np.float64) for p in prices))
    return made


def symbols_data(
    candles: Mapping[str, Candles], *, venue: str, features: FeatureSettings, label: LabelSettings
) -> list[SymbolData]:
    """Features and labels of each market, as training makes them out of the lake; they are each other's cross-section.

    Raises:
        ConfigError: a feature reads what candles do not tell.
    """
    base = grid(venue, features.timeframe)
    reads = inputs.wanted(features)
    if lost := sorted(reads - set(panel.SERIES)):
        raise ConfigError(f"a feature reads {lost[0]}, which candles do not tell: leave it out of features.names")
    beside = _beside(candles, base) if reads else {}
    return [
        symbol_data(bars, venue=venue, symbol=symbol, features=features, label=label, others=beside.get(symbol))
        for symbol, bars in candles.items()
    ]


def _beside(candles: Mapping[str, Candles], base: Timeframe) -> dict[str, dict[str, FloatArray]]:
    """What all markets together tell each of them, at its own bars."""
    ts_ms = panel.times(candles)
    told = panel.Panel([*candles], base).advance(ts_ms, candles)
    return {
        symbol: panel.others(told, k, np.searchsorted(ts_ms, bars.open_ts_ms))
        for k, (symbol, bars) in enumerate(candles.items())
    }


def symbol_data(
    candles: Candles,
    *,
    venue: str,
    symbol: str,
    features: FeatureSettings,
    label: LabelSettings,
    others: Mapping[str, FloatArray] | None = None,
) -> SymbolData:
    """Features and labels of one market; ``others`` are the input series beside its candles."""
    made = table.compute(candles, features, market=(venue, symbol), others=others)
    told = labels.make(candles, grid(venue, features.timeframe), made.column(table.SIGMA), label)
    return SymbolData(
        venue=venue,
        symbol=symbol,
        known_ts_ms=made.known_ts_ms,
        close=candles.close,
        x_NF=made.values.astype(np.float32),
        log_return_NH=told.log_return_NH,
        setup_NH=told.setup_NH,
        end_ts_ms_NH=told.end_ts_ms_NH,
    )


def folds(plan: Plan, first_ms: int, timeframe: Timeframe, *, longest_horizon_bars: int) -> tuple[Fold, ...]:
    """Expanding folds whose test slices tile the test period; the purge is the longest horizon.

    Args:
        first_ms: ``known_ts_ms`` of the first row of all symbols.

    Raises:
        ConfigError: the test period is empty, or less than twice the validation slice is known before it.

    >>> from heliograph.core.timeframe import parse
    >>> year = Plan(moment_ms("2023-01"), moment_ms("2023-12", is_end=True))
    >>> [f.test[0] == moment_ms(m) for f, m in zip(folds(year, 0, parse("1h"), longest_horizon_bars=24), ("2023-01", "2023-07"))]
    [True, True]
    """
    if plan.test_from_ms >= plan.test_to_ms:
        raise ConfigError("the test period is empty: --test-to must be after --test-from")
    gap_ms, validation_ms = longest_horizon_bars * timeframe.ms, plan.validation_days * DAY_MS
    if plan.test_from_ms - first_ms < 2 * validation_ms + 2 * gap_ms:
        raise ConfigError(
            f"the history begins {(plan.test_from_ms - first_ms) // DAY_MS} days before the test: it needs "
            f"{2 * plan.validation_days + 2}; test later, or take candles that reach back further"
        )
    made: list[Fold] = []
    from_ms = plan.test_from_ms
    while from_ms < plan.test_to_ms:
        to_ms = min(months_later(from_ms, plan.refit_months), plan.test_to_ms)
        validation = (from_ms - gap_ms - validation_ms, from_ms - gap_ms)
        made.append(Fold(len(made), (first_ms, validation[0] - gap_ms), validation, (from_ms, to_ms)))
        from_ms = to_ms
    return tuple(made)


def until(data: SymbolData, known_ms: int) -> SymbolData:
    """The past: rows known before this moment, and labels known by it; later ones are unknown."""
    last = int(np.searchsorted(data.known_ts_ms, known_ms))
    is_late_NH = data.end_ts_ms_NH[:last] > known_ms
    return replace(
        data,
        known_ts_ms=data.known_ts_ms[:last],
        close=data.close[:last],
        x_NF=data.x_NF[:last],
        log_return_NH=np.where(is_late_NH, np.nan, data.log_return_NH[:last]),
        setup_NH=np.where(is_late_NH, UNKNOWN, data.setup_NH[:last]),
        end_ts_ms_NH=data.end_ts_ms_NH[:last],
    )


def refit(
    data: Sequence[SymbolData],
    fold: Fold,
    *,
    spec: Spec,
    fits: Mapping[str, Fit],
    plan: Plan,
    seed: int,
    folder: Path,
    releases: Mapping[str, Release] | None = None,
) -> Outcome:
    """Fit everything on what is known before the fold's test slice, and forecast its origins; the slice is opened once.

    All fits get the very same task, so that those which share a part can tell that it was fitted already. A symbol with
    too little history before the slice, or no origin in it, is left out of this refit.

    Args:
        releases: further forecasters by name, each made out of one of the fits.

    Raises:
        ConfigError: no symbol is left.
    """
    task = Task(tuple(until(d, fold.test[0]) for d in data), fold, spec, seed, folder)
    fitted_on = tuple(
        d for d in task.data if min(task.train_rows(d).size, task.validation_rows(d).size) >= plan.least_rows
    )
    names = {d.symbol for d in fitted_on}
    rows = {d.symbol: _test_rows(d, fold, spec, plan) for d in data if d.symbol in names}
    if not any(r.size for r in rows.values()):
        raise ConfigError(
            f"no symbol has {plan.least_rows} labelled origins to fit on before test slice {fold.index} and one in it: "
            "take a longer history"
        )
    task = replace(task, data=fitted_on)
    fitted = {name: fit(task) for name, fit in fits.items()}
    opened = [d for d in OuterSlice(data, fold).open("score") if d.symbol in rows and rows[d.symbol].size]
    said = {name: _said([(f[d.symbol], d, rows[d.symbol]) for d in opened]) for name, f in fitted.items()}
    truth = _truth(data, opened, rows, fold=fold, spec=spec)
    last_NF = np.concatenate([d.x_NF[rows[d.symbol]] for d in opened])
    for name, release in (releases or {}).items():
        plain = said[release.of]
        wide = tracked(truth, plain, release.track(task))
        said[name] = assured(wide, plain, release.assure(task), last_NF)
    return Outcome(truth, said)


def _test_rows(data: SymbolData, fold: Fold, spec: Spec, plan: Plan) -> IntArray:
    rows = origins(data, fold.test, spec.window_bars, labelled_by_ms=int(data.known_ts_ms[-1]))
    bar_ms = int(np.diff(data.known_ts_ms).min())
    on_step: IntArray = rows[data.known_ts_ms[rows] // bar_ms % plan.every_bars == 0]
    return on_step


def _said(parts: Sequence[tuple[Forecaster, SymbolData, IntArray]]) -> Said:
    told = joined([predict(forecaster, data, rows) for forecaster, data, rows in parts])
    return Said(told.quantile_BHQ, told.confidence_BH)


def _truth(
    data: Sequence[SymbolData],
    opened: Sequence[SymbolData],
    rows: Mapping[str, IntArray],
    *,
    fold: Fold,
    spec: Spec,
) -> Truth:
    symbols = tuple(d.symbol for d in data)
    sigma = [d.x_NF[rows[d.symbol], spec.sigma_index].astype(np.float64) for d in opened]
    return Truth(
        symbols=symbols,
        symbol_N=np.concatenate([np.full(rows[d.symbol].size, symbols.index(d.symbol)) for d in opened]),
        known_ts_ms=np.concatenate([d.known_ts_ms[rows[d.symbol]] for d in opened]),
        end_ts_ms_NH=np.concatenate([d.end_ts_ms_NH[rows[d.symbol]] for d in opened]),
        y_NH=np.concatenate([d.log_return_NH[rows[d.symbol]] for d in opened]),
        sigma_N=np.concatenate(sigma),
        regime_N=np.concatenate([score.regimes(d, rows[d.symbol], fold, spec.sigma_index) for d in opened]),
    )
