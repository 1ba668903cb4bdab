"""Interference: many cues and junctions in one corridor; its rules, and one corridor."""

from memup_lightning.envs.interference.env import InterferenceEnv
from memup_lightning.envs.interference.rules import InterferenceRules

__all__ = ["InterferenceEnv", "InterferenceRules"]
