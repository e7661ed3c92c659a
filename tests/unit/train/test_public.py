"""Public benchmarks: hand-computed metrics, the traps that make figures look better than they are, and whole runs."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import ConfigError, LookAhead
from heliograph.model.series import Regressors, SeasonalNaive, har_basis
from heliograph.train.public import chronos, ltsf, metrics, published, table, volatility
from heliograph.train.public.ask import Ask
from heliograph.train.public.fit import (
    OLS,
    Effort,
    Task,
    chunks,
    fit_hybrid,
    fit_hybrids,
    fit_linear,
    fit_pooled,
    moments,
    with_spread,
)
from heliograph.train.public.panel import Panel, require_train_scaler
from heliograph.train.public.table import Series

HOUR_MS, DAY_MS = 3_600_000, 86_400_000
QUICK = Effort(epochs=1, samples_per_epoch=256, batch_size=64, width=8, members=2)


def series(value: np.ndarray, name: str = "a", step_ms: int = HOUR_MS, leverage: np.ndarray | None = None) -> Series:
    return Series(name, np.arange(len(value), dtype=np.int64) * step_ms, np.asarray(value, dtype=float), leverage)


def seasonal(num: int, seed: int, season: int = 24) -> np.ndarray:
    """A daily wave on a slow walk, with noise."""
    rng = np.random.default_rng(seed)
    walk = np.cumsum(0.03 * rng.normal(size=num))
    return 5 + np.sin(2 * np.pi * np.arange(num) / season + seed) + walk + 0.3 * rng.normal(size=num)


def table_of(num_series: int, num: int) -> tuple[Series, ...]:
    return tuple(series(seasonal(num, k), f"s{k}") for k in range(num_series))


def ltsf_task(num: int = 900, **ask: object) -> tuple[Task, np.ndarray]:
    said = {"lookback": 48, "horizon": 12, "split": ("500", "200", "200"), **ask}
    return ltsf.prepare(table_of(2, num), Ask("made", **said))


# Metrics


@given(st.integers(0, 2**32 - 1))
def test_wql_of_a_point_is_its_absolute_error_over_the_absolute_truth(seed: int):
    rng = np.random.default_rng(seed)
    y, point = rng.normal(size=(2, 3, 4))
    said = np.repeat(point[..., None], 9, axis=-1)
    assert metrics.wql(y, said, chronos.LEVELS) == pytest.approx(np.abs(y - point).sum() / np.abs(y).sum())


def test_wql_by_hand():
    """y = 10; P10 = 8, P50 = 11, P90 = 12: 2 (0.1·2 + 0.5·1 + 0.1·2) / 3 / 10."""
    y, said = np.array([[10.0]]), np.array([[[8.0, 11.0, 12.0]]])
    assert metrics.wql(y, said, (0.1, 0.5, 0.9)) == pytest.approx(2 * (0.2 + 0.5 + 0.2) / 3 / 10)
    np.testing.assert_allclose(metrics.q_risk(y, said, (0.1, 0.5, 0.9)), [0.04, 0.1, 0.04])


def test_mase_by_hand():
    """History 1 2 4 8, season 1: mean step (1 + 2 + 4) / 3; errors 1 and 3: mean 2."""
    scale = metrics.seasonal_error(np.array([1.0, 2.0, 4.0, 8.0]), 1)
    assert scale == pytest.approx(7 / 3)
    assert metrics.mase(np.array([[9.0, 11.0]]), np.array([[8.0, 8.0]]), np.array([scale])) == pytest.approx(6 / 7)


def test_series_that_never_moved_is_left_out_of_mase():
    y, point = np.array([[1.0], [5.0]]), np.array([[3.0], [5.5]])
    assert metrics.mase(y, point, np.array([1.0, 0.0])) == 2.0
    assert np.isnan(metrics.mase(y, point, np.zeros(2)))


# Panel: the scaler and the splits


def test_nothing_after_the_training_slice_changes_what_standardises_it():
    value = seasonal(300, 1)
    later = value.copy()
    later[200:] += 50.0
    before, after = (Panel.of([series(v)], [200]) for v in (value, later))
    np.testing.assert_array_equal(before.x_RF[:200], after.x_RF[:200])
    assert before.mean_C[0] == after.mean_C[0]
    require_train_scaler(after, [200])


def test_scaler_that_saw_the_test_is_found():
    value = np.linspace(0.0, 10.0, 300) + seasonal(300, 1)
    whole = Panel.of([series(value)], [300])
    with pytest.raises(LookAhead, match="first 200 values only"):
        require_train_scaler(whole, [200])


def test_scaler_of_the_whole_file_changes_the_metric():
    tables = tuple(series(s.value_T + 0.01 * np.arange(900), s.name) for s in table_of(2, 900))
    task, test_N = ltsf.prepare(tables, Ask("made", lookback=48, horizon=12, split=("500", "200", "200")))
    wrong = replace(task, panel=Panel.of(tables, [900, 900]))
    naive = SeasonalNaive(1, 12, ltsf.LEVELS)
    right_mse, wrong_mse = (ltsf.figures_of(naive, t, test_N)["mse"] for t in (task, wrong))
    assert wrong_mse < 0.9 * right_mse


def test_lookback_reaches_into_the_slice_before_and_targets_never_leave_their_own():
    task, test_N = ltsf_task()
    mine = test_N[task.panel.series_R[test_N] == 1] - task.panel.start_C[1]
    assert mine[0] + 1 == 700  # the first target is the first value of the test
    assert mine[0] - task.lookback + 1 == 652
    assert mine[-1] + task.horizon == 899
    assert len(mine) == 200 - task.horizon + 1
    held = task.held_N[task.panel.series_R[task.held_N] == 0]
    assert (held[0] + 1, held[-1] + task.horizon) == (500, 699)


def test_series_never_run_into_each_other():
    task, test_N = ltsf_task()
    every = np.concatenate([task.fit_N, task.held_N, test_N])
    for offset in (1 - task.lookback, task.horizon):
        np.testing.assert_array_equal(task.panel.series_R[every + offset], task.panel.series_R[every])


# The long-horizon protocol


def test_etth_has_2785_test_windows_of_96_steps():
    task, test_N = ltsf.prepare((series(seasonal(17_420, 0)),), Ask("ETTh1"))
    assert (len(task.fit_N), len(task.held_N), len(test_N)) == (8_640 - 336 - 96 + 1, 2_785, 2_785)


def test_etts_columns_tell_its_split_whatever_the_file_is_called():
    of_ett = tuple(
        series(seasonal(15_000, k), name)
        for k, name in enumerate(("HUFL", "HULL", "MUFL", "MULL", "LUFL", "LULL", "OT"))
    )
    _, test_N = ltsf.prepare(of_ett, Ask("download"))
    assert len(test_N) == 7 * 2_785
    assert len(ltsf.prepare(of_ett[:1], Ask("download"))[1]) == 3_000 - 96 + 1  # any other file: 70, 10, 20 %


def test_size_of_a_batch_changes_nothing_and_a_dropped_last_batch_would():
    task, test_N = ltsf_task()
    naive = SeasonalNaive(1, 12, ltsf.LEVELS)
    whole = ltsf.figures_of(naive, task, test_N)
    for size in (1, 32, 100):
        assert ltsf.figures_of(naive, task, test_N, batch_size=size) == pytest.approx(whole, rel=1e-12)
    assert len(test_N) % 32
    dropped = ltsf.figures_of(naive, task, test_N[: len(test_N) // 32 * 32])
    assert dropped["mse"] != pytest.approx(whole["mse"], rel=1e-4)


def test_chunks_have_every_row():
    rows = np.arange(70)
    assert [len(c) for c in chunks(rows, 32)] == [32, 32, 6]
    np.testing.assert_array_equal(np.concatenate(list(chunks(rows, 32))), rows)


def test_repeat_last_on_a_ramp_by_hand():
    """On y = t the error h steps ahead is h: MAE (1 + … + 12) / 12 = 6.5, MSE (1 + … + 144) / 12, over the deviation."""
    ramp = series(np.arange(900.0))
    task, test_N = ltsf.prepare((ramp,), Ask("made", lookback=48, horizon=12, split=("500", "200", "200")))
    figures = ltsf.figures_of(SeasonalNaive(1, 12, ltsf.LEVELS), task, test_N)
    std = np.arange(500.0).std()
    assert figures["mae"] == pytest.approx(6.5 / std)
    assert figures["mse"] == pytest.approx(650 / 12 / std**2)


def test_seasonal_naive_knows_a_season_by_heart():
    wave = series(np.tile(np.random.default_rng(0).normal(size=24), 40))
    task, test_N = ltsf.prepare((wave,), Ask("made", lookback=48, horizon=30, split=("500", "200", "200")))
    assert ltsf.figures_of(SeasonalNaive(24, 30, ltsf.LEVELS), task, test_N)["mse"] == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("split", [("1", "2"), ("a", "b", "c"), ("800", "200", "200"), ("0.5", "0.5", "0.5")])
def test_split_that_does_not_fit_is_a_config_error(split: tuple[str, ...]):
    with pytest.raises(ConfigError, match="split"):
        ltsf_task(split=split)


def test_short_test_slice_is_a_config_error():
    with pytest.raises(ConfigError, match="test slice"):
        ltsf_task(split=("500", "200", "11"))


def test_published_figures_of_another_lookback_or_horizon_are_never_set_beside():
    for lookback in (96, 336, 512):
        rows = published.beside("ltsf", "ETTh1", horizon=96, lookback=lookback)
        assert rows
        assert {p.lookback for p in rows if p.model != "repeat last"} == {lookback}
    assert published.beside("ltsf", "ETTh1", horizon=192, lookback=336) == ()
    assert published.beside("chronos", "ETTh1", horizon=24, lookback=512) == ()  # published of both files together
    assert len(published.beside("chronos", "ETTh", horizon=24, lookback=512)) == 7


def test_ltsf_run_tells_of_all_forecasters_and_none_crosses():
    ask = Ask("made", lookback=48, horizon=12, split=("500", "200", "200"), effort=QUICK)
    found = {s.forecaster: s.metrics for s in ltsf.run(table_of(2, 900), ask)}
    assert list(found) == ["naive", "seasonal_naive", "ridge", "pooled", "hybrid", "ensemble"]
    assert all(m["crossing_pct"] == 0 and m["windows"] == 189 for m in found.values())
    assert found["ridge"]["mse"] < 0.7 * found["naive"]["mse"]
    assert found["hybrid"]["mse"] == pytest.approx(found["ridge"]["mse"], rel=0.05)
    assert (found["hybrid"]["seed"], found["hybrid"]["members"]) == (1, 2)


# Chronos


def test_chronos_naive_figures_by_hand():
    """Season 2, history 1 3 2 5, truth 4 4: naive says 5 5, seasonal naive says 2 5; MASE's unit is (1 + 2) / 2."""
    one = series([1.0, 3.0, 2.0, 5.0, 4.0, 4.0])
    for season, said in ((1, (5.0, 5.0)), (2, (2.0, 5.0))):
        context = np.array([2.0, 5.0]).reshape(1, 2, 1)
        quantile = SeasonalNaive(season, 2, chronos.LEVELS).forecast(context, np.zeros(1, dtype=np.int64))
        np.testing.assert_array_equal(quantile[0, :, 4], said)
        figures = chronos.figures_of((one,), quantile, 2, 2)
        error = np.abs(np.array(said) - 4.0)
        assert figures["wql"] == pytest.approx(error.sum() / 8)
        assert figures["mase"] == pytest.approx(error.mean() / 1.5)


