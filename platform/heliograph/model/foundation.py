"""Foundation models behind the forecaster's port: Chronos, TimesFM and Kronos, by their own packages.

Neither packages nor weights are part of Heliograph: the user installs the one, points to a folder with the other, and
nothing is fetched. What independent tests of such models found is ruled out here: the spread comes from the model's
distribution and never from an averaged path, and dropout is off in every forecast.

Shapes: B windows, T bars, H horizons, N steps ahead up to the longest horizon, Q quantile levels, L levels that a model
gives by itself, C setups.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt
import torch

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.model import checkpoint
from heliograph.model.spec import SETUPS, Forecast, Spec, digest

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

RETURN_NAME = "log_return_1"
"""The feature that a price path is rebuilt from."""

PRICE = 100.0
"""Every path ends at this price: a positive series, far from zero, as such models were trained on."""

_LEAST = 1e-6 * PRICE
_TIMESFM_STEPS = 256
_WEIGHTS = (".safetensors", ".bin")
_DECILES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


class Pipeline(Protocol):
    """A foundation model: positive series in, quantiles of the next steps out.

    Attributes:
        levels: L levels that it gives by itself, ascending; None where it draws samples, and any level can be had.
        fingerprint: 12 hex digits that name its weights.
    """

    levels: tuple[float, ...] | None
    fingerprint: str

    def quantiles(self, context_BT: FloatArray, steps: int, levels: tuple[float, ...]) -> FloatArray:
        """Quantiles of each of the next ``steps`` values at these levels, float64[B, N, levels].

        Args:
            levels: are among its own, where it has such.
        """


class FoundationForecaster:
    """A foundation model's quantiles of the price path, as log-returns at the horizons.

    Levels between those that the model gives are interpolated along the normal distribution's quantiles; levels beyond
    its outermost ones are drawn on along the same line, and named by `extrapolated`, for there the model says nothing.

    Attributes:
        extrapolated: levels that no quantile of the model stands behind.
    """

    kind: ClassVar[str] = "foundation"

    def __init__(
        self, spec: Spec, pipeline: Pipeline, *, source: dict[str, Any] | None = None, batch_size: int = 256
    ) -> None:
        if RETURN_NAME not in spec.feature_names:
            raise ConfigError(f"a foundation model needs the feature {RETURN_NAME!r}: add it to features.names")
        self.spec, self.pipeline, self.batch_size = spec, pipeline, batch_size
        self.source = source or {}
        self.feature_names, self.window_bars = spec.feature_names, spec.window_bars
        self.horizons_bars, self.levels = spec.horizons_bars, spec.levels
        own = pipeline.levels
        self.extrapolated = () if own is None else tuple(q for q in spec.levels if not own[0] <= q <= own[-1])
        self.fingerprint = digest([self.kind, asdict(spec), pipeline.fingerprint], [])

    @classmethod
    def open(cls, spec: Spec, family: str, weights: Path, *, num_samples: int = 100) -> Self:
        """A forecaster on the weights in a folder.

        Raises:
            ConfigError: the package is not installed, the folder has no weights, or there is no such family.
        """
        source = {"family": family, "weights": str(weights), "num_samples": num_samples}
        return cls(spec, open_pipeline(family, weights, num_samples=num_samples), source=source)

    def forecast(self, x_BTF: Float32Array) -> Forecast:
        """Distributions after each window; a foundation model says nothing of setups, which come out even.

        Raises:
            SchemaMismatch: the windows have another shape, or a return is not finite.
        """
        self.spec.sigma(x_BTF)  # the check of the shape
        parts = np.array_split(x_BTF, max(1, -(-len(x_BTF) // self.batch_size)))
        quantile_BHQ = np.concatenate([self._quantiles(part) for part in parts])
        even = np.full((len(x_BTF), len(self.horizons_bars), len(SETUPS)), 1.0 / len(SETUPS))
        return Forecast(quantile_BHQ, even, sureness(quantile_BHQ, self.levels))

    def state(self) -> tuple[checkpoint.Tensors, dict[str, Any]]:
        """No tensors: the weights stay where they are, and the header says where.

        Raises:
            ConfigError: the model was handed over in memory and lies nowhere.
        """
        if not self.source:
            raise ConfigError("this foundation model came from memory: open it from a folder to be able to save it")
        return {}, dict(self.source)

    @classmethod
    def restore(cls, spec: Spec, tensors: checkpoint.Tensors, header: dict[str, Any]) -> Self:  # noqa: ARG003 - the port
        """What `state` told of; see `open` for what can be wrong."""
        return cls.open(spec, header["family"], Path(header["weights"]), num_samples=header["num_samples"])

    def _quantiles(self, x_BTF: Float32Array) -> FloatArray:
        path_BT = price_path(x_BTF[..., self.feature_names.index(RETURN_NAME)])
        asked = self.pipeline.levels or self.levels
        said_BNL = self.pipeline.quantiles(path_BT, max(self.horizons_bars), asked)
        wanted = (len(path_BT), max(self.horizons_bars), len(asked))
        if said_BNL.shape != wanted:
            raise SchemaMismatch(f"the foundation model answered {said_BNL.shape}, not {wanted}")
        at_BHL = said_BNL[:, np.asarray(self.horizons_bars) - 1]
        return at_levels(np.log(np.maximum(at_BHL, _LEAST) / PRICE), asked, self.levels)


def price_path(log_return_BT: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """Closes that had these returns and end at `PRICE`, float64[B, T].

    Raises:
        SchemaMismatch: a return is not finite.

    >>> price_path(np.log([[1.0, 2.0, 0.5]])).tolist()
    [[100.0, 200.0, 100.0]]
    """
    steps = np.asarray(log_return_BT, dtype=np.float64)
    if not np.isfinite(steps).all():
        raise SchemaMismatch(f"{RETURN_NAME} has values that are not finite: no price path can be rebuilt from it")
    log_BT = np.cumsum(steps, axis=1)
    path: FloatArray = PRICE * np.exp(log_BT - log_BT[:, -1:])
    return path


def at_levels(value_BHL: FloatArray, own: tuple[float, ...], wanted: tuple[float, ...]) -> FloatArray:
    """Quantiles at other levels: put in order, then straight lines over normal scores; float64[B, H, wanted].

    Beyond the outermost levels the line of the last two goes on, a normal tail.
    Source of the ordering: Chernozhukov et al., Quantile and Probability Curves without Crossing, 2010.

    >>> normal = NormalDist(1.0, 2.0).inv_cdf
    >>> value = np.array([[[normal(0.1), normal(0.5), normal(0.9)]]])
    >>> bool(np.allclose(at_levels(value, (0.1, 0.5, 0.9), (0.025, 0.3)), [normal(0.025), normal(0.3)]))
    True
    """
    ordered = np.sort(value_BHL, axis=-1)
    if own == wanted:
        return ordered
    score = NormalDist().inv_cdf
    own_L, wanted_Q = np.array([score(q) for q in own]), np.array([score(q) for q in wanted])
    below = np.clip(np.searchsorted(own_L, wanted_Q, side="right") - 1, 0, len(own_L) - 2)
    share_Q = (wanted_Q - own_L[below]) / (own_L[below + 1] - own_L[below])
    said: FloatArray = ordered[..., below] + share_Q * (ordered[..., below + 1] - ordered[..., below])
    return np.sort(said, axis=-1)


def sureness(quantile_BHQ: FloatArray, levels: tuple[float, ...]) -> FloatArray:
    """Probability that the median's sign is right, float64[B, H], by where zero lies among the quantiles.

    >>> sureness(np.array([[[-1.0, 1.0, 3.0]]]), (0.1, 0.5, 0.9)).round(12).tolist()
    [[0.7]]
    """
    flat = quantile_BHQ.reshape(-1, quantile_BHQ.shape[-1])
    below = np.array([np.interp(0.0, q, levels, left=levels[0], right=levels[-1]) for q in flat])
    is_up = flat[:, flat.shape[-1] // 2] >= 0
    sure: FloatArray = np.where(is_up, 1.0 - below, below).reshape(quantile_BHQ.shape[:-1])
    return sure


def zero_shot(pipeline: Pipeline) -> Callable[[FloatArray, int, tuple[float, ...]], FloatArray]:
    """The model on series of any kind, at any levels: for public benchmarks."""

    def forecast(context_BT: FloatArray, steps: int, levels: tuple[float, ...]) -> FloatArray:
        own = pipeline.levels or levels
        return at_levels(pipeline.quantiles(context_BT, steps, own), own, levels)

    return forecast


@contextmanager
def at_rest(*modules: torch.nn.Module, seed: int = 0) -> Iterator[None]:
    """Dropout off, no gradients, and draws that come out the same each time and leave the process' own alone."""
    for module in modules:
        module.eval()
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(seed)
        yield


