"""Checks of the machine and the settings before the first real run; each says what to mend."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from heliograph.config.machine import require_free
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, HeliographError
from heliograph.lake import store
from heliograph.sources.catalog import dialect
from heliograph.telemetry.progress import CONSOLE

LEAST_FREE_BYTES = 5 * 2**30


def run(settings: Settings) -> None:
    """Run every check and say each result.

    Raises:
        ConfigError: at least one failed.
    """
    checks: tuple[tuple[str, Callable[[Settings], str]], ...] = (
        ("python", _python),
        ("disk", _disk),
        ("lake", _lake),
        ("venues", _venues),
        ("service port", _port),
        ("ray auth", _ray_auth),
    )
    failed = []
    for name, check in checks:
        try:
            CONSOLE.print(f"  ok    {name:<13} {check(settings)}")
        except HeliographError as e:
            failed.append(name)
            CONSOLE.print(f"  MEND  {name:<13} {e}")
    if failed:
        raise ConfigError(f"{len(failed)} of {len(checks)} checks failed: {', '.join(failed)}")


def _python(_: Settings) -> str:
    if sys.version_info[:2] != (3, 11):
        raise ConfigError("Heliograph runs on Python 3.11; make .venv again with it")
    return sys.version.split()[0]


def _disk(settings: Settings) -> str:
    folder = settings.var
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < LEAST_FREE_BYTES:
        raise ConfigError(f"only {free / 2**30:.1f} GiB free under {folder}; make room or set var elsewhere")
    return f"{free / 2**30:.0f} GiB free under {folder}"


def _lake(settings: Settings) -> str:
    store.probe(store.open_store(settings.lake))
    return f"{settings.lake.uri} writes once and swaps exactly"


def _venues(settings: Settings) -> str:
    for venue, section in settings.fetch.venues.items():
        dialect(venue)
        if section.ca_file and not Path(section.ca_file).is_file():
            raise ConfigError(f"fetch.venues.{venue}.ca_file {section.ca_file} does not exist")
    return ", ".join(settings.fetch.venues)


def _port(settings: Settings) -> str:
    require_free(settings.serve.host, settings.serve.port, "serve.port")
    return f"{settings.serve.host}:{settings.serve.port} is free"


def _ray_auth(_: Settings) -> str:
    mode = os.environ.get("RAY_AUTH_MODE")
    if "RAY_ADDRESS" in os.environ and mode != "token":
        raise ConfigError("RAY_ADDRESS is set and RAY_AUTH_MODE is not 'token': the cluster would run anybody's code")
    return f"RAY_AUTH_MODE={mode or 'disabled (private Ray on this machine)'}"