def test_large_series_weigh_more_in_wql_and_the_same_in_mase():
    small, large = series(seasonal(100, 1)), series(1_000 * seasonal(100, 2))
    said = np.stack([np.repeat(s.value_T[-12:, None] * 1.1, 9, axis=1) for s in (small, large)])
    both = chronos.figures_of((small, large), said, 12, 24)
    scaled = chronos.figures_of((small, series(large.value_T / 1_000)), np.stack([said[0], said[1] / 1_000]), 12, 24)
    assert both["mase"] == pytest.approx(scaled["mase"])
    assert both["wql"] == pytest.approx(0.1)


def test_values_of_the_last_window_change_no_forecast():
    tables = table_of(2, 400)
    changed = tuple(series(np.concatenate([s.value_T[:-24], 99 * np.ones(24)]), s.name) for s in tables)
    said = []
    for t in (tables, changed):
        task, _ = chronos.prepare(t, Ask("made", lookback=48))
        last_N = task.panel.start_C[1:] - 1 - task.horizon
        linear = fit_linear(task, Regressors("last"), is_shared=False)[1]
        hybrid = fit_hybrid(task, linear, QUICK)
        windows = task.panel.windows(last_N, 48)
        said.append(task.panel.raw(last_N, hybrid.forecast(windows, np.arange(2))))
    np.testing.assert_array_equal(said[0], said[1])


