"""Foundation models behind the port: the spread is the distribution's, dropout is off, and what is missing is told."""

from __future__ import annotations

import sys
from pathlib import Path
from statistics import NormalDist
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.model import foundation
from heliograph.model.foundation import (
    ChronosPipeline,
    FoundationForecaster,
    KronosPipeline,
    TimesfmPipeline,
    at_levels,
    candles,
    open_pipeline,
    price_path,
    sureness,
    zero_shot,
)
from heliograph.model.spec import Spec

LEVELS = (0.025, 0.1, 0.25, 0.5, 0.75, 0.9, 0.975)
DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
SPEC = Spec(("log_return_1", "ewma_volatility"), "ewma_volatility", (1, 4), LEVELS, 16)


@pytest.fixture
def windows() -> np.ndarray:
    x = np.random.default_rng(4).normal(0.0, 0.01, size=(10, 16, 2)).astype(np.float32)
    x[..., 1] = 0.01
    return x


class Bolt(nn.Module):
    """A tiny random network that answers as Chronos-Bolt's pipeline does: quantiles of trained levels."""

    quantiles = DECILES

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.model = nn.Sequential(nn.Linear(16, 32), nn.Dropout(0.5), nn.ReLU(), nn.Linear(32, 8 * 9))
        self.asked: list[list[float]] = []

    def predict_quantiles(self, inputs, prediction_length, quantile_levels):
        context = torch.stack(inputs)
        self.asked.append(quantile_levels)
        last, scale = context[:, -1:], context.std(dim=1, keepdim=True) + 1e-3
        said = self.model((context - last) / scale).unflatten(-1, (8, 9))[:, :prediction_length]
        return last[..., None] + scale[..., None] * said.sort(dim=-1).values, last


class Two(Bolt):
    """As Chronos-2 does: a list with an axis of variates."""

    def predict_quantiles(self, inputs, prediction_length, quantile_levels):
        said, mean = super().predict_quantiles(inputs, prediction_length, quantile_levels)
        return [row[None] for row in said], [row[None] for row in mean]


class Sampler(nn.Module):
    """As Chronos-T5 does: it draws paths, and has no levels of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Dropout(0.3)

    def predict_quantiles(self, inputs, prediction_length, quantile_levels, num_samples):
        last = torch.stack(inputs)[:, -1]
        steps = torch.randn(len(last), num_samples, prediction_length).cumsum(dim=-1)
        paths = self.model(last[:, None, None] * (0.01 * steps).exp())
        return torch.quantile(paths, torch.tensor(quantile_levels), dim=1).permute(1, 2, 0), last


def bolt(made: nn.Module | None = None) -> FoundationForecaster:
    return FoundationForecaster(SPEC, ChronosPipeline(made or Bolt(), fingerprint="abc"))


def test_forecast_answers_the_port(windows):
    forecast = bolt().forecast(windows)
    assert forecast.quantile_BHQ.shape == (10, 2, 7)
    assert (np.diff(forecast.quantile_BHQ, axis=-1) >= 0).all()
    np.testing.assert_allclose(forecast.setup_BHC.sum(axis=-1), 1.0)
    assert ((forecast.confidence_BH >= 0) & (forecast.confidence_BH <= 1)).all()


def test_quantiles_are_those_of_the_models_price_as_log_returns(windows):
    inner = Bolt().eval()
    said = bolt(inner).forecast(windows).quantile_BHQ
    context = [torch.from_numpy(row.astype(np.float32)) for row in price_path(windows[..., 0])]
    with torch.inference_mode():
        price = inner.predict_quantiles(context, 4, list(DECILES))[0].double().numpy()
    for level in (0.1, 0.5, 0.9):
        expected = np.log(price[:, [0, 3], DECILES.index(level)] / 100.0)
        np.testing.assert_allclose(said[..., LEVELS.index(level)], expected, rtol=1e-9)


def test_model_is_asked_for_its_own_levels_and_the_tails_are_told():
    inner = Bolt()
    made = bolt(inner)
    made.forecast(np.zeros((1, 16, 2), dtype=np.float32))
    assert inner.asked == [list(DECILES)]
    assert made.extrapolated == (0.025, 0.975)


def test_dropout_is_off_even_after_training_mode(windows):
    inner = Bolt().train()
    made = bolt(inner)
    first = made.forecast(windows).quantile_BHQ
    inner.train()
    np.testing.assert_array_equal(made.forecast(windows).quantile_BHQ, first)


def test_batches_change_nothing(windows):
    whole = bolt().forecast(windows).quantile_BHQ
    parts = FoundationForecaster(SPEC, ChronosPipeline(Bolt(), fingerprint="abc"), batch_size=3)
    np.testing.assert_allclose(parts.forecast(windows).quantile_BHQ, whole, rtol=1e-5, atol=1e-7)


def test_lists_with_an_axis_of_variates_are_read_as_well(windows):
    one, two = bolt(Bolt()).forecast(windows), bolt(Two()).forecast(windows)
    np.testing.assert_array_equal(one.quantile_BHQ, two.quantile_BHQ)


def test_samples_give_every_level_and_come_out_the_same_each_time(windows):
    made = FoundationForecaster(SPEC, ChronosPipeline(Sampler(), fingerprint="abc", num_samples=400))
    assert made.extrapolated == ()
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second = (made.forecast(windows).quantile_BHQ for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert torch.equal(torch.rand(1), expected)  # the process' own draws go on as if nothing had been
    spread = (first[:, 1, -2] - first[:, 1, 1]).mean()
    assert spread == pytest.approx(2 * 1.2816 * 0.01 * 2, rel=0.15)  # four steps of one percent


class Averaging:
    """As Kronos' predictor does: it draws paths of candles and gives their mean."""

    clip = 5

    def __init__(self) -> None:
        self.model, self.tokenizer = nn.Dropout(0.5), nn.Identity()

    def generate(self, x, x_stamp, y_stamp, pred_len, T, top_k, top_p, sample_count, verbose):  # noqa: PLR0917
        assert not self.model.training
        assert (T, top_k, top_p) == (1.0, 0, 1.0)
        assert x.shape[0] == x_stamp.shape[0] == y_stamp.shape[0]
        last = torch.from_numpy(x[:, -1, 3])
        paths = last[:, None, None] + torch.randn(len(x), sample_count, pred_len).cumsum(dim=-1)
        close = paths.mean(dim=1)
        return close[..., None].repeat(1, 1, 6).numpy()


