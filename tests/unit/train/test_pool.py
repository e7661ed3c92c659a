"""What may be trained on, and how an epoch is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.unit.train import makes

from heliograph.core.errors import ConfigError
from heliograph.train.pool import Batches, Pool, plan_epoch, realised_log_vol


def test_windows_never_leave_their_symbol_and_end_at_their_row():
    data, spec = makes.world("walk", num=200), makes.spec()
    pool = Pool.of(data, spec)
    rows = np.concatenate(pool.rows(data, (0, 10**12), spec, labelled_by_ms=10**12))
    second = rows[rows >= 200]
    assert second.min() == 200 + 3 + spec.window_bars - 1
    x_BTF, targets = Batches(pool, spec, torch.device("cpu")).take(rows)
    assert torch.isfinite(x_BTF).all()
    np.testing.assert_array_equal(x_BTF[:, -1].numpy(), pool.x_NF[rows])
    np.testing.assert_array_equal(targets.z_BH.numpy(), pool.z_NH[rows])


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
    assert Pool.of(data, spec).z_NH[50].tolist() == [-30.0, -30.0]


def test_no_symbol_is_a_config_error():
    with pytest.raises(ConfigError, match=r"train\.symbols"):
        Pool.of([], makes.spec())
