"""Folds that begin with the weights of the one before: one after the other, cut or not, and not as a cold start would."""

from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.e2e import searches

from heliograph.cluster import fit
from heliograph.config.settings import Settings
from heliograph.core.errors import SchemaMismatch
from heliograph.model.neural import load_network
from heliograph.telemetry.progress import Quiet
from heliograph.train import dataset, ledger, loop, selection
from heliograph.windows.folds import Fold
from heliograph.windows.sample import SymbolData

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300), pytest.mark.usefixtures("ray_session")]

SMALL = (
    "folds.warm_start=true", "train.epochs=2", "train.samples_per_epoch=1024", "train.learning_rate=0.003", "trees.rounds=5",
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """Two folds that were fitted, and the data of fold 1."""

    settings: Settings
    run: Path
    fold: Fold
    past: tuple[SymbolData, ...]

    def best(self, index: int) -> Path:
        """A fold's network as training left it."""
        return self.run / f"fold-{index}" / "fit" / "best"

    def fit(self, folder: Path, *, warm: Path | None, **rest: Any) -> Path:
        """Fold 1 once more, in this process."""
        changes = {name: rest.pop(name) for name in ("learning_rate", "weight_decay") if name in rest}
        return loop.fit(
            self.past,
            self.fold,
            spec=dataset.spec(self.settings),
            model=self.settings.model,
            settings=self.settings.train.model_copy(update=changes),
            folder=folder,
            warm=warm,
            **rest,
        )


@pytest.fixture(scope="module")
def world(ray_session, tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("warm")
    searches.fill(folder / "lake")
    settings = searches.settings_of(folder / "var", folder / "lake", *SMALL)
    run = Path(fit.run(settings, Quiet()).folder)
    data = dataset.read_symbols(settings)
    fold = dataset.folds(settings, data)[1]
    return World(settings, run, fold, selection.inner(data, fold))


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """What the warm start hands on: the heads of setup and direction are fitted on it afterwards."""
    named = load_network(folder).named_parameters()
    return {name: value.detach() for name, value in named if name.startswith(("encoder.", "heads."))}


def same(one: Path, two: Path, tolerance: float = 0.0) -> bool:
    ours, theirs = weights(one), weights(two)
    return all(torch.allclose(ours[name], theirs[name], rtol=0, atol=tolerance) for name in ours)


def test_folds_are_fitted_one_after_the_other(world: World):
    first, second = ledger.read(world.settings)
    assert world.settings.train.folds_at_once == 2
    assert (first.told["fold"], second.told["fold"]) == (0, 1)
    assert first.ended_ts_ms <= second.started_ts_ms


def test_fold_that_learns_nothing_has_the_weights_of_the_one_before(world: World, tmp_path: Path):
    idle = {"learning_rate": 1e-12, "weight_decay": 0.0}
    warm, cold = (world.fit(tmp_path / name, warm=w, **idle) for name, w in (("warm", world.best(0)), ("cold", None)))
    assert same(warm, world.best(0), 1e-7)
    assert not same(cold, world.best(0), 1e-3)


def test_fold_goes_on_from_the_one_before_and_not_from_a_cold_start(world: World, tmp_path: Path):
    warm, cold = (world.fit(tmp_path / name, warm=w) for name, w in (("warm", world.best(0)), ("cold", None)))
    assert same(warm, world.best(1), 1e-5)
    assert not same(cold, world.best(1), 1e-3)


def test_fold_that_was_cut_goes_on_and_needs_the_one_before_no_more(world: World, tmp_path: Path):
    halves = []

    def keep(epoch: int, _metrics: dict[str, float], path: Path | None) -> None:
        if epoch == 1 and path:
            halves.append(shutil.copytree(path, tmp_path / "half"))

    whole = world.fit(tmp_path / "whole", warm=world.best(0), worker=loop.Worker(on_epoch=keep))
    assert same(whole, world.fit(tmp_path / "cut", warm=tmp_path / "gone", resume=halves[0]))


def test_fold_before_of_other_features_is_refused(world: World, tmp_path: Path):
    other = shutil.copytree(world.best(0), tmp_path / "other") / "forecaster.json"
    header = json.loads(other.read_text())
    header["spec"]["feature_names"][-1] = "another"
    other.write_text(json.dumps(header))
    with pytest.raises(
        SchemaMismatch, match=r"has another feature_names \(difference: \['another', .*\]\): warm-start from"
    ):
        world.fit(tmp_path / "fit", warm=other.parent)
    assert not (tmp_path / "fit").exists()
