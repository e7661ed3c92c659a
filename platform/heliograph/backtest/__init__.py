"""Replay history through the desk and report."""
