"""Several forecasters as one: quantiles averaged level by level, probabilities by their logits.

Shapes: M members, B windows, T bars, F features, H horizons, Q quantile levels, C setups.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

from heliograph.core.errors import ConfigError
from heliograph.model.calibrate import sigmoid
from heliograph.model.checkpoint import Tensors
from heliograph.model.confidence import Confidence
from heliograph.model.spec import Forecast, Forecaster, Spec, digest

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]

_LEAST = 1e-6  # probability: one member that is certain does not decide alone


class Kept(Forecaster, Protocol):
    """A forecaster that can be saved.

    Attributes:
        spec: what it takes and gives.
    """

    spec: Spec

    @property
    def kind(self) -> str:
        """Names its class among those that can be loaded."""

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """Tensors and JSON values that `restore` makes the same forecaster of."""


class Restorable(Protocol):
    """The class of a `Kept` forecaster."""

    def restore(self, spec: Spec, tensors: Tensors, header: dict[str, Any]) -> Kept:
        """Inverse of `state`."""


class EnsembleForecaster:
    """Members beside each other; the averaged quantiles of members that never cross never cross (Vincent's mean).

    Attributes:
        members: of one spec.
        weight_HM: float64, not negative, each horizon's add up to one.
        confidence: how sure the signs are; None where nothing was measured, and the members are believed.

    Raises:
        ConfigError: no member, or members of different specs.
    """

    kind: ClassVar[str] = "ensemble"

    def __init__(self, members: Sequence[Kept], weight_HM: FloatArray, *, confidence: Confidence | None = None) -> None:
        if not members:
            raise ConfigError("an ensemble needs a member: name forecasters that were fitted")
        self.members, self.weight_HM, self.confidence = tuple(members), weight_HM, confidence
        self.spec = spec = members[0].spec
        if strangers := [m.kind for m in members if m.spec != spec]:
            raise ConfigError(f"the members of an ensemble need one spec: {', '.join(strangers)} was fitted on another")
        assert weight_HM.shape == (len(spec.horizons_bars), len(members)), weight_HM.shape
        self.feature_names, self.window_bars = spec.feature_names, spec.window_bars
        self.horizons_bars, self.levels = spec.horizons_bars, spec.levels
        sure, said = ({}, {}) if confidence is None else confidence.state()
        self.fingerprint = digest(
            [self.kind, asdict(spec), [m.fingerprint for m in members], said],
            [weight_HM, *(sure[name] for name in sorted(sure))],
        )

    def forecast(self, x_BTF: Float32Array) -> Forecast:
        """What the members say together, each asked once.

        Raises:
            SchemaMismatch: the windows have another shape.
        """
        said = pooled([member.forecast(x_BTF) for member in self.members], self.weight_HM)
        if self.confidence is None:
            return said
        return replace(said, confidence_BH=self.confidence.apply(said, x_BTF[:, -1]))

    def state(self) -> tuple[Tensors, dict[str, Any]]:
        """What `restore` makes the same forecaster of: the members' own under ``members.<i>.``."""
        tensors: Tensors = {"weight_HM": self.weight_HM}
        headers = []
        for i, member in enumerate(self.members):
            own, header = member.state()
            tensors |= {f"members.{i}.{name}": value for name, value in own.items()}
            headers.append({"kind": member.kind, "header": header})
        if self.confidence is None:
            return tensors, {"members": headers}
        sure, said = self.confidence.state()
        return tensors | {f"confidence.{name}": value for name, value in sure.items()}, {
            "members": headers,
            "confidence": said,
        }

    @classmethod
    def restore(cls, spec: Spec, tensors: Tensors, header: dict[str, Any], *, kinds: Mapping[str, Restorable]) -> Self:
        """Inverse of `state`.

        Args:
            kinds: classes of members, by kind.
        """
        members = []
        for i, said in enumerate(header["members"]):
            prefix = f"members.{i}."
            own = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            members.append(kinds[said["kind"]].restore(spec, own, said["header"]))
        confidence = None
        if "confidence" in header:
            prefix = "confidence."
            sure = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
            confidence = Confidence.restore(sure, header["confidence"])
        return cls(members, tensors["weight_HM"], confidence=confidence)


def pooled(said: Sequence[Forecast], weight_HM: FloatArray) -> Forecast:
    """Weighted means: of quantiles as they are, of setups' logs, of the logits of a positive return.

    The confidence is that of the sign of the averaged median, whatever sign each member's median has.
    """
    quantile_BHQ = np.einsum("hm,mbhq->bhq", weight_HM, np.stack([f.quantile_BHQ for f in said]))
    quantile_BHQ = np.maximum.accumulate(quantile_BHQ, axis=-1)  # rounding alone could swap two equal levels
    log_BHC = np.einsum("hm,mbhc->bhc", weight_HM, np.log([np.maximum(f.setup_BHC, _LEAST) for f in said]))
    setup_BHC = np.exp(log_BHC - log_BHC.max(axis=-1, keepdims=True))
    logit_BH = np.einsum("hm,mbh->bh", weight_HM, np.stack([_logit_up(f) for f in said]))
    is_up_BH = quantile_BHQ[..., quantile_BHQ.shape[-1] // 2] >= 0
    return Forecast(
        quantile_BHQ=quantile_BHQ,
        setup_BHC=setup_BHC / setup_BHC.sum(axis=-1, keepdims=True),
        confidence_BH=sigmoid(np.where(is_up_BH, logit_BH, -logit_BH)),
    )


def weights(loss_MH: FloatArray, *, temperature_pct: float = 2.0, shrinkage: float = 0.5) -> FloatArray:
    """How much each member counts at each horizon; float64[H, M].

    Args:
        loss_MH: mean pinball of each member on the same origins.
        temperature_pct: a member so many percent worse than the best counts 1/e of it.
        shrinkage: share of equal weights in the answer; losses of half a year tell little.

    >>> weights(np.array([[1.0], [1.0]])).tolist()
    [[0.5, 0.5]]
    """
    worse_pct_MH = 100.0 * (loss_MH / loss_MH.min(axis=0) - 1.0)
    soft_MH = np.exp(-worse_pct_MH / temperature_pct)
    soft_MH /= soft_MH.sum(axis=0)
    shrunk_HM: FloatArray = ((1.0 - shrinkage) * soft_MH + shrinkage / loss_MH.shape[0]).T
    return np.ascontiguousarray(shrunk_HM)


def _logit_up(said: Forecast) -> FloatArray:
    is_up_BH = said.quantile_BHQ[..., said.quantile_BHQ.shape[-1] // 2] >= 0
    right_BH = np.clip(said.confidence_BH, _LEAST, 1.0 - _LEAST)
    logit_BH: FloatArray = np.log(right_BH) - np.log1p(-right_BH)
    return np.where(is_up_BH, logit_BH, -logit_BH)
