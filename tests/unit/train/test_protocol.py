"""Expanding refits: every fit sees the past alone, and every forecaster answers at the same origins."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.unit.train import makes

from heliograph.config.learning import LabelSettings
from heliograph.config.settings import FeatureSettings
from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import parse
from heliograph.model.confidence import Confidence, Strangeness
from heliograph.model.tracker import Tracker
from heliograph.train import fold as finishing
from heliograph.train import protocol, said
from heliograph.train.protocol import DAY_MS, Fitted, Plan, Release, Task, moment_ms
from heliograph.windows.barriers import UNKNOWN

HOUR = parse("1h")
PLAN = Plan(100 * DAY_MS, 160 * DAY_MS, refit_months=1, validation_days=20, every_bars=4, least_rows=100)
FOLDS = protocol.folds(PLAN, 0, HOUR, longest_horizon_bars=4)


def pooled(task: Task) -> Fitted:
    """The unconditional distribution of all symbols' train slices."""
    made = finishing.baselines(task.data, task.fold, task.spec)["unconditional"]
    return dict.fromkeys((d.symbol for d in task.data), made)


def alone(task: Task) -> Fitted:
    """The volatility-scaled distribution of each symbol."""
    return {d.symbol: finishing.baselines([d], task.fold, task.spec)["volatility_scaled"] for d in task.data}


FITS = {"pooled": pooled, "alone": alone}


def outcome_of(data, fold, tmp_path: Path, **kwargs):
    given = {"spec": makes.spec(), "fits": FITS, "plan": PLAN, "seed": 1, "folder": tmp_path}
    return protocol.refit(data, fold, **(given | kwargs))


def from_row(data, row: int):
    """The same market, listed later."""
    columns = ("known_ts_ms", "close", "x_NF", "log_return_NH", "setup_NH", "end_ts_ms_NH")
    return replace(data, **{name: getattr(data, name)[row:] for name in columns})


@pytest.fixture(scope="module")
def world():
    return makes.world("volatility", num=4_000)


def test_test_slices_tile_the_period_and_every_label_of_a_slice_is_known_before_the_next():
    assert FOLDS[0].test[0] == PLAN.test_from_ms
    assert FOLDS[-1].test[1] == PLAN.test_to_ms
    for earlier, later in pairwise(FOLDS):
        assert earlier.test[1] == later.test[0]
        assert earlier.train[0] == later.train[0] == 0
    for fold in FOLDS:
        assert fold.validation[0] - fold.train[1] == fold.test[0] - fold.validation[1] == 4 * HOUR.ms


def test_too_short_a_history_and_an_empty_period_are_refused_in_words():
    with pytest.raises(ConfigError, match="needs 42"):
        protocol.folds(PLAN, 70 * DAY_MS, HOUR, longest_horizon_bars=4)
    with pytest.raises(ConfigError, match="--test-to must be after"):
        protocol.folds(replace(PLAN, test_to_ms=PLAN.test_from_ms), 0, HOUR, longest_horizon_bars=4)


def test_past_has_no_later_row_and_no_label_that_ends_later(world):
    cut_ms = int(world[0].known_ts_ms[1_000])
    past = protocol.until(world[0], cut_ms)
    assert past.known_ts_ms.size == past.x_NF.shape[0] == 1_000
    is_known = past.end_ts_ms_NH <= cut_ms
    assert not is_known.all()
    np.testing.assert_array_equal(np.isfinite(past.log_return_NH), is_known)
    assert (past.setup_NH[~is_known] == UNKNOWN).all()


def test_another_future_changes_no_forecast_of_the_slices_before_it(world, tmp_path):
    """Law no look-ahead: labels that end in the test slice, and all rows after the slice, reach no fit."""
    fold = FOLDS[0]
    other = []
    for symbol in makes.world("volatility", num=4_000):
        symbol.log_return_NH[symbol.end_ts_ms_NH > fold.test[0]] += 1.0
        symbol.x_NF[symbol.known_ts_ms >= fold.test[1]] -= 1.0
        symbol.close[symbol.known_ts_ms >= fold.test[0]] *= 3.0
        other.append(symbol)
    ours, theirs = (outcome_of(d, fold, tmp_path) for d in (world, other))
    for name in FITS:
        np.testing.assert_array_equal(ours.said[name].quantile_NHQ, theirs.said[name].quantile_NHQ)
    assert not np.array_equal(ours.truth.y_NH, theirs.truth.y_NH)


