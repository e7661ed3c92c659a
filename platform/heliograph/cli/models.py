"""`helio models`: which models and trials there are, which model is current, and how to change that; `helio reproduce`."""

# Commands import what they need when they run: `helio --help` must not wait for Ray and torch.
# ruff: noqa: PLC0415

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from heliograph.cli.options import Config, Override, settings_of
from heliograph.core.errors import ConfigError, CorruptPart, HeliographError
from heliograph.telemetry.progress import CONSOLE, Quiet, bar

if TYPE_CHECKING:
    from heliograph.train.manifest import Manifest
    from heliograph.train.pointer import Pointer
    from heliograph.train.registry import Registry

app = typer.Typer(no_args_is_help=True, help="See which models there are, and choose the current one.")

Json = Annotated[bool, typer.Option("--json", help="JSON instead of text")]
Name = Annotated[str, typer.Argument(help="the first digits of a model's name, or current")]
Expected = Annotated[
    str | None, typer.Option("--expect", help="only if this model is the current one; nothing moves otherwise")
]

_HEADS = ("", "model", "created", "run", "data", "code", "seed", "skill %", "parent")
_TRIAL_HEADS = ("started", "candidate", "run", "fold", "state", "error")
_SHOWN_DIFFERENCES = 20
_TORN = "torn"


@app.command()
def ls(as_json: Json = False, config: Config = None, overrides: Override = None) -> None:
    """List the models, newest last; the current one has a star."""
    registry = _registry(config, overrides)
    names = registry.models()
    if not names:
        raise ConfigError(f"there is no model in {registry.uri}: run `helio train` first, or set registry.uri")
    torn, current = None, None
    try:
        current = registry.pointer().current
    except CorruptPart as e:
        torn = e  # told after the names, which are needed to mend it
    told = sorted((_told(registry, name) for name in names), key=lambda t: t.get("created_ts_ms", 0))
    if as_json:
        CONSOLE.print_json(json.dumps([{**t, "is_current": t["model"] == current} for t in told]))
    else:
        _table(_HEADS, [_row(t, is_current=t["model"] == current) for t in told])
    if torn is not None:
        raise torn


@app.command()
def show(name: Name = "current", as_json: Json = False, config: Config = None, overrides: Override = None) -> None:
    """Tell all that a model says of itself, whether its files are whole, and when it was the current one."""
    registry = _registry(config, overrides)
    model = registry.find(name)
    told, pointer = registry.manifest(model), registry.pointer()
    registry.read(model)
    moves = [asdict(move) for move in pointer.moves if move.model == model]
    if as_json:
        CONSOLE.print_json(json.dumps({**asdict(told), "is_current": pointer.current == model, "moves": moves}))
        return
    for key, value in _words(told, pointer):
        CONSOLE.print(f"{key:<10} {value}", soft_wrap=True, markup=False, highlight=False)


@app.command()
def promote(
    name: Name, expected: Expected = None, as_json: Json = False, config: Config = None, overrides: Override = None
) -> None:
    """Make a model the current one, once its files are seen to be whole."""
    registry = _registry(config, overrides)
    seen = _seen(registry, expected)
    model = registry.find(name)
    _tell(registry.promote(model, seen=seen), as_json)


@app.command()
def rollback(
    expected: Expected = None, as_json: Json = False, config: Config = None, overrides: Override = None
) -> None:
    """Go back to the model that was current before this one; again goes back further."""
    registry = _registry(config, overrides)
    _tell(registry.rollback(seen=_seen(registry, expected)), as_json)


@app.command()
def trials(as_json: Json = False, config: Config = None, overrides: Override = None) -> None:
    """List every trial ever started, and how it ended: a failed one with its error, a killed one as started."""
    settings = settings_of(config, overrides)
    from heliograph.train import ledger

    told = ledger.read(settings)
    if as_json:
        CONSOLE.print_json(json.dumps([asdict(trial) for trial in told]))
        return
    _table(
        _TRIAL_HEADS,
        [
            (
                "?" if t.started_ts_ms is None else _time(t.started_ts_ms),
                t.candidate,
                str(t.told.get("run", "?")),
                str(t.told.get("fold", "?")),
                t.state,
                t.error,
            )
            for t in told
        ],
    )
    CONSOLE.print(f"{ledger.candidates(settings)} candidates in {len(told)} trials", soft_wrap=True)


