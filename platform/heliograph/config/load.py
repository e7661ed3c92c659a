"""Settings from a YAML file, ``--set`` overrides and the environment; every fault is told at once."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from heliograph.config.section import Section
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError

Tree = dict[str, Any]

_FEW = 8


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
        faults += [f"{'.'.join(map(str, f['loc'])) or 'settings'}: {_said(f)}" for f in e.errors()]
    if faults:
        where = f" in {path}" if path else ""
        raise ConfigError(
            f"{len(faults)} wrong setting{'s' * (len(faults) > 1)}{where}:\n" + "\n".join(f"  - {f}" for f in faults)
        )
    return _absolute(settings)


def _said(fault: ErrorDetails) -> str:
    if fault["type"] != "extra_forbidden":
        return fault["msg"].removeprefix("Value error, ")
    *place, name = fault["loc"]
    beside = _beside(place)
    near = get_close_matches(str(name), beside, n=2)
    if near:
        return f"there is no such setting; did you mean {' or '.join(near)}?"
    listed = f"beside it are {', '.join(beside)}" if len(beside) <= _FEW else "docs/reference/settings.md has them all"
    return f"there is no such setting; {listed}"


def _beside(place: Sequence[int | str]) -> list[str]:
    """The settings of the section at this place."""
    kinds: list[type[Section]] = [Settings]
    for name in place:
        held = [k.model_fields[name].annotation for k in kinds if isinstance(name, str) and name in k.model_fields]
        if held:  # else it is a key or a number of what the setting above holds
            kinds = [kind for annotation in held for kind in _sections(annotation)]
    return [name for kind in kinds for name in kind.model_fields]


def _sections(annotation: Any) -> list[type[Section]]:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [kind for part in get_args(annotation) for kind in _sections(part)]


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