def test_chronos_run_tells_of_all_forecasters_and_of_foundation_models_as_they_come():
    def zero(context_BT: np.ndarray, steps: int, levels: tuple[float, ...]) -> np.ndarray:
        assert context_BT.shape == (3, 476)  # all that lies before the last window
        return np.tile(context_BT[:, -1, None, None], (1, steps, len(levels)))

    ask = Ask("made", lookback=48, effort=QUICK, zero={"stand-in": zero})
    found = {s.forecaster: s.metrics for s in chronos.run(table_of(3, 500), ask)}
    assert list(found) == ["naive", "seasonal_naive", "ridge", "pooled", "hybrid", "ensemble", "stand-in"]
    assert found["stand-in"]["wql"] == pytest.approx(found["naive"]["wql"])
    assert found["ridge"]["wql"] < found["seasonal_naive"]["wql"]
    assert all(m["crossing_pct"] == 0 and m["horizon"] == 24 and m["season"] == 24 for m in found.values())


def test_figure_that_there_is_none_of_is_null():
    still = series(np.ones(300))
    rows = [s.line() for s in chronos.run((still,), Ask("made", lookback=48, effort=replace(QUICK, epochs=0)))]
    assert all(row["mase"] is None and row["wql"] == pytest.approx(0, abs=1e-6) for row in rows)


