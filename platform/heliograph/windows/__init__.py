"""Labels, folds and windows for training."""
