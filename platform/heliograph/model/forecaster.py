"""Forecasters that can be kept and used: the calibrated network, and save and load of every kind.

Shapes: B windows, T bars, F features, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from heliograph.config.settings import ModelSettings
from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.model import checkpoint
from heliograph.model.baselines import PooledForecaster
from heliograph.model.calibrate import Calibration, Raw
from heliograph.model.network import Network
from heliograph.model.spec import Forecast, Forecaster, Spec, digest

__all__ = ["Forecast", "Forecaster", "NetworkForecaster", "load", "load_network", "save", "save_network"]


class NetworkForecaster:
    """A trained network with its calibration; always in eval mode, so dropout never widens or moves a forecast."""

    def __init__(self, network: Network, calibration: Calibration) -> None:
        self.spec = network.spec
        self.feature_names, self.window_bars = network.spec.feature_names, network.spec.window_bars
        self.horizons_bars, self.levels = network.spec.horizons_bars, network.spec.levels
        self.network, self.calibration = network.eval(), calibration
        self.base_HQ = network.base_HQ.detach().cpu().numpy()
        self.setup_prior_HC = network.setup_prior_HC.detach().cpu().double().numpy()
        tensors = _tensors(self)
        self.fingerprint = digest(_header(self), [tensors[name] for name in sorted(tensors)])

    def raw(self, x_BTF: npt.NDArray[np.float32]) -> Raw:
        """What the network says before calibration."""
        self.network.eval()
        with torch.inference_mode():
            x = torch.from_numpy(np.ascontiguousarray(x_BTF)).to(self.network.level_Q.device)
            output = self.network(x)
        return Raw(
            z_BHQ=output.z_BHQ.cpu().numpy(),
            setup_BHC=output.setup_BHC.double().cpu().numpy(),
            direction_BH=output.direction_BH.double().cpu().numpy(),
        )

    def forecast(self, x_BTF: npt.NDArray[np.float32]) -> Forecast:
        """Calibrated distributions after the last bar of each window of raw features, float32[B, T, F].

        Raises:
            SchemaMismatch: the windows have another shape.
        """
        scale_BH = self.spec.scale(x_BTF)
        return self.calibration.apply(
            self.raw(x_BTF), base_HQ=self.base_HQ, setup_prior_HC=self.setup_prior_HC, scale_BH=scale_BH
        )


def save(folder: Path, forecaster: NetworkForecaster | PooledForecaster, *, provenance: dict[str, str]) -> Path:
    """Write a forecaster; returns ``folder``.

    Args:
        provenance: where it came from, e.g. the settings' fingerprint, the lake's version, the fold.
    """
    header = {**_header(forecaster), "fingerprint": forecaster.fingerprint, "provenance": provenance}
    return checkpoint.write(folder, _tensors(forecaster), header)


def load(folder: Path, *, expected_features: tuple[str, ...] | None = None) -> NetworkForecaster | PooledForecaster:
    """Read a forecaster that `save` wrote.

    Raises:
        ConfigError: there is no forecaster in the folder.
        SchemaMismatch: it was trained on other features than ``expected_features``; the message names the difference.
        CorruptPart: its bytes are damaged.
    """
    tensors, header = checkpoint.read(folder)
    if header["kind"] == "uncalibrated":
        raise ConfigError(
            f"the network at {folder} is not calibrated yet: use the forecaster that its fold's end wrote"
        )
    spec = _spec(header)
    if expected_features is not None and expected_features != spec.feature_names:
        differing = sorted(set(expected_features) ^ set(spec.feature_names)) or "their order"
        raise SchemaMismatch(
            f"the model at {folder} was trained on other features (difference: {differing}): "
            "compute its features, or train again"
        )
    if header["kind"] == "network":
        calibration = Calibration(**{f.name: tensors[f"calibration.{f.name}"] for f in fields(Calibration)})
        return NetworkForecaster(_network(spec, header, tensors), calibration)
    return PooledForecaster(
        spec,
        header["kind"],
        quantile_HQ=tensors["quantile_HQ"],
        setup_HC=tensors["setup_HC"],
        confidence_H=tensors["confidence_H"],
    )


def save_network(folder: Path, network: Network) -> Path:
    """Write a network that is not calibrated yet; returns ``folder``."""
    header = {"kind": "uncalibrated", "spec": asdict(network.spec), "model": network.settings.model_dump(mode="json")}
    return checkpoint.write(folder, _weights(network), header)


def load_network(folder: Path) -> Network:
    """Read what `save_network` wrote.

    Raises:
        ConfigError: there is no such network in the folder.
    """
    tensors, header = checkpoint.read(folder)
    if header["kind"] != "uncalibrated":
        raise ConfigError(f"{folder} holds a finished forecaster: load it with `load`")
    return _network(_spec(header), header, tensors)


def _spec(header: dict[str, Any]) -> Spec:
    said = header["spec"]
    return Spec(
        feature_names=tuple(said["feature_names"]),
        sigma_name=said["sigma_name"],
        horizons_bars=tuple(said["horizons_bars"]),
        levels=tuple(said["levels"]),
        window_bars=said["window_bars"],
    )


def _network(spec: Spec, header: dict[str, Any], tensors: checkpoint.Tensors) -> Network:
    network = Network(spec, ModelSettings.model_validate(header["model"]))
    prefix = "network."
    state = {k.removeprefix(prefix): torch.from_numpy(v.copy()) for k, v in tensors.items() if k.startswith(prefix)}
    network.load_state_dict(state)
    return network


def _weights(network: Network) -> checkpoint.Tensors:
    return {f"network.{name}": value.detach().cpu().numpy() for name, value in network.state_dict().items()}


def _tensors(forecaster: NetworkForecaster | PooledForecaster) -> checkpoint.Tensors:
    if isinstance(forecaster, NetworkForecaster):
        calibration = {f"calibration.{name}": value for name, value in asdict(forecaster.calibration).items()}
        return {**_weights(forecaster.network), **calibration}
    names = ("quantile_HQ", "setup_HC", "confidence_H")
    return {name: getattr(forecaster, name) for name in names}


def _header(forecaster: NetworkForecaster | PooledForecaster) -> dict[str, Any]:
    spec = {"spec": asdict(forecaster.spec)}
    if isinstance(forecaster, NetworkForecaster):
        return {"kind": "network", **spec, "model": forecaster.network.settings.model_dump(mode="json")}
    return {"kind": forecaster.kind, **spec}
