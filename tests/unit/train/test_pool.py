"""What may be trained on, and how an epoch is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.train import makes

from heliograph.core.errors import ConfigError
from heliograph.model.network import Network
from heliograph.model.spec import Spec
from heliograph.train.pool import Batches, Pool, plan_epoch, realised_log_vol
from heliograph.windows.sample import gather


def network_on(pool, spec, rows, model=makes.MODEL):
    network = Network(spec, model)
    network.adopt(pool.standards(spec, rows))
    return network


def test_windows_never_leave_their_symbol_and_end_at_their_row():
    data, spec = makes.world("walk", num=200), makes.spec()
    pool = Pool.of(data, spec)
    rows = np.concatenate(pool.rows(data, (0, 10**12), spec, labelled_by_ms=10**12))
    second = rows[rows >= 200]
    assert second.min() == 200 + 3 + spec.window_bars - 1
    network = network_on(pool, spec, rows)
    inputs, targets = Batches(pool, network).take(rows)
    raw = torch.from_numpy(gather(pool.x_NF, rows, spec.window_bars))
    for ours, theirs in zip(
        (*inputs.sequences, inputs.last_BF), (*network.inputs(raw).sequences, network.inputs(raw).last_BF), strict=True
    ):
        assert torch.isfinite(ours).all()
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
    expected = pool.log_return_NH[rows] / network.har.scale(pool.x_NF[rows])
    np.testing.assert_allclose(targets.z_BH.numpy(), expected, rtol=1e-12)


def test_rows_of_longer_timeframes_stand_at_their_strides():
    """Four-hour columns are read every fourth row back from the origin, each as it was known then."""
    spec = Spec((makes.SIGMA, "signal", "signal_4h"), makes.SIGMA, (1, 4), makes.LABELS.levels, 8)
    data = makes.world("walk", num=200)
    pool = Pool.of(data, spec)
    rows = np.concatenate(pool.rows(data, (0, 10**12), spec, labelled_by_ms=10**12))
    network = network_on(pool, spec, rows)
    inputs, _ = Batches(pool, network).take(rows[:5])
    scaled = network.scaled(torch.from_numpy(pool.x_NF))
    assert [x.shape for x in inputs.sequences] == [(5, 8, 2), (5, 2, 1)]
    for k, row in enumerate(rows[:5]):
        torch.testing.assert_close(inputs.sequences[1][k, :, 0], scaled[[row - 4, row], 2], rtol=0, atol=0)


def test_baseline_is_the_pooled_volatility_models():
    """Quantiles of what the pooled scale left on the training rows, and nothing else."""
    data, spec = makes.world("walk", num=400), makes.spec()
    pool = Pool.of(data, spec)
    rows = np.concatenate(pool.rows(data, (0, 10**12), spec, labelled_by_ms=10**12))
    standards = pool.standards(spec, rows)
    z_NH = pool.log_return_NH[rows] / standards.har.scale(pool.x_NF[rows])
    np.testing.assert_allclose(standards.base_HQ, np.quantile(z_NH, spec.levels, axis=0).T, rtol=1e-12)
    assert np.sqrt((z_NH**2).mean(axis=0)) == pytest.approx([1.0, 1.0], rel=1e-3)


def test_no_label_reaches_beyond_the_slice():
    data, spec = makes.world("walk", num=300), makes.spec()
    pool = Pool.of(data, spec)
    until = 200 * makes.HOUR_MS
    for symbol, first, rows in zip(
        data, pool.first_S, pool.rows(data, (0, 250 * makes.HOUR_MS), spec, labelled_by_ms=until), strict=True
    ):
        assert (symbol.end_ts_ms_NH[rows - first] <= until).all()


def test_epoch_is_even_over_symbols_however_long_their_history():
    rows = plan_epoch(
        [np.arange(10), np.array([], dtype=np.int64), np.arange(1_000, 9_000)], samples=20_000, seed=1, epoch=0
    )
    assert (rows < 10).mean() == pytest.approx(0.5, abs=0.02)
    assert set(rows[rows < 10]) == set(range(10))


def test_epochs_differ_and_repeat():
    groups = [np.arange(1_000)]
    first, again, second = (plan_epoch(groups, samples=64, seed=1, epoch=e) for e in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != second).any()


def test_realised_volatility_is_that_of_the_labels_bars():
    spec = makes.spec()
    (symbol,) = makes.world("walk", num=50, symbols=1)
    steps = np.diff(np.log(symbol.close))
    expected = np.log(np.sqrt(np.mean(steps[20:24] ** 2)) / 0.01)
    assert realised_log_vol(symbol, spec)[20, 1] == pytest.approx(expected, rel=1e-5)
    assert (realised_log_vol(symbol, spec)[-4:, 1] == 0.0).all()


def test_absurd_print_is_bounded_in_the_targets():
    """LINK once printed near zero on a large exchange; such a bar must not set the quantiles of a year."""
    data, spec = makes.world("walk", num=100), makes.spec()
    data[0].log_return_NH[50] = -12.0
    pool = Pool.of(data, spec)
    assert pool.z_NH[50].tolist() == [-30.0, -30.0]
    rows = np.concatenate(pool.rows(data, (0, 10**12), spec, labelled_by_ms=10**12))
    z_NH, _ = pool.standardised(pool.standards(spec, rows).har, np.array([50]))
    assert z_NH.tolist() == [[-30.0, -30.0]]


def test_no_symbol_is_a_config_error():
    with pytest.raises(ConfigError, match=r"train\.symbols"):
        Pool.of([], makes.spec())
