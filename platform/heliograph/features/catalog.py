"""Every feature there is, in the order of the table's columns, and the choice that the settings make."""

from __future__ import annotations

from fnmatch import fnmatchcase

from heliograph.config.settings import FeatureSettings
from heliograph.core import timeframe as timeframes
from heliograph.core.errors import ConfigError
from heliograph.features import context, price, season, trend, volatility, volume
from heliograph.features.spec import Feature

BASE = (*volatility.FEATURES, *price.FEATURES, *trend.FEATURES, *volume.FEATURES, *season.FEATURES)


def declared(settings: FeatureSettings) -> tuple[Feature, ...]:
    """Every feature that the settings' timeframes allow."""
    higher = (f for name in settings.context_timeframes for f in context.features(timeframes.parse(name)))
    return (*BASE, *higher)


def chosen(settings: FeatureSettings) -> tuple[Feature, ...]:
    """The features whose names match a glob of the settings; the volatility that labels and sizes need is always in.

    Raises:
        ConfigError: a glob matches nothing; the message lists the names.
    """
    features = declared(settings)
    idle = [glob for glob in settings.names if not any(fnmatchcase(f.name, glob) for f in features)]
    if idle:
        names = ", ".join(f.name for f in features)
        raise ConfigError(f"features.names: {', '.join(idle)} matches no feature; there are {names}")
    return tuple(
        f for f in features if f.name == volatility.SIGMA or any(fnmatchcase(f.name, g) for g in settings.names)
    )
