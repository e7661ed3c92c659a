"""Search over settings: every fold of every candidate is a Tune trial, judged on the inner validation alone.

The state of record is the search's folder, not Ray: whatever was killed, the next run goes on from the outcomes that
stand there, and because `train.selection` decides by outcomes alone it ends with the same best candidate.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("RAY_AIR_NEW_OUTPUT", "0")  # Tune's own tables; the progress bar says the same in one line

import yaml
from ray import tune
from ray.tune.search import Searcher

from heliograph.cluster import draw, fit, judge, strategy
from heliograph.cluster.trials import Curves, SearchShown
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError, HeliographError, InvariantBroken
from heliograph.lake import read
from heliograph.telemetry.progress import Bar
from heliograph.train import dataset, ledger, outcomes, selection, space, sweep_report
from heliograph.train.outcomes import Outcome
from heliograph.train.selection import Rules, Standing
from heliograph.train.space import Axis
from heliograph.windows.folds import Fold
from heliograph.wiring import catalogue

STUDY, PAGE, CHOSEN, OPENED = "study.db", "sweep.html", "chosen.yaml", "opened.json"
RESTARTS = 3
"""How often a fold whose process died is begun again."""


@dataclass(frozen=True, slots=True)
class SweepReport:
    """The best candidate: `helio train --config` takes ``chosen``, or its own file with ``best`` as ``--set``.

    Attributes:
        best: its settings by ``section.field``.
        candidate: its number in the search.
        value: its objective's mean over the folds' inner validation slices; ``skill_pct`` where that is the objective.
        trials: folds that were fitted for this search, by any run of it.
        stopped, failed: candidates that were not worth, or not able, to go through all folds.
        candidates: how many different ones this project has ever tried; the deflated Sharpe ratio counts them.
        chosen: file with the best candidate's settings.
        page, study: the report, and Optuna's study for its dashboard.
        outer_skill_pct: on the test slices, per baseline and horizon, where they were opened for it.
    """

    best: dict[str, space.Value]
    candidate: int
    objective: str
    value: float
    trials: int
    stopped: int
    failed: int
    candidates: int
    chosen: str
    page: str
    study: str
    outer_skill_pct: dict[str, dict[int, float]] | None = None

    @property
    def skill_pct(self) -> float:
        """The value, where skill is the objective."""
        return self.value if self.objective == "skill" else math.nan


def run(settings: Settings, shown: Bar) -> SweepReport:
    """Search, or go on with a search that was cut off or is to have more candidates.

    Raises:
        ConfigError: the space can't be searched, or there is no GPU where one is asked for.
        HeliographError: a fold broke for reasons that are not the candidate's, or no candidate ran through all folds.
    """
    axes = space.read(settings)
    strategy.require(settings.train, at_once=1)
    folder = home(settings)
    folds = plan_folds(settings, axes)
    search = FoldSearch(axes, settings, Rules.of(settings.sweep, len(folds)), folder)
    if not search.is_over:
        fit_folds(settings, folds, search, shown)
    best = search.close(catalogue.read_origin(settings.lake))
    chosen = space.candidate(settings, search.points[best.number])
    _write_settings(folder / CHOSEN, chosen)
    outer = _score_once(chosen, folder, best.number, shown) if settings.sweep.score_chosen else None
    return SweepReport(
        best=dict(search.points[best.number]),
        candidate=best.number,
        objective=settings.sweep.objective,
        value=best.value,
        trials=len(search.record),
        stopped=sum(s.state == "stopped" for s in search.standings),
        failed=sum(s.state == "failed" for s in search.standings),
        candidates=ledger.candidates(settings),
        chosen=str(folder / CHOSEN),
        page=str(folder / PAGE),
        study=f"sqlite:///{folder / STUDY}",
        outer_skill_pct=outer,
    )


def home(settings: Settings) -> Path:
    """The folder of this search on this data; how many candidates it is to have, and folds at once, do not name it."""
    asked = settings.sweep.model_copy(update={"candidates": 1, "score_chosen": False})
    alike = settings.model_copy(
        update={"sweep": asked, "train": settings.train.model_copy(update={"folds_at_once": 1, "workers": 1})}
    )
    return settings.var / "sweeps" / f"{alike.fingerprint}-v{read.version(settings.lake)}"


def plan_folds(settings: Settings, axes: Sequence[Axis]) -> tuple[Fold, ...]:
    """The same folds for all candidates: where windows count for the purge, the longest that may be drawn does."""
    longest = max((_most(a) for a in axes if a.name == "model.window_bars"), default=settings.model.window_bars)
    widest = settings.model_copy(update={"model": settings.model.model_copy(update={"window_bars": longest})})
    return dataset.folds(widest, dataset.read_symbols(settings))


class FoldSearch(Searcher):  # type: ignore[misc]
    """Gives Tune the next fold of the next candidate, and keeps what came of it.

    Attributes:
        folder: where the record lies.
        points: of the candidates drawn so far.
        record: outcomes of their folds.
    """

    def __init__(self, axes: Sequence[Axis], settings: Settings, rules: Rules, folder: Path) -> None:
        super().__init__()
        self._axes, self._settings, self._rules, self.folder = tuple(axes), settings, rules, folder
        self._running: dict[str, tuple[int, int]] = {}
        self._breaks: Counter[tuple[int, int]] = Counter()
        self.points, self.record = outcomes.read(folder)
        del self.points[rules.candidates :]
        self.record = {key: told for key, told in self.record.items() if key[0] < rules.candidates}

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How the candidates stand."""
        values = {key: told.value for key, told in self.record.items()}
        return selection.standings(values, len(self.points), self._rules)

    @property
    def is_over(self) -> bool:
        """True where every candidate is drawn and settled."""
        return len(self.points) == self._rules.candidates and all(s.is_settled for s in self.standings)

    def progress(self) -> tuple[float, str]:
        """Share of the candidates that are settled, and a note."""
        standings = self.standings
        settled = [s for s in standings if s.is_settled]
        leader = selection.best(standings)
        note = "" if leader is None else f"best {leader.value:+.2f} (candidate {leader.number})"
        return len(settled) / self._rules.candidates, note

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next fold's configuration; None while the search must wait for folds that run."""
        if self._lost():
            return str(Searcher.FINISHED)
        while True:
            standings = self.standings
            waiting = selection.ready(standings, {key: told.value for key, told in self.record.items()})
            job = next((j for j in waiting if j not in self._running.values()), None)
            if job is not None:
                self._running[trial_id] = job
                return {"candidate": job[0], "fold": job[1], **self.points[job[0]]}
            if not selection.may_draw(standings, self._rules):
                return str(Searcher.FINISHED) if self.is_over else None
            self._draw(standings)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:  # noqa: ARG002
        """Take the fold's outcome from where its trial left it; without one the fold is given again, a few times.

        What broke it was a process or a node that died, or a fault of ours: what a candidate makes impossible by itself
        is an outcome. Tune's own restarts would meet the node that died once more before the cluster knows.
        """
        job = self._running.pop(trial_id)
        told = outcomes.read_fold(self.folder, *job)
        if told is None:
            self._breaks[job] += 1
        else:
            self.record[job] = told

    def save(self, checkpoint_path: str) -> None:
        """Nothing is kept in Tune's folder: the record lies in the search's own."""
        Path(checkpoint_path).write_text(json.dumps({"record": str(self.folder)}))

    def restore(self, checkpoint_path: str) -> None:
        """The constructor has read the record."""

    def close(self, origin: str) -> Standing:
        """Write the study and the page, and give the best candidate.

        Args:
            origin: one sentence on where the candles come from.

        Raises:
            HeliographError: see `run`.
        """
        standings = self.standings
        settled = [s for s in standings if s.is_settled]
        draw.keep(self.folder / STUDY, self.folder.name, self._axes, self.points, settled)
        first = {
            number: told.value for (number, fold), told in self.record.items() if not fold and told.value is not None
        }
        page = sweep_report.Page(
            name=self.folder.name,
            objective=self._settings.sweep.objective,
            origin=origin,
            axes=self._axes,
            points=tuple(self.points),
            standings=standings,
            importance=draw.importance(self._axes, self.points, first),
            errors={key[0]: told.error for key, told in self.record.items() if told.error},
            took_s=sum(told.took_s for told in self.record.values()),
            tried=ledger.candidates(self._settings),
        )
        sweep_report.write(self.folder / PAGE, page)
        if lost := self._lost():
            told = ", ".join(f"fold {fold} of candidate {number}" for number, fold in lost)
            raise HeliographError(
                f"{told} broke {RESTARTS + 1} times over, the logs lie in "
                f"{self._settings.var / 'tune'}; what is done is kept, and `helio sweep` goes on from there"
            )
        best = selection.best(standings)
        if best is None:
            errors = [told.error for told in self.record.values() if told.error]
            raise HeliographError(f"no candidate ran through all folds; the first that failed said: {errors[0]}")
        return best

    def _lost(self) -> list[tuple[int, int]]:
        return [job for job, count in self._breaks.items() if count > RESTARTS]

    def _draw(self, standings: Sequence[Standing]) -> None:
        number = len(self.points)
        point = space.standing(self._settings, self._axes) if number == 0 else None
        if point is None:
            known = selection.known_to(standings, self._rules)
            told = self._settings
            point = draw.draw(self._axes, self.points, known, seed=told.train.seed, startup=told.sweep.startup)
        outcomes.write_point(self.folder, number, point)
        self.points.append(point)
        try:
            space.candidate(self._settings, point)
        except ConfigError as e:
            self.record[number, 0] = Outcome(None, str(e), {}, 0.0)
            outcomes.write_fold(self.folder, number, 0, self.record[number, 0])


