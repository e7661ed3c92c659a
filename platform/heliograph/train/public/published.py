"""Published figures to set beside measured ones, by protocol, data set, horizon and look-back.

Figures of another look-back are never given: a table of 96 set beside one of 512 compares windows, not models. Naive
forecasters stand among them so that a file and a split can be checked: theirs have to come out to the last digit.
"""

from __future__ import annotations

from dataclasses import dataclass

from heliograph.train.public.ask import Protocol


@dataclass(frozen=True, slots=True)
class Published:
    """A row of a published table.

    Attributes:
        datasets: names in lower case that the row is about.
        lookback: None where it is of no account (repeating the last value) or every model has its own (zero-shot models).
        metrics: figures by the names that the protocol uses.
    """

    protocol: Protocol
    datasets: tuple[str, ...]
    horizon: int
    lookback: int | None
    model: str
    metrics: dict[str, float]
    source: str

    def line(self) -> dict[str, object]:
        """What a JSON line says."""
        return {
            "check": "published", "protocol": self.protocol, "forecaster": self.model, **self.metrics,
            "horizon": self.horizon, "lookback": self.lookback, "source": self.source,
        }  # fmt: skip


def _ltsf(dataset: str, lookback: int | None, model: str, mse: float, mae: float, source: str) -> Published:
    return Published("ltsf", (dataset,), 96, lookback, model, {"mse": mse, "mae": mae}, source)


def _chronos(datasets: tuple[str, ...], horizon: int, model: str, wql: float, mase: float) -> Published:
    source = "chronos-forecasting, scripts/evaluation/results"
    return Published("chronos", datasets, horizon, None, model, {"wql": wql, "mase": mase}, source)


_DLINEAR, _PATCHTST = "LTSF-Linear (Zeng et al. 2023)", "PatchTST (Nie et al. 2023)"
_ETTH, _EXCHANGE = ("etth",), ("exchange_rate",)  # etth: the 14 series of both files together

TABLE = (
    _ltsf("etth1", None, "repeat last", 1.295, 0.713, _DLINEAR),
    _ltsf("exchange_rate", None, "repeat last", 0.081, 0.196, _DLINEAR),
    _ltsf("etth1", 512, "PatchTST/64", 0.370, 0.400, _PATCHTST),
    _ltsf("etth1", 336, "PatchTST/42", 0.375, 0.399, _PATCHTST),
    _ltsf("etth1", 336, "DLinear", 0.375, 0.399, _DLINEAR),
    _ltsf("etth1", 336, "NLinear", 0.374, 0.394, _DLINEAR),
    _ltsf("etth1", 96, "FEDformer", 0.376, 0.415, _DLINEAR),
    _ltsf("exchange_rate", 336, "DLinear", 0.081, 0.203, _DLINEAR),
    _ltsf("exchange_rate", 336, "NLinear", 0.089, 0.208, _DLINEAR),
    _ltsf("exchange_rate", 96, "FEDformer", 0.148, 0.278, _DLINEAR),
    _chronos(_ETTH, 24, "seasonal naive", 0.1220896585, 0.9316203),
    _chronos(_ETTH, 24, "Chronos-T5-tiny", 0.0858, 0.818),
    _chronos(_ETTH, 24, "Chronos-T5-large", 0.0788, 0.782),
    _chronos(_ETTH, 24, "Chronos-Bolt-tiny", 0.0748, 0.794),
    _chronos(_ETTH, 24, "Chronos-Bolt-mini", 0.0774, 0.806),
    _chronos(_ETTH, 24, "Chronos-Bolt-small", 0.0759, 0.793),
    _chronos(_ETTH, 24, "Chronos-Bolt-base", 0.0706, 0.748),
    _chronos(_EXCHANGE, 30, "seasonal naive", 0.0129841, 1.740182),
    _chronos(_EXCHANGE, 30, "Chronos-T5-tiny", 0.01085, 1.662),
    _chronos(_EXCHANGE, 30, "Chronos-T5-large", 0.01484, 2.344),
    _chronos(_EXCHANGE, 30, "Chronos-Bolt-tiny", 0.01148, 1.686),
    _chronos(_EXCHANGE, 30, "Chronos-Bolt-mini", 0.00935, 1.352),
    _chronos(_EXCHANGE, 30, "Chronos-Bolt-small", 0.01136, 1.775),
    _chronos(_EXCHANGE, 30, "Chronos-Bolt-base", 0.01201, 1.710),
)


def beside(protocol: Protocol, dataset: str, *, horizon: int, lookback: int) -> tuple[Published, ...]:
    """Rows that may stand beside a measured one: same protocol, data set, horizon and look-back.

    >>> [p.model for p in beside("ltsf", "ETTh1", horizon=96, lookback=512)]
    ['repeat last', 'PatchTST/64']
    """
    return tuple(
        p
        for p in TABLE
        if p.protocol == protocol
        and dataset.lower() in p.datasets
        and p.horizon == horizon
        and p.lookback in (None, lookback)
    )
