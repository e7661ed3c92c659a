"""`helio score`: forecasters on a public benchmark's CSV, by the protocol of its authors."""

# It imports what it needs when it runs, as the other commands do: `helio --help` must not wait for torch.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from heliograph.core.errors import ConfigError

if TYPE_CHECKING:
    from heliograph.train.public.ask import Ask, Score, Zero
    from heliograph.train.public.table import Series

_FEW = ("mse", "mae", "wql", "mase", "p10", "p50", "p90", "cov80", "crossing_pct", "took_s")


def score(  # noqa: PLR0913, PLR0917 - each is an option of the command
    csv: Annotated[
        list[Path], typer.Option(help="a CSV: dates first, then one series a column; may be given often (ETTh1, ETTh2)")
    ],
    protocol: Annotated[Literal["chronos", "ltsf", "volatility"], typer.Option(help="see docs/benchmarks.md")],
    is_json: Annotated[bool, typer.Option("--json", help="one JSON object a line, and nothing else")] = False,
    epochs: Annotated[int, typer.Option(min=0, help="of a network; with 0 it is the linear map that it corrects")] = 6,
    samples: Annotated[int, typer.Option(min=64, help="windows of an epoch, drawn where there are more")] = 32_768,
    seed: Annotated[int, typer.Option(min=0, help="of the network's first weights and of the order of windows")] = 1,
    members: Annotated[int, typer.Option(min=1, help="networks of the hybrid, whose mean forecasts")] = 3,
    horizon: Annotated[int | None, typer.Option(min=1, help="steps ahead; the protocol's own without it")] = None,
    lookback: Annotated[int | None, typer.Option(min=8, max=4_096, help="steps that a forecast sees")] = None,
    season: Annotated[
        int | None, typer.Option(min=1, help="steps of a season; by the sampling step without it")
    ] = None,
    split: Annotated[
        str | None, typer.Option(help="TRAIN,VALIDATION,TEST: rows or shares (ltsf), or three end dates (volatility)")
    ] = None,
    dataset: Annotated[str | None, typer.Option(help="whose published figures to show; the file's name else")] = None,
    value: Annotated[str | None, typer.Option(help="volatility: the column of values in a long table")] = None,
    take_log: Annotated[
        bool | None,
        typer.Option(help="volatility: take the values' logs; without it where none of them is negative"),
    ] = None,
    foundation: Annotated[
        list[str] | None, typer.Option(help="chronos: FAMILY=FOLDER, a foundation model with the weights in a folder")
    ] = None,
) -> None:
    """Score naive, seasonal naive, ridge and network on a public benchmark's file, by its authors' protocol.

    Published figures of the same data set, horizon and look-back are printed beside the measured ones.
    """
    from heliograph.train.public.ask import Ask
    from heliograph.train.public.fit import Effort

    if foundation and protocol != "chronos":
        raise ConfigError("--foundation goes with --protocol chronos: the others fit what they score")
    ask = Ask(
        dataset=dataset or _common([path.name.split(".")[0] for path in csv]),
        horizon=horizon,
        lookback=lookback,
        season=season,
        split=None if split is None else tuple(split.split(",")),
        effort=Effort(epochs=epochs, samples_per_epoch=samples, seed=seed, members=members),
        zero=_zero(foundation or []),
    )
    scores: list[Score] = []
    for one in _scores(protocol, _series(protocol, csv, value, take_log), ask):
        scores.append(one)
        typer.echo(json.dumps(one.line()) if is_json else _words(one, is_first=len(scores) == 1))
    for line in _published(protocol, ask, scores[-1]):
        typer.echo(json.dumps(line) if is_json else f"  published, {line['source']}: {_plain(line)}")


def _common(stems: list[str]) -> str:
    """What the files' names begin with alike: ETTh of ETTh1 and ETTh2; else the first name."""
    alike = stems[0]
    while not all(stem.startswith(alike) for stem in stems):
        alike = alike[:-1]
    return alike or stems[0]


def _series(protocol: str, csv: list[Path], value: str | None, take_log: bool | None) -> tuple[Series, ...]:
    from heliograph.train.public import table

    if protocol != "volatility":
        if value is not None or take_log is not None:
            raise ConfigError("--value and --take-log go with --protocol volatility")
        return tuple(one for path in csv for one in table.read_wide(path))
    found = tuple(one for path in csv for one in table.read_long(path, value=value))
    if take_log is None and not table.are_logs(found):
        typer.echo("no value is negative: they are taken for variances, and their logs are scored", err=True)
        take_log = True
    return table.logged(found) if take_log else found


def _scores(protocol: str, series: tuple[Series, ...], ask: Ask) -> Iterator[Score]:
    if protocol == "chronos":
        from heliograph.train.public import chronos

        return chronos.run(series, ask)
    if protocol == "ltsf":
        from heliograph.train.public import ltsf

        return ltsf.run(series, ask)
    from heliograph.train.public import volatility

    return volatility.run(series, ask)


def _zero(said: list[str]) -> dict[str, Zero]:
    from heliograph.model import foundation

    found: dict[str, Zero] = {}
    for one in said:
        family, _, folder = one.partition("=")
        if family not in foundation.FAMILIES or not folder:
            raise ConfigError(f"--foundation {one} must be FAMILY=FOLDER with one of {', '.join(foundation.FAMILIES)}")
        found[family] = foundation.zero_shot(foundation.open_pipeline(family, Path(folder)))
    return found


def _published(protocol: Literal["chronos", "ltsf", "volatility"], ask: Ask, last: Score) -> list[dict[str, object]]:
    from heliograph.train.public.published import beside

    horizon, lookback = int(last.metrics["horizon"]), int(last.metrics["lookback"])
    return [row.line() for row in beside(protocol, ask.dataset, horizon=horizon, lookback=lookback)]


def _words(one: Score, *, is_first: bool) -> str:
    names = [name for name in _FEW if name in one.metrics]
    row = f"{one.forecaster:<16}" + "".join(f"{float(one.metrics[name]):>14.5f}" for name in names)
    if not is_first:
        return row
    rest = ", ".join(f"{name} {value}" for name, value in one.metrics.items() if name not in _FEW)
    return f"{rest}\n{'forecaster':<16}" + "".join(f"{name:>14}" for name in names) + f"\n{row}"


def _plain(line: dict[str, object]) -> str:
    figures = ", ".join(f"{name} {line[name]}" for name in _FEW if name in line)
    return f"{line['forecaster']} {figures}"
