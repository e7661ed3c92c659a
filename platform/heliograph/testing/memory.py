"""An object store in memory."""

from __future__ import annotations

import hashlib


class MemoryStore:
    """`ObjectStore` of one thread.

    Attributes:
        objects: bytes by key; a test may change them as it likes.
    """

    def __init__(self) -> None:
        self.uri = "memory"
        self.objects: dict[str, bytes] = {}

    def put_if_absent(self, key: str, body: bytes) -> bool:
        """See `ObjectStore`."""
        if key in self.objects:
            return False
        self.objects[key] = body
        return True

    def get(self, key: str) -> bytes:
        """See `ObjectStore`."""
        if key not in self.objects:
            raise FileNotFoundError(key)
        return self.objects[key]

    def get_tagged(self, key: str) -> tuple[bytes, str] | None:
        """See `ObjectStore`; the tag is the content's sha256."""
        body = self.objects.get(key)
        return None if body is None else (body, hashlib.sha256(body).hexdigest())

    def put_if_match(self, key: str, body: bytes, tag: str | None) -> bool:
        """See `ObjectStore`."""
        held = self.get_tagged(key)
        if (None if held is None else held[1]) != tag:
            return False
        self.objects[key] = body
        return True

    def list(self, prefix: str) -> list[str]:
        """See `ObjectStore`."""
        return sorted(key for key in self.objects if key.startswith(prefix))

    def delete(self, key: str) -> None:
        """See `ObjectStore`."""
        self.objects.pop(key, None)
