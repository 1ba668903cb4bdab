"""Trained models outside of training: predictions step by step and of tables, and export."""

from memup_lightning.serving.prediction import Prediction, Predictions
from memup_lightning.serving.predictor import Predictor
from memup_lightning.serving.state import StreamState

__all__ = ["Prediction", "Predictions", "Predictor", "StreamState"]
