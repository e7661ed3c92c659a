"""Where a model comes from: the code that runs, and what the lake holds."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError
from heliograph.features import panel
from heliograph.lake import delta, read
from heliograph.lake.layout import CANDLES_TABLE, FUNDING_TABLE, OPEN_INTEREST_TABLE
from heliograph.sources.catalog import spot_venue, swap_venue
from heliograph.train import inputs
from heliograph.train.manifest import Code, Data, Origin
from heliograph.train.outcomes import write_whole

PACKAGE = Path(__file__).resolve().parents[1]

_LIBRARIES = ("numpy", "torch", "numba", "pyarrow", "polars", "lightgbm", "arch", "ray")
_GIT_S = 10.0
_VERSIONS = "versions.json"


def origin_of(run: str, settings: Settings | None, data_version: int | None, parent: str | None) -> Origin:
    """Where a model comes from that these settings made, with the code as it is now.

    Raises:
        ConfigError: the lake has no such version.
    """
    if settings is None:
        return Origin(run, code_now(()), parent=parent)
    return Origin(
        run,
        code_now(settings.features.files),
        data=None if data_version is None else data_of(settings, data_version, settings.models_folder / run),
        settings=settings.model_dump(mode="json", exclude={"serve": {"api_key"}}),
        fingerprint=settings.fingerprint,
        seed=settings.train.seed,
        parent=parent,
    )


def data_of(settings: Settings, version: int, run: Path | None = None) -> Data:
    """What training read at a version of the candles.

    Args:
        run: folder of the run that noted its versions with `pinned`; of others, the other tables count at their newest.

    Raises:
        ConfigError: there is no such version.
    """
    noted = None if run is None else _noted(run, version)
    versions = noted or _newest(settings, version)
    return Data(settings.lake.uri, versions, parts_of(settings, versions))


def pinned(settings: Settings, run: Path, version: int) -> dict[str, int]:
    """The versions of the tables that a run reads, by table: those of its first start, whatever the lake gets since.

    Args:
        run: its folder, where they are noted.
        version: of the candles.
    """
    if (noted := _noted(run, version)) is None:
        noted = _newest(settings, version)
        write_whole(run / _VERSIONS, noted)
    return noted


def _noted(run: Path, version: int) -> dict[str, int] | None:
    path = run / _VERSIONS
    noted: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
    return noted if noted.get(CANDLES_TABLE) == version else None


def _newest(settings: Settings, version: int) -> dict[str, int]:
    versions = {CANDLES_TABLE: version}
    if inputs.wanted(settings.features) - set(panel.SERIES):
        there = (t for t in (FUNDING_TABLE, OPEN_INTEREST_TABLE) if delta.open_table(settings.lake, t) is not None)
        versions |= {table: read.version(settings.lake, table=table) for table in there}
    return versions


def parts_of(settings: Settings, versions: Mapping[str, int]) -> str:
    """`Data.parts` of the lake in the settings.

    Raises:
        ConfigError: there is no such version.
    """
    rows = (
        (table, part)
        for table in sorted(versions)
        for part in read.live_parts(settings.lake, as_of=versions[table], table=table)
    )
    names = sorted(f"{table}/{part['path']}" for table, part in rows if is_read(settings, table, part))
    return hashlib.sha256("\n".join(names).encode()).hexdigest()


def is_read(settings: Settings, table: str, part: Mapping[str, Any]) -> bool:
    """Whether training with these settings may read a part of a table: all of its exchange's markets count."""
    venue, timeframe = settings.train.venue, settings.features.timeframe
    is_of_exchange = part["venue"] in {venue, spot_venue(venue), _swaps(venue)}
    return is_of_exchange and (table != CANDLES_TABLE or part["timeframe"] == timeframe)


def _swaps(venue: str) -> str:
    try:
        return swap_venue(venue)
    except ConfigError:
        return venue  # it has none, so nothing reads them


def code_now(own: Sequence[Path]) -> Code:
    """The code that runs.

    Args:
        own: ``features.files``.
    """
    commit, is_changed = _commit()
    libraries = {"python": platform.python_version(), "machine": platform.machine()}
    return Code(
        package=installed("heliograph"),
        commit=commit,
        is_changed=is_changed,
        files=_sha256_of(sorted((*PACKAGE.rglob("*.py"), *PACKAGE.rglob("*.j2")))),
        own=_sha256_of(own),
        libraries=libraries | {name: found for name in _LIBRARIES if (found := _installed(name))},
    )


def _sha256_of(files: Sequence[Path]) -> str:
    state = hashlib.sha256()
    for path in files:
        told = path.relative_to(PACKAGE).as_posix() if path.is_relative_to(PACKAGE) else path.name
        try:
            state.update(f"{told}\n{hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
        except FileNotFoundError as e:
            raise ConfigError(f"{path} is gone: put it back, or leave it out of features.files") from e
    return state.hexdigest()


def _installed(name: str) -> str:
    try:
        return installed(name)
    except PackageNotFoundError:
        return ""


def _commit() -> tuple[str | None, bool]:
    """The work tree's commit, and whether the package was changed since.

    None where the package is not one of the tree's files: a project that only installed it has commits of its own.
    """
    git = shutil.which("git")
    if git is None:
        return None, False

    def ask(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([git, *words], cwd=PACKAGE, capture_output=True, text=True, timeout=_GIT_S, check=False)

    if ask("ls-files", "--error-unmatch", "__init__.py").returncode:
        return None, False
    told = ask("rev-parse", "HEAD")
    if told.returncode:
        return None, False
    return told.stdout.strip(), bool(ask("status", "--porcelain", "--", ".").stdout.strip())