def fit_folds(settings: Settings, folds: Sequence[Fold], search: FoldSearch, shown: Bar) -> None:
    """Let Tune run what the search gives, so many folds at once as the settings say."""
    name = f"{search.folder.name}-{int(time.time())}"
    resources = {"CPU": 1, **({"GPU": 1} if settings.train.use_gpu else {})}
    trial = tune.with_parameters(judge.trial, settings=settings, folds=folds, folder=search.folder)
    tune.Tuner(
        tune.with_resources(trial, resources),
        tune_config=tune.TuneConfig(
            search_alg=search,
            num_samples=-1,
            max_concurrent_trials=settings.train.folds_at_once,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=name,
            storage_path=str(settings.var / "tune"),
            verbose=0,
            callbacks=[SearchShown(shown, search.progress), Curves()],
        ),
    ).fit()


def _trial_name(trial: Any) -> str:
    return f"candidate-{trial.config['candidate']:04d}-fold-{trial.config['fold']}-{trial.trial_id}"


def _score_once(chosen: Settings, folder: Path, number: int, shown: Bar) -> dict[str, dict[int, float]]:
    """Fit the chosen candidate and open its test slices.

    Raises:
        InvariantBroken: they were opened for another candidate of this search before.
    """
    opened = folder / OPENED
    if opened.exists() and (before := json.loads(opened.read_text())["candidate"]) != number:
        raise InvariantBroken(
            f"the test slices were opened for candidate {before} of this search, now {number} is best: a second look "
            f"would select on them; keep candidate {before}, or test on later candles"
        )
    outcomes.write_whole(opened, {"candidate": number, "settings": chosen.fingerprint})
    return fit.run(chosen, shown).skill_pct


def _write_settings(path: Path, chosen: Settings) -> None:
    told = chosen.model_dump(mode="json", exclude={"serve": {"api_key"}})
    draft = path.with_suffix(".draft")
    draft.write_text(yaml.safe_dump(told, sort_keys=False))
    draft.replace(path)


def _most(axis: Axis) -> int:
    if axis.kind != "choice":
        return int(axis.high)
    return max(int(c) for c in axis.choices if isinstance(c, int | float))