def test_days_have_thirty_steps_ahead_and_seasons_of_five():
    task, season = chronos.prepare((series(seasonal(600, 1), step_ms=DAY_MS),), Ask("exchange_rate"))
    assert (task.horizon, season, task.lookback) == (30, 5, 96)


def test_series_of_different_steps_are_refused():
    with pytest.raises(ConfigError, match="different sampling steps"):
        chronos.prepare((series(seasonal(400, 1)), series(seasonal(400, 1), step_ms=DAY_MS)), Ask("made"))


def test_short_series_is_a_config_error():
    with pytest.raises(ConfigError, match="longer"):
        chronos.prepare((series(seasonal(100, 1)),), Ask("made", lookback=48))


# Volatility


def indices(num: int, days: int, *, has_returns: bool = True) -> tuple[Series, ...]:
    """Log variance that comes back to a mean, and rises after falls."""
    rng = np.random.default_rng(5)
    made = []
    for k in range(num):
        fall = np.minimum(rng.normal(size=days), 0.0)
        value = np.full(days, -9.0)
        for t in range(1, days):
            value[t] = -9.0 + 0.9 * (value[t - 1] + 9.0) - 0.4 * fall[t - 1] - 0.16 + 0.2 * rng.normal()
        made.append(series(value[k:], f"i{k}", DAY_MS, fall[k:] if has_returns else None))
    return tuple(made)


VOLATILITY = Ask("made", split=("1971-06-01", "1971-12-01", "1972-06-01"), lookback=32, effort=QUICK)


def test_volatility_run_tells_of_all_forecasters_and_none_crosses():
    found = {s.forecaster: s.metrics for s in volatility.run(indices(3, 900), VOLATILITY)}
    assert list(found) == [
        "random_walk", "seasonal_naive", "har", "har_market", "pooled", "ridge", "lightgbm", "hybrid", "ensemble",
    ]  # fmt: skip
    assert all(m["crossing_pct"] == 0 and m["series"] == 3 for m in found.values())
    assert found["har"]["p50"] < found["random_walk"]["p50"]
    assert abs(found["har"]["cov80"] - 0.8) < 0.06


def test_each_index_is_cut_by_its_own_days():
    first, second = indices(2, 900)
    later = Series("late", second.ts_ms + 100 * DAY_MS, second.value_T, second.leverage_T)
    task, test_N = volatility.prepare((first, later), VOLATILITY)
    for c, one in enumerate((first, later)):
        target_ms = one.ts_ms[test_N[task.panel.series_R[test_N] == c] - task.panel.start_C[c] + 1]
        assert target_ms[0] == datetime(1971, 12, 1, tzinfo=UTC).timestamp() * 1_000


def test_market_is_the_mean_of_what_each_index_said_last():
    values = ([1.0, 2.0, 3.0, 9.0], [10.0, 30.0])
    days = np.array([[0, 1, 2, 20], [0, 2, 0, 0]])
    ts_of = [days[0] * DAY_MS, days[1, :2] * DAY_MS]
    panel = Panel.of(
        [Series(str(k), ts, np.array(v)) for k, (ts, v) in enumerate(zip(ts_of, values, strict=True))], [4, 2]
    )
    panel = replace(panel, x_RF=np.array([*values[0], *values[1]])[:, None])
    said = volatility.market(ts_of, panel)[:, 0]
    np.testing.assert_allclose(
        said, [5.5, 6.0, 16.5, 9.0, 5.5, 16.5]
    )  # the second is silent for a day; later it is old


