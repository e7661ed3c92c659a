"""An object store in a bucket: conditional, checksummed PUTs through boto3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, Retryable

_LOST_THE_RACE = {"PreconditionFailed", "ConditionalRequestConflict", "412", "409"}
_ABSENT = {"NoSuchKey", "404"}
_MAY_PASS = {
    "SlowDown",
    "Throttling",
    "RequestTimeout",
    "InternalError",
    "ServiceUnavailable",
    "500",
    "502",
    "503",
    "504",
}
_TIMEOUTS: dict[str, Any] = {
    "connect_timeout": 5,
    "read_timeout": 30,
    "retries": {"mode": "standard", "total_max_attempts": 5},
    "max_pool_connections": 32,
}


class S3Store:
    """`ObjectStore` on S3 or a store that speaks it; keys come from the environment.

    A PUT whose answer was lost is sent again and then finds its own object: the call answers False although the object
    is there. Content-addressed writers need not care; `lease` reads back what stands.
    """

    def __init__(self, settings: LakeSettings) -> None:
        self.uri = settings.uri.rstrip("/")
        self._bucket, _, prefix = self.uri.removeprefix("s3://").partition("/")
        self._prefix = f"{prefix}/" if prefix else ""
        endpoint = settings.s3_endpoint_url
        is_plain = bool(endpoint and endpoint.startswith("http://"))
        self._s3: Any = boto3.Session().client(  # a session of its own: the shared one keeps the first keys it saw
            "s3",
            endpoint_url=endpoint,
            region_name=settings.s3_region,
            config=Config(**_TIMEOUTS, s3={"addressing_style": "path" if endpoint else "auto"}),
            verify=False if is_plain else None,  # else AWS_CA_BUNDLE is opened even where no TLS is spoken
        )

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """See `ObjectStore`."""
        return self._put(key, body, IfNoneMatch="*")

    def put_if_match(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `ObjectStore`."""
        return self.put_if_absent(key, body) if tag is None else self._put(key, body, IfMatch=tag)

    def get(self, key: str) -> bytes:
        """See `ObjectStore`."""
        found = self.get_tagged(key)
        if found is None:
            raise FileNotFoundError(f"{self.uri}/{key}")
        return found[0]

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """See `ObjectStore`; the tag is the ETag."""
        with self._told(key):
            try:
                answer = self._s3.get_object(Bucket=self._bucket, Key=self._prefix + key)
            except ClientError as e:
                if _code(e) in _ABSENT:
                    return None
                raise
            return answer["Body"].read(), answer["ETag"]

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore`."""
        with self._told(prefix):
            pages = self._s3.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=self._prefix + prefix
            )
            return sorted(o["Key"].removeprefix(self._prefix) for page in pages for o in page.get("Contents", ()))

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        with self._told(key):
            self._s3.delete_object(Bucket=self._bucket, Key=self._prefix + key)

    def _put(self, key: str, body: bytes, **condition: str) -> bool:
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        with self._told(key):
            try:
                self._s3.put_object(
                    Bucket=self._bucket, Key=self._prefix + key, Body=body, ChecksumSHA256=checksum, **condition
                )
            except ClientError as e:
                if _code(e) in _LOST_THE_RACE or ("IfMatch" in condition and _code(e) in _ABSENT):
                    return False
                raise
            return True

    @contextmanager
    def _told(self, key: str) -> Iterator[None]:
        where = f"{self.uri}/{key}"
        try:
            yield
        except (NoCredentialsError, PartialCredentialsError) as e:
            raise ConfigError(f"no keys for {self.uri}: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY") from e
        except ClientError as e:
            if _code(e) in _MAY_PASS:
                raise Retryable(f"the object store could not serve {where} now: {e}") from e
            raise ConfigError(f"the object store refuses {where}: {e}; check lake.uri, the bucket and the keys") from e
        except BotoCoreError as e:
            raise Retryable(f"no answer for {where}: {e}; check lake.s3_endpoint_url if this stays so") from e


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
