"""`helio prove-features`: every feature on trial, and the prover itself on leaks that were planted."""

# It imports what it needs when it runs, as the other commands do: `helio --help` must not wait for numba.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from heliograph.cli.options import Config, Override, settings_of
from heliograph.core.errors import ConfigError, HeliographError
from heliograph.telemetry.progress import Bar, Quiet, bar

if TYPE_CHECKING:
    from heliograph.config.settings import FeatureSettings
    from heliograph.core.market import Candles
    from heliograph.core.timeframe import Timeframe
    from heliograph.features.declare import Feature
    from heliograph.features.leaks import Verdict
    from heliograph.features.trial import Finding

LONG_BARS = 8_000
"""Above it a stretch is so long that it is cut half as often, and only one is made."""


def prove_features(
    is_json: Annotated[bool, typer.Option("--json", help="one JSON object a line, and nothing else")] = False,
    features: Annotated[
        Path | None, typer.Option(help="a Python file with FEATURES of your own: only these are put to the proof")
    ] = None,
    candles: Annotated[
        Path | None, typer.Option(help="a folder of candle Parquet, <symbol>/<timeframe>.parquet; made ones without it")
    ] = None,
    cuts: Annotated[int, typer.Option(min=1, help="moments of each market after which everything is changed")] = 12,
    seed: Annotated[int, typer.Option(min=0, help="of the made candles, the cuts and the changes")] = 1,
    config: Config = None,
    overrides: Override = None,
) -> None:
    """Prove that no feature reads the future and that batch, tiles and single bars agree; no lake is needed.

    Everything known after a moment is changed, candles, higher timeframes, other symbols and other inputs alike, and
    nothing at or before it may move. The same is asked of ten planted leaks, which must be found, and of their sound
    twins, which must not.
    """
    from heliograph.core import timeframe as timeframes

    settings = settings_of(config, overrides).features
    chosen, base = _declared(settings, features), timeframes.parse(settings.timeframe)
    markets = _recorded(candles, base) if candles else {}
    if is_json:
        findings, verdicts = _try(chosen, base, markets, cuts, seed, Quiet())
        lines = _lines(findings, verdicts)
    else:
        with bar("prove-features") as shown:
            findings, verdicts = _try(chosen, base, markets, cuts, seed, shown)
        lines = _words(chosen, findings, verdicts)
    for line in lines:
        typer.echo(line)
    _require_proved(findings, verdicts)


def _declared(settings: FeatureSettings, file: Path | None) -> tuple[Feature, ...]:
    """All that the settings allow, be it chosen or not; or the features of the file alone."""
    from heliograph.features import catalog

    if file is None:
        return catalog.declared(settings)
    theirs = catalog.declared(settings.model_copy(update={"files": (*settings.files, file)}))
    before = {f.name for f in catalog.declared(settings)}
    return tuple(f for f in theirs if f.name not in before)


def _recorded(folder: Path, base: Timeframe) -> dict[str, Candles]:
    """The candles of every symbol of the folder.

    Raises:
        ConfigError: it has none of the timeframe.
    """
    from heliograph.sandbox.folder import read

    found = {symbol: series[base.name] for symbol, series in read(folder).items() if base.name in series}
    if not found:
        raise ConfigError(f"{folder} has no {base} candles: give another folder, or --set features.timeframe=…")
    return found


def _made(bars: int, base: Timeframe, seed: int) -> dict[str, Candles]:
    from heliograph.features.specimen import market

    made = {"a made market": market(bars, base, seed=seed)}
    if bars <= LONG_BARS:
        made["a made, quiet market"] = market(bars, base, seed=seed + 1, missing=0.05, quiet=0.4)
    return made


