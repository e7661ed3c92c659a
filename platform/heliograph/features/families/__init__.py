"""Every feature, one module a family."""
