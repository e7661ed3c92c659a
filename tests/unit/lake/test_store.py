"""Stores beyond their contract."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError
from heliograph.lake.commit import Committer
from heliograph.lake.local_store import LocalStore
from heliograph.lake.store import open_store, probe, storage_options


def test_unwritable_folder_is_told_with_its_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ConfigError, match=r"lake\.uri"):
        open_store(LakeSettings(uri=str(tmp_path / "file" / "lake"))).put_if_absent("a", b"")


def test_opening_a_store_touches_nothing(tmp_path: Path) -> None:
    open_store(LakeSettings(uri=str(tmp_path / "lake")))
    assert list(tmp_path.iterdir()) == []


def test_no_temporary_file_is_left_or_listed(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    store.put_if_absent("a/b", b"1")
    store.put_if_absent("a/b", b"2")
    assert store.list("") == ["a/b"]
    assert list((tmp_path / ".heliograph").iterdir()) == []


def test_full_disk_is_told_and_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(tmp_path)
    store.put_if_absent("a/b", b"1")

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as disk:
        disk.setattr(os, "fsync", full)
        found = store.get_tagged("a/b")
        assert found is not None
        with pytest.raises(ConfigError, match=r"No space left on device.*run again"):
            store.put_if_absent("a/c", b"2")
        with pytest.raises(ConfigError, match=r"No space left on device.*run again"):
            store.put_if_match("a/b", b"2", found[1])
    assert store.list("") == ["a/b"]
    assert store.get("a/b") == b"1"
    assert list((tmp_path / ".heliograph").glob("staged-*")) == []
    assert store.put_if_absent("a/c", b"2")


class OverwritingStore(LocalStore):
    """A store that ignores conditions, as some S3 clones do."""

    def put_if_absent(self, key: str, body: bytes) -> bool:
        super().put_if_absent(key, body)
        (self.root / key).write_bytes(body)
        return True


def test_probe_refuses_a_store_that_ignores_conditions(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="if-absent"):
        probe(OverwritingStore(tmp_path))


def test_lake_is_not_begun_on_a_store_that_ignores_conditions(tmp_path: Path) -> None:
    settings = LakeSettings(uri=str(tmp_path))
    with pytest.raises(ConfigError, match=r"can't hold a lake.*refuses a second write if-absent"):
        Committer(settings, OverwritingStore(tmp_path), "t").__enter__()
    assert not (tmp_path / "candles").exists()


def test_storage_options_carry_keys_only_for_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    assert storage_options(LakeSettings(uri="var/lake")) is None
    assert storage_options(LakeSettings(uri="s3://b/p", s3_endpoint_url="http://127.0.0.1:9")) == {
        "aws_region": "us-east-1",
        "aws_conditional_put": "etag",
        "aws_endpoint_url": "http://127.0.0.1:9",
        "aws_virtual_hosted_style_request": "false",
        "aws_allow_http": "true",
        "aws_access_key_id": "id",
        "aws_secret_access_key": "secret",
    }
