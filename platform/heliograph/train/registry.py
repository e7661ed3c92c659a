"""Models by the hash of their content, and the pointer that says which of them is the current one.

``models/<hash>/`` holds a model's files and, written last, ``manifest.json``: what has none is not there yet for anybody.
``current.json`` holds every move of the pointer, the newest last; it is swapped whole, and only by who has seen the last
move. All of it lies in one folder or under one S3 prefix, see `place`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, CorruptPart, Retryable
from heliograph.core.ports import Clock
from heliograph.lake.store import probe
from heliograph.model import checkpoint
from heliograph.telemetry.clock import SystemClock
from heliograph.train import manifest as manifests
from heliograph.train import pointer as pointers
from heliograph.train.manifest import Manifest, Origin
from heliograph.train.place import Place, registry_of
from heliograph.train.pointer import Move, Pointer, Why

CURRENT = "current"
"""Stands for the current model wherever a model is named."""

SHORT = 12
"""Hex digits of a model's name that people are shown."""

_POINTER, _MODELS, _MANIFEST = "current.json", "models", "manifest.json"
_LEAST_DIGITS = 4
_REMEDY = "run `helio train` with its settings to publish it anew (nothing is fitted twice), or promote another model"


class Registry:
    """One registry; any number of processes may use it at once."""

    def __init__(self, place: Place, clock: Clock | None = None) -> None:
        self.place = place
        self._store = place.store
        self._clock = clock or SystemClock()

    @property
    def uri(self) -> str:
        """Where it lies, for people."""
        return self._store.uri

    def publish(
        self, files: Mapping[str, bytes], *, features: tuple[str, ...], origin: Origin, metrics: Mapping[str, Any]
    ) -> Manifest:
        """Add a model; it is visible once all of it is there. The same files again change nothing and mend what is torn.

        Args:
            files: by name, relative with ``/``.

        Returns:
            The model's manifest: the one from when these files were first published, if it is whole and tells no less.
        """
        digests = {name: hashlib.sha256(body).hexdigest() for name, body in files.items()}
        model = manifests.name_of(digests)
        for name, body in files.items():
            self._put(f"{_MODELS}/{model}/{name}", body)
        try:
            held = self.manifest(model)
        except (ConfigError, CorruptPart):
            held = None
        if held is not None and (origin.settings is None or held.origin.settings is not None):
            return held
        told = Manifest(model, digests, features, origin, metrics, self._clock.now_ms())
        self._put(f"{_MODELS}/{model}/{_MANIFEST}", manifests.to_bytes(told))
        return told

    def models(self) -> list[str]:
        """Names of all models, sorted."""
        keys = (key.split("/") for key in self._store.list(f"{_MODELS}/"))
        return sorted(key[1] for key in keys if key[2:] == [_MANIFEST])

    def whole(self) -> list[Manifest]:
        """Manifests of all models but those whose manifest is torn."""
        found = []
        for model in self.models():
            with suppress(CorruptPart):
                found.append(self.manifest(model))
        return found

    def find(self, name: str) -> str:
        """The whole name of a model that its first digits, or `CURRENT`, name.

        Raises:
            ConfigError: none or several have it, or there is no model at all.
            CorruptPart: `CURRENT` is asked for and the pointer is torn.
        """
        if name == CURRENT:
            return self.current()
        held = self.models()
        if not held:
            raise ConfigError(f"there is no model in {self.uri}: run `helio train` first, or set registry.uri")
        digits = name.lower()
        if not re.fullmatch(f"[0-9a-f]{{{_LEAST_DIGITS},64}}", digits):
            raise ConfigError(
                f"{name!r} is no model's name: give {_LEAST_DIGITS} or more of the hex digits that `helio models ls` shows"
            )
        found = [model for model in held if model.startswith(digits)]
        if not found:
            raise ConfigError(f"there is no model {name} in {self.uri}: `helio models ls` shows those that there are")
        if len(found) > 1:
            shown = ", ".join(model[:SHORT] for model in found[:5])
            raise ConfigError(f"{name} names {len(found)} models ({shown}): give more digits")
        return found[0]

    def manifest(self, model: str) -> Manifest:
        """What a model says of itself.

        Args:
            model: its whole name.

        Raises:
            ConfigError: there is no such model.
            CorruptPart: its manifest is torn, or another model's.
        """
        key = f"{_MODELS}/{model}/{_MANIFEST}"
        held = self._store.get_tagged(key)
        if held is None:
            raise ConfigError(
                f"there is no model {model[:SHORT]} in {self.uri}: `helio models ls` shows those there are"
            )
        told = manifests.from_bytes(held[0], f"{self.uri}/{key}")
        if told.model != model or manifests.name_of(told.files) != model:
            raise CorruptPart(f"{self.uri}/{key} is not of this model: {_REMEDY}")
        return told

    def read(self, model: str) -> dict[str, bytes]:
        """A model's files, checked.

        Raises:
            ConfigError: there is no such model.
            CorruptPart: a file is gone, torn or altered.
        """
        files: dict[str, bytes] = {}
        for name, digest in self.manifest(model).files.items():
            held = self._store.get_tagged(f"{_MODELS}/{model}/{name}")
            if held is None:
                raise CorruptPart(f"{name} of model {model[:SHORT]} is gone from {self.uri}: {_REMEDY}")
            if hashlib.sha256(held[0]).hexdigest() != digest:
                raise CorruptPart(f"{name} of model {model[:SHORT]} is torn or altered in {self.uri}: {_REMEDY}")
            files[name] = held[0]
        return files

    def folder(self, model: str) -> Path:
        """A folder of this machine with a model's checked files: the registry's own, or a copy of what a bucket holds.

        Raises:
            ConfigError: there is no such model.
            CorruptPart: a file is gone, torn or altered.
        """
        files = self.read(model)
        if self.place.root is not None:
            return self.place.root / _MODELS / model
        target = self.place.fetched / model
        if any(not (target / name).is_file() or (target / name).read_bytes() != body for name, body in files.items()):
            _place(files, target)
        return target

    def pointer(self) -> Pointer:
        """The pointer as it is now.

        Raises:
            CorruptPart: it is torn.
        """
        seen = self._seen()
        if seen.tag is not None and not seen.moves:
            raise CorruptPart(f"{self.uri}/{_POINTER} is torn: `helio models promote NAME` writes it anew")
        return seen

    def current(self) -> str:
        """Name of the current model.

        Raises:
            ConfigError: nothing was released yet.
            CorruptPart: the pointer is torn.
        """
        current = self.pointer().current
        if current is None:
            raise ConfigError(f"no model was released to {self.uri}; run `helio train` first")
        return current

    def promote(self, model: str, *, seen: Pointer | None = None, why: Why = "promote") -> Pointer:
        """Make a model the current one; its files are checked first. A torn pointer is written anew.

        Args:
            model: its whole name.
            seen: the pointer that this is meant to replace; None takes it as it is now.

        Raises:
            ConfigError: there is no such model.
            CorruptPart: a file of it is gone, torn or altered.
            Retryable: somebody else moved the pointer since it was seen.
        """
        self.read(model)
        return self._move(model, why, seen or self._seen())

    def rollback(self, *, seen: Pointer | None = None) -> Pointer:
        """Point to what was current before the current model.

        Args:
            seen: as of `promote`.

        Raises:
            ConfigError: there was nothing before.
            CorruptPart: the pointer, or a file of that model, is torn.
            Retryable: somebody else moved the pointer since it was seen.
        """
        seen = seen or self.pointer()
        if (previous := seen.previous) is None:
            if seen.current is None:
                self.current()
            raise ConfigError(
                f"no model was current before {str(seen.current)[:SHORT]}: choose one with `helio models promote NAME`"
            )
        self.read(previous)
        return self._move(previous, "rollback", seen)

    def _move(self, model: str, why: Why, seen: Pointer) -> Pointer:
        if seen.current == model and self._seen().tag == seen.tag:
            return seen
        if seen.tag is None:
            probe(self._store)
        move = Move(model, why, self._clock.now_ms(), secrets.token_hex(8))
        self._store.put_if_match(_POINTER, pointers.to_bytes((*seen.moves, move)), seen.tag)
        stands = self._seen()  # also right where the answer to the PUT was lost
        if move not in stands.moves:
            raise Retryable(
                f"the pointer of {self.uri} was moved meanwhile, to {str(stands.current)[:SHORT]}, and not to "
                f"{model[:SHORT]}: look at it with `helio models ls`, and try again if you still want to"
            )
        return stands

    def _seen(self) -> Pointer:
        """The pointer; without moves where it is torn."""
        held = self._store.get_tagged(_POINTER)
        return Pointer() if held is None else pointers.from_bytes(*held)

    def _put(self, key: str, body: bytes) -> None:
        """Write an object whose key promises its bytes; what stands there otherwise is torn and gives way."""
        while not self._store.put_if_absent(key, body):
            held = self._store.get_tagged(key)
            if held is not None and (held[0] == body or self._store.put_if_match(key, body, held[1])):
                return


