"""The lake's object store: which one the settings mean, and whether it keeps its promises."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.core.ports import ObjectStore
from heliograph.lake.layout import root_uri
from heliograph.lake.local_store import LocalStore
from heliograph.lake.s3_store import S3Store


def open_store(settings: LakeSettings) -> ObjectStore:
    """The store behind ``lake.uri``; touches nothing yet."""
    if settings.uri.startswith("s3://"):
        return S3Store(settings)
    return LocalStore(Path(root_uri(settings)))


def probe(store: ObjectStore) -> None:
    """Write to the store and see that it honours if-absent and if-match; some stores ignore them silently.

    Raises:
        ConfigError: the store can't be written, or would let two writers win.
    """
    key = f"probe/{secrets.token_hex(8)}"
    promises = [("writes a new object", store.put_if_absent(key, b"1"))]
    promises.append(("refuses a second write if-absent", not store.put_if_absent(key, b"2")))
    found = store.get_tagged(key)
    promises.append(("reads back what was written", found is not None and found[0] == b"1"))
    tag = found[1] if found else ""
    promises.append(("replaces the version that if-match names", store.put_if_match(key, b"3", tag)))
    promises.append(("refuses a version that is gone", not store.put_if_match(key, b"4", tag)))
    promises.append(("keeps the winner's bytes", store.get(key) == b"3"))
    store.delete(key)
    promises.append(("forgets what was deleted", store.get_tagged(key) is None))
    broken = [what for what, is_kept in promises if not is_kept]
    if broken:
        raise ConfigError(
            f"{store.uri} can't hold a lake: it does not do this: {'; '.join(broken)}. "
            "Use a store with conditional writes (AWS S3, SeaweedFS, MinIO, a local folder)"
        )


def storage_options(settings: LakeSettings) -> dict[str, str] | None:
    """What deltalake and polars must be given to reach the lake; None for a folder."""
    if not settings.uri.startswith("s3://"):
        return None
    options = {"aws_region": settings.s3_region, "aws_conditional_put": "etag"}
    if settings.s3_endpoint_url:
        options["aws_endpoint_url"] = settings.s3_endpoint_url
        options["aws_virtual_hosted_style_request"] = "false"
        if settings.s3_endpoint_url.startswith("http://"):
            options["aws_allow_http"] = "true"
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        if value := os.environ.get(name):
            options[name.lower()] = value
    return options
