"""Where models and trials lie: a folder or a bucket, reached through the lake's own store."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, HeliographError
from heliograph.core.ports import ObjectStore
from heliograph.lake.local_store import LocalStore
from heliograph.lake.store import open_store

REGISTRY = "registry"


@dataclass(frozen=True, slots=True)
class Place:
    """Of one registry.

    Attributes:
        store: with ``current.json`` and ``models/`` at its root.
        root: the same as a folder; None where it is a bucket.
        runs: folder of the runs that models come from.
    """

    store: ObjectStore
    root: Path | None
    runs: Path

    @property
    def fetched(self) -> Path:
        """Folder for copies of models that lie in a bucket."""
        return self.runs / "fetched"


def registry_of(where: Settings | Path) -> Place:
    """The registry that the settings mean, or the one in a folder of runs; touches nothing yet."""
    if isinstance(where, Path):
        return _in_folder(where / REGISTRY, where)
    uri, runs = where.registry.uri, where.models_folder
    if uri is None:
        return _in_folder(runs / REGISTRY, runs)
    if uri.startswith("s3://"):
        return Place(_bucket(where, uri), None, runs)
    return _in_folder(Path(uri), runs)


def trials_of(where: Settings | Path) -> Path | ObjectStore:
    """The folder or the bucket of the trials: beside the registry, or the folder itself that is given."""
    if isinstance(where, Path):
        return where
    uri = where.registry.uri
    if uri is None:
        return where.var
    return _bucket(where, uri) if uri.startswith("s3://") else Path(uri)


def _in_folder(root: Path, runs: Path) -> Place:
    return Place(NotedStore(LocalStore(root)), root, runs)


def _bucket(settings: Settings, uri: str) -> ObjectStore:
    return NotedStore(open_store(settings.lake.model_copy(update={"uri": uri})))


class NotedStore:
    """`ObjectStore` whose errors say that it holds models: the lake's store speaks of the lake."""

    def __init__(self, store: ObjectStore) -> None:
        self.uri = store.uri
        self._store = store

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """See `ObjectStore`."""
        with self._noted():
            return self._store.put_if_absent(key, body)

    def get(self, key: str) -> bytes:
        """See `ObjectStore`."""
        with self._noted():
            return self._store.get(key)

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """See `ObjectStore`."""
        with self._noted():
            return self._store.get_tagged(key)

    def put_if_match(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `ObjectStore`."""
        with self._noted():
            return self._store.put_if_match(key, body, tag)

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore`."""
        with self._noted():
            return self._store.list(prefix)

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with self._noted():
            self._store.delete(key)

    @contextmanager
    def _noted(self) -> Iterator[None]:
        try:
            yield
        except HeliographError as e:
            e.add_note(f"this is where models and trials lie, {self.uri}: registry.uri says so, or var without it")
            raise
        except FileNotFoundError:
            raise
        except OSError as e:
            raise ConfigError(
                f"can't reach the models in {self.uri}: {e.strerror}; set registry.uri, or var, to a folder of yours"
            ) from e
