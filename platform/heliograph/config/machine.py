"""What the machine must offer."""

from __future__ import annotations

import socket

from heliograph.core.errors import ConfigError


def require_free(host: str, port: int, setting: str) -> None:
    """Check that a port can be bound.

    Raises:
        ConfigError: something else uses it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as e:
            raise ConfigError(
                f"port {port} on {host} is taken: stop what uses it or choose another with --set {setting}=…"
            ) from e