def test_fits_share_one_task_and_hold_no_row_of_the_test_slice(world, tmp_path):
    tasks = []

    def seen(task: Task) -> Fitted:
        tasks.append(task)
        return pooled(task)

    outcome_of(world, FOLDS[0], tmp_path, fits={"a": seen, "b": seen})
    assert tasks[0] is tasks[1]
    for data in tasks[0].data:
        assert data.known_ts_ms.max() < FOLDS[0].test[0]
        assert data.known_ts_ms[tasks[0].train_rows(data)].max() < FOLDS[0].train[1]
        assert data.known_ts_ms[tasks[0].validation_rows(data)].min() >= FOLDS[0].validation[0]
        assert tasks[0].rows(data).size > tasks[0].train_rows(data).size + tasks[0].validation_rows(data).size


def test_every_forecaster_answers_every_fourth_bar_of_the_slice(world, tmp_path):
    outcome = outcome_of(world, FOLDS[0], tmp_path)
    known = outcome.truth.known_ts_ms
    assert (known // HOUR.ms % 4 == 0).all()
    assert ((known >= FOLDS[0].test[0]) & (known < FOLDS[0].test[1])).all()
    assert known.size == 2 * np.unique(known).size
    for one in outcome.said.values():
        assert one.quantile_NHQ.shape == (known.size, 2, len(makes.LABELS.levels))
        assert ((one.up >= 0) & (one.up <= 1)).all()


def test_truth_is_what_the_labels_say(world, tmp_path):
    truth = outcome_of(world, FOLDS[0], tmp_path).truth
    for place, data in enumerate(world):
        mine = truth.symbol_N == place
        rows = np.searchsorted(data.known_ts_ms, truth.known_ts_ms[mine])
        np.testing.assert_array_equal(truth.y_NH[mine], data.log_return_NH[rows])
        np.testing.assert_array_equal(truth.end_ts_ms_NH[mine], data.end_ts_ms_NH[rows])


def test_symbol_listed_later_joins_the_refit_that_knows_enough_of_it(world, tmp_path):
    data = [world[0], from_row(world[1], 2_000)]
    first, second = (outcome_of(data, fold, tmp_path) for fold in FOLDS[:2])
    assert set(first.truth.symbol_N) == {0}
    assert set(second.truth.symbol_N) == {0, 1}
    joined = said.end_to_end([first, second])
    assert joined.truth.symbols == ("S0/USDT", "S1/USDT")
    assert joined.truth.y_NH.shape[0] == first.truth.y_NH.shape[0] + second.truth.y_NH.shape[0]


def test_no_symbol_with_enough_history_is_refused_in_words(world, tmp_path):
    with pytest.raises(ConfigError, match="take a longer history"):
        outcome_of([from_row(world[0], 2_300)], FOLDS[0], tmp_path)


def released() -> dict[str, Release]:
    """Widths that begin as they are, and odds of which nothing is known: one half."""

    def track(task: Task) -> Tracker:
        return Tracker.fresh(task.spec.levels, task.spec.horizons_bars, bar_ms=HOUR.ms, rate=0.1)

    def assure(task: Task) -> Confidence:
        rows = np.concatenate([d.x_NF[task.train_rows(d)] for d in task.data])
        return Confidence(task.spec.levels, np.zeros((len(task.spec.horizons_bars), 2)), Strangeness.fit(rows))

    return {"released": Release("pooled", track, assure)}


def test_released_cones_widen_where_outcomes_fell_outside_and_their_medians_stay(world, tmp_path):
    """A world that grows three times as wild at the test slice."""
    fold = FOLDS[0]
    wild = []
    for symbol in makes.world("walk", num=4_000):
        symbol.log_return_NH[symbol.known_ts_ms >= fold.test[0]] *= 3.0
        wild.append(symbol)
    outcome = outcome_of(wild, fold, tmp_path, releases=released())
    plain, tracked = outcome.said["pooled"], outcome.said["released"]
    late = outcome.truth.known_ts_ms > fold.test[0] + 20 * DAY_MS
    widths = [(s.quantile_NHQ[late, :, -1] - s.quantile_NHQ[late, :, 0]).mean() for s in (tracked, plain)]
    assert widths[0] > 1.3 * widths[1]
    np.testing.assert_allclose(tracked.quantile_NHQ[..., 3], plain.quantile_NHQ[..., 3])
    assert (np.diff(tracked.quantile_NHQ, axis=-1) >= 0).all()


def test_strange_markets_lower_the_confidence_and_not_the_direction(tmp_path):
    strange = makes.world("volatility", num=4_000)
    for symbol in strange:
        symbol.x_NF[symbol.known_ts_ms >= FOLDS[0].test[0], 2] += 8.0
    outcome = outcome_of(strange, FOLDS[0], tmp_path, releases=released())
    told = outcome.said["released"]
    np.testing.assert_allclose(told.up, 0.5)
    assert told.confidence_NH.max() < 0.4
    both = said.end_to_end([outcome, outcome_of(strange, FOLDS[1], tmp_path, releases=released())])
    assert both.said["released"].up.shape == both.truth.y_NH.shape


def test_only_forecasters_of_all_refits_are_kept(world, tmp_path):
    both = outcome_of(world, FOLDS[0], tmp_path)
    one = outcome_of(world, FOLDS[1], tmp_path, fits={"alone": alone})
    assert set(said.end_to_end([both, one]).said) == {"alone"}


def test_regimes_are_terciles_of_the_year_before(tmp_path):
    data = makes.world("walk", num=4_000)[0]
    data.x_NF[:, 0] = np.random.default_rng(5).uniform(0.01, 0.02, size=4_000)
    truth = outcome_of([data], FOLDS[0], tmp_path).truth
    assert np.bincount(truth.regime_N) / truth.regime_N.size == pytest.approx([1 / 3] * 3, abs=0.08)
    assert truth.sigma_N[truth.regime_N == 0].max() < truth.sigma_N[truth.regime_N == 2].min()


def test_dates_are_months_or_days():
    assert moment_ms("2023-02", is_end=True) == moment_ms("2023-03")
    assert moment_ms("2023-12-31", is_end=True) == moment_ms("2024-01")
    with pytest.raises(ConfigError, match="write 2023-01"):
        moment_ms("last year")


def candle_file(folder: Path, name: str, num: int = 400) -> None:
    rng = np.random.default_rng(list(name.encode()))
    close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, num)))
    columns = {"open": close, "high": close * 1.01, "low": close * 0.99, "close": close, "volume": close}
    (folder / name).mkdir(parents=True)
    table = pa.table({"ts": np.arange(num) * HOUR.ms, **columns})
    pq.write_table(table, folder / name / "1h.parquet")


