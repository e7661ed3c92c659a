"""Typed settings: one frozen schema, read from YAML, the command line and the environment."""
