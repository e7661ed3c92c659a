"""The calibrated network as a forecaster, and networks on disk.

Shapes: B windows, T bars, F features, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import torch

from heliograph.config.learning import ModelSettings
from heliograph.core.errors import ConfigError, DataError, InvariantBroken
from heliograph.model import checkpoint
from heliograph.model.calibrate import Calibration, Raw
from heliograph.model.har import Har
from heliograph.model.network import Network
from heliograph.model.onnx import Runtime
from heliograph.model.spec import Forecast, Spec, digest

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

UNCALIBRATED = "uncalibrated"
"""Kind of a network on disk that is no forecaster yet."""

_HAR, _NETWORK, _CALIBRATION = "har.", "network.", "calibration."


class NetworkForecaster:
    """A trained network with its scale and calibration, run by ONNX Runtime: batches and the live bar take one path.

    Always in eval mode, so that dropout never widens or moves a forecast.
    """

    kind: str = "network"

    def __init__(self, network: Network, calibration: Calibration) -> None:
        self.spec = network.spec
        self.feature_names, self.window_bars = network.spec.feature_names, network.spec.window_bars
        self.horizons_bars, self.levels = network.spec.horizons_bars, network.spec.levels
        self.network, self.calibration = network.cpu().eval(), calibration
        self.base_HQ = network.base_HQ.detach().numpy()
        self.setup_prior_HC = network.setup_prior_HC.detach().double().numpy()
        tensors, header = self.state()
        self.fingerprint = digest(
            {"kind": self.kind, "spec": asdict(self.spec), **header}, [tensors[name] for name in sorted(tensors)]
        )
        self._runtime: Runtime | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Without the runtime's session, which each process makes for itself."""
        return {**self.__dict__, "_runtime": None}

    def scale(self, x_BTF: Float32Array) -> FloatArray:
        """What turns standard quantiles into log-returns, float64[B, H].

        Raises:
            SchemaMismatch: the windows have another shape.
        """
        self.spec.sigma(x_BTF)
        return har_of(self.network).scale(x_BTF[:, -1])

    def raw(self, x_BTF: Float32Array) -> Raw:
        """What the network says before calibration.

        Raises:
            SchemaMismatch: the windows have another shape.
            DataError: a window holds a value that is not finite.
        """
        self.spec.sigma(x_BTF)
        require_finite(x_BTF, self.feature_names)
        if self._runtime is None:
            self._runtime = Runtime(self.network)
        said = self._runtime.run(x_BTF)
        return Raw(said.z_BHQ, said.setup_BHC.astype(np.float64), said.direction_BH.astype(np.float64))

    def forecast(self, x_BTF: Float32Array) -> Forecast:
        """Calibrated distributions after the last bar of each window of raw features, float32[B, T, F].

        Raises:
            SchemaMismatch: the windows have another shape.
            DataError: a window holds a value that is not finite.
        """
        scale_BH = self.scale(x_BTF)
        return self.calibration.apply(
            self.raw(x_BTF), base_HQ=self.base_HQ, setup_prior_HC=self.setup_prior_HC, scale_BH=scale_BH
        )

    def importance(self, x_BTF: Float32Array) -> dict[str, dict[str, float]]:
        """How much each feature counts in these windows, by place: ``tokens`` and ``last_bar``; one is the average."""
        return importance(self.network, x_BTF)

    def state(self) -> tuple[checkpoint.Tensors, dict[str, Any]]:
        """What `restore` makes the same forecaster of."""
        tensors, header = state_of(self.network)
        calibration = {
            _CALIBRATION + f.name: np.asarray(getattr(self.calibration, f.name)) for f in fields(Calibration)
        }
        return {**tensors, **calibration}, header

    @classmethod
    def restore(cls, spec: Spec, tensors: checkpoint.Tensors, header: dict[str, Any]) -> Self:
        """Inverse of `state`."""
        calibration = Calibration(**{f.name: tensors[_CALIBRATION + f.name] for f in fields(Calibration)})
        return cls(network_of(spec, tensors, header), calibration)


def har_of(network: Network) -> Har:
    """The network's scale.

    Raises:
        InvariantBroken: nothing was measured for it yet.
    """
    if network.har is None:
        raise InvariantBroken("a network without a volatility model was asked for returns: adopt standards first")
    return network.har


