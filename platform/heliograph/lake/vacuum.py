"""Remove what no kept version needs: files that were replaced long ago, and what killed writers left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from deltalake import DeltaTable

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.timeframe import DAY_MS, HOUR_MS
from heliograph.lake import delta, log, retention
from heliograph.lake.commit import Committer
from heliograph.lake.local_store import LocalStore
from heliograph.lake.retention import Retention

_RENEW_EVERY = 200


@dataclass(frozen=True, slots=True)
class Vacuuming:
    """What one run removed.

    Attributes:
        retired: files that only versions older than the retention needed.
        orphans: files that no version ever named.
        waiting: files that no version names, younger than the grace time.
        oldest_kept: every version of the table from this one on can be read.
    """

    retired: int
    orphans: int
    waiting: int
    oldest_kept: int


def vacuum(
    settings: LakeSettings, committer: Committer, *, retention_ms: int | None = None, grace_ms: int | None = None
) -> Vacuuming:
    """Clean a table and its coverage; every version that was the newest at any moment of the retention stays whole.

    What is about to go is written down before it goes, so that whoever asks for such a version is told. A file that no
    log names is removed by a later run, a grace time after the run that saw it first. Killed at any point, the next run
    does the rest.

    Args:
        committer: entered, of the table that shall be cleaned.
        retention_ms: versions younger than this are kept, and the one before them; None takes ``retention_days``.
        grace_ms: longer than a writer ever takes from writing a part to committing it; None takes ``orphan_hours``.

    Raises:
        ConfigError: a time is negative.
    """
    retention_ms = round(settings.retention_days * DAY_MS) if retention_ms is None else retention_ms
    grace_ms = round(settings.orphan_hours * HOUR_MS) if grace_ms is None else grace_ms
    if min(retention_ms, grace_ms) < 0:
        raise ConfigError("retention and grace are how far back to keep: give 0 or more")
    now_ms = committer.clock.now_ms()
    done = [
        _clean(settings, committer, name, keep_from_ms=now_ms - retention_ms, grace_ms=grace_ms)
        for name in (committer.table.coverage, committer.table.name)
    ]
    if isinstance(committer.store, LocalStore):
        committer.store.sweep_staged(now_ms - grace_ms)
    return replace(
        done[-1],
        retired=sum(d.retired for d in done),
        orphans=sum(d.orphans for d in done),
        waiting=sum(d.waiting for d in done),
    )


def _clean(settings: LakeSettings, committer: Committer, name: str, *, keep_from_ms: int, grace_ms: int) -> Vacuuming:
    store, now_ms = committer.store, committer.clock.now_ms()
    table = delta.open_table(settings, name)
    if table is None:
        return Vacuuming(0, 0, 0, 0)
    before, tag = retention.read(store, name)
    oldest = max(before.oldest_kept, _oldest_kept(table, keep_from_ms))
    kept, retired = _files(settings, committer, name, oldest=oldest, newest=int(table.version()), swept=before.swept)
    present = {key.removeprefix(f"{name}/") for key in store.list(f"{name}/")}
    unnamed = {path for path in present if not path.startswith("_delta_log/")} - kept - retired
    seen = {path: before.seen.get(path, now_ms) for path in sorted(unnamed)}
    orphans = {path for path, seen_ms in seen.items() if seen_ms <= now_ms - grace_ms}
    committer.renew()
    tag = retention.write(store, name, Retention(oldest, before.swept, seen), tag)
    _delete(committer, (f"{name}/{path}" for path in sorted((retired & present) | orphans)))
    waiting = {path: seen_ms for path, seen_ms in seen.items() if path not in orphans}
    retention.write(store, name, Retention(oldest, oldest, waiting), tag)
    return Vacuuming(len(retired & present), len(orphans), len(waiting), oldest)


def _oldest_kept(table: DeltaTable, keep_from_ms: int) -> int:
    """The version that was the newest one at that moment; later ones are kept too."""
    count = 64
    while True:
        entries = delta.commits(table, count)
        for entry in entries:
            if int(entry.get("timestamp", 0)) <= keep_from_ms:
                return int(entry["version"])
        if len(entries) < count:
            return 0
        count *= 4


def _files(
    settings: LakeSettings, committer: Committer, name: str, *, oldest: int, newest: int, swept: int
) -> tuple[set[str], set[str]]:
    """Paths that kept versions name, and those that only versions before them did."""
    at_oldest = delta.open_table(settings, name, oldest)
    kept = set() if at_oldest is None else set(delta.files(at_oldest))
    for version in range(oldest + 1, newest + 1):
        kept |= log.files_of_commit(committer.store, name, version)[0]
    removed: set[str] = set()
    for version in range(swept + 1, oldest + 1):
        removed |= log.files_of_commit(committer.store, name, version)[1]
    return kept, removed - kept


def _delete(committer: Committer, keys: Iterable[str]) -> None:
    for count, key in enumerate(keys):
        if count % _RENEW_EVERY == 0:
            committer.renew()
        committer.store.delete(key)