class ChronosPipeline:
    """Chronos (T5), Chronos-Bolt and Chronos-2: ``predict_quantiles`` of ``chronos-forecasting``.

    Bolt goes on greedily from its own medians beyond 64 steps, and its spread narrows there: keep horizons below.

    Attributes:
        inner: a ``BaseChronosPipeline``; one with ``quantiles`` has trained levels, else it draws samples.
    """

    def __init__(self, inner: Any, *, fingerprint: str, num_samples: int = 100) -> None:
        self.inner, self.fingerprint, self.num_samples = inner, fingerprint, num_samples
        own = getattr(inner, "quantiles", None)
        self.levels = None if own is None else tuple(float(q) for q in own)

    def quantiles(self, context_BT: FloatArray, steps: int, levels: tuple[float, ...]) -> FloatArray:
        """See `Pipeline`."""
        context = [torch.from_numpy(row.astype(np.float32)) for row in context_BT]
        more = {"num_samples": self.num_samples} if self.levels is None else {}
        with at_rest(*_modules(self.inner)):
            said = self.inner.predict_quantiles(context, prediction_length=steps, quantile_levels=list(levels), **more)[
                0
            ]
        rows = [r.reshape(steps, len(levels)) for r in said]  # Chronos-2 gives a list with one variate a series
        return torch.stack(rows).double().cpu().numpy()


