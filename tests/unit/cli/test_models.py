"""`helio models` and `helio reproduce`: what is there, which one is current, back and forth; one sentence when it can't."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.unit.train import registries

from heliograph.cli.main import main
from heliograph.cluster import reproduce
from heliograph.cluster.fit import FitReport
from heliograph.config.settings import Settings
from heliograph.lake import read
from heliograph.telemetry.progress import Quiet
from heliograph.train import ledger, registry
from heliograph.train.registry import Registry, open_registry

Helio = Callable[..., tuple[int, str, str]]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return registries.settings_of(tmp_path)


@pytest.fixture
def released(settings: Settings) -> tuple[str, str]:
    """Two models, the second one current."""
    version = read.version(settings.lake)
    names = []
    for run, weight in (("r-1", 1.0), ("r-2", 2.0)):
        parent = names[-1] if names else None
        folders = registries.fitted(settings.models_folder, run, weight=weight)
        names.append(registry.release(settings, *folders, data_version=version, parent=parent).model)
    return names[0], names[1]


@pytest.fixture
def held(settings: Settings) -> Registry:
    return open_registry(settings)


@pytest.fixture
def helio(settings: Settings, capsys: pytest.CaptureFixture[str]) -> Helio:
    def call(*words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = main([*words, "--set", f"var={settings.var}", "--set", f"lake.uri={settings.lake.uri}"])
        told = capsys.readouterr()
        return code, told.out, told.err

    return call


def test_ls_tells_every_model_and_marks_the_current_one(helio: Helio, released: tuple[str, str]):
    code, out, _ = helio("models", "ls")
    heads, *rows = out.splitlines()
    assert (code, len(rows)) == (0, 2)
    assert heads.split() == ["model", "created", "run", "data", "code", "seed", "skill", "%", "parent"]
    cells = [re.split(r"\s{2,}", row) for row in rows]
    assert [c[0] for c in cells] == ["", "*"]
    assert [c[1] for c in cells] == [name[:12] for name in released]
    assert cells[1][3:5] == ["r-2", "2"]
    assert cells[1][6:] == ["7", "+1.50 over volatility_scaled", released[0][:12]]


def test_ls_as_json_is_the_manifests(helio: Helio, held: Registry, released: tuple[str, str]):
    told = json.loads(helio("models", "ls", "--json")[1])
    assert [(t["model"], t["is_current"]) for t in told] == [(released[0], False), (released[1], True)]
    assert told[0]["origin"]["settings"]["train"]["seed"] == 7


def test_a_torn_model_is_listed_as_such(helio: Helio, held: Registry, released: tuple[str, str]):
    (held.place.root / "models" / released[0] / "manifest.json").write_text("{")
    assert re.search(rf"{released[0][:12]}\s+torn", helio("models", "ls")[1])
    code, _, err = helio("models", "promote", released[0][:8])
    assert (code, "is torn: restore it" in err) == (1, True)


def test_a_torn_pointer_is_told_with_the_names_that_mend_it(helio: Helio, held: Registry, released: tuple[str, str]):
    (held.place.root / "current.json").write_text("{")
    code, out, err = helio("models", "ls")
    assert (code, released[0][:12] in out, "`helio models promote NAME` writes it anew" in err) == (1, True, True)
    assert helio("models", "promote", released[0][:8])[0] == 0
    assert held.current() == released[0]


def test_show_tells_what_a_model_was_made_of(helio: Helio, settings: Settings, released: tuple[str, str]):
    code, out, _ = helio("models", "show", released[0][:6])
    told = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert code == 0
    assert told["model"] == released[0]
    assert told["data"] == f"candles 2 of {settings.lake.uri}"
    assert (told["settings"], told["seed"], told["current"]) == (settings.fingerprint, "7", "no")
    assert told["features"] == "2: ewma_volatility, signal"
    assert "release" in told
    assert json.loads(helio("models", "show", "--json")[1])["model"] == released[1]


def test_show_refuses_a_model_whose_bytes_are_others(helio: Helio, held: Registry, released: tuple[str, str]):
    (held.place.root / "models" / released[1] / "weights.safetensors").write_bytes(b"x")
    code, _, err = helio("models", "show")
    assert (code, err.count("\n")) == (1, 1)
    assert "weights.safetensors of model" in err
    assert "run `helio train`" in err


def test_promote_and_rollback_move_the_pointer(helio: Helio, held: Registry, released: tuple[str, str]):
    first, second = released
    assert helio("models", "promote", first[:8])[0] == 0
    assert held.current() == first
    assert f"current model is {second[:12]}; before it {first[:12]}" in helio("models", "rollback")[1]
    assert json.loads(helio("models", "rollback", "--json")[1]) == {"current": first, "previous": None}
    code, _, err = helio("models", "rollback")
    assert (code, "no model was current before" in err) == (2, True)
    assert [move.why for move in held.pointer().moves] == ["release", "release", "promote", "rollback", "rollback"]


def test_promote_that_expects_another_model_moves_nothing(helio: Helio, held: Registry, released: tuple[str, str]):
    first, second = released
    code, _, err = helio("models", "promote", first[:8], "--expect", first[:8])
    assert (code, f"the current model is {second[:12]}, not {first[:12]}" in err) == (2, True)
    assert held.current() == second
    assert helio("models", "rollback", "--expect", second[:8])[0] == 0


@pytest.mark.parametrize("words", [("ls",), ("show",), ("promote", "abcd"), ("rollback",)])
def test_empty_registry_says_what_to_run(helio: Helio, words: tuple[str, ...]):
    code, _, err = helio("models", *words)
    assert (code, err.count("\n"), "run `helio train` first" in err) == (2, 1, True)


@pytest.mark.parametrize("words", [("models", "show", "beef1234"), ("reproduce", "beef1234")])
def test_unknown_model_says_where_to_look(helio: Helio, released: tuple[str, str], words: tuple[str, ...]):
    code, _, err = helio(*words)
    assert (code, err.count("\n"), "`helio models ls`" in err) == (2, 1, True)


# ---- reproduce, with a fit that only pretends; tests/e2e does it for real


@pytest.fixture
def refit(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """How the fit is pretended: ``weight`` of the model that comes, ``seen`` the settings that it was asked with."""
    how: dict[str, Any] = {"weight": 2.0}

    def run(settings: Settings, shown: Any) -> FitReport:
        how["seen"], how["version"] = settings, read.version(settings.lake)
        how["candles"] = len(read.candles(settings.lake, "fake", "BTC/USDT", "1h"))
        run, model = registries.fitted(settings.models_folder, "r-2", weight=how["weight"])
        registry.release(settings.models_folder, run, model)
        folds = [json.loads((run / f"fold-{k}" / "score.json").read_text()) for k in range(2)]
        if "skill" in how:
            folds[1]["skill_pct"]["volatility_scaled"][1] = how["skill"]
        return FitReport(str(run), 2, folds, {}, {})

    monkeypatch.setattr(reproduce.fit, "run", run)
    return how


def test_reproduction_sees_the_candles_of_then_and_touches_nothing(
    settings: Settings, held: Registry, released: tuple[str, str], refit: dict[str, Any]
):
    registries.grow(settings, 2)
    before = held.pointer(), held.models()
    told = reproduce.run(settings, "r-2", Quiet())
    assert told.is_same
    assert (told.model, told.metrics, told.differences, told.notes) == (released[1], 10, (), ())
    assert (refit["version"], refit["candles"]) == (2, 48)
    assert refit["seen"].fingerprint == settings.fingerprint
    assert refit["seen"].var.parent == settings.var / "reproduce"
    assert list((settings.var / "reproduce").iterdir()) == []
    assert (held.pointer(), held.models()) == before


def test_last_bit_of_a_metric_counts(settings: Settings, released: tuple[str, str], refit: dict[str, Any]):
    refit["skill"] = 2.0 + 2**-51
    told = reproduce.run(settings, "current", Quiet())
    assert told.same_model
    assert [(d.metric, d.then, d.now) for d in told.differences] == [
        ("folds[1].skill_pct.volatility_scaled[1]", 2.0, 2.0 + 2**-51)
    ]
    assert told.folder is not None
    assert Path(told.folder, "models").is_dir()


def test_other_bytes_of_the_model_count(settings: Settings, released: tuple[str, str], refit: dict[str, Any]):
    refit["weight"] = 3.0
    told = reproduce.run(settings, released[1][:6], Quiet())
    assert (told.is_same, told.same_model, told.differences) == (False, False, ())


def test_other_code_is_refused_unless_told_anyway(
    settings: Settings, released: tuple[str, str], refit: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("heliograph.train.origin._sha256_of", lambda _: "e" * 64)
    with pytest.raises(reproduce.ConfigError, match=r"was fitted by .* give --anyway"):
        reproduce.run(settings, "current", Quiet())
    told = reproduce.run(settings, "current", Quiet(), anyway=True)
    assert told.is_same
    assert "was fitted by" in told.notes[0]


def test_a_lake_of_other_candles_is_refused(
    settings: Settings, released: tuple[str, str], refit: dict[str, Any], tmp_path: Path
):
    other = registries.settings_of(tmp_path / "other")
    registries.grow(other, 2)
    elsewhere = settings.model_copy(update={"lake": other.lake})
    assert reproduce.run(elsewhere, "current", Quiet()).is_same  # the same candles, elsewhere
    shifted = registries.Settings.model_validate({"lake": {"uri": str(tmp_path / "shifted")}})
    for day in (5, 6):
        registries.grow(shifted, day)
    with pytest.raises(reproduce.ConfigError, match="holds other rows in candles 2"):
        reproduce.run(settings.model_copy(update={"lake": shifted.lake}), "current", Quiet())


def test_version_that_the_lake_never_had_is_refused(
    settings: Settings, released: tuple[str, str], refit: dict[str, Any], tmp_path: Path
):
    young = registries.Settings.model_validate({"lake": {"uri": str(tmp_path / "young")}})
    registries.grow(young, 0)
    with pytest.raises(reproduce.ConfigError, match="can't read version 2 of candles"):
        reproduce.run(settings.model_copy(update={"lake": young.lake}), "current", Quiet(), anyway=True)
    assert "seen" not in refit


def test_model_without_settings_is_refused(settings: Settings, refit: dict[str, Any]):
    registry.release(settings.models_folder, *registries.fitted(settings.models_folder, "r-1"))
    with pytest.raises(reproduce.ConfigError, match="does not name its settings and data: run `helio train`"):
        reproduce.run(settings, "current", Quiet())


def test_settings_that_this_version_does_not_know_are_named(
    settings: Settings, released: tuple[str, str], refit: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    told = reproduce.find(settings, "current")
    assert told.origin.settings is not None
    told.origin.settings["train"]["momentum"] = 0.9
    monkeypatch.setattr(reproduce, "find", lambda *_: told)
    with pytest.raises(reproduce.ConfigError, match=r"does not know the settings .*train\.momentum"):
        reproduce.run(settings, "current", Quiet())


def test_trials_tell_a_failed_one_from_a_killed_one(helio: Helio, settings: Settings):
    ledger.start(settings, {"candidate": "killed", "fold": 0, "run": "r"})
    failed = ledger.start(settings, {"candidate": "broken", "fold": 1, "run": "r"})
    ledger.end(settings, failed, {}, state="failed", error="too few windows")
    code, out, _ = helio("models", "trials")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert [row[2:6] for row in rows[1:3]] == [["killed", "r", "0", "started"], ["broken", "r", "1", "failed"]]
    assert rows[2][6:] == ["too", "few", "windows"]
    assert "2 candidates in 2 trials" in out
    _, out, _ = helio("models", "trials", "--json")
    assert [(t["state"], t["error"]) for t in json.loads(out)] == [("started", ""), ("failed", "too few windows")]