def test_candles_of_a_folder_come_by_unified_symbol(tmp_path):
    for name in ("ETH-USDT", "BTC-USDT"):
        candle_file(tmp_path, name)
    assert list(protocol.read_candles(tmp_path, "1h")) == ["BTC/USDT", "ETH/USDT"]
    assert list(protocol.read_candles(tmp_path, "1h", ["ETH/USDT"])) == ["ETH/USDT"]
    with pytest.raises(ConfigError, match=r"XRP/USDT \(there are: BTC/USDT, ETH/USDT\)"):
        protocol.read_candles(tmp_path, "1h", ["XRP/USDT"])
    with pytest.raises(ConfigError, match="no 4h candles of any symbol"):
        protocol.read_candles(tmp_path, "4h")


def test_features_and_labels_are_those_of_training(tmp_path):
    candle_file(tmp_path, "BTC-USDT")
    candles = protocol.read_candles(tmp_path, "1h")
    features = FeatureSettings(names=("ewma_volatility", "log_return_1"))
    (data,) = protocol.symbols_data(
        candles, venue="binance", features=features, label=LabelSettings(horizons_bars=(1, 4))
    )
    close = candles["BTC/USDT"].close
    assert data.x_NF.shape == (400, 2)
    np.testing.assert_allclose(data.log_return_NH[:-4, 1], np.log(close[4:] / close[:-4]))
    assert (data.known_ts_ms == candles["BTC/USDT"].open_ts_ms + HOUR.ms).all()


def test_markets_are_each_other_s_cross_section(tmp_path):
    for name in ("BTC-USDT", "ETH-USDT", "LTC-USDT"):
        candle_file(tmp_path, name)
    candles = protocol.read_candles(tmp_path, "1h")
    features = FeatureSettings(names=("ewma_volatility", "cross_dispersion"))
    given = {"venue": "binance", "features": features, "label": LabelSettings(horizons_bars=(1, 4))}
    all_three = protocol.symbols_data(candles, **given)
    two = protocol.symbols_data({s: candles[s] for s in ("BTC/USDT", "ETH/USDT")}, **given)
    returns = np.column_stack([np.diff(np.log(c.close)) for c in candles.values()])
    warm = np.isfinite(all_three[0].x_NF[1:, 1])
    assert warm.mean() > 0.5
    dispersion = all_three[0].x_NF[1:, 0] * all_three[0].x_NF[1:, 1]  # the feature is in sigmas
    np.testing.assert_allclose(dispersion[warm], returns.std(axis=1)[warm], rtol=1e-3)
    assert not np.allclose(two[0].x_NF[1:, 1][warm], all_three[0].x_NF[1:, 1][warm])


def test_feature_that_candles_do_not_tell_is_refused(tmp_path):
    candle_file(tmp_path, "BTC-USDT")
    features = FeatureSettings(names=("ewma_volatility", "funding_z_*"))
    with pytest.raises(ConfigError, match="which candles do not tell"):
        protocol.symbols_data(
            protocol.read_candles(tmp_path, "1h"), venue="binance", features=features, label=LabelSettings()
        )
