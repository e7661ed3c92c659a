"""Symbols' columns as files that are mapped and never read whole: one folder a symbol, one ``.npy`` a column."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import numpy as np

from heliograph.core.errors import SchemaMismatch
from heliograph.windows.sample import SymbolData

_NAME_FIELDS = ("venue", "symbol")
_TITLE = "symbol.json"


def write(folder: Path, data: SymbolData) -> None:
    """Keep the columns in ``folder``; it counts as written once its title file is there."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _columns():
        np.save(folder / f"{name}.npy", getattr(data, name))
    title = folder / f"{_TITLE}.part"
    title.write_text(json.dumps({name: getattr(data, name) for name in _NAME_FIELDS}))
    title.rename(folder / _TITLE)


def read(folder: Path) -> SymbolData:
    """The symbol in ``folder``; its columns are read-only memory maps, a page is loaded when a window needs it.

    Raises:
        SchemaMismatch: the folder was not written to its end, or its columns differ in length.
    """
    if not (folder / _TITLE).exists():
        raise SchemaMismatch(f"{folder} holds no whole symbol: write it again")
    columns = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in _columns()}
    if len({column.shape[0] for column in columns.values()}) != 1:
        raise SchemaMismatch(f"the columns in {folder} differ in length: write it again")
    return SymbolData(**json.loads((folder / _TITLE).read_text()), **columns)


def _columns() -> tuple[str, ...]:
    return tuple(field.name for field in fields(SymbolData) if field.name not in _NAME_FIELDS)
