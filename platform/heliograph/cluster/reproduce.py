"""Fit a released model's run again, from what its manifest says, and compare every metric bit for bit."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from heliograph.cluster import fit
from heliograph.config.settings import LakeSettings, RegistrySettings, Settings
from heliograph.core.errors import ConfigError, HeliographError
from heliograph.lake import snapshot
from heliograph.telemetry.progress import Bar
from heliograph.train import origin, registry
from heliograph.train.manifest import Data, Manifest

ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric that did not come again; `ABSENT` where there was none."""

    metric: str
    then: Any
    now: Any


@dataclass(frozen=True, slots=True)
class Reproduction:
    """What came of it.

    Attributes:
        metrics: how many were compared.
        differences: those that differ in any bit.
        same_model: whether the model's files are the same, byte for byte.
        notes: what was not the same from the start: code, libraries.
        folder: the new run, kept where anything differs.
    """

    model: str
    run: str
    data_versions: Mapping[str, int]
    metrics: int
    differences: tuple[Difference, ...]
    same_model: bool
    notes: tuple[str, ...]
    folder: str | None

    @property
    def is_same(self) -> bool:
        """Whether all of it came again."""
        return self.same_model and not self.differences


def run(settings: Settings, name: str, shown: Bar, *, anyway: bool = False) -> Reproduction:
    """Fit the run of a released model again in a folder of its own; neither the pointer nor the trials know of it.

    Args:
        settings: where the registry and the lake are; all else comes from the manifest.
        name: of the model, its first digits, ``current``, or the name of its run.
        anyway: go on where code or candles are not those that the manifest names.

    Raises:
        ConfigError: there is no such model, it does not say what it was made of, that version of the candles is gone, or
            (without ``anyway``) code or candles are others.
        HeliographError: a fold failed.
    """
    told = find(settings, name)
    data = told.origin.data
    if told.origin.settings is None or data is None:
        raise ConfigError(
            f"model {told.model[: registry.SHORT]} does not name its settings and data: run `helio train` to have one that does"
        )
    before = _settings_of(told)
    hindrances = _hindrances(told, data, before, settings)
    if hindrances and not anyway:
        raise ConfigError(f"{'; '.join(hindrances)}; give --anyway to fit it all the same")
    (settings.var / "reproduce").mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f"{told.model[: registry.SHORT]}-", dir=settings.var / "reproduce"))
    again = _moved(before, folder)
    try:
        for table, version in data.versions.items():
            snapshot.copy(
                settings.lake, again.lake, table=table, as_of=version, wanted=partial(origin.is_read, before, table)
            )
    except HeliographError:
        shutil.rmtree(folder)
        raise
    report = fit.run(again, shown)
    made = registry.current_manifest(again)
    # through JSON, as what it is compared with came
    then, now = _flat(told.metrics), _flat(json.loads(json.dumps({"folds": report.folds})))
    result = Reproduction(
        model=told.model,
        run=told.origin.run,
        data_versions=data.versions,
        metrics=len(then),
        differences=differences(then, now),
        same_model=made.model == told.model,
        notes=(*hindrances, *_libraries(told, before)),
        folder=str(folder),
    )
    if not result.is_same:
        return result
    shutil.rmtree(folder)
    return replace(result, folder=None)


def find(settings: Settings, name: str) -> Manifest:
    """The manifest of a model by its name, its first digits, ``current``, or the name of its run (the newest wins).

    Raises:
        ConfigError: there is no such model.
        CorruptPart: its manifest is torn.
    """
    held = registry.open_registry(settings)
    if name == registry.CURRENT or not (runs := [m for m in held.whole() if m.origin.run == name]):
        return held.manifest(held.find(name))
    return max(runs, key=lambda m: m.created_ts_ms)


def differences(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[Difference, ...]:
    """Metrics that are not the same to the last bit; not a number equals itself.

    >>> differences({"a": 0.3, "b": float("nan")}, {"a": 0.1 + 0.2, "b": float("nan")})
    (Difference(metric='a', then=0.3, now=0.30000000000000004),)
    >>> differences({"a": 1.0}, {"c": 2.0})
    (Difference(metric='a', then=1.0, now='absent'), Difference(metric='c', then='absent', now=2.0))
    """
    names = sorted({*then, *now})
    pairs = ((name, then.get(name, ABSENT), now.get(name, ABSENT)) for name in names)
    return tuple(Difference(*pair) for pair in pairs if repr(pair[1]) != repr(pair[2]))


def _flat(told: Any, name: str = "") -> dict[str, Any]:
    def inner() -> Iterator[tuple[str, Any]]:
        if isinstance(told, Mapping):
            yield from ((f"{name}.{key}".lstrip("."), value) for key, value in told.items())
        else:
            yield from ((f"{name}[{place}]", value) for place, value in enumerate(told))

    if not isinstance(told, Mapping | list):
        return {name: told}
    return {key: leaf for part, value in inner() for key, leaf in _flat(value, part).items()}


def _settings_of(told: Manifest) -> Settings:
    try:
        return Settings.model_validate(told.origin.settings)
    except ValidationError as e:
        places = ", ".join(".".join(map(str, fault["loc"])) for fault in e.errors())
        raise ConfigError(
            f"this version of Heliograph does not know the settings of model {told.model[: registry.SHORT]} ({places}): "
            f"use {told.origin.code}"
        ) from e


def _moved(before: Settings, folder: Path) -> Settings:
    """The same settings with every place in the folder."""
    return before.model_copy(
        update={"var": folder, "lake": LakeSettings(uri=str(folder / "lake")), "registry": RegistrySettings()}
    )


def _hindrances(told: Manifest, data: Data, before: Settings, settings: Settings) -> Sequence[str]:
    code = origin.code_now(before.features.files)
    found = []
    if code.files != told.origin.code.files:
        found.append(f"the model was fitted by {told.origin.code}, this is {code}")
    if code.own != told.origin.code.own:
        found.append("the files in features.files have changed since")
    if before.fingerprint != told.origin.fingerprint:
        found.append("its settings mean something else in this version")
    here = before.model_copy(update={"lake": settings.lake})
    if origin.parts_of(here, data.versions) != data.parts:
        told_versions = ", ".join(f"{table} {version}" for table, version in data.versions.items())
        found.append(f"the lake {settings.lake.uri} holds other rows in {told_versions} than {data.uri} did")
    return found


def _libraries(told: Manifest, before: Settings) -> Sequence[str]:
    then, now = told.origin.code.libraries, origin.code_now(before.features.files).libraries
    return [
        f"{name} was {then.get(name, ABSENT)}, is {now.get(name, ABSENT)}"
        for name in sorted({*then, *now})
        if then.get(name) != now.get(name)
    ]
