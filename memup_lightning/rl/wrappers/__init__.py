"""Wrappers that append the state of a trained memory to the observations of Gymnasium environments."""

from memup_lightning.rl.wrappers.single import MemoryObservation
from memup_lightning.rl.wrappers.vector import VectorMemoryObservation

__all__ = ["MemoryObservation", "VectorMemoryObservation"]
