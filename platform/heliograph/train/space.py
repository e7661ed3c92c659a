"""The search space: settings by ``section.field``, each with a range that the setting itself would accept."""

from __future__ import annotations

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import ValidationError

from heliograph.config.learning import Range
from heliograph.config.section import Section
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError

Value = float | int | str | bool | None | list[Any]
Point = Mapping[str, Value]
"""One candidate's values by ``section.field``."""

SECTIONS = ("model", "features", "labels", "train", "risk")

_FIXED = {
    "labels.horizons_bars": "it says what is forecast, and scores of different questions can't be compared",
    "labels.levels": "it says what is forecast, and scores of different questions can't be compared",
    "features.timeframe": "it says what is forecast, and scores of different questions can't be compared",
    "features.files": "features of your own are searched by their names in features.names",
    "risk.horizon_bars": "it must be one of labels.horizons_bars, and scores of different questions can't be compared",
    "risk.initial_cash_quote": "it is what you have, not what serves best",
    "train.venue": "it says whose data is forecast",
    "train.symbols": "it says whose data is forecast",
    "train.seed": "the best of several seeds is luck",
    "train.strategy": "it says how work is shared, which must not change a result",
    "train.workers": "it says how work is shared, which must not change a result",
    "train.zero_stage": "it says how work is shared, which must not change a result",
    "train.use_gpu": "it says how work is shared, which must not change a result",
    "train.folds_at_once": "it says how work is shared, which must not change a result",
}


@dataclass(frozen=True, slots=True)
class Axis:
    """One searched setting.

    Attributes:
        name: ``section.field``.
        kind: ``float`` and ``int`` lie from ``low`` to ``high``, both included; ``choice`` is one of ``choices``.
        is_log: drawn evenly over the logarithm.
    """

    name: str
    kind: Literal["float", "int", "choice"]
    low: float = 0.0
    high: float = 0.0
    is_log: bool = False
    choices: tuple[Value, ...] = ()

    def holds(self, value: Value) -> bool:
        """True where the axis could have drawn this value.

        >>> Axis("model.dropout", "float", 0.0, 0.3).holds(0.5)
        False
        """
        if self.kind == "choice":
            return label(value) in map(label, self.choices)
        return isinstance(value, int | float) and self.low <= value <= self.high


def label(value: Value) -> str | float | int | bool | None:
    """The value as a scalar: lists as JSON, everything else as it is.

    >>> label(["core", "rsi_*"]), label(0.3)
    ('["core", "rsi_*"]', 0.3)
    """
    return json.dumps(list(value)) if isinstance(value, list | tuple) else value


def read(settings: Settings) -> tuple[Axis, ...]:
    """The axes of ``settings.sweep.space``, in the order of their names.

    Raises:
        ConfigError: telling every axis that names no setting, one that is not searched, or a range that the setting
            would not accept.
    """
    axes, faults = [], []
    for name, wanted in sorted(settings.sweep.space.items()):
        if fault := _unsearched(name, settings):
            faults.append(fault)
            continue
        try:
            axes.append(_axis(name, wanted, settings))
        except ConfigError as e:
            faults.append(str(e))
    if not settings.sweep.space:
        faults.append("it is empty: name at least one section.field with a range")
    if faults:
        raise ConfigError("sweep.space can't be searched:\n" + "\n".join(f"  - {f}" for f in faults))
    return tuple(axes)


def candidate(settings: Settings, point: Point) -> Settings:
    """The settings with the point's values in place.

    Raises:
        ConfigError: the values contradict each other or the rest, e.g. a width that the attention heads don't divide.
    """
    tree = settings.model_dump()
    for name, value in point.items():
        section, _, field = name.partition(".")
        tree[section][field] = value
    try:
        return Settings.model_validate(tree)
    except ValidationError as e:
        said = "; ".join(f["msg"].removeprefix("Value error, ") for f in e.errors())
        raise ConfigError(f"{told(point)}: {said}") from e


