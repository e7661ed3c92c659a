"""Settings to adapters: the one place that chooses a class."""
