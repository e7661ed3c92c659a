"""Fit the model on folds and score it."""
