"""What a model says it was made of changes when that changes, and only then."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.unit.train import registries

from heliograph.core.errors import ConfigError, CorruptPart
from heliograph.lake import read
from heliograph.train import manifest, origin


def test_code_is_its_files(tmp_path: Path, monkeypatch):
    shutil.copytree(origin.PACKAGE / "core", tmp_path / "pkg" / "core")
    monkeypatch.setattr(origin, "PACKAGE", tmp_path / "pkg")
    before = origin.code_now(())
    assert before.commit is None
    assert before.files[:12] in str(before)
    (tmp_path / "pkg" / "core" / "kernel.nbc").write_bytes(b"compiled")
    assert origin.code_now(()) == before
    with (tmp_path / "pkg" / "core" / "errors.py").open("a") as file:
        file.write("\n")
    assert origin.code_now(()).files != before.files


def test_commit_is_of_the_tree_that_holds_the_package_and_says_whether_it_was_changed(tmp_path: Path, monkeypatch):
    package = tmp_path / "platform" / "pkg"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(origin, "PACKAGE", package)

    def git(*words: str) -> str:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, check=True, capture_output=True, text=True).stdout

    git("init", "--quiet")
    assert origin.code_now(()).commit is None
    git("add", ".")
    git("commit", "--quiet", "--message", "one")
    clean = origin.code_now(())
    assert (clean.commit, clean.is_changed) == (git("rev-parse", "HEAD").strip(), False)
    (package / "more.py").write_text("A = 1")
    assert origin.code_now(()).is_changed
    assert "with changes, files" in str(origin.code_now(()))


def test_own_features_count_as_code(tmp_path: Path):
    mine = tmp_path / "mine.py"
    mine.write_text("A = 1")
    before = origin.code_now((mine,))
    mine.write_text("A = 2")
    after = origin.code_now((mine,))
    assert (after.files, after.own == before.own) == (before.files, False)
    mine.unlink()
    with pytest.raises(ConfigError, match=r"leave it out of features\.files"):
        origin.code_now((mine,))


def test_data_is_the_version_and_the_parts_that_training_reads(tmp_path: Path):
    settings = registries.settings_of(tmp_path)
    version = read.version(settings.lake)
    before = origin.data_of(settings, version)
    registries.grow(settings, 2)
    assert origin.data_of(settings, version) == before
    assert origin.data_of(settings, version + 1).parts != before.parts
    other = settings.model_copy(update={"features": settings.features.model_copy(update={"timeframe": "15m"})})
    assert origin.data_of(other, version).parts != before.parts
    with pytest.raises(ConfigError, match="version 99"):
        origin.data_of(settings, 99)


def test_manifest_of_another_format_is_told():
    told = manifest.Manifest("m", {}, (), registries.ORIGIN, {}, 0)
    assert manifest.from_bytes(manifest.to_bytes(told), "x") == told
    with pytest.raises(CorruptPart, match="altered"):
        manifest.from_bytes(manifest.to_bytes(told).replace(b'"format": 1', b'"format": 2'), "x")


def test_manifest_of_a_newer_release_is_told(monkeypatch):
    told = manifest.Manifest("m", {}, (), registries.ORIGIN, {}, 0)
    monkeypatch.setattr(manifest, "_FORMAT", 2)
    body = manifest.to_bytes(told)
    monkeypatch.undo()
    with pytest.raises(ConfigError, match="use the version that wrote it"):
        manifest.from_bytes(body, "x")
