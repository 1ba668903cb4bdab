"""Optimizers and learning rates that a module has by default, and those of a resumed run."""
