"""Every feature there is, in the order of the table's columns, and the choice that the settings make."""

from __future__ import annotations

import hashlib
import importlib.util
from collections import Counter
from collections.abc import Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path

from heliograph.config.settings import FeatureSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError
from heliograph.features.declare import Feature
from heliograph.features.families import (
    carry,
    cross,
    momentum,
    outside,
    season,
    shape,
    statistics,
    trend,
    volatility,
    volume,
)

SIGMA = "ewma_volatility"
"""The feature that holds the standard deviation of the log-return over one base bar; labels and sizes need it."""

CORE = (
    "ewma_volatility", "volatility_ratio_6_24", "volatility_ratio_24_168", "parkinson_24", "garman_klass_24",
    "rogers_satchell_24", "har_week_168", "har_month_720", "ewma_ratio_94", "atr_sigma_14", "bar_range",
    "atr_ratio_14_100", "log_return_1", "log_return_4", "log_return_12", "log_return_24",
    "close_position", "body_ratio", "bollinger_20", "distance_high_168", "distance_low_168", "rsi_14", "macd_12_26",
    "macd_histogram_9", "adx_14", "directional_14", "stochastic_14", "aroon_14", "cci_20", "volume_z_168",
    "volume_ratio_24_168", "flow_24", "money_flow_14", "bars_missing", "hour_sin", "hour_cos", "weekday_sin",
    "weekday_cos",
)  # fmt: skip
"""What ``core`` in the settings stands for: a small set that works on candles alone, warm after 721 of them.

It holds all that the volatility models read: `model.har.HAR_FEATURES` and `model.ewma.RETURN`.
"""

CORE_HIGHER = ("log_return_z_20", "cutler_rsi_14", "volatility_ratio_5_20", "distance_mean_20")
"""And this on each higher timeframe: windows of at most 21 bars, so that a few weeks of history warm up daily bars."""

FAMILIES = (volatility, trend, momentum, volume, shape, statistics, season, carry, cross, outside)
BASE: tuple[Feature, ...] = tuple(f for family in FAMILIES for f in family.FEATURES)


def declared(settings: FeatureSettings) -> tuple[Feature, ...]:
    """Every feature that the settings allow: those of the base, the users' own, and all of them on each higher timeframe.

    Raises:
        ConfigError: a users' file can't be read or declares no feature, or two features have one name.
    """
    base = (*BASE, *(f for path in settings.files for f in own(path)))
    twice = [name for name, times in Counter(f.name for f in base).items() if times > 1]
    if twice:
        raise ConfigError(f"features.files: there is a feature called {twice[0]} already: choose another name")
    return (*base, *(f.on(name) for name in settings.context_timeframes for f in base))


def chosen(settings: FeatureSettings) -> tuple[Feature, ...]:
    """The features whose names match a glob of the settings; the volatility that labels and sizes need is always in.

    Raises:
        ConfigError: a glob matches nothing; the message lists the names.
    """
    features = declared(settings)
    globs = [name for glob in settings.names for name in (_core(settings) if glob == "core" else (glob,))]
    idle = [glob for glob in globs if not any(fnmatchcase(f.name, glob) for f in features)]
    if idle:
        names = ", ".join(f.name for f in features if not f.timeframe)
        raise ConfigError(
            f"features.names: {', '.join(idle)} matches no feature; there are {names}, and each with _4h …"
        )
    return tuple(f for f in features if f.name == SIGMA or any(fnmatchcase(f.name, g) for g in globs))


def _core(settings: FeatureSettings) -> tuple[str, ...]:
    return (*CORE, *(f"{name}_{timeframe}" for timeframe in settings.context_timeframes for name in CORE_HIGHER))


def own(path: Path) -> tuple[Feature, ...]:
    """The features that a user's Python file declares as ``FEATURES``.

    Raises:
        ConfigError: there is no such file, it fails, or ``FEATURES`` is not a tuple of features.
    """
    if not path.is_file():
        raise ConfigError(f"features.files: there is no file {path}")
    return _own(path, hashlib.sha256(path.read_bytes()).hexdigest()[:12])


@cache
def _own(path: Path, content: str) -> tuple[Feature, ...]:
    spec = importlib.util.spec_from_file_location(f"heliograph_own_{content}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (ImportError, SyntaxError, NameError, AttributeError, TypeError, ValueError) as e:
        raise ConfigError(f"features.files: {path} fails: {type(e).__name__}: {e}") from e
    features = getattr(module, "FEATURES", None)
    if not isinstance(features, tuple | list) or not all(isinstance(f, Feature) for f in features) or not features:
        raise ConfigError(f"features.files: {path} needs FEATURES, a tuple of heliograph.features.declare.Feature")
    return tuple(features)


def fingerprint(settings: FeatureSettings) -> str:
    """Names what the columns mean: another definition, kernel or order gives another one; 12 hex digits."""
    told = [settings.timeframe, *(f"{f.name}={f.key}" for f in chosen(settings))]
    return hashlib.sha256("|".join(told).encode()).hexdigest()[:12]


def warmup_bars(features: Sequence[Feature], base: timeframes.Timeframe) -> int:
    """Base bars after which a start gives what the whole history gives, to 1e-12, where no bar is missing.

    A feature that never forgets counts with its lookback: load what was carried instead.
    """
    return max(_in_base_bars(feature, base) for feature in features)


def _in_base_bars(feature: Feature, base: timeframes.Timeframe) -> int:
    bars = max(feature.lookback_bars, feature.settle_bars or 0)
    return (bars + 1) * timeframes.parse(feature.timeframe).ms // base.ms if feature.timeframe else bars
