"""Callbacks: one concern a file."""

from callbacks.target_refresh import TargetRefresh

__all__ = ["TargetRefresh"]
