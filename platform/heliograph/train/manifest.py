"""What a model says of itself: its files, the data, the code, the settings and the seed that it came from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from heliograph.core.errors import ConfigError, CorruptPart

_FORMAT = 1


@dataclass(frozen=True, slots=True)
class Code:
    """Which code fitted a model.

    Attributes:
        package: version of Heliograph.
        commit: of git, hex; None where the package is not in a work tree of its own.
        is_changed: whether the files were not those of the commit.
        files: sha256 over the package's source files, hex: what decides whether code is the same.
        own: sha256 over the files in ``features.files``, hex.
        libraries: versions of what computes beside it, and of the machine's architecture.
    """

    package: str
    commit: str | None
    is_changed: bool
    files: str
    own: str
    libraries: Mapping[str, str]

    def __str__(self) -> str:
        if self.commit is None:
            return f"{self.package} (files {self.files[:12]})"
        changes = f" with changes, files {self.files[:12]}" if self.is_changed else ""
        return f"{self.package} (commit {self.commit[:12]}{changes})"


@dataclass(frozen=True, slots=True)
class Data:
    """Which part of a lake a model was fitted on.

    Attributes:
        uri: the lake, as it was called then.
        versions: by table that training reads.
        parts: sha256 over the names of the parts that training may read, hex; equal ones mean equal rows.
    """

    uri: str
    versions: Mapping[str, int]
    parts: str


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a model came from, as far as whoever released it knows.

    Attributes:
        run: its run's folder, below the folder of runs.
        code, data: what it was made of; ``data`` is None where it was not told.
        settings: all of them but secrets, as JSON; None where they were not told.
        fingerprint: of the settings.
        seed: of the fit.
        parent: name of the model that it was warm-started from.
    """

    run: str
    code: Code
    data: Data | None = None
    settings: Mapping[str, Any] | None = None
    fingerprint: str | None = None
    seed: int | None = None
    parent: str | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """One model.

    Attributes:
        model: its name: sha256 over the names and digests of its files, hex.
        files: sha256 of each file, hex, by name.
        features: what it reads, in order.
        metrics: ``folds``: what ``score.json`` of every fold of its run held.
        created_ts_ms: when it was published, UTC epoch ms.
    """

    model: str
    files: Mapping[str, str]
    features: tuple[str, ...]
    origin: Origin
    metrics: Mapping[str, Any]
    created_ts_ms: int


def name_of(files: Mapping[str, str]) -> str:
    """The name of a model: what ``sha256sum`` says of the list that ``sha256sum`` makes of its files, sorted by name.

    >>> name_of({"b": "22", "a": "11"}) == hashlib.sha256(b"11  a\\n22  b\\n").hexdigest()
    True
    """
    return hashlib.sha256("".join(f"{files[name]}  {name}\n" for name in sorted(files)).encode()).hexdigest()


def to_bytes(manifest: Manifest) -> bytes:
    """As JSON that carries its own digest."""
    told = {"format": _FORMAT, **asdict(manifest)}
    return json.dumps({**told, "sha256": _digest(told)}, indent=1).encode()  # in the settings' own order: it counts


def from_bytes(body: bytes, where: str) -> Manifest:
    """What `to_bytes` was given.

    Args:
        where: its name, for errors.

    Raises:
        CorruptPart: it is not what was written.
        ConfigError: another release wrote it.
    """
    try:
        told = json.loads(body)
        digest = told.pop("sha256")
        is_whole = _digest(told) == digest
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        raise CorruptPart(f"{where} is torn: {_REMEDY}") from e
    if not is_whole:
        raise CorruptPart(f"{where} was altered after it was written: {_REMEDY}")
    if (found := told.pop("format")) != _FORMAT:
        raise ConfigError(f"{where} has format {found}, this version reads {_FORMAT}: use the version that wrote it")
    origin = told["origin"]
    data = origin["data"] and Data(**origin["data"])
    told["origin"] = Origin(**{**origin, "code": Code(**origin["code"]), "data": data})
    return Manifest(**{**told, "features": tuple(told["features"])})


_REMEDY = "restore it, run `helio train` with its settings to publish it anew, or promote another model"


def _digest(told: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
