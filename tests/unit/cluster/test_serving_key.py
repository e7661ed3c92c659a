"""The service's key: made once, for its owner's eyes alone."""

from __future__ import annotations

import stat
from pathlib import Path

from heliograph.cluster.serving import api_key, application, digest
from heliograph.config.load import load


def test_key_is_made_once_and_only_its_owner_can_read_it(tmp_path: Path):
    settings = load(None, environ={}).serve
    key = api_key(settings, tmp_path)
    assert len(key) >= 32
    assert api_key(settings, tmp_path) == key
    assert stat.S_IMODE((tmp_path / "serve.key").stat().st_mode) == 0o600


def test_key_from_the_environment_is_used_and_not_written(tmp_path: Path):
    settings = load(None, environ={"HELIO_API_KEY": "mine"}).serve
    assert api_key(settings, tmp_path) == "mine"
    assert not (tmp_path / "serve.key").exists()


def test_the_deployment_is_given_a_digest_and_never_the_key(tmp_path: Path):
    settings = load(None, [f"var={tmp_path}"], environ={"HELIO_API_KEY": "canary-secret"})
    arguments = application(settings)._bound_deployment.init_args
    assert digest("canary-secret") in arguments
    assert "canary-secret" not in repr(arguments)
