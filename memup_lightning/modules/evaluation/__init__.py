"""Evaluation of a memory: the hooks of validation and test, and the metrics."""
