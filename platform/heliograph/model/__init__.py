"""The network, its baselines and its calibration."""
