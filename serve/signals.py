"""The signal service as a Serve application: `serve run serve.signals:app config=…` on a cluster, `helio serve` on one machine."""

from pathlib import Path

from ray import serve

from heliograph.cluster.serving import application
from heliograph.config.load import load


def app(arguments: dict[str, str]) -> serve.Application:
    """Build it from a settings file.

    Args:
        arguments: ``config``, the path of a settings file; anything else overrides one setting, ``section.key: value``.
    """
    overrides = [f"{key}={value}" for key, value in arguments.items() if key != "config"]
    return application(load(Path(arguments["config"]) if "config" in arguments else None, overrides))