def _place(files: Mapping[str, bytes], target: Path) -> None:
    draft = target.with_name(f".{target.name}.{os.getpid()}.{secrets.token_hex(4)}")
    for name, body in files.items():
        (draft / name).parent.mkdir(parents=True, exist_ok=True)
        (draft / name).write_bytes(body)
    shutil.rmtree(target, ignore_errors=True)
    try:
        draft.rename(target)
    except OSError:
        shutil.rmtree(draft)  # another process was faster
        if not target.is_dir():
            raise


def open_registry(where: Settings | Path) -> Registry:
    """The registry that the settings mean, or the one in a folder of runs."""
    return Registry(registry_of(where))


def release(
    where: Settings | Path, run: Path, model: Path, *, data_version: int | None = None, parent: str | None = None
) -> Manifest:
    """Publish ``model``, fitted in ``run``, and make it the current one.

    Args:
        where: the settings of the run; a folder of runs alone leaves a model that can't be reproduced.
        run, model: folders under the folder of runs.
        data_version: of the lake's candles.
        parent: whole name of the model that it was warm-started from.

    Raises:
        ConfigError: there is no model in the folder.
        CorruptPart: its bytes are damaged.
        Retryable: somebody else moved the pointer meanwhile; the model is published.
    """
    from heliograph.train.origin import origin_of  # noqa: PLC0415 - who only looks at models need not wait for its imports

    registry = open_registry(where)
    seen = registry._seen()
    header = checkpoint.read(model)[1]
    files = {
        path.relative_to(model).as_posix(): path.read_bytes() for path in sorted(model.rglob("*")) if path.is_file()
    }
    scores = {int(path.parent.name.removeprefix("fold-")): path for path in run.glob("fold-*/score.json")}
    name = run.relative_to(registry.place.runs).as_posix()
    told = registry.publish(
        files,
        features=tuple(header["spec"]["feature_names"]),
        origin=origin_of(name, where if isinstance(where, Settings) else None, data_version, parent),
        metrics={"folds": [json.loads(scores[index].read_text()) for index in sorted(scores)]},
    )
    registry.promote(told.model, seen=seen, why="release")
    return told


def current_manifest(where: Settings | Path) -> Manifest:
    """What the current model says of itself.

    Raises:
        ConfigError: nothing was released yet.
        CorruptPart: the pointer or the manifest is torn.
    """
    registry = open_registry(where)
    return registry.manifest(registry.current())


def current_run(where: Settings | Path) -> Path:
    """The folder of the run that the current model comes from: its folds' scores and forecasts.

    Raises:
        ConfigError: nothing was released yet, or the run's folder is not on this machine.
    """
    told = current_manifest(where)
    folder = registry_of(where).runs / told.origin.run
    if not folder.is_dir():
        raise ConfigError(
            f"the folds of the current model are not at {folder}: set var to where it was trained, or run `helio train`"
        )
    return folder


def current_model(where: Settings | Path) -> Path:
    """The folder of the current model, its bytes checked.

    Raises:
        ConfigError: nothing was released yet.
        CorruptPart: the pointer or a file of the model is torn.
    """
    registry = open_registry(where)
    return registry.folder(registry.current())
