"""No trial is forgotten: noted before it runs, by many at once, with how it ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, CorruptPart
from heliograph.testing.fakes import ManualClock
from heliograph.testing.memory import MemoryStore
from heliograph.train import ledger


@pytest.fixture(params=["folder", "bucket"])
def where(request, tmp_path: Path, monkeypatch) -> Settings:
    if request.param == "bucket":
        store = MemoryStore()
        monkeypatch.setattr(ledger, "trials_of", lambda _: store)
    return Settings(var=tmp_path)


def test_trial_is_told_from_start_to_end(where: Settings):
    clock = ManualClock(100)
    first = ledger.start(where, {"candidate": "c1", "fold": 0, "run": "s", "width": 8}, clock=clock)
    clock.sleep(1.0)
    second = ledger.start(where, {"candidate": "c1", "fold": 1, "run": "s"}, clock=clock)
    clock.sleep(1.0)
    ledger.end(where, first, {"skill_pct": 1.5}, clock=clock)
    told = ledger.read(where)
    assert [(t.id, t.candidate, t.state) for t in told] == [(first, "c1", "done"), (second, "c1", "started")]
    assert (told[0].started_ts_ms, told[0].ended_ts_ms, told[0].metrics) == (100, 2_100, {"skill_pct": 1.5})
    assert told[1].ended_ts_ms is None
    assert told[0].told["width"] == 8
    assert told[0].told["seed"] == where.train.seed
    assert told[0].told["settings"]["model"]["width"] == where.model.width


def test_first_word_on_a_trial_stands(where: Settings):
    trial = ledger.start(where, {"candidate": "c"})
    ledger.end(where, trial, {}, state="pruned")
    ledger.end(where, trial, {"skill_pct": 9.0})
    assert ledger.read(where)[0].state == "pruned"


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (ConfigError("too few windows: fetch a longer history"), "too few windows: fetch a longer history"),
        (ZeroDivisionError("by zero"), "ZeroDivisionError: by zero"),
        (RuntimeError("rank 0:\nTraceback …\n  File …\nValueError: bad rows\n"), "ValueError: bad rows"),
    ],
    ids=["ours", "foreign", "of a worker"],
)
def test_trial_whose_block_raises_has_failed_with_that_sentence(where: Settings, error: Exception, sentence: str):
    with pytest.raises(type(error)), ledger.Running(where, {"candidate": "c", "fold": 0}):
        raise error
    told = ledger.read(where)[0]
    assert (told.state, told.error, told.metrics) == ("failed", sentence, {})
    assert told.ended_ts_ms is not None
    assert told.ended_ts_ms >= told.started_ts_ms
    assert ledger.candidates(where) == 1


def test_trial_whose_block_ends_says_itself_how(where: Settings):
    with ledger.Running(where, {"candidate": "c"}) as trial:
        trial.end({"skill_pct": 1.0})
    with ledger.Running(where, {"candidate": "d"}) as trial:
        trial.end({}, state="failed", error="no rows")
    assert [(t.state, t.error) for t in ledger.read(where)] == [("done", ""), ("failed", "no rows")]


def test_trials_of_one_millisecond_come_in_the_order_in_which_they_started(where: Settings):
    clock = ManualClock(1_700_000_000_000)
    for fold in range(12):
        ledger.start(where, {"candidate": str(-fold), "fold": fold}, clock=clock)
    assert [t.told["fold"] for t in ledger.read(where)] == list(range(12))


def test_what_breaks_after_the_end_changes_no_word(where: Settings):
    trial = ledger.Running(where, {"candidate": "c"})
    trial.end({"skill_pct": 1.0})
    with pytest.raises(ValueError, match="late"), trial:
        raise ValueError("late")
    assert [(t.state, t.error) for t in ledger.read(where)] == [("done", "")]


@pytest.mark.parametrize("asked", [KeyboardInterrupt, SystemExit])
def test_trial_that_is_asked_to_go_has_not_failed(where: Settings, asked: type[BaseException]):
    with pytest.raises(asked), ledger.Running(where, {"candidate": "c"}):
        raise asked
    assert [t.state for t in ledger.read(where)] == ["started"]


def test_killed_trial_stays_started_and_counts(tmp_path: Path):
    story = (
        "import os, pathlib, signal, sys; from heliograph.train import ledger\n"
        "with ledger.Running(pathlib.Path(sys.argv[1]), {'candidate': 'killed'}): os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", story, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    with pytest.raises(ConfigError), ledger.Running(tmp_path, {"candidate": "failed"}):
        raise ConfigError("no rows")
    assert [(t.candidate, t.state, t.error) for t in ledger.read(tmp_path)] == [
        ("killed", "started", ""),
        ("failed", "failed", "no rows"),
    ]
    assert ledger.candidates(tmp_path) == 2


def test_places_and_secrets_stay_out(where: Settings):
    secret = where.model_copy(update={"serve": where.serve.model_validate({"api_key": "canary-secret"})})
    ledger.start(secret, {"candidate": "c"})
    told = ledger.read(secret)[0].told["settings"]
    assert "canary" not in json.dumps(told)
    assert not {"var", "lake", "serve", "registry"} & set(told)


@settings(max_examples=20)  # every line is synced to disk
@given(st.lists(st.tuples(st.sampled_from(["a", "b", "c/d e"]), st.integers(0, 3)), max_size=6))
def test_candidates_are_counted_once_whatever_their_folds_and_repetitions(tmp_path_factory, trials):
    folder = tmp_path_factory.mktemp("t")
    store = MemoryStore()
    with pytest.MonkeyPatch.context() as patch:
        for place in (folder, store):
            patch.setattr(ledger, "trials_of", lambda _, place=place: place)
            for candidate, fold in trials:
                ledger.start(folder, {"candidate": candidate, "fold": fold})
            assert ledger.candidates(folder) == len({candidate for candidate, _ in trials})
            assert sorted(t.candidate for t in ledger.read(folder)) == sorted(c for c, _ in trials)


def test_every_start_is_one_line_of_the_folder(tmp_path: Path):
    for fold in range(3):
        ledger.start(tmp_path, {"candidate": "c", "fold": fold})
    ledger.end(tmp_path, ledger.read(tmp_path)[0].id, {})
    lines = (tmp_path / "trials.jsonl").read_text().splitlines()
    assert [json.loads(line)["fold"] for line in lines] == [0, 1, 2]


def test_lines_of_an_older_release_count(tmp_path: Path):
    (tmp_path / "trials.jsonl").write_text('{"candidate": "old", "fold": 0}\n')
    ledger.start(tmp_path, {"candidate": "new"})
    assert ledger.candidates(tmp_path) == 2
    assert [t.started_ts_ms is None for t in ledger.read(tmp_path)] == [True, False]


def test_ends_of_an_older_release_are_read(tmp_path: Path):
    trial = ledger.start(tmp_path, {"candidate": "c"})
    (tmp_path / "trials.ended.jsonl").write_text(
        f'{{"id": "{trial}", "ended_ts_ms": 1, "state": "failed", "metrics": {{}}}}\n'
    )
    assert [(t.state, t.error) for t in ledger.read(tmp_path)] == [("failed", "")]


def test_trials_of_many_at_once_do_not_mix(where: Settings):
    def note(candidate: str) -> None:
        for fold in range(20):
            ledger.end(where, ledger.start(where, {"candidate": candidate, "fold": fold}), {"x": fold})

    threads = [threading.Thread(target=note, args=(str(k),)) for k in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    told = ledger.read(where)
    assert len({t.id for t in told}) == 80
    assert all(t.state == "done" and t.metrics["x"] == t.told["fold"] for t in told)


def test_line_that_a_full_disk_cut_off_is_named_and_spoils_no_other(tmp_path: Path):
    ledger.start(tmp_path, {"candidate": "a"})
    path = tmp_path / "trials.jsonl"
    with path.open("a") as file:
        file.write('{"candidate": "b", "fo')
    ledger.start(tmp_path, {"candidate": "c"})
    with pytest.raises(CorruptPart, match=r"line 2 of .*trials.jsonl is torn: remove it"):
        ledger.candidates(tmp_path)
    lines = path.read_text().splitlines()
    path.write_text("\n".join([lines[0], lines[2]]) + "\n")
    assert ledger.candidates(tmp_path) == 2


def test_nothing_was_tried_yet(where: Settings):
    assert ledger.candidates(where) == 0
    assert ledger.read(where) == []


def test_place_that_cannot_be_written_is_told(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="can't note a trial"):
        ledger.start(tmp_path / "file", {"candidate": "a"})


def test_trials_lie_beside_the_registry(tmp_path: Path):
    placed = Settings.model_validate({"var": tmp_path / "var", "registry": {"uri": str(tmp_path / "reg")}})
    ledger.start(placed, {"candidate": "a"})
    assert (tmp_path / "reg" / "trials.jsonl").is_file()
    assert ledger.candidates(placed) == 1
