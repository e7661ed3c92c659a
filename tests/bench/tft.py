"""neuralforecast's temporal fusion transformer beside the network: samples a CPU second at the same size. Needs that package.

Both read windows of as many bars and give as many levels. The TFT has no other input than the series itself, as its
examples do, and one horizon a step up to the longest; its width is the largest with no more parameters.
"""

from __future__ import annotations

import logging
import time
import warnings
from bisect import bisect_left

import numpy as np
import pandas as pd
from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MQLoss
from neuralforecast.models import TFT

from heliograph.config.learning import LabelSettings

_STEPS = (2, 10)
_HEADS = 4


def samples_per_cpu_s(
    close: np.ndarray, window_bars: int, labels: LabelSettings, *, size: int, batch: int
) -> tuple[float, int]:
    """Windows a CPU second of training, by the difference of two fits; and the number of parameters."""
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    width = _nearest(window_bars, labels, size, batch)
    returns = np.diff(np.log(close))
    frame = pd.DataFrame({"unique_id": "A", "ds": np.arange(returns.size), "y": returns / returns.std()})
    spent = []
    for steps in _STEPS:
        model = _model(width, window_bars, labels, batch=batch, steps=steps)
        start = time.process_time()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            NeuralForecast(models=[model], freq=1).fit(frame)
        spent.append(time.process_time() - start)
    return (_STEPS[1] - _STEPS[0]) * batch / (spent[1] - spent[0]), _parameters(model)


def _model(width: int, window_bars: int, labels: LabelSettings, *, batch: int, steps: int) -> TFT:
    return TFT(
        h=max(labels.horizons_bars),
        input_size=window_bars,
        hidden_size=width,
        n_head=_HEADS,
        loss=MQLoss(quantiles=list(labels.levels)),
        max_steps=steps,
        batch_size=1,
        windows_batch_size=batch,
        scaler_type="standard",
        enable_progress_bar=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        logger=False,
        accelerator="cpu",
    )


def _parameters(model: TFT) -> int:
    return sum(p.numel() for p in model.parameters())


def _nearest(window_bars: int, labels: LabelSettings, size: int, batch: int) -> int:
    """Largest width with no more parameters than ``size``; they grow with the width."""

    def too_large(heads: int) -> bool:
        return _parameters(_model(heads * _HEADS, window_bars, labels, batch=batch, steps=1)) > size

    return _HEADS * max(1, bisect_left(range(65), True, lo=1, key=too_large) - 1)
