"""Where a part's rows came from, as the text that stands in its Parquet metadata; packed where it is long."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

_PLAIN_BYTES = 1_000
_PACKED = "zstd+base85"
_LEVEL = 9  # higher ones gain nothing: most of it is hashes


def pack(provenance: Mapping[str, Any]) -> str:
    """JSON, or ``zstd+base85:<length>:<text>`` of it; the same provenance is always the same text.

    >>> pack({"venue": "okx"})
    '{"venue":"okx"}'
    """
    told = json.dumps(provenance, separators=(",", ":"))
    if len(told) <= _PLAIN_BYTES:
        return told
    body = told.encode()
    squeezed = pa.Codec("zstd", compression_level=_LEVEL).compress(body, asbytes=True)
    return f"{_PACKED}:{len(body)}:{base64.b85encode(squeezed).decode()}"


def unpack(text: str) -> dict[str, Any]:
    """What `pack` was given."""
    if text.startswith("{"):
        found: dict[str, Any] = json.loads(text)
        return found
    _, length, squeezed = text.split(":", 2)
    body = pa.Codec("zstd").decompress(base64.b85decode(squeezed), int(length), asbytes=True)
    unpacked: dict[str, Any] = json.loads(body)
    return unpacked
