"""Small trees for the tests of the model; apart, for LightGBM takes a while to import."""

from __future__ import annotations

import lightgbm as lgb
import numpy as np
from tests.unit.model.makes import make_har

from heliograph.model.spec import Spec
from heliograph.model.trees import PARTS, TreesForecaster


def make_trees(spec: Spec, windows: np.ndarray, seed: int = 0) -> TreesForecaster:
    """Trees that learned something, however senseless, on the volatility model."""
    har = make_har(spec, windows)
    rng = np.random.default_rng(seed)
    x = np.ascontiguousarray(windows.reshape(-1, windows.shape[-1]))

    def booster(outputs: int) -> lgb.Booster:
        told = 0.2 * np.sin(3.0 * x[:, :1] + np.arange(outputs)) + 0.1 * rng.normal(size=(len(x), outputs))
        params = {"num_class": outputs, "verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}

        def towards(said: np.ndarray, _: lgb.Dataset) -> tuple[np.ndarray, np.ndarray]:
            gap = said.reshape(told.shape) - told
            return gap.squeeze(), np.ones_like(gap).squeeze()

        return lgb.train({**params, "objective": towards}, lgb.Dataset(x, label=np.zeros(len(x))), 5)

    num = len(spec.horizons_bars)
    return TreesForecaster(
        har.har,
        har.cone,
        correction=tuple(booster(PARTS) for _ in range(num)),
        direction=tuple(booster(1) for _ in range(num)),
        slope_H=np.linspace(0.5, 2.0, num),
    )
