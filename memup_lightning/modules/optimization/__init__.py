"""Optimizers and learning rates that a module has by default."""