def test_market_of_a_day_hears_nothing_of_the_next():
    first, second = indices(2, 900)
    later = Series(second.name, second.ts_ms, np.where(np.arange(899) > 800, 5.0, second.value_T), second.leverage_T)
    before, after = (volatility.prepare((first, s), VOLATILITY)[0].panel for s in (second, later))
    for c in (0, 1):
        rows = slice(int(before.start_C[c]), int(before.start_C[c]) + 800)
        np.testing.assert_array_equal(before.x_RF[rows], after.x_RF[rows])
    assert before.x_RF.shape[1] == 4  # own variance and falls, the market's variance and falls


def test_har_is_least_squares_on_the_three_averages():
    (one,) = indices(1, 900, has_returns=False)
    task, _ = volatility.prepare((one,), VOLATILITY)
    har = fit_linear(task, Regressors("mean", har_basis(32, 2)[:, :3]), is_shared=True, penalties=OLS)[0]
    x = task.panel.windows(task.fit_N, 32)[..., 0]
    told = np.stack([x[:, -1], x[:, -5:].mean(axis=1), x[:, -22:].mean(axis=1), np.ones(len(x))], axis=1)
    expected = np.linalg.lstsq(told, task.panel.targets(task.fit_N, 5), rcond=None)[0]
    np.testing.assert_allclose(har.weight_PKH[0], expected, rtol=1e-4, atol=1e-6)


