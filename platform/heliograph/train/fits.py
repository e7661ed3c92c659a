"""Every forecaster by the name that the skill table gives it; those of one task that are made of others share them."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError
from heliograph.model.spec import Forecaster
from heliograph.train import anchors, assure, blend, boost, neural
from heliograph.train.protocol import Fit, Fitted, Release, Task

Others = Callable[[str], Fitted]
"""Gives another forecaster of the same task by its name, fitted at most once."""

Maker = Callable[[Task, Others], Fitted]

NetworkKind = Literal["hybrid", "lstm", "transformer"]

TREES, ENSEMBLE, RELEASED = "trees", "ensemble", "released"
NETWORKS: dict[str, NetworkKind] = {"network": "hybrid", "lstm": "lstm", "transformer": "transformer"}
"""The network first, then its ablations."""


class Workshop:
    """Makes forecasters by name, each once a task; those of an earlier task are let go when the next one comes.

    A maker writes into a folder of its own name under the task's.
    """

    def __init__(self, makers: Mapping[str, Maker]) -> None:
        self._makers = makers
        self._task: Task | None = None
        self._made: dict[str, Fitted] = {}

    def fits(self, names: Sequence[str] = ()) -> dict[str, Fit]:
        """Fits of these names, all where none is given.

        Raises:
            ConfigError: there is no such forecaster.
        """
        if unknown := sorted(set(names) - set(self._makers)):
            raise ConfigError(f"no forecaster is called {', '.join(unknown)}: there are {', '.join(self._makers)}")
        return {name: partial(self.fitted, name) for name in names or self._makers}

    def fitted(self, name: str, task: Task) -> Fitted:
        """This forecaster of this task."""
        if task is not self._task:
            self._task, self._made = task, {}
        if name not in self._made:
            own = replace(task, folder=task.folder / name)
            self._made[name] = self._makers[name](own, lambda other: self.fitted(other, task))
        return self._made[name]


def of(settings: Settings, names: Sequence[str] = ()) -> dict[str, Fit]:
    """Fits of these names, all where none is given, that share what they have in common.

    Raises:
        ConfigError: there is no such forecaster.
    """
    return Workshop(makers(settings)).fits(names)


def makers(settings: Settings) -> dict[str, Maker]:
    """What makes each forecaster, from the plainest on."""
    return {
        **{name: alone(fit) for name, fit in anchors.ANCHORS.items()},
        TREES: alone(boost.fits(settings.trees)),
        **{name: alone(network(settings, kind)) for name, kind in NETWORKS.items()},
        ENSEMBLE: ensemble((TREES, "network")),
        **{f"{ENSEMBLE}_{name}": ensemble((TREES, name)) for name in ("lstm", "transformer")},
    }


def releases(names: Collection[str]) -> dict[str, Release]:
    """What is released, where the ensemble is among these names: with tracked widths, and odds measured on validation."""
    return {RELEASED: Release(ENSEMBLE, blend.track, assure.confidence)} if ENSEMBLE in names else {}


def ensemble(members: Sequence[str]) -> Maker:
    """The average of other forecasters of the task, weighted by its validation slice."""
    return lambda task, others: blend.blend(task, [others(name) for name in members])


def alone(fit: Fit) -> Maker:
    """A maker that asks for no other forecaster."""
    return lambda task, others: fit(task)  # noqa: ARG005


def network(settings: Settings, kind: NetworkKind) -> Fit:
    """The calibrated network, or one of its ablations."""
    model = settings.model.model_copy(update={"kind": kind})
    return partial(neural.fit, model=model, settings=settings.train)


def for_all(task: Task, forecaster: Forecaster) -> Fitted:
    """One forecaster for every symbol of a task."""
    return dict.fromkeys((d.symbol for d in task.data), forecaster)
