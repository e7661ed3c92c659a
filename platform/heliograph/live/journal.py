"""The engine's memory on disk: one SQLite file, one writer, a chain of hashes over all rows.

SQLite keeps a write-ahead log. A durable row is synced to the disk before `append` returns; any other row survives
the death of the process at once, and a power failure as soon as the next durable row is written. Each row carries
sha256(hash of the row before ‖ its text), so that a changed, lost or inserted row shows.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Self

from heliograph.core.errors import ConfigError, InvariantBroken
from heliograph.live.codec import Entry, decode, encode

_SCHEMA = """
CREATE TABLE IF NOT EXISTS journal (account TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS entries (seq INTEGER PRIMARY KEY, body TEXT NOT NULL, hash BLOB NOT NULL);
"""


class SqliteJournal:
    """An append-only journal; see `core.ports.Journal`.

    Args:
        path: of the file; its folder is made where it is missing. A ``.lock`` file beside it marks the writer.
        account: what the journal is the memory of, such as ``paper 100000.0 USDT``; a file can't change its account.

    Raises:
        ConfigError: another process, or another journal of this one, writes the file; or it belongs to another account.
        InvariantBroken: the file is damaged.
    """

    def __init__(self, path: Path, *, account: str) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as e:
            os.close(self._lock)
            raise ConfigError(f"{path} is being written by another process; stop it, or name another journal") from e
        try:
            self._db = sqlite3.connect(path, isolation_level=None)
            self._seq, self._hash = self._opened(account)
            self._is_durable = True  # SQLite begins with synchronous=FULL
        except BaseException:
            os.close(self._lock)
            raise

    def append(self, entry: Entry, *, durable: bool) -> int:
        """Write one entry; see the module for what ``durable`` promises. Returns its sequence number, from 1.

        Raises:
            ConfigError: the disk is full or gone; nothing was written.
        """
        body = encode(entry)
        chained = _chained(self._hash, body)
        try:
            if durable != self._is_durable:
                self._db.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                self._is_durable = durable
            self._db.execute("INSERT INTO entries VALUES (?, ?, ?)", (self._seq + 1, body, chained))
        except sqlite3.Error as e:
            raise ConfigError(f"{self.path} can't be written: {e}; make room on the disk and start again") from e
        self._seq, self._hash = self._seq + 1, chained
        return self._seq

    def replay(self) -> Iterator[Entry]:
        """Every entry in order, each checked against the chain.

        Raises:
            InvariantBroken: naming the first row that is not what was written.
        """
        return _verified(self._db, self.path)

    def close(self) -> None:
        """Free the file for another writer."""
        self._db.close()
        os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _opened(self, account: str) -> tuple[int, bytes]:
        try:
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.executescript(_SCHEMA)
            row = self._db.execute("SELECT account FROM journal").fetchone()
            if row is None:
                self._db.execute("INSERT INTO journal VALUES (?)", (account,))
            elif row[0] != account:
                raise ConfigError(f"{self.path} is the journal of {row[0]!r}, not of {account!r}; name another file")
            last = self._db.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        except sqlite3.DatabaseError as e:
            raise InvariantBroken(f"{self.path} is damaged: {e}; restore it from its replica and reconcile") from e
        return (0, _genesis(account)) if last is None else (last[0], last[1])


def read(path: Path) -> Iterator[Entry]:
    """Every entry of a journal that another process may be writing, checked against the chain.

    Raises:
        InvariantBroken: naming the first row that is not what was written.
    """
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        yield from _verified(db, path)


def _genesis(account: str) -> bytes:
    return hashlib.sha256(account.encode()).digest()


def _chained(before: bytes, body: str) -> bytes:
    return hashlib.sha256(before + body.encode()).digest()


def _verified(db: sqlite3.Connection, path: Path) -> Iterator[Entry]:
    seq = 0
    try:
        hashed = _genesis(db.execute("SELECT account FROM journal").fetchone()[0])
        for seq, (stored_seq, body, stored) in enumerate(
            db.execute("SELECT seq, body, hash FROM entries ORDER BY seq"), 1
        ):
            hashed = _chained(hashed, body)
            if (stored_seq, stored) != (seq, hashed):
                raise InvariantBroken(f"row {seq} of {path} is not what was written; restore the journal and reconcile")
            yield decode(body)
    except (sqlite3.DatabaseError, TypeError) as e:
        raise InvariantBroken(
            f"{path} can't be read after row {seq}: {e}; restore it from its replica and reconcile"
        ) from e
