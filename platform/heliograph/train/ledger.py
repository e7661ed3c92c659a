"""Every trial ever started, on disk before it runs, and how it ended. Deflated Sharpe ratios count them.

In a folder: one JSON line each in ``trials.jsonl``, and one in ``trials.ended.jsonl`` when it ends. In a bucket: one
object each, ``trials/started/<candidate>/<id>.json`` and ``trials/ended/<id>.json``. Nothing is ever changed or removed.
"""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self
from urllib.parse import quote, unquote

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, CorruptPart, HeliographError
from heliograph.core.ports import Clock
from heliograph.telemetry.clock import SystemClock
from heliograph.train.place import trials_of

Ended = Literal["done", "pruned", "failed"]

_STARTED, _ENDED = "trials.jsonl", "trials.ended.jsonl"
_STARTED_KEYS, _ENDED_KEYS = "trials/started", "trials/ended"
_PLACES = {"var": True, "data_origin": True, "lake": True, "registry": True, "serve": True, "fetch": True}


@dataclass(frozen=True, slots=True)
class Trial:
    """One start of one candidate on one fold.

    Attributes:
        candidate: fingerprint of its settings.
        told: whatever was noted when it started: fold, run, settings, seed, …
        started_ts_ms: UTC epoch ms; None where an older release noted it.
        ended_ts_ms: None while it runs, or where it was killed.
        state: how it ended; ``started`` where nobody said so: it runs, or it was killed.
        metrics: what it reached.
        error: the sentence of the error that it failed with; empty otherwise.
    """

    id: str
    candidate: str
    told: Mapping[str, Any]
    started_ts_ms: int | None
    ended_ts_ms: int | None
    state: str
    metrics: Mapping[str, Any]
    error: str = ""


class Running:
    """A trial from its start on, as a context: where the block raises, the trial has failed with that error.

    Whatever kills the process leaves it ``started``, and so does what asks it to go: `KeyboardInterrupt`, `SystemExit`.

    Args:
        where, trial: see `start`; it is noted at once.

    Attributes:
        id: of the trial.
    """

    def __init__(self, where: Settings | Path, trial: Mapping[str, Any]) -> None:
        self.id = start(where, trial)
        self._where = where

    def end(self, metrics: Mapping[str, Any], *, state: Ended = "done", error: str = "") -> None:
        """See `end`."""
        end(self._where, self.id, metrics, state=state, error=error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, Exception):
            self.end({}, state="failed", error=_sentence(error))


def start(where: Settings | Path, trial: Mapping[str, Any], *, clock: Clock | None = None) -> str:
    """Note a trial before it runs; lines of many processes do not mix.

    Args:
        where: the trial's settings, which are noted with it; or a folder.
        trial: at least ``candidate``; ``fold``, ``run`` and what else tells it from others.

    Returns:
        Its id, for `end`.

    Raises:
        ConfigError: the place can't be written, or has no room.
    """
    noted = {**trial, "id": _new_id(), "started_ts_ms": (clock or SystemClock()).now_ms()}
    if isinstance(where, Settings):
        whole = where.model_dump(mode="json", exclude=_PLACES)
        noted = {"settings": whole, "seed": where.train.seed, **noted}
    place, body = trials_of(where), _line(noted)
    if isinstance(place, Path):
        _append(place / _STARTED, body)
    else:
        candidate = quote(str(trial["candidate"]), safe="")
        place.put_if_absent(f"{_STARTED_KEYS}/{candidate}/{noted['id']}.json", body)
    return str(noted["id"])


def end(
    where: Settings | Path,
    trial: str,
    metrics: Mapping[str, Any],
    *,
    state: Ended = "done",
    error: str = "",
    clock: Clock | None = None,
) -> None:
    """Note how a trial ended; the first word on a trial stands.

    Args:
        trial: what `start` returned.
        metrics: what it reached, as JSON.
        error: what it failed with, in a sentence.

    Raises:
        ConfigError: the place can't be written, or has no room.
    """
    ended_ts_ms = (clock or SystemClock()).now_ms()
    word = {"id": trial, "ended_ts_ms": ended_ts_ms, "state": state, "metrics": dict(metrics), "error": error}
    place = trials_of(where)
    if isinstance(place, Path):
        _append(place / _ENDED, _line(word))
    else:
        place.put_if_absent(f"{_ENDED_KEYS}/{trial}.json", _line(word))


def read(where: Settings | Path) -> list[Trial]:
    """Every trial, in the order in which they started.

    Raises:
        CorruptPart: a line is torn.
    """
    place = trials_of(where)
    if isinstance(place, Path):
        started, ended = list(_lines(place / _STARTED)), list(_lines(place / _ENDED))
    else:
        started = [json.loads(place.get(key)) for key in place.list(f"{_STARTED_KEYS}/")]
        started.sort(key=lambda told: (told["started_ts_ms"], told["id"]))
        ended = [json.loads(place.get(key)) for key in place.list(f"{_ENDED_KEYS}/")]
    words = {word["id"]: word for word in reversed(ended)}
    return [_trial(dict(told), words.get(told.get("id"), {})) for told in started]


def candidates(where: Settings | Path) -> int:
    """How many different candidates were ever tried; folds and repetitions of one candidate count once.

    Raises:
        CorruptPart: a line is torn.
    """
    place = trials_of(where)
    if isinstance(place, Path):
        return len({told["candidate"] for told in _lines(place / _STARTED)})
    return len({unquote(key.split("/")[2]) for key in place.list(f"{_STARTED_KEYS}/")})


def _trial(told: dict[str, Any], word: Mapping[str, Any]) -> Trial:
    return Trial(
        id=told.pop("id", ""),
        candidate=told.pop("candidate"),
        started_ts_ms=told.pop("started_ts_ms", None),
        told=told,
        ended_ts_ms=word.get("ended_ts_ms"),
        state=word.get("state", "started"),
        metrics=word.get("metrics", {}),
        error=word.get("error", ""),
    )


def _new_id() -> str:
    """Of no other trial, and above those before it on this machine: several can start in one millisecond."""
    return f"{time.time_ns():016x}{secrets.token_hex(4)}"


def _sentence(error: Exception) -> str:
    """What an error says, without the traceback that a worker's error brings along."""
    told = str(error).strip()
    if isinstance(error, HeliographError):
        return told
    return told.rpartition("\n")[2] if "\n" in told else f"{type(error).__name__}: {told}"


def _line(told: Mapping[str, Any]) -> bytes:
    return json.dumps(told, sort_keys=True, default=str).encode() + b"\n"


def _append(path: Path, line: bytes) -> None:
    """One line is one write; what a full disk cut off before is closed first, so that it does not spoil this one."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)  # network file systems do not keep appends apart
            size = os.fstat(handle).st_size
            is_torn = size > 0 and os.pread(handle, 1, size - 1) != b"\n"
            line = b"\n" * is_torn + line
            written = os.write(handle, line)
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as e:
        raise ConfigError(f"can't note a trial in {path}: {e.strerror}; free some room, or set var elsewhere") from e
    if written < len(line):
        raise ConfigError(f"no room to note a trial in {path}: free some, and remove its last line")


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    for number, line in enumerate(path.read_text().splitlines(), start=1):
        if not line:
            continue
        try:
            told = json.loads(line)
        except ValueError as e:
            raise CorruptPart(f"line {number} of {path} is torn: remove it, and count one trial more by hand") from e
        yield told