def test_leverage_helps_where_falls_raise_variance():
    risks = []
    for has_returns in (False, True):
        task, test_N = volatility.prepare(indices(3, 900, has_returns=has_returns), VOLATILITY)
        channels = task.panel.x_RF.shape[1]
        basis_JK = har_basis(32, channels)[:, : 3 * channels // 2]  # without the market
        har = fit_linear(task, Regressors("mean", basis_JK), is_shared=True, penalties=OLS)[0]
        said = har.forecast(task.panel.windows(test_N, 32), task.panel.series_R[test_N])
        risks.append(metrics.wql(task.panel.targets(test_N, 5), said, volatility.LEVELS))
    assert risks[1] < 0.97 * risks[0]


def test_variances_that_are_no_logs_are_refused():
    positive = tuple(series(np.exp(s.value_T), s.name, DAY_MS) for s in indices(2, 900))
    with pytest.raises(ConfigError, match="--no-take-log"):
        volatility.prepare(positive, VOLATILITY)


def test_day_without_variance_makes_no_logs_of_the_others():
    """The realised library has zeros: one of them must not let variances pass for their logs."""
    (one,) = indices(1, 900)
    assert table.are_logs((one,))
    assert not table.are_logs((series(np.append(np.exp(one.value_T), 0.0)),))


@pytest.mark.parametrize("split", [("1971-06-01",), ("x", "y", "z"), ("1971-06-01", "1971-01-01", "1972-01-01")])
def test_dates_that_are_none_are_refused(split: tuple[str, ...]):
    with pytest.raises(ConfigError, match="--split"):
        volatility.prepare(indices(1, 900), replace(VOLATILITY, split=split))


def test_index_without_days_in_a_slice_is_left_out():
    first, second = indices(2, 900)
    task, _ = volatility.prepare(
        (first, Series("short", second.ts_ms[:300], second.value_T[:300], second.leverage_T[:300])), VOLATILITY
    )
    assert task.panel.names == ("i0",)


# Fits


def test_ridge_finds_an_exact_map_and_moments_add_up():
    value = np.sin(2 * np.pi * np.arange(700) / 24)
    task, test_N = ltsf.prepare((series(value),), Ask("made", lookback=48, horizon=12, split=("300", "200", "200")))
    ridge = fit_linear(task, Regressors("last"), is_shared=True)[0]
    assert ltsf.figures_of(ridge, task, test_N)["mse"] < 1e-8
    whole = moments(task, np.concatenate([task.fit_N, task.held_N]), Regressors("last"))
    parts = moments(task, task.fit_N, Regressors("last")) + moments(task, task.held_N, Regressors("last"))
    np.testing.assert_allclose(whole.aa_KK, parts.aa_KK, atol=1e-9)
    np.testing.assert_allclose(whole.ay_KH, parts.ay_KH, atol=1e-9)


def test_pooled_maps_are_never_worse_than_the_one_of_all_on_the_held_rows_and_find_what_differs():
    rng = np.random.default_rng(3)
    unlike = np.zeros(900)
    for t in range(1, 900):  # goes back where the others go on
        unlike[t] = -0.8 * unlike[t - 1] + rng.normal()
    tables = (*table_of(3, 900), series(unlike, "unlike"))
    task, test_N = ltsf.prepare(tables, Ask("made", lookback=24, horizon=6, split=("500", "200", "200")))
    shared = fit_linear(task, Regressors("last"), is_shared=True)
    pooled = fit_pooled(task, Regressors("last"), shared=shared)
    held, test = (
        [ltsf.figures_of(f[0], task, rows)["mse"] for f in (shared, pooled)] for rows in (task.held_N, test_N)
    )
    assert held[1] <= held[0] * (1 + 1e-6)
    assert test[1] < 0.97 * test[0]


def test_prior_is_what_comes_out_where_the_penalty_is_all():
    task, _ = ltsf_task()
    some = moments(task, task.fit_N, Regressors("last"))
    prior = np.random.default_rng(0).normal(size=some.ay_KH.shape)
    np.testing.assert_allclose(some.solve(1e12, prior), prior, rtol=1e-6)
    np.testing.assert_allclose(some.solve(1e-3, 0 * prior), some.solve(1e-3))


def test_hybrid_of_members_is_the_mean_of_networks_from_other_seeds():
    task, test_N = ltsf_task()
    ridge = fit_linear(task, Regressors("last"), is_shared=True)[0]
    windows, of = task.panel.windows(test_N, 48), task.panel.series_R[test_N]
    both = fit_hybrids(task, ridge, QUICK)
    each = [one.forecast(windows, of) for one in both.members]
    np.testing.assert_allclose(each[0], fit_hybrid(task, ridge, QUICK).forecast(windows, of), rtol=1e-12)
    assert np.abs(each[0] - each[1]).max() > 0
    np.testing.assert_allclose(both.forecast(windows, of), (each[0] + each[1]) / 2)


def test_moments_give_the_squared_error():
    task, _ = ltsf_task()
    some = moments(task, task.fit_N, Regressors("last"))
    weight = some.solve(0.01)
    bare = with_spread(task, Regressors("last"), weight[None], task.fit_N)
    error = task.panel.targets(task.fit_N, 12) - bare.point(
        task.panel.windows(task.fit_N, 48), task.panel.series_R[task.fit_N]
    )
    assert some.squares(weight) == pytest.approx((error**2).sum(), rel=1e-9)


def test_residual_quantiles_cover_the_rows_that_they_come_from():
    task, _ = ltsf_task()
    ridge = fit_linear(task, Regressors("last"), is_shared=True)[0]
    said = ridge.forecast(task.panel.windows(task.held_N, 48), task.panel.series_R[task.held_N])
    assert metrics.coverage(task.panel.targets(task.held_N, 12), said) == pytest.approx(0.8, abs=0.01)


def test_untrained_hybrid_is_the_ridge_and_training_is_repeatable():
    task, test_N = ltsf_task()
    ridge = fit_linear(task, Regressors("last"), is_shared=True)[0]
    windows, of = task.panel.windows(test_N, 48), task.panel.series_R[test_N]
    untrained = fit_hybrid(task, ridge, replace(QUICK, epochs=0))
    np.testing.assert_allclose(untrained.forecast(windows, of), ridge.forecast(windows, of), rtol=1e-12, atol=1e-12)
    first, second = (fit_hybrid(task, ridge, QUICK).forecast(windows, of) for _ in range(2))
    np.testing.assert_array_equal(first, second)


def test_network_finds_a_spread_that_no_linear_map_can_say():
    """After a step up the next one is five times as wide as after a step down."""
    rng = np.random.default_rng(2)
    steps = np.zeros(4_000)
    for t in range(1, len(steps)):
        steps[t] = rng.normal() * (1.0 if steps[t - 1] > 0 else 0.2)
    ask = Ask("made", lookback=8, horizon=1, split=("2500", "700", "800"))
    task, test_N = ltsf.prepare((series(np.cumsum(steps)),), ask)
    ridge = fit_linear(task, Regressors("last"), is_shared=True)[0]
    effort = Effort(epochs=3, samples_per_epoch=2_500, batch_size=64, learning_rate=5e-3, width=8)
    found = [ltsf.figures_of(f, task, test_N) for f in (ridge, fit_hybrid(task, ridge, effort))]
    assert found[1]["wql"] < 0.95 * found[0]["wql"]
