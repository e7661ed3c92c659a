"""Public benchmarks: their protocols, their metrics and the forecasters that are scored by them."""
