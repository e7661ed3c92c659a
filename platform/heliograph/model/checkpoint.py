"""A model on disk: tensors as safetensors, everything else as JSON; no pickle, and no half-written folder."""

from __future__ import annotations

import json
import os
import shutil
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from heliograph.core.errors import ConfigError, CorruptPart

Tensors = dict[str, npt.NDArray[Any]]

_FORMAT = 1
_HEADER, _WEIGHTS = "forecaster.json", "weights.safetensors"


def write(folder: Path, tensors: Tensors, header: dict[str, Any]) -> Path:
    """Write tensors and header so that the folder is either whole or as it was; returns ``folder``.

    The header must hold JSON values; ``format`` and ``weights_sha256`` are added to it.
    """
    body = save_tensors({name: np.asarray(value, order="C") for name, value in tensors.items()})
    text = json.dumps(
        {"format": _FORMAT, **header, "weights_sha256": sha256(body).hexdigest()}, indent=1, sort_keys=True
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    draft = folder.with_name(f".{folder.name}.{os.getpid()}")
    draft.mkdir(exist_ok=True)
    (draft / _WEIGHTS).write_bytes(body)
    (draft / _HEADER).write_text(text)
    if folder.exists():
        shutil.rmtree(folder)
    draft.rename(folder)
    return folder


def read(folder: Path) -> tuple[Tensors, dict[str, Any]]:
    """Tensors and header that `write` was given.

    Raises:
        ConfigError: there is no model in the folder, or another version of Heliograph wrote it.
        CorruptPart: a file is torn or gone, or the tensors are not those that the header names.
    """
    if not (folder / _HEADER).is_file():
        raise ConfigError(f"there is no model at {folder}: train one, or point to the folder that holds {_HEADER}")
    damaged = f"is damaged or gone at {folder}: restore it, or train again"
    try:
        header: dict[str, Any] = json.loads((folder / _HEADER).read_text())
        body = (folder / _WEIGHTS).read_bytes()
    except (json.JSONDecodeError, UnicodeDecodeError) as e:
        raise CorruptPart(f"{_HEADER} {damaged}") from e
    except FileNotFoundError as e:
        raise CorruptPart(f"{_WEIGHTS} {damaged}") from e
    if header["format"] != _FORMAT:
        raise ConfigError(f"{folder} has format {header['format']}, this version reads {_FORMAT}: train again")
    if sha256(body).hexdigest() != header["weights_sha256"]:
        raise CorruptPart(
            f"{folder / _WEIGHTS} does not hold the bytes that {_HEADER} names: restore it, or train again"
        )
    return load_tensors(body), header
