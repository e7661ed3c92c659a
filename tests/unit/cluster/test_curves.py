"""What TensorBoard is given of a trial: a curve over the epochs for each measure, and what was drawn with what it came to."""

from __future__ import annotations

import struct
from types import SimpleNamespace

import pytest
from tensorboardX.proto.event_pb2 import Event
from tests.unit.train import makes

from heliograph.cluster import judge
from heliograph.cluster.trials import Curves
from heliograph.config.settings import Settings

EPOCHS = tuple(
    {"epoch": k, "train_loss": 0.2 / k, "validation_pinball": 0.17 - k / 1e3, "validation_skill_pct": float(k)}
    for k in (1, 2, 3)
)
TUNE = {"training_iteration": 9, "time_total_s": 3.0, "pid": 7, "done": False, "config": {}}


def trial_in(folder, **config):
    return SimpleNamespace(trial_id="a1", config=config, local_path=str(folder), init_local_path=folder.mkdir)


def events(folder) -> list[Event]:
    """Every record of the only event file: its length in eight bytes, four of a sum, itself, four of a sum."""
    (path,) = folder.glob("events.out.tfevents.*")
    told, at, made = path.read_bytes(), 0, []
    while at < len(told):
        (size,) = struct.unpack_from("<Q", told, at)
        made.append(Event.FromString(told[at + 12 : at + 12 + size]))
        at += 16 + size
    return made


def scalars(folder) -> dict[str, list[tuple[int, float]]]:
    made: dict[str, list[tuple[int, float]]] = {}
    for event in events(folder):
        for value in event.summary.value:
            if not value.tag.startswith("_hparams_"):
                made.setdefault(value.tag, []).append((event.step, pytest.approx(value.simple_value, rel=1e-6)))
    return made


@pytest.fixture
def tell(tmp_path):
    """Lets a trial of these settings report, and gives its folder."""

    def through(results, **config):
        trial, curves = trial_in(tmp_path / "trial", **config), Curves()
        curves.on_trial_start(0, [], trial)
        for result in results:
            curves.on_trial_result(0, [], trial, TUNE | result)
        curves.on_trial_complete(0, [], trial)
        return tmp_path / "trial"

    return through


def test_curve_is_over_epochs_and_nothing_of_tunes_own_stands_beside_it(tell):
    folder = tell([*EPOCHS, {"epoch": 3, "skill_pct": {"har_fhs": [0.1, 0.2]}}], fold=1)
    names = ("train_loss", "validation_pinball", "validation_skill_pct")
    assert scalars(folder) == {f"fit/{name}": [(told["epoch"], told[name]) for told in EPOCHS] for name in names}


def test_choice_that_is_a_list_is_written_with_the_value_it_came_to(tell):
    folder = tell([*EPOCHS, {"epoch": 3, "value": 0.25}], candidate=4, **{"features.names": ["core", "har_*"]})
    assert scalars(folder)["value"] == [(3, 0.25)]
    texts = [str(event) for event in events(folder)]
    assert any("features.names" in text and "har_*" in text for text in texts)


def test_trial_without_a_value_still_has_its_curves(tell):
    told = scalars(tell([*EPOCHS[:1], {"epoch": 3, "value": None}], candidate=4))
    assert told["fit/train_loss"] == [(1, 0.2)]
    assert "value" not in told


def test_trial_of_a_search_reports_every_epoch_as_it_was_and_is_valued_by_the_best(tmp_path, monkeypatch):
    reported = []
    monkeypatch.setattr(judge.tune, "report", reported.append)
    monkeypatch.setattr(judge.dataset, "spec", lambda _: makes.spec())
    measured = [told | {"validation_skill_pct": skill} for told, skill in zip(EPOCHS, (0.1, 0.3, 0.2), strict=True)]

    def fitted(*_, worker, **__):
        for told in measured:
            worker.on_epoch(told["epoch"], {name: told[name] for name in told if name != "epoch"}, None)
        return tmp_path

    monkeypatch.setattr(judge.loop, "fit", fitted)
    value = judge.value(Settings(var=tmp_path), [], makes.fold(), tmp_path)
    assert reported == measured
    assert (value[judge.VALUE], value["best_epoch"]) == (0.3, 2.0)
