"""Options that every command has, and the settings that they mean."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from heliograph.config.load import load
from heliograph.config.settings import Settings
from heliograph.core.errors import ConfigError

JOB_MARK = "RAY_JOB_CONFIG_JSON_ENV_VAR"  # Ray sets it in the driver of a submitted job

Config = Annotated[Path | None, typer.Option("--config", "-c", help="a YAML file of settings; see configs/")]
Override = Annotated[
    list[str] | None, typer.Option("--set", help="section.key=value, over the file; may be given often")
]


def settings_of(config: Path | None, overrides: list[str] | None) -> Settings:
    """The settings of a command.

    Raises:
        ConfigError: they have faults, or what a submitted job makes would go with the job's folder.
    """
    settings = load(config, overrides or ())
    home = str(Path.cwd())
    places = (settings.lake.uri, str(settings.var), settings.registry.uri or "")
    lost = [p for p in places if p.startswith(home)]
    if lost and JOB_MARK in os.environ:
        raise ConfigError(
            f"{' and '.join(lost)} would lie in the job's own folder and go with it: "
            "set lake.uri to s3://… or a full path, registry.uri alike, and var to a full path, that all nodes share"
        )
    return settings
