"""A mapping that never changes."""

from __future__ import annotations

import pytest

from heliograph.trading.persistent import ShardedMap


def test_old_versions_stay_as_they_were():
    versions = [ShardedMap()]
    for n in range(1_000):
        versions.append(versions[-1].set(f"k{n}", n))
    assert [len(v) for v in versions] == list(range(1_001))
    assert dict(versions[500]) == {f"k{n}": n for n in range(500)}


def test_setting_again_replaces():
    assert dict(ShardedMap().set("a", 1).set("a", 2)) == {"a": 2}


def test_equal_contents_are_equal_whatever_the_order():
    assert ShardedMap().set("a", 1).set("b", 2) == ShardedMap().set("b", 2).set("a", 1)


def test_missing_key_raises():
    with pytest.raises(KeyError):
        ShardedMap()["a"]
