"""Logs, progress bars and the run's summary."""
