"""Models, pointer and trials on a real S3 store, under a prefix: two processes race, a copy is checked, trials count."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.train import registries

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, CorruptPart
from heliograph.lake.store import open_store
from heliograph.testing import seaweed
from heliograph.train import ledger, registry
from heliograph.train.registry import open_registry

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with seaweed.seaweedfs(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def settings(endpoint: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name, value in seaweed.KEYS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")
    uri = f"s3://{seaweed.BUCKET}/{tmp_path.name}/registry"
    made = {"var": tmp_path, "lake": {"uri": str(tmp_path / "lake"), "s3_endpoint_url": endpoint}}
    return Settings.model_validate({**made, "registry": {"uri": uri}})


def released(settings: Settings, run: str, weight: float) -> str:
    return registry.release(settings, *registries.fitted(settings.models_folder, run, weight=weight)).model


def test_model_is_released_used_and_rolled_back(settings: Settings, tmp_path: Path):
    with pytest.raises(ConfigError, match="run `helio train` first"):
        registry.current_model(settings)
    first, second = (released(settings, f"r-{k}", k) for k in (1.0, 2.0))
    held = open_registry(settings)
    assert held.models() == sorted((first, second))
    assert registry.current_model(settings) == tmp_path / "models" / "fetched" / second
    held.rollback()
    folder = registry.current_model(settings)
    model = settings.models_folder / "r-1.0" / "fold-1" / "model"
    assert {p.name: p.read_bytes() for p in folder.iterdir()} == {p.name: p.read_bytes() for p in model.iterdir()}
    assert registry.current_run(settings) == settings.models_folder / "r-1.0"


def test_altered_object_is_refused_and_publishing_again_mends_it(settings: Settings):
    model = released(settings, "r-1", 1.0)
    store = open_store(settings.lake.model_copy(update={"uri": settings.registry.uri}))
    key = f"models/{model}/weights.safetensors"
    store.delete(key)
    store.put_if_absent(key, b"half")
    with pytest.raises(CorruptPart, match="torn or altered"):
        registry.current_model(settings)
    assert released(settings, "r-1", 1.0) == model
    assert registry.current_model(settings).name == model


def test_of_two_processes_that_move_the_pointer_at_once_exactly_one_wins(settings: Settings):
    models = sorted(released(settings, f"r-{k}", k) for k in (1.0, 2.0, 3.0))
    open_registry(settings).promote(models[2])
    wins = registries.race(settings, models[:2], rounds=10)
    assert all(sum(told) == 1 for told in wins)


def test_trials_survive_in_the_bucket(settings: Settings):
    for fold in range(3):
        trial = ledger.start(settings, {"candidate": "c/1", "fold": fold, "run": "s"})
        ledger.end(settings, trial, {"skill_pct": float(fold)})
    ledger.start(settings, {"candidate": "c/2", "fold": 0, "run": "s"})
    assert ledger.candidates(settings) == 2
    told = ledger.read(settings)
    assert sorted((t.candidate, t.state) for t in told) == [("c/1", "done")] * 3 + [("c/2", "started")]
    assert not (settings.var / "trials.jsonl").exists()


def test_wrong_keys_are_told_with_the_setting_that_says_where(settings: Settings, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(ConfigError) as told:
        registry.current_model(settings)
    assert "registry.uri" in told.value.__notes__[0]
