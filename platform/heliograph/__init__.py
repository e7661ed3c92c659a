"""Heliograph: from every candle of every symbol to a position on an account."""