class TimesfmPipeline:
    """TimesFM 2.5: ``forecast(horizon, inputs)`` gives the mean and nine deciles of every step."""

    levels: tuple[float, ...] | None = _DECILES

    def __init__(self, inner: Any, *, fingerprint: str) -> None:
        self.inner, self.fingerprint = inner, fingerprint

    def quantiles(self, context_BT: FloatArray, steps: int, levels: tuple[float, ...]) -> FloatArray:
        """See `Pipeline`.

        Raises:
            ConfigError: it was not made ready for so many steps.
        """
        if steps > _TIMESFM_STEPS:
            raise ConfigError(
                f"TimesFM is made ready for {_TIMESFM_STEPS} steps ahead, not {steps}: shorten the horizon"
            )
        with at_rest(*_modules(self.inner)):
            said_BN10 = np.asarray(
                self.inner.forecast(horizon=steps, inputs=[r.astype(np.float32) for r in context_BT])[1]
            )
        chosen = [1 + _DECILES.index(level) for level in levels]  # the mean comes first, and is no quantile
        return said_BN10[:, :steps, chosen].astype(np.float64)


class KronosPipeline:
    """Kronos: sample paths of candles, each series ``num_samples`` times in the batch and asked for ONE path each.

    Its own ``predict`` averages the paths that it draws, which leaves no spread; a mean over one path is that path. It
    draws from the whole distribution (its own default leaves out the least likely tenth, which narrows the cone).
    The window has closes alone: a bar opens at the last close, its range is what lies between, its volume is zero (as
    Kronos itself fills it), and its time stamps are zeros, for a window doesn't say when it was.
    """

    levels: tuple[float, ...] | None = None

    def __init__(self, inner: Any, *, fingerprint: str, num_samples: int = 100) -> None:
        self.inner, self.fingerprint, self.num_samples = inner, fingerprint, num_samples

    def quantiles(self, context_BT: FloatArray, steps: int, levels: tuple[float, ...]) -> FloatArray:
        """See `Pipeline`."""
        candle_BT6 = candles(context_BT)
        mean, std = candle_BT6.mean(axis=1, keepdims=True), candle_BT6.std(axis=1, keepdims=True) + 1e-5
        x = np.repeat(np.clip((candle_BT6 - mean) / std, -self.inner.clip, self.inner.clip), self.num_samples, axis=0)
        stamp, later = (np.zeros((len(x), n, 5), dtype=np.float32) for n in (context_BT.shape[1], steps))
        with at_rest(*_modules(self.inner)):
            said = self.inner.generate(x.astype(np.float32), stamp, later, steps, 1.0, 0, 1.0, 1, False)
        close = (
            np.asarray(said)[..., 3].reshape(len(context_BT), self.num_samples, steps) * std[..., 3:4] + mean[..., 3:4]
        )
        return np.moveaxis(np.quantile(close.astype(np.float64), levels, axis=1), 0, -1)


