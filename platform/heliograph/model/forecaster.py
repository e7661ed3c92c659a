"""Forecasters on disk: save and load of every kind, and of the tracker of widths that goes with one.

A kind is a class with ``kind``, ``state() -> (tensors, header)`` and ``restore(spec, tensors, header)``.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from heliograph.core.errors import ConfigError, SchemaMismatch
from heliograph.model import checkpoint
from heliograph.model.ensemble import EnsembleForecaster, Kept
from heliograph.model.neural import UNCALIBRATED, NetworkForecaster, load_network, save_network, spec_of_header
from heliograph.model.spec import Forecast, Forecaster
from heliograph.model.tracker import Tracker

__all__ = [
    "Forecast",
    "Forecaster",
    "Kept",
    "NetworkForecaster",
    "load",
    "load_network",
    "load_tracker",
    "save",
    "save_network",
]

KINDS = {
    "unconditional": "baselines:PooledForecaster",
    "rolling": "baselines:PooledForecaster",
    "volatility_scaled": "baselines:PooledForecaster",
    "ewma_t": "ewma:EwmaForecaster",
    "garch_t": "garch:GarchForecaster",
    "har": "har:HarForecaster",
    "network": "neural:NetworkForecaster",
    "trees": "trees:TreesForecaster",
    "foundation": "foundation:FoundationForecaster",
    "ensemble": "ensemble:EnsembleForecaster",
}
"""Module and class of each kind; a process imports those that it loads, for LightGBM and arch take seconds."""

_TRACKER = "tracker."


def save(folder: Path, forecaster: Kept, *, provenance: dict[str, str], tracker: Tracker | None = None) -> Path:
    """Write a forecaster; returns ``folder``.

    Args:
        provenance: where it came from, e.g. the settings' fingerprint, the lake's version, the fold.
        tracker: of its widths, as validation left it.
    """
    tensors, header = forecaster.state()
    told = {"kind": forecaster.kind, "spec": asdict(forecaster.spec), "fingerprint": forecaster.fingerprint}
    if tracker is not None:
        widths, said = tracker.state()
        tensors, told = tensors | {_TRACKER + name: value for name, value in widths.items()}, {**told, "tracker": said}
    return checkpoint.write(folder, tensors, {**header, **told, "provenance": provenance})


def load(folder: Path, *, expected_features: tuple[str, ...] | None = None) -> Any:
    """Read a forecaster that `save` wrote.

    Raises:
        ConfigError: there is no forecaster in the folder.
        SchemaMismatch: it was trained on other features than ``expected_features``; the message names the difference.
        CorruptPart: its bytes are damaged.
    """
    tensors, header = checkpoint.read(folder)
    if header["kind"] == UNCALIBRATED:
        raise ConfigError(
            f"the network at {folder} is not calibrated yet: use the forecaster that its fold's end wrote"
        )
    kinds = {header["kind"], *(member["kind"] for member in header.get("members", ()))}
    if unknown := sorted(kinds - {*KINDS}):
        raise ConfigError(f"{folder} holds a forecaster of the kind {unknown[0]}, unknown here: train again")
    spec = spec_of_header(header)
    if expected_features is not None and expected_features != spec.feature_names:
        differing = sorted(set(expected_features) ^ set(spec.feature_names)) or "their order"
        raise SchemaMismatch(
            f"the model at {folder} was trained on other features (difference: {differing}): "
            "compute its features, or train again"
        )
    if header["kind"] == EnsembleForecaster.kind:
        return EnsembleForecaster.restore(spec, tensors, header, kinds={kind: kind_named(kind) for kind in kinds})
    return kind_named(header["kind"]).restore(spec, tensors, header)


def load_tracker(folder: Path) -> Tracker | None:
    """The tracker of widths that was saved with a forecaster; None where there was none.

    Raises:
        ConfigError: there is no forecaster in the folder.
        CorruptPart: its bytes are damaged.
    """
    tensors, header = checkpoint.read(folder)
    if "tracker" not in header:
        return None
    own = {name.removeprefix(_TRACKER): value for name, value in tensors.items() if name.startswith(_TRACKER)}
    return Tracker.restore(own, header["tracker"])


def kind_named(kind: str) -> Any:
    """The class of a kind of forecaster."""
    module, name = KINDS[kind].split(":")
    return getattr(import_module(f"heliograph.model.{module}"), name)