def standing(settings: Settings, axes: tuple[Axis, ...]) -> Point | None:
    """What the settings say as they stand; None where that lies outside of the space."""
    point: dict[str, Value] = {}
    for axis in axes:
        section, _, field = axis.name.partition(".")
        value = getattr(getattr(settings, section), field)
        point[axis.name] = list(value) if isinstance(value, tuple) else value
    return point if all(axis.holds(point[axis.name]) for axis in axes) else None


def told(point: Point) -> str:
    """The point in words that ``--set`` takes.

    >>> told({"model.width": 16, "features.names": ["core"]})
    'features.names=["core"] model.width=16'
    """
    return " ".join(f"{name}={json.dumps(value)}" for name, value in sorted(point.items()))


def _kinds() -> dict[str, type[Section]]:
    """The searched sections' classes."""
    made = {}
    for section in SECTIONS:
        kind = Settings.model_fields[section].annotation
        assert isinstance(kind, type)
        assert issubclass(kind, Section)
        made[section] = kind
    return made


def _unsearched(name: str, settings: Settings) -> str | None:
    known = [f"{section}.{field}" for section, kind in _kinds().items() for field in kind.model_fields]
    if name in _FIXED:
        return f"{name} is not searched: {_FIXED[name]}"
    if name not in known:
        section, _, field = name.partition(".")
        if section not in SECTIONS and section in Settings.model_fields:
            return f"{name} is not searched: a space has settings of {', '.join(SECTIONS)} only"
        open_to_search = [n for n in known if n not in _FIXED]
        near = [n for n in open_to_search if n.partition(".")[2] == (field or section)]
        near = near or get_close_matches(name, open_to_search, n=2, cutoff=0.7)
        advice = f"did you mean {' or '.join(near)}?" if near else "docs/reference/settings.md has them all"
        return f"{name}: there is no such setting; {advice}"
    if name.startswith("risk.") and settings.sweep.objective == "skill":
        return f"{name} changes no forecast, so skill says nothing about it: set sweep.objective to sharpe"
    return None


def _axis(name: str, wanted: Range, settings: Settings) -> Axis:
    section, _, field = name.partition(".")
    kind = _kinds()[section]
    numbers = _numbers(kind.model_fields[field].annotation)
    if not wanted.choices and not numbers:
        raise ConfigError(f"{name} is no number: give choices instead of low and high")
    held = getattr(settings, section).model_dump()
    accepted = [_accepted(kind, held, name, value) for value in wanted.choices or (wanted.low, wanted.high)]
    if not wanted.choices:
        low, high = accepted
        return Axis(name, "float" if float in numbers else "int", float(low), float(high), wanted.log)
    choices = tuple(list(a) if isinstance(a, tuple) else a for a in accepted)
    if len({label(c) for c in choices}) < len(choices):
        raise ConfigError(f"{name} has a choice twice: {json.dumps(choices)}")
    return Axis(name, "choice", choices=choices)


def _accepted(kind: type[Section], held: dict[str, Any], name: str, value: Any) -> Any:
    """The value as the setting keeps it; what it says together with other settings is each candidate's matter."""
    field = name.partition(".")[2]
    try:
        return getattr(kind.model_validate(held | {field: value}), field)
    except ValidationError as e:
        said = [f["msg"].removeprefix("Value error, ") for f in e.errors() if f["loc"][:1] == (field,)]
        if said:
            raise ConfigError(f"{name} can't be {value}: {'; '.join(said)}") from e
        return list(value) if isinstance(value, tuple) else value


def _numbers(kind: Any) -> set[type]:
    """Which of float and int a field's type takes."""
    if kind in (float, int):
        return {kind}
    if get_origin(kind) is Annotated:
        return _numbers(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return set().union(*(_numbers(k) for k in get_args(kind)))
    return set()
