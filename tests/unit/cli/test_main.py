"""The command: exit codes, one sentence an error, and jobs that are the same command."""

from __future__ import annotations

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from heliograph.cli.main import main

ROOT = Path(__file__).resolve().parents[3]
JOBS = sorted((ROOT / "jobs").glob("*.py"))


def test_help_lists_every_command(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in [
        "demo",
        "fetch",
        "features",
        "train",
        "sweep",
        "backtest",
        "serve",
        "trade",
        "doctor",
        "verify",
        "sandbox",
    ]:
        assert command in shown


@pytest.mark.parametrize(
    "command", ["fetch", "features", "train", "sweep", "backtest", "serve", "trade", "verify", "doctor"]
)
def test_wrong_settings_are_told_all_at_once_with_exit_code_2(command: str, capsys):
    assert main([command, "--set", "risk.max_leverage=-1", "--set", "nope=1"]) == 2
    told = capsys.readouterr().err
    assert "2 wrong settings" in told
    assert "risk.max_leverage" in told
    assert "nope" in told


def test_unknown_command_exits_2():
    assert main(["fetsch"]) == 2


@pytest.mark.parametrize(
    ("command", "what_to_do"),
    [("verify", "run `helio fetch` first"), ("backtest", "run `helio train` first")],
)
def test_a_stage_without_its_input_says_what_to_run_first(command: str, what_to_do: str, tmp_path: Path, capsys):
    code = main([command, "--set", f"var={tmp_path}", "--set", f"lake.uri={tmp_path / 'lake'}"])
    assert code == 2
    assert what_to_do in capsys.readouterr().err


def test_unwritable_lake_is_told_by_the_doctor(tmp_path: Path, capsys):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    assert main(["doctor", "--set", f"var={tmp_path}", "--set", f"lake.uri={blocked / 'lake'}"]) == 2
    assert "lake" in capsys.readouterr().out


def test_doctor_is_content_with_a_good_machine(tmp_path: Path, capsys):
    assert (
        main(
            [
                "doctor",
                "--set",
                f"var={tmp_path}",
                "--set",
                f"lake.uri={tmp_path / 'lake'}",
                "--set",
                "serve.port=18123",
            ]
        )
        == 0
    )
    assert "MEND" not in capsys.readouterr().out


@pytest.mark.parametrize("job", JOBS, ids=lambda p: p.name)
def test_job_is_the_command_of_its_name(job: Path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", [str(job), "--set", "nope=1"])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(job), run_name="__main__")
    assert end.value.code == 2
    assert "nope" in capsys.readouterr().err


def test_job_whose_lake_would_go_with_it_is_refused(monkeypatch, tmp_path: Path, capsys):
    monkeypatch.setenv("RAY_JOB_CONFIG_JSON_ENV_VAR", "{}")
    monkeypatch.chdir(tmp_path)
    assert main(["verify"]) == 2
    assert "set lake.uri to s3://" in capsys.readouterr().err


def test_help_does_not_wait_for_ray_or_torch():
    code = "import sys; from heliograph.cli.main import main; main(['--help']); sys.exit(bool({'ray', 'torch', 'ccxt'} & set(sys.modules)))"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "platform")}
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, env=environment, stdout=subprocess.DEVNULL)


@pytest.mark.usefixtures("ray_session")
@pytest.mark.parametrize("command", ["serve", "trade"])
def test_error_inside_ray_is_one_sentence_too(command: str, tmp_path: Path, capsys):
    """An error that came back from an actor was once told with the actor's whole traceback."""
    port = ["--set", "serve.port=18433"]
    assert main([command, "--set", f"var={tmp_path}", "--set", f"lake.uri={tmp_path / 'lake'}", *port]) == 2
    told = capsys.readouterr().err
    assert "run `helio fetch` with that venue first" in told
    assert "Traceback" not in told.splitlines()[-1]
    assert len([line for line in told.splitlines() if line.startswith("helio:")]) == 1
