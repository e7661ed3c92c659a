"""What every `ObjectStore` must do; each adapter runs the same suite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from heliograph.config.settings import LakeSettings
from heliograph.core.errors import ConfigError, Retryable
from heliograph.core.ports import ObjectStore
from heliograph.lake.store import open_store, probe
from heliograph.testing import seaweed


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed.seaweedfs(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


class ObjectStoreContract:
    def test_absent_key_is_told(self, store: ObjectStore) -> None:
        assert store.get_tagged("contract/none") is None
        with pytest.raises(FileNotFoundError):
            store.get("contract/none")

    def test_put_if_absent_writes_once(self, store: ObjectStore) -> None:
        assert store.put_if_absent("contract/once", b"first")
        assert not store.put_if_absent("contract/once", b"second")
        assert store.get("contract/once") == b"first"

    def test_put_if_match_replaces_only_the_version_it_names(self, store: ObjectStore) -> None:
        assert store.put_if_match("contract/cas", b"1", None)
        assert not store.put_if_match("contract/cas", b"x", None)
        first = store.get_tagged("contract/cas")
        assert first is not None
        assert store.put_if_match("contract/cas", b"2", first[1])
        assert not store.put_if_match("contract/cas", b"3", first[1])
        assert store.get("contract/cas") == b"2"

    def test_put_if_match_on_an_absent_key_writes_nothing(self, store: ObjectStore) -> None:
        assert not store.put_if_match("contract/ghost", b"1", '"d41d8cd98f00b204e9800998ecf8427e"')
        assert store.get_tagged("contract/ghost") is None

    def test_list_is_sorted_and_by_prefix(self, store: ObjectStore) -> None:
        for key in ("contract/list/b", "contract/list/a/c", "contract/listed"):
            store.put_if_absent(key, b"")
        assert store.list("contract/list/") == ["contract/list/a/c", "contract/list/b"]
        assert store.list("contract/list") == ["contract/list/a/c", "contract/list/b", "contract/listed"]
        assert store.list("contract/nowhere/") == []

    def test_deleted_key_is_absent_and_can_be_written_again(self, store: ObjectStore) -> None:
        store.put_if_absent("contract/gone/a", b"1")
        store.put_if_absent("contract/gone/b", b"1")
        store.delete("contract/gone/a")
        assert store.get_tagged("contract/gone/a") is None
        assert store.list("contract/gone/") == ["contract/gone/b"]
        assert store.put_if_absent("contract/gone/a", b"2")

    def test_deleting_what_is_absent_is_harmless(self, store: ObjectStore) -> None:
        store.delete("contract/never/was")
        assert store.list("contract/never/") == []

    def test_percent_and_unicode_survive_in_keys(self, store: ObjectStore) -> None:
        key = "contract/symbol=%E5%B8%81 ü/x"
        store.put_if_absent(key, b"1")
        assert store.get(key) == b"1"
        assert key in store.list("contract/symbol=")

    def test_one_of_eight_racers_wins(self, store: ObjectStore) -> None:
        wins: list[int] = []
        threads = [
            threading.Thread(target=lambda i=i: store.put_if_absent("contract/race", bytes([i])) and wins.append(i))
            for i in range(8)
        ]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert len(wins) == 1
        assert store.get("contract/race") == bytes([wins[0]])

    def test_no_increment_is_lost_between_racers(self, store: ObjectStore) -> None:
        store.put_if_absent("contract/counter", b"0")

        def count() -> None:
            done = 0
            while done < 5:
                found = store.get_tagged("contract/counter")
                assert found is not None
                done += store.put_if_match("contract/counter", str(int(found[0]) + 1).encode(), found[1])

        threads = [threading.Thread(target=count) for _ in range(4)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        assert store.get("contract/counter") == b"20"

    def test_probe_is_content_and_leaves_nothing(self, store: ObjectStore) -> None:
        probe(store)
        assert store.list("probe/") == []


class TestLocalStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, tmp_path: Path) -> ObjectStore:
        return open_store(LakeSettings(uri=str(tmp_path / "new" / "lake")))


@pytest.mark.e2e
class TestS3Store(ObjectStoreContract):
    @pytest.fixture
    def store(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> ObjectStore:
        for name, value in seaweed.KEYS.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
        return open_store(LakeSettings(uri=f"s3://{seaweed.BUCKET}/some/prefix/", s3_endpoint_url=endpoint))

    def test_wrong_key_is_a_settings_fault(self, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
        store = open_store(LakeSettings(uri=f"s3://{seaweed.BUCKET}", s3_endpoint_url=endpoint))
        with pytest.raises(ConfigError, match="keys"):
            store.put_if_absent("contract/refused", b"1")

    def test_missing_bucket_is_a_settings_fault(self, store: ObjectStore, endpoint: str) -> None:
        with pytest.raises(ConfigError, match="bucket"):
            open_store(LakeSettings(uri="s3://no-such-bucket", s3_endpoint_url=endpoint)).list("")

    def test_dead_endpoint_may_pass(self, store: ObjectStore) -> None:
        dead = open_store(LakeSettings(uri="s3://lake", s3_endpoint_url="http://127.0.0.1:1"))
        with pytest.raises(Retryable, match="s3_endpoint_url"):
            dead.get_tagged("a")