def _try(
    features: Sequence[Feature], base: Timeframe, recorded: dict[str, Candles], num_cuts: int, seed: int, shown: Bar
) -> tuple[list[Finding], list[Verdict]]:
    """Every feature on every market; each timeframe on a stretch of its own, as long as it needs."""
    from heliograph.features.leaks import LEAKS, judge
    from heliograph.features.trial import bars_needed, try_features

    verdicts = [judge(leak, seed=seed) for leak in LEAKS]
    found: dict[str, Finding] = {}
    timeframes = list(dict.fromkeys(f.timeframe for f in features))
    for t, timeframe in enumerate(timeframes):
        mine = [f for f in features if f.timeframe == timeframe]
        bars = bars_needed(mine, base)
        markets = recorded or _made(bars, base, seed)
        for k, (name, candles) in enumerate(markets.items()):

            def reach(fraction: float, done: float = t + k / len(markets), size: int = len(markets)) -> None:
                shown.reach((done + fraction / size) / len(timeframes))

            newest = candles.take(slice(-bars, None))
            times = num_cuts if len(newest) <= LONG_BARS else (num_cuts + 1) // 2
            for one in try_features(mine, newest, base, num_cuts=times, seed=seed + k, progress=reach):
                found[one.feature] = found[one.feature] | one if one.feature in found else one
            shown.tell(f"{len(mine)} features of {timeframe or base} on {len(newest):,} bars of {name}")
    return [found[f.name] for f in features], verdicts


def _lines(findings: Sequence[Finding], verdicts: Sequence[Verdict]) -> Iterator[str]:
    """JSON: features, leaks, and the sum of it."""
    for found in findings:
        line: dict[str, object] = {
            "feature": found.feature,
            "parity_max_rel_err": found.parity_max_rel_err,
            "lookahead_ok": found.lookahead_ok and found.num_values > 0,
            "values": found.num_values,
        }
        yield json.dumps(line | ({"told": _told(found)} if _told(found) else {}))
    for verdict in verdicts:
        yield json.dumps(
            {"leak": verdict.leak, "found": verdict.is_found, "clean_twin_flagged": verdict.is_twin_flagged}
        )
    yield json.dumps(
        {
            "features": len(findings),
            "faulty": sum(bool(_told(found)) for found in findings),
            "parity_max_rel_err": max((found.parity_max_rel_err for found in findings), default=0.0),
            "leaks": len(verdicts),
            "leaks_found": sum(v.is_found for v in verdicts),
            "clean_twins_flagged": sum(v.is_twin_flagged for v in verdicts),
        }
    )


def _words(features: Sequence[Feature], findings: Sequence[Finding], verdicts: Sequence[Verdict]) -> Iterator[str]:
    """The same to read: families, what is wrong, leaks."""
    yield f"{'family':<12} {'features':>8} {'faulty':>7} {'largest error':>14}"
    for family in dict.fromkeys(f.family for f in features):
        mine = [found for f, found in zip(features, findings, strict=True) if f.family == family]
        worst = max(found.parity_max_rel_err for found in mine)
        yield f"{family:<12} {len(mine):>8} {sum(bool(_told(found)) for found in mine):>7} {worst:>14.1e}"
    for found in findings:
        for sentence in _told(found):
            yield f"  {found.feature}: {sentence}"
    yield ""
    yield f"{'planted leak':<22} {'found':>6}  {'clean twin':<10}"
    for verdict in verdicts:
        twin = "flagged" if verdict.is_twin_flagged else "clean"
        yield f"{verdict.leak:<22} {'yes' if verdict.is_found else 'NO':>6}  {twin:<10}"


def _told(found: Finding) -> list[str]:
    return [*found.told, *["it had no value in the candles given: give more of them"] * (not found.num_values)]


def _require_proved(findings: Sequence[Finding], verdicts: Sequence[Verdict]) -> None:
    faulty = [found.feature for found in findings if _told(found)]
    missed = [v.leak for v in verdicts if not v.is_found or v.is_twin_flagged]
    if faulty:
        raise HeliographError(f"{len(faulty)} of {len(findings)} features fail: {', '.join(faulty[:5])}")
    if missed:
        raise HeliographError(f"the prover is wrong about {', '.join(missed)}: don't trust what it says of features")
