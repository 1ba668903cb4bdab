"""Callbacks: one concern a file."""

from memup_lightning.callbacks.defaults import default_callbacks
from memup_lightning.callbacks.episode_film import EpisodeFilm
from memup_lightning.callbacks.initial_weights import InitialWeights
from memup_lightning.callbacks.memory_usage import MemoryUsage
from memup_lightning.callbacks.overfitting.best_weights import BestWeights
from memup_lightning.callbacks.prediction_writer import PredictionWriter
from memup_lightning.callbacks.report.run_report import RunReport
from memup_lightning.callbacks.terminal.progress import Progress
from memup_lightning.callbacks.terminal.run_summary import RunSummary
from memup_lightning.callbacks.text_page import TextPage
from memup_lightning.callbacks.verdict.verdict import Verdict
from memup_lightning.modules.states.replay import Replay
from memup_lightning.modules.targets.refresh import TargetRefresh

__all__ = [
    "BestWeights",
    "EpisodeFilm",
    "InitialWeights",
    "MemoryUsage",
    "PredictionWriter",
    "Progress",
    "Replay",
    "RunReport",
    "RunSummary",
    "TargetRefresh",
    "TextPage",
    "Verdict",
    "default_callbacks",
]