def test_kronos_spread_is_that_of_paths_and_not_of_their_mean(windows):
    """Its own `predict` averages what it draws, and the cone is gone: 90 % intervals held 25 % of the truths."""
    made = FoundationForecaster(SPEC, KronosPipeline(Averaging(), fingerprint="abc", num_samples=300))
    said = made.forecast(windows).quantile_BHQ
    unit = candles(price_path(windows[..., 0]))[..., 3].std(axis=1) / 100.0
    width = (said[:, 1, -2] - said[:, 1, 1]) / unit
    assert width.mean() == pytest.approx(2 * 1.2816 * 2, rel=0.1)


def test_timesfm_mean_is_no_quantile(windows):
    def forecast(horizon, inputs):
        last = np.array([i[-1] for i in inputs])[:, None, None]
        deciles = last * np.exp(0.01 * np.array([NormalDist().inv_cdf(q) for q in DECILES])) * np.ones((1, horizon, 1))
        return last[..., 0], np.concatenate([np.full((len(inputs), horizon, 1), 1e6), deciles], axis=-1)

    inner = SimpleNamespace(forecast=forecast, model=nn.Dropout(0.5))
    said = FoundationForecaster(SPEC, TimesfmPipeline(inner, fingerprint="abc")).forecast(windows).quantile_BHQ
    np.testing.assert_allclose(said[0, 0], [0.01 * NormalDist().inv_cdf(q) for q in LEVELS], atol=1e-6)
    assert not inner.model.training


def test_levels_of_a_normal_distribution_are_met_inside_and_outside():
    normal = NormalDist(0.3, 2.0).inv_cdf
    own = np.array([[[normal(q) for q in DECILES]]])
    np.testing.assert_allclose(at_levels(own, DECILES, LEVELS)[0, 0], [normal(q) for q in LEVELS])


def test_crossed_quantiles_are_put_in_order():
    crossed = np.array([[[1.0, 3.0, 2.0]]])
    said = at_levels(crossed, (0.1, 0.5, 0.9), (0.05, 0.1, 0.5, 0.9))
    assert (np.diff(said) >= 0).all()
    np.testing.assert_array_equal(said[0, 0, 1:], [1.0, 2.0, 3.0])


def test_confidence_is_where_zero_lies():
    quantile = np.array([[[-3.0, -1.0, 1.0], [1.0, 2.0, 3.0]]])
    np.testing.assert_allclose(sureness(quantile, (0.1, 0.5, 0.9)), [[0.7, 0.9]])


def test_price_that_falls_to_nothing_gives_a_finite_return():
    class Ruin(Bolt):
        def predict_quantiles(self, inputs, prediction_length, quantile_levels):
            return torch.full((len(inputs), prediction_length, len(quantile_levels)), -5.0), None

    assert np.isfinite(bolt(Ruin()).forecast(np.zeros((2, 16, 2), dtype=np.float32)).quantile_BHQ).all()


def test_zero_shot_gives_the_levels_of_a_benchmark():
    said = zero_shot(ChronosPipeline(Bolt(), fingerprint="abc"))(np.full((2, 16), 50.0), 3, (0.1, 0.5, 0.9))
    assert said.shape == (2, 3, 3)


# What is missing is told


