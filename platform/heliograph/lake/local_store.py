"""An object store in a folder: every write is whole, durable and compare-and-swap."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from heliograph.core.errors import ConfigError

_PRIVATE = ".heliograph"  # temporary and lock files; never listed
_STAGED = "staged-"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class LocalStore:
    """`ObjectStore` on a file system with hard links; safe between processes of one machine.

    An object appears by linking a synced temporary file to its name, which fails where the name exists; it is replaced
    by a rename under a lock that dies with its holder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.uri = str(root)

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """See `ObjectStore`."""
        with self._told(), self._staged(key, body) as (staged, target):
            try:
                os.link(staged, target)
            except FileExistsError:
                return False
            _sync_folder(target.parent)
        return True

    def put_if_match(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `ObjectStore`."""
        if tag is None:
            return self.put_if_absent(key, body)
        with self._told(), self._locked(key), self._staged(key, body) as (staged, target):
            if (current := self.get_tagged(key)) is None or current[1] != tag:
                return False
            staged.replace(target)
            _sync_folder(target.parent)
        return True

    def get(self, key: str) -> bytes:
        """See `ObjectStore`."""
        return self._path(key).read_bytes()

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """See `ObjectStore`; the tag is the content's sha256."""
        try:
            body = self.get(key)
        except FileNotFoundError:
            return None
        return body, hashlib.sha256(body).hexdigest()

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore`."""
        folder = self.root / prefix.rpartition("/")[0]
        keys = (p.relative_to(self.root).as_posix() for p in folder.rglob("*") if p.is_file())
        return sorted(k for k in keys if k.startswith(prefix) and not k.startswith(_PRIVATE))

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with self._told():
            path = self._path(key)
            path.unlink(missing_ok=True)
            if path.parent.is_dir():
                _sync_folder(path.parent)

    def sweep_staged(self, before_ms: int) -> int:
        """Remove temporary files that killed writers left before a moment (UTC epoch ms); returns how many."""
        swept = 0
        for path in (self.root / _PRIVATE).glob(f"{_STAGED}*"):
            with suppress(FileNotFoundError):  # its writer lives and is done
                if path.stat().st_mtime_ns < before_ms * 1_000_000:
                    path.unlink()
                    swept += 1
        return swept

    def _path(self, key: str) -> Path:
        return self.root / key

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except OSError as e:
            if e.errno in _FULL:
                raise ConfigError(
                    f"no room for the lake in {self.root}: {e.strerror}; nothing half-written is in it. Free some room "
                    "and run again: it goes on where it stopped"
                ) from e
            raise ConfigError(
                f"can't write to the lake folder {self.root}: {e.strerror}; set lake.uri to a folder that you may write"
            ) from e

    @contextmanager
    def _staged(self, key: str, body: bytes) -> Iterator[tuple[Path, Path]]:
        target = self._path(key)
        target.parent.mkdir(parents=True, exist_ok=True)
        (self.root / _PRIVATE).mkdir(exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=_STAGED, dir=self.root / _PRIVATE)
        staged = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            yield staged, target
        finally:
            staged.unlink(missing_ok=True)

    @contextmanager
    def _locked(self, key: str) -> Iterator[None]:
        folder = self.root / _PRIVATE
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{hashlib.sha256(key.encode()).hexdigest()}.lock").open("w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
