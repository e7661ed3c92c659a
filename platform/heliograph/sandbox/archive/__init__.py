"""Bulk archives as the venues publish them, made of the tape."""
