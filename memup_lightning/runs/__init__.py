"""Run infrastructure: checkpoints, run folders, loggers, statistics."""
