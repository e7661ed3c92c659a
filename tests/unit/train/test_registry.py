"""Models are whole or not there; the pointer moves one step at a time, for one at a time, and back again."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.train import registries
from tests.unit.train.registries import FEATURES, ORIGIN, files

from heliograph.config.load import load
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, CorruptPart, HeliographError, Retryable
from heliograph.core.ports import ObjectStore
from heliograph.lake import read
from heliograph.testing.fakes import ManualClock
from heliograph.testing.memory import MemoryStore
from heliograph.train import registry
from heliograph.train.origin import code_now
from heliograph.train.place import NotedStore, Place
from heliograph.train.pointer import Pointer
from heliograph.train.registry import CURRENT, Registry, open_registry


def of(store: ObjectStore) -> Registry:
    return Registry(Place(store, None, Path("/nowhere")), ManualClock(1_000))


def publish(held: Registry, mark: str) -> str:
    return held.publish(files(mark), features=FEATURES, origin=ORIGIN, metrics={"folds": []}).model


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def held(store: MemoryStore) -> Registry:
    return of(store)


def test_what_is_published_is_read_back(held: Registry):
    model = publish(held, "a")
    assert held.read(model) == files("a")
    told = held.manifest(model)
    assert (told.features, told.origin, told.created_ts_ms) == (FEATURES, ORIGIN, 1_000)
    assert held.models() == [model]


def test_name_is_what_sha256sum_says_of_the_files(tmp_path: Path):
    held = open_registry(tmp_path)
    model = publish(held, "a")
    folder = held.folder(model)
    command = "sha256sum $(find . -type f ! -name manifest.json | sed s:^./:: | LC_ALL=C sort) | sha256sum"
    said = subprocess.run(["/bin/sh", "-c", command], cwd=folder, capture_output=True, text=True, check=True).stdout
    assert said.split()[0] == model == folder.name


def test_the_same_files_are_one_model_and_keep_their_first_manifest(store: MemoryStore):
    model = publish(of(store), "a")
    before = dict(store.objects)
    later = Registry(Place(store, None, Path("/nowhere")), ManualClock(9_999))
    assert publish(later, "a") == model
    assert store.objects == before


class DyingStore(MemoryStore):
    """Dies at one of its writes."""

    def __init__(self, writes_left: int) -> None:
        super().__init__()
        self.writes_left = writes_left

    def put_if_absent(self, key: str, body: bytes) -> bool:
        if not self.writes_left:
            raise Retryable("killed")
        self.writes_left -= 1
        return super().put_if_absent(key, body)


@given(writes=st.integers(0, 4))
def test_killed_at_any_write_no_half_model_is_seen_and_the_next_try_completes_it(writes: int):
    store = DyingStore(writes)
    whole = writes == 4
    if not whole:
        with pytest.raises(Retryable):
            publish(of(store), "a")
    else:
        publish(of(store), "a")
    assert len(of(store).models()) == whole
    store.writes_left = 100
    assert of(store).read(publish(of(store), "a")) == files("a")


@given(st.data())
def test_any_changed_object_is_refused_when_read_and_mended_when_published_again(data: st.DataObject):
    store = MemoryStore()
    held = of(store)
    model = publish(held, "a")
    key = data.draw(st.sampled_from(sorted(store.objects)))
    body = store.objects[key]
    place = data.draw(st.integers(0, len(body) - 1))
    kind = data.draw(st.sampled_from(["flip", "cut", "gone"]))
    if kind == "flip":
        store.objects[key] = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
    elif kind == "cut":
        store.objects[key] = body[:place]
    else:
        del store.objects[key]
    with pytest.raises(HeliographError, match=r"torn|altered|gone|no model") as told:
        held.promote(model)
    assert "helio" in str(told.value)
    assert held.pointer() == Pointer()
    assert publish(held, "a") == model
    assert held.read(model) == files("a")


def test_manifest_of_another_model_is_refused(held: Registry, store: MemoryStore):
    first, second = publish(held, "a"), publish(held, "b")
    store.objects[f"models/{first}/manifest.json"] = store.objects[f"models/{second}/manifest.json"]
    with pytest.raises(CorruptPart, match="not of this model"):
        held.read(first)
    assert [m.model for m in held.whole()] == [second]


def test_a_name_is_its_first_digits(held: Registry):
    model = publish(held, "a")
    assert held.find(model[:4]) == held.find(model[:8].upper()) == held.find(model) == model
    held.promote(model)
    assert held.find(CURRENT) == model


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("abc", "give 4 or more of the hex digits"),
        ("run-17", "give 4 or more of the hex digits"),
        ("0" * 64, "`helio models ls` shows those that there are"),
        (CURRENT, "run `helio train` first"),
    ],
)
def test_a_wrong_name_is_told_in_a_sentence(held: Registry, name: str, told: str):
    publish(held, "a")
    with pytest.raises(ConfigError, match=told):
        held.find(name)


def test_ambiguous_digits_name_their_models(held: Registry, store: MemoryStore):
    model = publish(held, "a")
    twin = model[:10] + "0" * 54
    store.objects[f"models/{twin}/manifest.json"] = b""
    with pytest.raises(ConfigError, match=f"names 2 models .*{twin[:12]}.*give more digits"):
        held.find(model[:6])
    assert held.find(model[:12]) == model


def test_empty_registry_says_what_to_run(held: Registry):
    for ask in (lambda: held.find("abcd"), held.current, held.rollback):
        with pytest.raises(ConfigError, match="run `helio train` first"):
            ask()


@given(st.lists(st.sampled_from(["a", "b", "c", "rollback"]), max_size=12))
def test_pointer_is_a_stack_that_remembers_every_move(steps: list[str]):
    held, stack, moves = of(MemoryStore()), [], []
    names = {mark: publish(held, mark) for mark in "abc"}
    for step in steps:
        if step != "rollback":
            if stack[-1:] != [names[step]]:
                stack.append(names[step])
                moves.append(names[step])
            held.promote(names[step])
        elif len(stack) > 1:
            stack.pop()
            moves.append(stack[-1])
            held.rollback()
        else:
            with pytest.raises(ConfigError):
                held.rollback()
        pointer = held.pointer()
        assert pointer.current == (stack[-1] if stack else None)
        assert pointer.previous == (stack[-2] if len(stack) > 1 else None)
        assert [move.model for move in pointer.moves] == moves


def test_of_two_who_saw_the_same_pointer_one_wins_and_the_other_is_told(held: Registry):
    a, b, c = (publish(held, mark) for mark in "abc")
    for see in (held.pointer, lambda: held.promote(a)):
        seen = see()
        held.promote(b, seen=seen)
        with pytest.raises(Retryable, match=f"moved meanwhile, to {b[:12]}, and not to {c[:12]}"):
            held.promote(c, seen=seen)
        assert held.current() == b
    seen = held.promote(a)
    held.promote(c)
    with pytest.raises(Retryable, match="moved meanwhile"):
        held.rollback(seen=seen)
    with pytest.raises(Retryable, match="moved meanwhile"):
        held.promote(a, seen=seen)


class DeafStore(MemoryStore):
    """Does what it is asked and loses the answer, as a PUT that was sent twice does."""

    def put_if_match(self, key: str, body: bytes, tag: str | None) -> bool:
        super().put_if_match(key, body, tag)
        return False


def test_a_move_whose_answer_was_lost_stands():
    held = of(DeafStore())
    model = publish(held, "a")
    held.place.store.objects["current.json"] = json.dumps({"moves": []}).encode()
    assert held.promote(model).current == model


def test_store_that_lets_two_writers_win_is_refused():
    class Careless(MemoryStore):
        def put_if_match(self, key: str, body: bytes, tag: str | None) -> bool:
            self.objects[key] = body
            return True

    held = of(Careless())
    with pytest.raises(ConfigError, match="conditional writes"):
        held.promote(publish(held, "a"))


def test_torn_pointer_is_told_and_promote_writes_it_anew(held: Registry, store: MemoryStore):
    model = publish(held, "a")
    store.objects["current.json"] = b'{"moves": [{"mod'
    with pytest.raises(CorruptPart, match="`helio models promote"):
        held.current()
    assert held.promote(model).current == model


def test_model_of_a_bucket_is_used_from_a_checked_copy(tmp_path: Path, store: MemoryStore):
    held = Registry(Place(store, None, tmp_path))
    model = publish(held, "a")
    folder = held.folder(model)
    assert {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()} == files("a")
    (folder / "weights.safetensors").write_bytes(b"half")
    assert (held.folder(model) / "weights.safetensors").read_bytes() == files("a")["weights.safetensors"]
    assert [p.name for p in tmp_path.joinpath("fetched").iterdir()] == [model]


@pytest.mark.e2e
def test_of_two_processes_that_move_the_pointer_at_once_exactly_one_wins(tmp_path: Path):
    settings = Settings(var=tmp_path)
    held = open_registry(settings)
    models = sorted(publish(held, mark) for mark in "abc")
    held.promote(models[2])
    wins = registries.race(settings, models[:2], rounds=40)
    assert all(sum(told) == 1 for told in wins)
    won = [m for told in wins for m, has_won in zip(models, told, strict=False) if has_won]
    assert [move.model for move in held.pointer().moves if move.model != models[2]] == won


# ---- what training and its readers call


def test_released_model_names_data_code_settings_and_seed(tmp_path: Path):
    settings = registries.settings_of(tmp_path)
    version = read.version(settings.lake)
    told = registry.release(settings, *registries.fitted(settings.models_folder, "r-1"), data_version=version)
    origin = told.origin
    assert origin.data is not None
    assert (origin.data.uri, origin.data.versions) == (settings.lake.uri, {"candles": version})
    assert (origin.seed, origin.fingerprint, origin.run) == (7, settings.fingerprint, "r-1")
    assert Settings.model_validate(origin.settings) == settings
    assert origin.code == code_now(())
    assert told.features == FEATURES
    assert [fold["fold"] for fold in told.metrics["folds"]] == [0, 1]
    assert registry.current_manifest(settings) == told


def test_released_model_holds_the_bytes_of_the_last_fold(tmp_path: Path):
    settings = Settings(var=tmp_path)
    run, model = registries.fitted(settings.models_folder, "r-1")
    registry.release(settings, run, model)
    assert registry.current_run(settings) == run
    current = registry.current_model(settings)
    assert (current / "weights.safetensors").read_bytes() == (model / "weights.safetensors").read_bytes()
    assert hashlib.sha256((current / "forecaster.json").read_bytes()).hexdigest() in (
        registry.current_manifest(settings).files.values()
    )


def test_releasing_twice_leaves_what_once_leaves(tmp_path: Path):
    run, model = registries.fitted(tmp_path, "r-1")
    registry.release(tmp_path, run, model)
    held = open_registry(tmp_path)
    before = held.pointer(), held.models()
    registry.release(tmp_path, run, model)
    assert (held.pointer(), held.models()) == before


def test_manifest_that_did_not_name_its_settings_gives_way_to_one_that_does(tmp_path: Path):
    settings = registries.settings_of(tmp_path)
    run, model = registries.fitted(settings.models_folder, "r-1")
    bare = registry.release(settings.models_folder, run, model)
    told = registry.release(settings, run, model, data_version=1)
    assert (bare.model, bare.origin.settings) == (told.model, None)
    registry.release(settings.models_folder, run, model)
    assert registry.current_manifest(settings) == told
    assert told.origin.seed == 7


def test_a_folder_of_runs_alone_is_a_registry_too(tmp_path: Path):
    first = registry.release(tmp_path, *registries.fitted(tmp_path, "r-1"))
    second = registry.release(tmp_path, *registries.fitted(tmp_path, "r-2", weight=2.0), parent=first.model)
    assert (second.origin.parent, second.origin.settings) == (first.model, None)
    assert registry.current_run(tmp_path) == tmp_path / "r-2"
    open_registry(tmp_path).rollback()
    assert registry.current_run(tmp_path) == tmp_path / "r-1"
    assert registry.current_model(tmp_path).name == first.model


def test_torn_model_is_not_released(tmp_path: Path):
    run, model = registries.fitted(tmp_path, "r-1")
    (model / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(CorruptPart):
        registry.release(tmp_path, run, model)
    assert open_registry(tmp_path).models() == []


def test_nothing_released_says_what_to_run(tmp_path: Path):
    for ask in (registry.current_model, registry.current_run, registry.current_manifest):
        with pytest.raises(ConfigError, match="run `helio train` first"):
            ask(tmp_path)


def test_run_that_is_elsewhere_is_told(tmp_path: Path):
    run, model = registries.fitted(tmp_path, "r-1")
    registry.release(tmp_path, run, model)
    run.rename(tmp_path / "moved")
    with pytest.raises(ConfigError, match="set var to where it was trained"):
        registry.current_run(tmp_path)


def test_unwritable_place_is_told_as_that_of_models(tmp_path: Path):
    (tmp_path / "file").write_text("")
    settings = load(None, [f"var={tmp_path}", f"registry.uri={tmp_path / 'file' / 'x'}"], environ={})
    with pytest.raises(ConfigError, match=r"set registry\.uri"):
        registry.release(settings, *registries.fitted(settings.models_folder, "r-1"))


def test_error_of_the_store_says_that_it_holds_models():
    class Full(MemoryStore):
        def put_if_absent(self, key: str, body: bytes) -> bool:
            raise ConfigError("no room for the lake")

    with pytest.raises(ConfigError, match="no room") as told:
        publish(of(NotedStore(Full())), "a")
    assert "registry.uri" in told.value.__notes__[0]


def test_place_of_the_registry_changes_no_fingerprint_and_is_a_full_path(tmp_path: Path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    settings = load(None, ["registry.uri=reg"], environ={})
    assert settings.registry.uri == str(tmp_path / "reg")
    assert settings.fingerprint == Settings().fingerprint