def reproduce(
    run: Annotated[str, typer.Argument(help="the first digits of a model's name, current, or the name of its run")],
    anyway: Annotated[
        bool, typer.Option("--anyway", help="also where code or candles are not those that the model was made of")
    ] = False,
    as_json: Json = False,
    config: Config = None,
    overrides: Override = None,
) -> None:
    """Fit a released model's run again, on the same candles, and compare its metrics bit for bit."""
    settings = settings_of(config, overrides)
    from heliograph.cluster import reproduce as stage
    from heliograph.cluster.session import session

    stage.find(settings, run)  # a wrong name need not wait for a cluster
    with session(), nullcontext(Quiet()) if as_json else bar("reproduce") as shown:
        told = stage.run(settings, run, shown, anyway=anyway)
    if as_json:
        CONSOLE.print_json(json.dumps({**asdict(told), "is_same": told.is_same}))
    else:
        for note in told.notes:
            CONSOLE.print(f"note: {note}", soft_wrap=True, markup=False)
        for one in told.differences[:_SHOWN_DIFFERENCES]:
            CONSOLE.print(f"{one.metric}: {one.then!r}, now {one.now!r}", soft_wrap=True, markup=False)
    if not told.is_same:
        files = "the same" if told.same_model else "others"
        raise HeliographError(
            f"{len(told.differences)} of {told.metrics} metrics differ and the model's files are {files}; "
            f"the new run lies in {told.folder}"
        )
    if not as_json:
        CONSOLE.print(f"{told.metrics} metrics and the model's files came again, bit for bit", soft_wrap=True)


def _table(heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in (heads, *rows):
        line = "  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True))
        CONSOLE.print(line.rstrip(), soft_wrap=True, markup=False, highlight=False)


def _registry(config: Any, overrides: list[str] | None) -> Registry:
    settings = settings_of(config, overrides)
    from heliograph.train.registry import open_registry

    return open_registry(settings)


def _seen(registry: Registry, expected: str | None) -> Pointer | None:
    """The pointer, if it points to where it is expected to."""
    if expected is None:
        return None
    seen, model = registry.pointer(), registry.find(expected)
    if seen.current != model:
        raise ConfigError(
            f"the current model is {_short(seen.current)}, not {_short(model)}: look at it with `helio models show`"
        )
    return seen


def _told(registry: Registry, model: str) -> dict[str, Any]:
    try:
        return asdict(registry.manifest(model))
    except CorruptPart as e:
        return {"model": model, _TORN: str(e)}


def _row(told: Mapping[str, Any], *, is_current: bool) -> tuple[str, ...]:
    star, name = "*" if is_current else "", _short(told["model"])
    if _TORN in told:
        return (star, name, _TORN, *[""] * (len(_HEADS) - 3))
    origin = told["origin"]
    code, data = origin["code"], origin["data"]
    return (
        star,
        name,
        _time(told["created_ts_ms"]),
        origin["run"],
        "?" if data is None else str(data["versions"]["candles"]),
        f"{code['package']} {(code['commit'] or code['files'])[:7]}{'+' if code['is_changed'] else ''}",
        "?" if origin["seed"] is None else str(origin["seed"]),
        _skill(told["metrics"]["folds"]),
        _short(origin["parent"]),
    )


def _skill(folds: Sequence[Mapping[str, Any]]) -> str:
    """Mean skill over folds and horizons against the baseline that was hardest to beat."""
    by_baseline: dict[str, list[float]] = {}
    for fold in folds:
        for baseline, skills in fold.get("skill_pct", {}).items():
            by_baseline.setdefault(baseline, []).extend(skills)
    means = {name: sum(skills) / len(skills) for name, skills in by_baseline.items() if skills}
    if not means:
        return ""
    hardest = min(means, key=lambda name: means[name])
    return f"{means[hardest]:+.2f} over {hardest}"


def _words(told: Manifest, pointer: Pointer) -> list[tuple[str, str]]:
    origin = told.origin
    data = "not told"
    if origin.data is not None:
        versions = ", ".join(f"{table} {version}" for table, version in origin.data.versions.items())
        data = f"{versions} of {origin.data.uri}"
    words = [
        ("model", told.model),
        ("created", _time(told.created_ts_ms)),
        ("run", origin.run),
        ("data", data),
        ("code", str(origin.code)),
        ("settings", origin.fingerprint or "not told"),
        ("seed", "not told" if origin.seed is None else str(origin.seed)),
        ("parent", origin.parent or "none"),
        ("features", f"{len(told.features)}: {', '.join(told.features)}"),
        ("skill %", _skill(told.metrics["folds"]) or "not told"),
        ("current", "yes" if pointer.current == told.model else "no"),
    ]
    words += [("file", f"{digest}  {name}") for name, digest in sorted(told.files.items())]
    moves = [move for move in pointer.moves if move.model == told.model]
    return words + [(move.why, _time(move.moved_ts_ms)) for move in moves]


def _tell(pointer: Pointer, as_json: bool) -> None:
    if as_json:
        CONSOLE.print_json(json.dumps({"current": pointer.current, "previous": pointer.previous}))
        return
    before = f"; before it {_short(pointer.previous)}" if pointer.previous else ""
    CONSOLE.print(f"the current model is {_short(pointer.current)}{before}", soft_wrap=True)


def _short(model: str | None) -> str:
    from heliograph.train.registry import SHORT

    return (model or "")[:SHORT]


def _time(ts_ms: int) -> str:
    return datetime.fromtimestamp(ts_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M")
