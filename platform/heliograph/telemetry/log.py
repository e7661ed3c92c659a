"""Structured logs: one line an event, `noun.verb` names, units in the keys, secrets never."""

from __future__ import annotations

import logging
import sys

import structlog


def configure(*, as_json: bool = False, level: int = logging.INFO) -> None:
    """Send logs to stderr, as text for people or as JSON for machines."""
    render = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks if as_json else structlog.processors.format_exc_info,
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(file=sys.stderr),
        cache_logger_on_first_use=False,
    )
