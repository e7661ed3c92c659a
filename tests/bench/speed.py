"""The network on one thread: training samples a CPU second, forecasts one at a time and in batches, and what must agree.

    python tests/bench/speed.py

Generated candles through the real features; neuralforecast's TFT of the same size is measured beside it where that
package is installed (`pip install neuralforecast`), else its figure is null and says why.
"""

from __future__ import annotations

import importlib.util
import json
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.bench import canary

from heliograph.config.settings import Settings
from heliograph.core.events import CandleClosed
from heliograph.core.market import Candles
from heliograph.core.timeframe import HOUR_MS
from heliograph.features import table
from heliograph.model.calibrate import Calibration
from heliograph.model.forecaster import NetworkForecaster, load_network
from heliograph.model.network import Network
from heliograph.train import loop, protocol
from heliograph.train.pool import spec_of
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData, gather, origins

SAMPLES, BATCH, ALONE, LIVE_BARS = 8_192, 512, 500, 40
EPOCHS, ROUNDS = 7, 3
KINDS = ("hybrid", "lstm", "transformer")


def main() -> None:
    """Each kind trained for some epochs beyond the first, the median of the rounds; the hybrid then forecasts."""
    torch.set_num_threads(1)
    settings = Settings()
    candles = {symbol: canary.market(k, edge=0.0, num_bars=6_000) for k, symbol in enumerate(canary.SYMBOLS)}
    data = protocol.symbols_data(candles, venue="binance", features=settings.features, label=settings.labels)
    first = candles[canary.SYMBOLS[0]]
    rounds: dict[str, list[float]] = {kind: [] for kind in KINDS}
    networks = {}
    for _ in range(ROUNDS):  # side by side: a slow minute of the machine is everybody's
        for kind in KINDS:
            rate, networks[kind] = training(data, settings, kind)
            rounds[kind].append(rate)
    rates = {kind: float(np.median(of)) for kind, of in rounds.items()}
    size = sum(p.numel() for p in networks["hybrid"].parameters())
    report("train_samples_per_cpu_s", parameters=size, **rates, **rival(first, settings, size, rates["hybrid"]))
    forecaster = plain(networks["hybrid"])
    report("forecast", **forecasting(forecaster, data[0]), **agreement(forecaster, data[0], first, settings))


def training(data: Sequence[SymbolData], settings: Settings, kind: str) -> tuple[float, Network]:
    """Training samples a CPU second, validation included; set-up and the heads' own fits are left out by difference."""
    model = settings.model.model_copy(update={"kind": kind})
    spec = spec_of(table.names(settings.features), settings.labels, model)
    known = data[0].known_ts_ms
    a, b, gap = int(known[int(0.6 * known.size)]), int(known[int(0.8 * known.size)]), 48 * HOUR_MS
    fold = Fold(0, (int(known[0]), a - gap), (a, b - gap), (b, int(known[-1])))
    spent = {}
    for epochs in (1, 1, EPOCHS):  # the first one compiles
        train = settings.train.model_copy(
            update={"epochs": epochs, "samples_per_epoch": SAMPLES, "batch_size": BATCH, "patience_epochs": epochs}
        )
        with tempfile.TemporaryDirectory() as folder:
            start = time.process_time()
            best = loop.fit(data, fold, spec=spec, model=model, settings=train, folder=Path(folder))
            spent[epochs] = time.process_time() - start
            network = load_network(best)
    return (EPOCHS - 1) * SAMPLES / (spent[EPOCHS] - spent[1]), network


def plain(network: Network) -> NetworkForecaster:
    """The network as it is, with heads that say something: an untrained one would agree with anything."""
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    spec = network.spec
    return NetworkForecaster(network, Calibration.identity(len(spec.horizons_bars), len(spec.levels)))


def forecasting(forecaster: NetworkForecaster, data: SymbolData) -> dict[str, float]:
    """A single window, as the live desk asks, in wall milliseconds; and batches, in CPU seconds."""
    rows = origins(data, (0, int(data.known_ts_ms[-1])), forecaster.window_bars, labelled_by_ms=None)
    x_BTF = gather(data.x_NF, rows[-4 * BATCH :], forecaster.window_bars)
    took = []
    for i in range(ALONE + 50):
        one = x_BTF[i : i + 1].copy()
        start = time.perf_counter()
        forecaster.forecast(one)
        took.append((time.perf_counter() - start) * 1e3)
    p50, p99 = np.quantile(took[50:], [0.5, 0.99])
    start_cpu = time.process_time()
    for first in range(0, 4 * BATCH, BATCH):
        forecaster.forecast(x_BTF[first : first + BATCH])
    return {
        "batch_1_p50_ms": float(p50),
        "batch_1_p99_ms": float(p99),
        "batched_per_cpu_s": 4 * BATCH / (time.process_time() - start_cpu),
    }


def agreement(
    forecaster: NetworkForecaster, data: SymbolData, candles: Candles, settings: Settings
) -> dict[str, float]:
    """Largest differences, in standard quantiles: PyTorch to ONNX, one window to a batch, bar by bar to the frame."""
    rows = np.arange(len(candles) - LIVE_BARS, len(candles))
    x_BTF = gather(data.x_NF, rows, forecaster.window_bars)
    network = forecaster.network.eval()
    with torch.inference_mode():
        torch_z = network(network.inputs(torch.from_numpy(x_BTF))).z_BHQ.numpy()
    z = forecaster.raw(x_BTF).z_BHQ
    alone = np.concatenate([forecaster.raw(x_BTF[i : i + 1]).z_BHQ for i in range(rows.size)])
    live = table.LiveFeatures(settings.features, market=("binance", canary.SYMBOLS[0]))
    seen = np.array([live.update(bar) for bar in closed(candles, settings.features.timeframe)], dtype=np.float32)
    streamed = forecaster.raw(gather(seen, rows, forecaster.window_bars)).z_BHQ
    return {
        "torch_onnx_max_diff": float(np.abs(torch_z - z).max()),
        "alone_batch_max_diff": float(np.abs(alone - z).max()),
        "streaming_batch_max_diff": float(np.abs(streamed - alone).max()),
    }


def closed(candles: Candles, timeframe: str) -> list[CandleClosed]:
    """The candles as they come, one by one."""
    columns = (candles.open_ts_ms, candles.open, candles.high, candles.low, candles.close, candles.volume)
    return [
        CandleClosed("binance", canary.SYMBOLS[0], timeframe, int(ts), int(ts) + HOUR_MS, *(float(v) for v in row))
        for ts, *row in zip(*columns, strict=True)
    ]


def rival(candles: Candles, settings: Settings, size: int, ours: float) -> dict[str, Any]:
    """neuralforecast's TFT of about the same number of parameters, its samples a CPU second on the same closes."""
    if importlib.util.find_spec("neuralforecast") is None:
        return {"tft": None, "ratio": None, "why": "neuralforecast is not installed"}
    from tests.bench import tft

    rate, parameters = tft.samples_per_cpu_s(
        candles.close, settings.model.window_bars, settings.labels, size=size, batch=BATCH
    )
    return {"tft": rate, "tft_parameters": parameters, "ratio": ours / rate}


def report(part: str, **figures: Any) -> None:
    """One JSON line; four digits."""
    told = {
        name: float(f"{value:.4g}") if isinstance(value, float) and math.isfinite(value) else value
        for name, value in figures.items()
    }
    sys.stdout.write(json.dumps({"check": "speed", "part": part, **told}) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