def require_finite(x_BTF: Float32Array, names: tuple[str, ...]) -> None:
    """Refuse windows with a value that is NaN or infinite: a network would answer with a number all the same.

    Raises:
        DataError: naming the first such window, bar and feature.
    """
    with np.errstate(all="ignore"):  # a sum is finite only where all values are; large ones may overflow it
        if np.isfinite(np.add.reduce(x_BTF, axis=None)):
            return
    strange = np.argwhere(~np.isfinite(x_BTF))
    if len(strange):
        window, bar, feature = (int(i) for i in strange[0])
        raise DataError(
            f"{names[feature]} is {x_BTF[window, bar, feature]} at bar {bar} of window {window}, and {len(strange) - 1} more "
            "values are not finite: wait until the features have warmed up, and take windows from origins()"
        )


def importance(network: Network, x_BTF: Float32Array) -> dict[str, dict[str, float]]:
    """Mean weight of every feature in the variable selections, over windows and tokens; the average feature has one."""
    network.eval()
    with torch.inference_mode():
        of_tokens, of_last = network.encoder.weights(network.inputs(torch.from_numpy(np.ascontiguousarray(x_BTF))))
    names = network.spec.feature_names
    tokens: dict[str, float] = {}
    for layout, weight_BPF in zip(network.encoder.tokens.layouts, of_tokens, strict=True):
        mean_F = weight_BPF.mean(dim=(0, 1)).tolist()
        tokens |= zip((names[c] for c in layout.frame.columns), mean_F, strict=True)
    return {"tokens": tokens, "last_bar": dict(zip(names, of_last.mean(dim=0).tolist(), strict=True))}


def save_network(folder: Path, network: Network) -> Path:
    """Write a network that is not calibrated yet; returns ``folder``."""
    tensors, header = state_of(network)
    return checkpoint.write(folder, tensors, {"kind": UNCALIBRATED, "spec": asdict(network.spec), **header})


def load_network(folder: Path) -> Network:
    """Read what `save_network` wrote.

    Raises:
        ConfigError: there is no such network in the folder.
    """
    tensors, header = checkpoint.read(folder)
    if header["kind"] != UNCALIBRATED:
        raise ConfigError(f"{folder} holds a finished forecaster: load it with `load`")
    return network_of(spec_of_header(header), tensors, header)


def read_network(folder: Path) -> Network:
    """The network in a folder, calibrated or not.

    Raises:
        ConfigError: there is none.
    """
    tensors, header = checkpoint.read(folder)
    if header["kind"] not in (UNCALIBRATED, NetworkForecaster.kind):
        raise ConfigError(f"{folder} holds a forecaster of the kind {header['kind']}: choose the folder of a network")
    return network_of(spec_of_header(header), tensors, header)


def state_of(network: Network) -> tuple[checkpoint.Tensors, dict[str, Any]]:
    """Tensors and header that `network_of` makes the same network of."""
    tensors: checkpoint.Tensors = {
        _NETWORK + name: value.detach().cpu().numpy() for name, value in network.state_dict().items()
    }
    header: dict[str, Any] = {"model": network.settings.model_dump(mode="json")}
    if network.har is not None:
        scale, header["har"] = network.har.state()
        tensors |= {_HAR + name: value for name, value in scale.items()}
    return tensors, header


def network_of(spec: Spec, tensors: checkpoint.Tensors, header: dict[str, Any]) -> Network:
    """Inverse of `state_of`."""
    network = Network(spec, ModelSettings.model_validate(header["model"]))
    network.load_state_dict({n: torch.from_numpy(v.copy()) for n, v in _under(_NETWORK, tensors).items()})
    if "har" in header:
        network.har = Har.restore(spec, _under(_HAR, tensors), header["har"])
    return network


def spec_of_header(header: dict[str, Any]) -> Spec:
    """The spec under ``spec`` in a checkpoint's header."""
    said: dict[str, Any] = {n: tuple(v) if isinstance(v, list) else v for n, v in header["spec"].items()}
    return Spec(**said)


def _under(prefix: str, tensors: checkpoint.Tensors) -> checkpoint.Tensors:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