def test_window_without_returns_is_refused():
    with pytest.raises(ConfigError, match="log_return_1"):
        FoundationForecaster(
            Spec(("ewma_volatility",), "ewma_volatility", (1,), LEVELS, 16), ChronosPipeline(Bolt(), fingerprint="a")
        )


def test_wrong_shapes_and_gaps_are_refused(windows):
    with pytest.raises(SchemaMismatch, match="16, 2"):
        bolt().forecast(windows[:, 1:])
    windows[3, 4, 0] = np.nan
    with pytest.raises(SchemaMismatch, match="not finite"):
        bolt().forecast(windows)


def test_answer_of_another_shape_is_refused(windows):
    class Short(Bolt):
        def predict_quantiles(self, inputs, prediction_length, quantile_levels):
            return super().predict_quantiles(inputs, prediction_length, quantile_levels)[0][:3], None

    with pytest.raises(SchemaMismatch, match="answered"):
        bolt(Short()).forecast(windows)


def weights(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"x")
    return folder


def test_unknown_family_and_absent_weights_are_told(tmp_path: Path):
    with pytest.raises(ConfigError, match="chronos, timesfm, kronos"):
        open_pipeline("oracle", tmp_path)
    with pytest.raises(ConfigError, match="holds no weights of chronos"):
        open_pipeline("chronos", tmp_path)
    with pytest.raises(ConfigError, match="holds no weights of kronos"):
        open_pipeline("kronos", tmp_path / "none")


@pytest.mark.parametrize(
    ("family", "module", "told"),
    [
        ("chronos", "chronos", "pip install chronos-forecasting"),
        ("timesfm", "timesfm", r"pip install timesfm\[torch\]"),
        ("kronos", "model", "clone the Kronos repository"),
    ],
)
def test_absent_package_is_told_with_its_pip_name(family, module, told, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ConfigError, match=told):
        open_pipeline(family, weights(tmp_path / "weights"))


def test_another_package_called_model_is_not_taken_for_kronos(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "model", ModuleType("model"))
    with pytest.raises(ConfigError, match="not Kronos'"):
        open_pipeline("kronos", weights(tmp_path / "weights"))


def test_kronos_without_its_tokenizer_is_told(tmp_path, monkeypatch):
    package = ModuleType("model")
    package.KronosPredictor = object
    monkeypatch.setitem(sys.modules, "model", package)
    weights(tmp_path / "kronos" / "model")
    with pytest.raises(ConfigError, match="tokenizer is not there"):
        open_pipeline("kronos", tmp_path / "kronos")


def test_package_opens_local_weights_and_the_header_restores_them(tmp_path, monkeypatch, windows):
    opened = []

    def from_pretrained(path, **options):
        opened.append((path, options))
        return Bolt()

    package = ModuleType("chronos")
    package.BaseChronosPipeline = SimpleNamespace(from_pretrained=from_pretrained)
    monkeypatch.setitem(sys.modules, "chronos", package)
    made = FoundationForecaster.open(SPEC, "chronos", weights(tmp_path / "bolt"))
    tensors, header = made.state()
    again = FoundationForecaster.restore(SPEC, tensors, header)
    assert opened[0] == (str(tmp_path / "bolt"), {"device_map": "cpu", "local_files_only": True})
    np.testing.assert_array_equal(again.forecast(windows).quantile_BHQ, made.forecast(windows).quantile_BHQ)
    assert again.fingerprint == made.fingerprint
    (tmp_path / "bolt" / "model.safetensors").write_bytes(b"y")
    assert FoundationForecaster.restore(SPEC, tensors, header).fingerprint != made.fingerprint


def test_model_from_memory_has_no_state():
    with pytest.raises(ConfigError, match="from memory"):
        bolt().state()


@pytest.mark.filterwarnings("ignore")  # another project's, of its own parts
def test_real_chronos_bolt_of_a_tiny_random_configuration(tmp_path, windows):
    pytest.importorskip("chronos", reason="chronos-forecasting is not installed")
    from chronos.chronos_bolt import ChronosBoltModelForForecasting
    from transformers import T5Config

    config = T5Config(d_model=16, d_kv=8, d_ff=32, num_layers=1, num_heads=2, vocab_size=2, dropout_rate=0.1)
    config.chronos_config = {
        "context_length": 64, "prediction_length": 8, "input_patch_size": 8, "input_patch_stride": 8,
        "quantiles": list(DECILES), "use_reg_token": True,
    }  # fmt: skip
    config.chronos_pipeline_class = "ChronosBoltPipeline"
    config.architectures = ["ChronosBoltModelForForecasting"]
    ChronosBoltModelForForecasting(config).save_pretrained(tmp_path / "bolt")
    made = FoundationForecaster.open(SPEC, "chronos", tmp_path / "bolt")
    first, second = (made.forecast(windows).quantile_BHQ for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert made.extrapolated == (0.025, 0.975)
    assert foundation.FAMILIES
