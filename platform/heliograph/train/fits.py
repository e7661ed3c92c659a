"""Every forecaster by the name that the skill table gives it; those of one task that are made of others share them.

What learns is fitted twice. First without the validation slice, so that this slice can tell when to stop, how wide the
cones are, and how much each member counts; then anew, in the same way, on all that is known: the newest half year teaches
most. The second one forecasts, and what was measured of the first stays.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Literal

from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError
from heliograph.model.spec import Forecaster
from heliograph.train import anchors, assure, blend, boost, neural
from heliograph.train.protocol import Fit, Fitted, Release, Task

Others = Callable[[str], Fitted]
"""Gives another forecaster of the same task by its name, fitted at most once."""

Maker = Callable[[Task, Others], Fitted]
"""Fits one on a task; one that leaves the validation slice aside has an `Again`."""

Again = Callable[[Task, Others, Fitted], Fitted]
"""Fits one on all that is known before the test slice, given others fitted likewise, and what its maker made."""

NetworkKind = Literal["hybrid", "lstm", "transformer"]

TREES, ENSEMBLE, RELEASED = "trees", "ensemble", "released"
NETWORKS: dict[str, NetworkKind] = {"network": "hybrid", "lstm": "lstm", "transformer": "transformer"}
"""The network first, then its ablations."""

ENSEMBLES = {ENSEMBLE: (TREES, "network"), **{f"{ENSEMBLE}_{name}": (TREES, name) for name in ("lstm", "transformer")}}
"""The members of each."""

HELD = "ensemble_held"
"""The ensemble as validation measured it: what fitting anew is worth shows beside it."""


class Workshop:
    """Makes forecasters by name, each once a task; those of an earlier task are let go when the next one comes.

    A maker writes into a folder of its own name under the task's.
    """

    def __init__(self, makers: Mapping[str, Maker], again: Mapping[str, Again] | None = None) -> None:
        self._makers, self._again = makers, again or {}
        self._task: Task | None = None
        self._held: dict[str, Fitted] = {}
        self._known: dict[str, Fitted] = {}

    def fits(self, names: Sequence[str] = ()) -> dict[str, Fit]:
        """Fits of these names on all that is known; all where no name is given.

        Raises:
            ConfigError: there is no such forecaster.
        """
        if unknown := sorted(set(names) - set(self._makers)):
            raise ConfigError(f"no forecaster is called {', '.join(unknown)}: there are {', '.join(self._makers)}")
        return {name: partial(self.known, name) for name in names or self._makers}

    def releases(self, names: Collection[str]) -> dict[str, Release]:
        """What is released, where the ensemble is among these names: with tracked widths, and measured odds."""
        if ENSEMBLE not in names:
            return {}
        return {
            RELEASED: Release(
                ENSEMBLE,
                track=lambda task: blend.track(task, self.held(ENSEMBLE, task)),
                assure=lambda task: assure.confidence(task, self.held(ENSEMBLE, task)),
            )
        }

    def held(self, name: str, task: Task) -> Fitted:
        """This forecaster of this task, as the validation slice may measure it."""
        self._begin(task)
        if name not in self._held:
            self._held[name] = self._makers[name](_own(task, name), lambda other: self.held(other, task))
        return self._held[name]

    def known(self, name: str, task: Task) -> Fitted:
        """This forecaster of this task, fitted on all that is known before the test slice."""
        held = self.held(name, task)
        if name not in self._again:
            return held
        if name not in self._known:
            self._known[name] = self._again[name](_own(task, name), lambda other: self.known(other, task), held)
        return self._known[name]

    def _begin(self, task: Task) -> None:
        if task is not self._task:
            self._task, self._held, self._known = task, {}, {}


def workshop(settings: Settings) -> Workshop:
    """Of all forecasters."""
    return Workshop(makers(settings), again(settings))


def makers(settings: Settings) -> dict[str, Maker]:
    """What makes each forecaster, from the plainest on."""
    return {
        **{name: alone(fit) for name, fit in anchors.ANCHORS.items()},
        TREES: alone(lambda task: for_all(task, boost.boost(task, settings.trees))),
        **{name: alone(partial(neural.fit, **_network(settings, kind))) for name, kind in NETWORKS.items()},
        **{name: partial(_ensemble, members=members) for name, members in ENSEMBLES.items()},
        HELD: lambda task, others: others(ENSEMBLE),  # noqa: ARG005
    }


def again(settings: Settings) -> dict[str, Again]:
    """What fits those anew that leave the validation slice aside."""

    def trees(task: Task, _: Others, held: Fitted) -> Fitted:
        return for_all(task, boost.anew(task, settings.trees, _one(held)))

    def network(task: Task, _: Others, held: Fitted, *, kind: NetworkKind) -> Fitted:
        return neural.anew(task, _one(held), **_network(settings, kind))

    return {
        TREES: trees,
        **{name: partial(network, kind=kind) for name, kind in NETWORKS.items()},
        **{name: partial(_ensemble_again, members=members) for name, members in ENSEMBLES.items()},
    }


def alone(fit: Fit) -> Maker:
    """A maker that asks for no other forecaster."""
    return lambda task, others: fit(task)  # noqa: ARG005


def for_all(task: Task, forecaster: Forecaster) -> Fitted:
    """One forecaster for every symbol of a task."""
    return dict.fromkeys((d.symbol for d in task.data), forecaster)


def _own(task: Task, name: str) -> Task:
    return replace(task, folder=task.folder / name)


def _network(settings: Settings, kind: NetworkKind) -> dict[str, Any]:
    return {"model": settings.model.model_copy(update={"kind": kind}), "settings": settings.train}


def _ensemble(task: Task, others: Others, *, members: Sequence[str]) -> Fitted:
    made = [others(name) for name in members]
    return blend.blend(task, made, blend.weighed(task, made))


def _ensemble_again(task: Task, others: Others, held: Fitted, *, members: Sequence[str]) -> Fitted:
    """The same weights for members that are fitted on all that is known."""
    return blend.blend(task, [others(name) for name in members], _one(held).weight_HM)


def _one(fitted: Fitted) -> Any:
    """One of them, where all are the same or have in common what is asked."""
    return next(iter(fitted.values()))
