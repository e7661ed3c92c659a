"""Settings from a YAML file, ``--set`` overrides and the environment; every fault is told at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError

Tree = dict[str, Any]


def load(path: Path | None, overrides: Sequence[str] = (), environ: Mapping[str, str] = os.environ) -> Settings:
    """Read settings.

    Args:
        path: a YAML file; None takes the defaults.
        overrides: ``section.key=value`` strings, the value in YAML.
        environ: secrets are read from here (``HELIO_API_KEY``).

    Raises:
        ConfigError: listing every fault, each with its place.
    """
    tree = _read(path) if path else {}
    faults = [fault for text in overrides if (fault := _override(tree, text))]
    if key := environ.get("HELIO_API_KEY"):
        tree.setdefault("serve", {})["api_key"] = key
    try:
        settings = Settings.model_validate(tree)
    except ValidationError as e:
        faults += [
            f"{'.'.join(map(str, f['loc'])) or 'settings'}: {f['msg'].removeprefix('Value error, ')}"
            for f in e.errors()
        ]
    if faults:
        where = f" in {path}" if path else ""
        raise ConfigError(
            f"{len(faults)} wrong setting{'s' * (len(faults) > 1)}{where}:\n" + "\n".join(f"  - {f}" for f in faults)
        )
    return _absolute(settings)


def _absolute(settings: Settings) -> Settings:
    """The same with full paths: workers run in other folders."""
    uri = settings.lake.uri
    if "://" not in uri:
        settings = settings.model_copy(
            update={"lake": settings.lake.model_copy(update={"uri": str(Path(uri).absolute())})}
        )
    registry = settings.registry.uri
    if registry is not None and "://" not in registry:
        at = settings.registry.model_copy(update={"uri": str(Path(registry).expanduser().absolute())})
        settings = settings.model_copy(update={"registry": at})
    return settings.model_copy(update={"var": settings.var.absolute()})


def _read(path: Path) -> Tree:
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except OSError as e:
        raise ConfigError(
            f"can't read the settings file {path}: {e.strerror}; give an existing file with --config"
        ) from e
    except yaml.YAMLError as e:
        raise ConfigError(f"{path} is not valid YAML: {e}") from e
    if not isinstance(tree, dict):
        raise ConfigError(f"{path} must hold a mapping of sections, not a {type(tree).__name__}")
    return tree


def _override(tree: Tree, text: str) -> str | None:
    name, equals, value = text.partition("=")
    if not equals:
        return f"--set {text}: write section.key=value"
    *sections, key = name.split(".")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        return f"--set {text}: {value!r} is not a YAML value"
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            return f"--set {text}: {section} is a value, not a section"
    tree[key] = parsed
    return None
