"""Settings: every fault at once, secrets from the environment, and a fingerprint of what can change a result."""

from __future__ import annotations

from pathlib import Path

import pytest

from heliograph.config.load import load
from heliograph.config.machine import require_free
from heliograph.core.errors import ConfigError

CONFIGS = Path(__file__).resolve().parents[3] / "configs"


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda p: p.name)
def test_every_shipped_settings_file_is_right(path: Path):
    assert load(path, environ={}).fingerprint


def test_all_faults_are_told_at_once_each_with_its_place(tmp_path: Path):
    path = tmp_path / "bad.yaml"
    path.write_text(
        "risk: {max_leverage: -1, soft_drawdown: 0.5}\nlabels: {levels: [0.1, 0.5]}\nfetch: {selections: [{timeframes: [7m]}]}\nnope: 1\n"
    )
    with pytest.raises(ConfigError) as told:
        load(path, ["train.epochs=0", "oops"], environ={})
    message = str(told.value)
    for part in ("6 wrong settings", "risk.max_leverage", "labels.levels", "7m", "nope", "train.epochs", "--set oops"):
        assert part in message


@pytest.mark.parametrize(
    ("text", "why"),
    [("- a\n", "must hold a mapping"), ("a: [", "not valid YAML")],
)
def test_a_file_that_is_no_settings_file_is_told_in_one_sentence(tmp_path: Path, text: str, why: str):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=why):
        load(path, environ={})


@pytest.mark.parametrize(
    ("override", "advice"),
    [
        ("modell.width=1", "modell: there is no such setting; did you mean model?"),
        ("model.wdth=1", "model.wdth: there is no such setting; did you mean width"),
        ("fetch.venues={binance: {http_prox: x}}", "fetch.venues.binance.http_prox: .* did you mean http_proxy"),
        ("sweep.space={model.width: {from: 8}}", "beside it are low, high, log, choices"),
        ("fetch.foo=1", "docs/reference/settings.md has them all"),
    ],
)
def test_unknown_settings_are_told_with_those_that_are_spelled_alike(override: str, advice: str):
    with pytest.raises(ConfigError, match=advice):
        load(None, [override], environ={})


def test_a_range_that_is_a_number_says_what_to_give():
    with pytest.raises(ConfigError, match=r"give a range as .* not 8"):
        load(None, ["sweep.space={model.width: 8}"], environ={})


def test_a_list_of_choices_is_a_range():
    listed = load(None, ["sweep.space={model.width: [16, 32]}"], environ={})
    named = load(None, ["sweep.space={model.width: {choices: [16, 32]}}"], environ={})
    assert listed.sweep == named.sweep
    assert listed.fingerprint == named.fingerprint


def test_missing_file_says_what_to_give():
    with pytest.raises(ConfigError, match="give an existing file with --config"):
        load(Path("no/such.yaml"), environ={})


def test_override_reaches_one_key_and_beats_the_file(tmp_path: Path):
    path = tmp_path / "a.yaml"
    path.write_text("risk: {max_leverage: 2.0, kelly_fraction: 0.5}\n")
    settings = load(path, ["risk.max_leverage=3"], environ={})
    assert (settings.risk.max_leverage, settings.risk.kelly_fraction) == (3.0, 0.5)


def test_api_key_comes_from_the_environment_and_is_never_shown():
    settings = load(None, environ={"HELIO_API_KEY": "canary-secret"})
    assert settings.serve.api_key is not None
    assert settings.serve.api_key.get_secret_value() == "canary-secret"
    assert "canary-secret" not in repr(settings) + settings.model_dump_json() + str(settings)


def test_fingerprint_changes_with_what_can_change_a_result_and_with_nothing_else(tmp_path: Path):
    plain = load(None, environ={})
    moved = load(None, [f"var={tmp_path}", f"lake.uri={tmp_path}", "serve.port=9000"], environ={"HELIO_API_KEY": "x"})
    changed = load(None, ["model.width=64"], environ={})
    assert plain.fingerprint == moved.fingerprint != changed.fingerprint


def test_places_become_full_paths_so_that_workers_elsewhere_find_them():
    settings = load(None, ["var=a", "lake.uri=b"], environ={})
    assert settings.var.is_absolute()
    assert Path(settings.lake.uri).is_absolute()
    assert load(None, ["lake.uri=s3://bucket/x"], environ={}).lake.uri == "s3://bucket/x"


def test_taken_port_says_which_and_what_to_do():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=rf"port {port} on 127.0.0.1 is taken.*--set serve.port="):
            require_free("127.0.0.1", port, "serve.port")
