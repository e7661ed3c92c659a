"""What is released of a fold: the network and the trees as one forecaster, how sure it may be, and its tracked widths."""

from __future__ import annotations

from dataclasses import dataclass

from heliograph.config.learning import TreeSettings
from heliograph.model.ensemble import EnsembleForecaster
from heliograph.model.neural import NetworkForecaster
from heliograph.model.spec import Forecaster
from heliograph.model.tracker import Tracker
from heliograph.train import anchors, assure, blend, boost, fold
from heliograph.train.protocol import Task


@dataclass(frozen=True, slots=True)
class Released:
    """A forecaster for all symbols, and its widths as the validation slice leaves them."""

    forecaster: EnsembleForecaster
    tracker: Tracker


def release(task: Task, network: NetworkForecaster, settings: TreeSettings) -> Released:
    """Boost trees on the task, average them with its network, and measure on validation how sure both are together.

    Raises:
        ConfigError: no origin in the train or the validation slice.
        DataError: too few training rows are finite.
    """
    symbols = [d.symbol for d in task.data]
    blended = blend.blend(task, [boost.fits(settings)(task), dict.fromkeys(symbols, network)])
    (plain,) = {id(f): f for f in blended.values()}.values()
    assert isinstance(plain, EnsembleForecaster), "trees and network are of all symbols"
    made = plain.assured(assure.confidence(task, blended))
    return Released(made, blend.track(task, dict.fromkeys(symbols, made)))


def rivals(task: Task) -> dict[str, Forecaster]:
    """What a release must beat, each of all symbols together: plain quantiles, σ√h times them, and HAR."""
    (har,) = {id(f): f for f in anchors.har_pooled(task).values()}.values()
    return {**fold.baselines(task.data, task.fold, task.spec), "har_pooled": har}
