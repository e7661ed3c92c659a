"""The helio command."""