def candles(close_BT: FloatArray) -> FloatArray:
    """Open, high, low, close, volume and amount of bars of which only closes are known, float64[B, T, 6].

    >>> candles(np.array([[100.0, 90.0]]))[0, 1].tolist()
    [100.0, 100.0, 90.0, 90.0, 0.0, 0.0]
    """
    open_BT = np.concatenate([close_BT[:, :1], close_BT[:, :-1]], axis=1)
    nothing = np.zeros_like(close_BT)
    high, low = np.maximum(open_BT, close_BT), np.minimum(open_BT, close_BT)
    return np.stack([open_BT, high, low, close_BT, nothing, nothing], axis=-1)


def open_pipeline(family: str, weights: Path, *, num_samples: int = 100) -> Pipeline:
    """A foundation model by its own package, from weights in a folder; nothing is fetched.

    Raises:
        ConfigError: the package is not installed, the folder has no weights, or there is no such family.
    """
    if family not in FAMILIES:
        raise ConfigError(f"there is no foundation family {family!r}: choose one of {', '.join(FAMILIES)}")
    if not any(path.suffix in _WEIGHTS for path in weights.rglob("*")):
        raise ConfigError(
            f"{weights} holds no weights of {family} (*.safetensors or *.bin): download its model card's files there"
        )
    return FAMILIES[family](weights, num_samples)


def _open_chronos(weights: Path, num_samples: int) -> Pipeline:
    package = _package("chronos", "pip install chronos-forecasting")
    inner = package.BaseChronosPipeline.from_pretrained(str(weights), device_map="cpu", local_files_only=True)
    return ChronosPipeline(inner, fingerprint=_print(weights), num_samples=num_samples)


def _open_timesfm(weights: Path, num_samples: int) -> Pipeline:  # noqa: ARG001 - it has quantiles of its own
    package = _package("timesfm", "pip install timesfm[torch]")
    if not hasattr(package, "TimesFM_2p5_200M_torch"):
        raise ConfigError("this version of timesfm has no TimesFM 2.5: pip install timesfm[torch]==2.*")
    inner = package.TimesFM_2p5_200M_torch.from_pretrained(str(weights), local_files_only=True, torch_compile=False)
    inner.compile(
        package.ForecastConfig(
            max_context=1_024,
            max_horizon=_TIMESFM_STEPS,
            normalize_inputs=True,
            per_core_batch_size=32,
            use_continuous_quantile_head=True,
            infer_is_positive=True,
            fix_quantile_crossing=True,
        )
    )
    return TimesfmPipeline(inner, fingerprint=_print(weights))


def _open_kronos(weights: Path, num_samples: int) -> Pipeline:
    package = _package("model", "clone the Kronos repository, pip install its requirements, put it on PYTHONPATH")
    if not hasattr(package, "KronosPredictor"):
        raise ConfigError("the package `model` on PYTHONPATH is not Kronos': put the clone of its repository first")
    parts = {name: weights / name for name in ("model", "tokenizer")}
    absent = [str(folder) for folder in parts.values() if not folder.is_dir()]
    if absent:
        raise ConfigError(f"Kronos needs two folders of weights, and {' and '.join(absent)} is not there")
    inner = package.KronosPredictor(
        package.Kronos.from_pretrained(str(parts["model"]), local_files_only=True),
        package.KronosTokenizer.from_pretrained(str(parts["tokenizer"]), local_files_only=True),
        device="cpu",
    )
    return KronosPipeline(inner, fingerprint=_print(weights), num_samples=num_samples)


FAMILIES: dict[str, Callable[[Path, int], Pipeline]] = {
    "chronos": _open_chronos,
    "timesfm": _open_timesfm,
    "kronos": _open_kronos,
}
"""What can be opened, and how."""


def _package(name: str, how: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as e:
        raise ConfigError(f"the package {name!r} is not installed: {how}") from e


def _modules(inner: Any) -> tuple[torch.nn.Module, ...]:
    """Every network that a pipeline holds, however it names them."""
    held = (inner, *(getattr(inner, name, None) for name in ("model", "inner_model", "tokenizer")))
    return tuple(m for m in held if isinstance(m, torch.nn.Module))


def _print(weights: Path) -> str:
    state = sha256()
    for path in sorted(p for p in weights.rglob("*") if p.suffix in (*_WEIGHTS, ".json")):
        state.update(str(path.relative_to(weights)).encode())
        with path.open("rb") as body:
            while block := body.read(1 << 20):
                state.update(block)
    return state.hexdigest()[:12]
