"""Measurements of a run: losses and gains of its memory, with their intervals."""
