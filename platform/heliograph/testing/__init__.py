"""Strategies, contracts and fakes for tests."""
