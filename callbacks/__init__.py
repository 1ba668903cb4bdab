"""Callbacks: one concern a file."""

from callbacks.episode_film import EpisodeFilm
from callbacks.initial_weights import InitialWeights
from callbacks.memory_usage import MemoryUsage
from callbacks.prediction_writer import PredictionWriter
from callbacks.replay import Replay
from callbacks.run_report import RunReport
from callbacks.target_refresh import TargetRefresh

__all__ = ["EpisodeFilm", "InitialWeights", "MemoryUsage", "PredictionWriter", "Replay", "RunReport", "TargetRefresh"]
