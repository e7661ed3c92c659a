"""docs/reference, written from the code: settings, features, venues, errors. A test checks that it is up to date."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from annotated_types import BaseMetadata
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from heliograph.config.settings import FeatureSettings, Settings
from heliograph.core import errors
from heliograph.core.calendars import GRIDS
from heliograph.core.market import Kind
from heliograph.core.timeframe import TIMEFRAMES
from heliograph.features import catalog, market
from heliograph.features.declare import Feature
from heliograph.sources import catalog as sources

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "reference"
NOTE = "<!-- written by `make docs`; change the code, not this file -->\n\n"


def pages() -> dict[str, str]:
    """Every page by file name."""
    return {"settings.md": _settings(), "features.md": _features(), "venues.md": _venues(), "errors.md": _errors()}


def _settings() -> str:
    lines = ["# Settings", "", inspect.getdoc(inspect.getmodule(Settings)) or ""]
    for name, model in _sections(Settings, ""):
        lines += ["", f"## {name or 'top level'}", "", inspect.getdoc(model) or "", ""]
        lines += ["| key | type | default | bounds | meaning |", "|---|---|---|---|---|"]
        lines += [_setting_row(key, info) for key, info in model.model_fields.items() if not _is_section(info)]
    return NOTE + "\n".join(lines) + "\n"


def _sections(model: type[BaseModel], name: str) -> Iterator[tuple[str, type[BaseModel]]]:
    yield name, model
    for key, info in model.model_fields.items():
        for inner in _models(info):
            yield from _sections(inner, f"{name}.{key}".lstrip(".") + ("" if _is_section(info) else ".*"))


def _models(info: FieldInfo) -> list[type[BaseModel]]:
    kinds = (info.annotation, *getattr(info.annotation, "__args__", ()))
    return [k for k in kinds if inspect.isclass(k) and issubclass(k, BaseModel)]


def _is_section(info: FieldInfo) -> bool:
    return inspect.isclass(info.annotation) and issubclass(info.annotation, BaseModel)


def _setting_row(key: str, info: FieldInfo) -> str:
    kind = (
        info.annotation.__name__
        if isinstance(info.annotation, type) and not hasattr(info.annotation, "__args__")
        else re.sub(r"(\w+\.)+", "", str(info.annotation))
    )
    bounds = ", ".join(_bound(m) for m in info.metadata if isinstance(m, BaseMetadata))
    default = (
        "required" if info.is_required() else "…" if info.default_factory or _models(info) else f"`{info.default}`"
    )
    cells = (f"`{key}`", f"`{kind}`", default, bounds, info.description or "")
    return "| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |"


def _bound(mark: BaseMetadata) -> str:
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<", "min_length": "length ≥", "max_length": "length ≤"}
    return ", ".join(
        f"{sign} {getattr(mark, key)}" for key, sign in signs.items() if getattr(mark, key, None) is not None
    )


def _features() -> str:
    settings = FeatureSettings()
    return features_page(catalog.BASE, {f.name for f in catalog.chosen(settings)}, settings.context_timeframes)


def features_page(features: Sequence[Feature], chosen: Collection[str], higher: Sequence[str]) -> str:
    """The page on features: how many of each family, then each with its inputs, memory, range and source.

    Args:
        chosen: names of those that the default settings compute.
        higher: timeframes on which the default settings offer each of them again.
    """
    families = Counter(f.family for f in features)
    names = " and ".join(f"`{features[0].on(name).name}`" for name in higher) if features else ""
    lines = [
        "# Features",
        "",
        inspect.getdoc(inspect.getmodule(Feature)) or "",
        "",
        f"{len(features)} of the base timeframe, {len(features) * (1 + len(higher))} with the higher timeframes of the "
        f"default settings ({', '.join(higher)}): each of them is there on each, as {names}. Inputs, lookback and settling "
        "follow from the graph. `lookback`: bars until the first value, the current one included; `settles`: bars after "
        "which the value no longer depends on where the history began, to 1e-12. `●`: in `core`, the default set.",
        "",
        "| family | features |",
        "|---|---|",
        *(f"| [{family}](#{family}) | {count} |" for family, count in families.items()),
        f"| all | {len(features)} |",
    ]
    for family in families:
        lines += ["", f"## {family}", "", "| feature | | unit | inputs | lookback | settles | range | source |"]
        lines += ["|---|---|---|---|---|---|---|---|"]
        lines += [_feature_row(f, f.name in chosen) for f in features if f.family == family]
    return NOTE + "\n".join(lines) + "\n"


def _feature_row(f: Feature, is_chosen: bool) -> str:
    settles = "carried forever" if f.settle_bars is None else f"{max(f.settle_bars, f.lookback_bars):,}"
    cells = (
        f"`{f.name}`",
        "●" if is_chosen else "",
        f.unit,
        ", ".join(_inputs(f)),
        f"{f.lookback_bars:,}",
        settles,
        f"{f.low:g} … {f.high:g}",
        f.source,
    )
    return "| " + " | ".join(c.replace("|", "\\|").replace("\n", " ") for c in cells) + " |"


def _inputs(f: Feature) -> list[str]:
    """Sources that the graph reaches: those of the candle in their order, then the others by name."""
    sources = f.of.node.sources
    return [*(name for name in market.INPUTS if name in sources), *sorted(sources - set(market.INPUTS))]


def _venues() -> str:
    names = list(TIMEFRAMES)
    lines = [
        "# Venues",
        "",
        "## Certified",
        "",
        "Proved by `tests/contracts`, every one by the same suite: all candles come back, each once, in order, and nothing else. "
        "`●` native and fetched; `○` native on a grid of the venue's own (weeks from Thursday, days of UTC+8); "
        "`·` derived from 1m, and marked so. Weights are ccxt's cost units.",
        "",
        f"| venue | markets | {' | '.join(names)} | page | newest only | candles a second | budget | quiet bars | live |",
        f"|---|---|{'---|' * len(names)}---|---|---|---|---|---|",
    ]
    lines += [_venue_row(key, names) for key in sorted(sources.RULES)]
    others = sources.uncertified()
    lines += [
        "",
        "## Not certified",
        "",
        f"{len(others)} more exchanges of ccxt give candles and can be named in `fetch.venues`. They go through ccxt's "
        "own call, page by page at its pace; nobody has proved that they leave nothing out, and their rules say so "
        "(`is_certified` is false):",
        "",
        ", ".join(f"`{name}`" for name in others),
    ]
    return NOTE + "\n".join(lines) + "\n"


def _venue_row(key: tuple[str, Kind], names: Sequence[str]) -> str:
    venue, kind = key
    rules = sources.RULES[key]
    marks = ["·" if n not in rules.timeframes else "○" if (venue, n) in GRIDS else "●" for n in names]
    per_s = rules.page_limit * rules.weight_per_s / rules.weight_per_page
    cells = (
        f"`{venue}`",
        kind,
        *marks,
        f"{rules.page_limit:,}",
        "all" if rules.horizon_candles is None else f"{rules.horizon_candles:,}",
        f"{per_s:,.0f}",
        f"{rules.weight_limit:g} in {rules.window_s:g} s",
        "filled by the venue" if rules.fills_quiet else "left out",
        "candles" if sources.streams_candles(venue) else "from trades",
    )
    return "| " + " | ".join(cells) + " |"


def _errors() -> str:
    return NOTE + f"# Errors\n\n```text\n{inspect.getdoc(errors)}\n```\n"


def main() -> None:
    """Write the pages."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (FOLDER / name).write_text(text)


if __name__ == "__main__":
    main()
