"""Scales see the training rows and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from heliograph.core.errors import ConfigError, DataError, SchemaMismatch
from heliograph.windows.scaler import Kind, Scaler

NAMES = ("momentum", "volatility", "flag")


def features(n: int = 400, seed: int = 1) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.normal(3, 2, n), np.exp(rng.normal(-4, 1, n)), rng.random(n) < 0.1], axis=1).astype(np.float32)


def same(a: Scaler, b: Scaler) -> bool:
    columns = ((a.centre_F, b.centre_F), (a.spread_F, b.spread_F), (a.floor_F, b.floor_F))
    return a.names == b.names and all(np.array_equal(x, y, equal_nan=True) for x, y in columns)


@given(
    seed=st.integers(0, 2**32 - 1),
    wild=st.sampled_from([np.nan, np.inf, -np.inf, 1e30, 0.0]),
    kind=st.sampled_from(["robust", "standard"]),
)
def test_rows_outside_the_training_slice_move_nothing(seed: int, wild: float, kind: Kind) -> None:
    rng = np.random.default_rng(seed)
    x = features()
    rows = np.sort(rng.choice(400, rng.integers(2, 399), replace=False))
    before = Scaler.fit(x, rows, names=NAMES, kind=kind, log_floors={"volatility": 1e-6})
    changed = x.copy()
    changed[np.setdiff1d(np.arange(400), rows)] = wild
    assert same(Scaler.fit(changed, rows, names=NAMES, kind=kind, log_floors={"volatility": 1e-6}), before)


def test_scales_are_those_of_numpy() -> None:
    x = features().astype(np.float64)
    x[:, 1] = np.log(x[:, 1])
    rows = np.arange(400)
    robust = Scaler.fit(features(), rows, names=NAMES, log_floors={"volatility": 1e-6})
    np.testing.assert_allclose(robust.centre_F, np.median(x, axis=0), rtol=1e-6)
    iqr = np.subtract(*np.quantile(x, [0.75, 0.25], axis=0))
    np.testing.assert_allclose(robust.spread_F[:2], iqr[:2] / 1.349, rtol=1e-6)
    assert robust.spread_F[2] == pytest.approx(x[:, 2].std())
    plain = Scaler.fit(features(), rows, names=NAMES, kind="standard", log_floors={"volatility": 1e-6})
    np.testing.assert_allclose(plain.transform(features(), NAMES).mean(axis=0), 0.0, atol=1e-6)
    np.testing.assert_allclose(plain.transform(features(), NAMES).std(axis=0), 1.0, rtol=1e-6)


def test_warm_up_is_passed_over_and_constants_keep_their_unit() -> None:
    x = np.array(
        [[np.nan, 0.01, 0.0], [1.0, 0.01, 0.0], [3.0, 0.01, 1.0], [5.0, 0.01, 0.0], [7.0, np.inf, 0.0]], np.float32
    )
    scaler = Scaler.fit(x, np.arange(5), names=NAMES, log_floors={"volatility": 1e-6})
    np.testing.assert_allclose(scaler.centre_F, [4.0, np.log(np.float32(0.01)), 0.0], rtol=1e-6)
    np.testing.assert_allclose(scaler.spread_F, [3.0 / 1.349, 1.0, 0.4], rtol=1e-6)


def test_transform_keeps_nan_and_every_leading_axis_and_leaves_its_input_alone() -> None:
    x = features()
    scaler = Scaler.fit(x, np.arange(400), names=NAMES, log_floors={"volatility": 1e-6})
    windows = x.reshape(20, 20, 3).copy()
    windows[0, 0] = np.nan
    kept = windows.copy()
    scaled = scaler.transform(windows, NAMES)
    assert np.isnan(scaled[0, 0]).all()
    np.testing.assert_array_equal(scaled.reshape(-1, 3)[1:], scaler.transform(x, NAMES)[1:])
    np.testing.assert_array_equal(windows, kept)


def test_other_features_are_refused_by_name() -> None:
    scaler = Scaler.fit(features(), np.arange(400), names=NAMES)
    for names, told in (
        (("momentum", "flag", "volatility"), "feature 1 is flag and the scales were measured with volatility"),
        (NAMES[:2], "feature 2 is missing"),
        ((*NAMES, "extra"), "feature 3 is extra and the scales were measured with none there"),
    ):
        with pytest.raises(SchemaMismatch, match=told):
            scaler.transform(features()[:, :2], names)
    with pytest.raises(SchemaMismatch, match="does not hold 3 features"):
        scaler.transform(features()[:, :2], NAMES)


def test_scaler_travels_as_text_to_the_last_bit() -> None:
    scaler = Scaler.fit(features(), np.arange(300), names=NAMES, log_floors={"volatility": 1e-6})
    assert same(Scaler.of_json(scaler.to_json()), scaler)
    assert [row[0] for row in json.loads(scaler.to_json())] == list(NAMES)


def test_what_can_not_be_measured_says_what_to_do() -> None:
    x = features()
    x[:100, 2] = np.nan
    with pytest.raises(DataError, match=r"flag has no finite value.*features\.names"):
        Scaler.fit(x, np.arange(100), names=NAMES)
    with pytest.raises(ConfigError, match="no training rows"):
        Scaler.fit(x, np.array([], dtype=np.int64), names=NAMES)
    with pytest.raises(ConfigError, match="sigma can't be read in logs"):
        Scaler.fit(x, np.arange(400), names=NAMES, log_floors={"sigma": 1.0})
    with pytest.raises(SchemaMismatch, match="does not hold 2 features"):
        Scaler.fit(x, np.arange(400), names=NAMES[:2])


def test_memory_maps_serve(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", features())
    mapped = np.load(tmp_path / "x.npy", mmap_mode="r")
    rows = np.arange(50, 300)
    assert same(Scaler.fit(mapped, rows, names=NAMES), Scaler.fit(features(), rows, names=NAMES))
