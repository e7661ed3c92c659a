"""The network: training samples a CPU second of the hybrid beside its ablations, and the cost of one live forecast."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tests.bench.measure import report
from tests.unit.train import makes

from heliograph.config.settings import ModelSettings, TrainSettings
from heliograph.model.calibrate import Calibration
from heliograph.model.forecaster import NetworkForecaster, load_network
from heliograph.train import loop, pool

SAMPLES = 8_192
TRAIN = TrainSettings(epochs=1, samples_per_epoch=SAMPLES, batch_size=512, seed=1)


def main() -> None:
    """One epoch each on the same planted market, one thread."""
    torch.set_num_threads(1)
    data = makes.world("volatility", num=6_000)
    fold = makes.fold(6_000)
    rates = {}
    for kind in ("hybrid", "lstm", "transformer"):
        model = ModelSettings(kind=kind)
        spec = pool.spec_of(makes.NAMES, makes.LABELS, model)
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            best = loop.fit(data, fold, spec=spec, model=model, settings=TRAIN, folder=Path(folder))
            rates[kind] = SAMPLES / (time.process_time() - start)
            network = load_network(best)
        if kind == "hybrid":
            latency(NetworkForecaster(network, Calibration.identity(len(spec.horizons_bars), len(spec.levels))))
    report("train_samples_per_cpu_s", **rates, hybrid_to_lstm=rates["hybrid"] / rates["lstm"])


def latency(forecaster: NetworkForecaster) -> None:
    """A single window, as the live desk asks."""
    x_BTF = np.random.default_rng(0).normal(0.1, 0.01, (1, forecaster.window_bars, len(makes.NAMES))).astype(np.float32)
    took = []
    for _ in range(500):
        start = time.perf_counter()
        forecaster.forecast(x_BTF)
        took.append((time.perf_counter() - start) * 1e3)
    p50, p99 = np.quantile(took[50:], [0.5, 0.99])
    report("forecast_one_window_ms", p50=p50, p99=p99)


if __name__ == "__main__":
    main()
