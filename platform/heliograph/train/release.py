"""What is released of a fold: the network and the trees as one forecaster, how sure it may be, and its tracked widths."""

from __future__ import annotations

from dataclasses import dataclass

from heliograph.config.learning import TreeSettings
from heliograph.model.ensemble import EnsembleForecaster
from heliograph.model.neural import NetworkForecaster
from heliograph.model.spec import Forecaster
from heliograph.model.tracker import Tracker
from heliograph.train import anchors, assure, blend, boost, fold
from heliograph.train.fits import for_all
from heliograph.train.protocol import Task


@dataclass(frozen=True, slots=True)
class Released:
    """A forecaster for all symbols, and its widths as the validation slice leaves them."""

    forecaster: EnsembleForecaster
    tracker: Tracker


def release(task: Task, held: NetworkForecaster, network: NetworkForecaster, settings: TreeSettings) -> Released:
    """Boost trees on the task, average them with its network, and measure on validation how sure both are together.

    Args:
        held: the network of the train slice, which validation may measure.
        network: the one that is trained on all that is known; it is released, and so are trees that are.

    Raises:
        ConfigError: no origin in the train or the validation slice.
        DataError: too few training rows are finite.
    """
    trees = boost.boost(task, settings)
    members = [for_all(task, trees), for_all(task, held)]
    weight_HM = blend.weighed(task, members)
    blended = blend.blend(task, members, weight_HM)
    made = EnsembleForecaster(
        [boost.anew(task, settings, trees), network], weight_HM, confidence=assure.confidence(task, blended)
    )
    return Released(made, blend.track(task, blended))


def rivals(task: Task) -> dict[str, Forecaster]:
    """What a release must beat, each of all symbols together: plain quantiles, σ√h times them, and HAR."""
    (har,) = {id(f): f for f in anchors.har_pooled(task).values()}.values()
    return {**fold.baselines(task.data, task.fold, task.spec), "har_pooled": har}
