"""Train long-term memory without backpropagating through long sequences: MemUP for PyTorch Lightning.

Every public name is importable from here, ``from memup_lightning import MemUP``. A name is loaded when it is first used
(PEP 562), so that importing the package costs neither torch nor Lightning.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # for editors and type checkers
    from memup_lightning.callbacks import (
        BestWeights,
        EpisodeFilm,
        InitialWeights,
        MemoryUsage,
        PredictionWriter,
        Progress,
        Replay,
        RunReport,
        RunSummary,
        TargetRefresh,
        TextPage,
        Verdict,
    )
    from memup_lightning.chunk import Chunk, StepBatch
    from memup_lightning.data.episodes import ArrayEpisodes, EpisodeSource
    from memup_lightning.data.procedural import ProceduralEpisodes
    from memup_lightning.data.store import EpisodeStore, EpisodeWriter
    from memup_lightning.data.targets import (
        Explainable,
        Proportional,
        Scorable,
        Selector,
        TargetTable,
        TopK,
    )
    from memup_lightning.datamodules import (
        AddingDataModule,
        ArrayDataModule,
        BaseDataModule,
        CopyDataModule,
        EpisodeDataModule,
        GymnasiumDataModule,
        HiddenFactsDataModule,
        JointDataModule,
        MinariDataModule,
        PermutedPixelsDataModule,
        RewardDataModule,
        RolloutDataModule,
        TextDataModule,
        TMazeDataModule,
        TwoColorsDataModule,
    )
    from memup_lightning.envs import TMazeEnv, TMazeRules, TMazeVectorEnv
    from memup_lightning.exceptions import MemUPError
    from memup_lightning.models.encoders import (
        ImageEncoder,
        SmallImageEncoder,
        StepEncoder,
        TokenEncoder,
        VectorEncoder,
        WindowEncoder,
    )
    from memup_lightning.models.memory import (
        AMRL,
        DNC,
        GRU,
        LSTM,
        NTM,
        RMT,
        SRNN,
        XLSTM,
        GTrXL,
        Memory,
        MinGRU,
        RNNAdapter,
        State,
    )
    from memup_lightning.models.outcomes import (
        AdaptiveCategoricalOutcome,
        CategoricalOutcome,
        ContinuousOutcome,
        GaussianOutcome,
        Outcome,
        QuantileOutcome,
    )
    from memup_lightning.models.predictors import (
        AdditivePredictor,
        FiLMPredictor,
        MultiplicativePredictor,
        OutcomePredictor,
    )
    from memup_lightning.models.uncertainty import AverageSurprise, LocalPredictor, PredictiveUncertainty, Uncertainty
    from memup_lightning.modules import BPTT, TBPTT, BaseTask, InverseSqrtLR, MemoryTask, MemUP
    from memup_lightning.rl.agent import Agent, AgentState
    from memup_lightning.rl.algorithms import IMPALA, PPO, ActorCritic, JointPPO
    from memup_lightning.rl.wrappers import MemoryObservation, VectorMemoryObservation
    from memup_lightning.serving import Prediction, Predictions, Predictor, StreamState
    from memup_lightning.specs import FieldSpec, TaskSpec

__version__ = "0.1.0"

__all__ = [
    "AMRL",
    "BPTT",
    "DNC",
    "GRU",
    "IMPALA",
    "LSTM",
    "NTM",
    "PPO",
    "RMT",
    "SRNN",
    "TBPTT",
    "XLSTM",
    "ActorCritic",
    "AdaptiveCategoricalOutcome",
    "AddingDataModule",
    "AdditivePredictor",
    "Agent",
    "AgentState",
    "ArrayDataModule",
    "ArrayEpisodes",
    "AverageSurprise",
    "BaseDataModule",
    "BaseTask",
    "BestWeights",
    "CategoricalOutcome",
    "Chunk",
    "ContinuousOutcome",
    "CopyDataModule",
    "EpisodeDataModule",
    "EpisodeFilm",
    "EpisodeSource",
    "EpisodeStore",
    "EpisodeWriter",
    "Explainable",
    "FiLMPredictor",
    "FieldSpec",
    "GTrXL",
    "GaussianOutcome",
    "GymnasiumDataModule",
    "HiddenFactsDataModule",
    "ImageEncoder",
    "InitialWeights",
    "InverseSqrtLR",
    "JointDataModule",
    "JointPPO",
    "LocalPredictor",
    "MemUP",
    "MemUPError",
    "Memory",
    "MemoryObservation",
    "MemoryTask",
    "MemoryUsage",
    "MinGRU",
    "MinariDataModule",
    "MultiplicativePredictor",
    "Outcome",
    "OutcomePredictor",
    "PermutedPixelsDataModule",
    "Prediction",
    "PredictionWriter",
    "Predictions",
    "PredictiveUncertainty",
    "Predictor",
    "ProceduralEpisodes",
    "Progress",
    "Proportional",
    "QuantileOutcome",
    "RNNAdapter",
    "Replay",
    "RewardDataModule",
    "RolloutDataModule",
    "RunReport",
    "RunSummary",
    "Scorable",
    "Selector",
    "SmallImageEncoder",
    "State",
    "StepBatch",
    "StepEncoder",
    "StreamState",
    "TMazeDataModule",
    "TMazeEnv",
    "TMazeRules",
    "TMazeVectorEnv",
    "TargetRefresh",
    "TargetTable",
    "TaskSpec",
    "TextDataModule",
    "TextPage",
    "TokenEncoder",
    "TopK",
    "TwoColorsDataModule",
    "Uncertainty",
    "VectorEncoder",
    "VectorMemoryObservation",
    "Verdict",
    "WindowEncoder",
    "__version__",
]

_PUBLIC_NAMES = {
    "callbacks": (
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
    ),
    "chunk": ("Chunk", "StepBatch"),
    "data.episodes": ("ArrayEpisodes", "EpisodeSource"),
    "data.procedural": ("ProceduralEpisodes",),
    "data.store": ("EpisodeStore", "EpisodeWriter"),
    "data.targets": ("Explainable", "Proportional", "Scorable", "Selector", "TargetTable", "TopK"),
    "datamodules": (
        "AddingDataModule",
        "ArrayDataModule",
        "BaseDataModule",
        "CopyDataModule",
        "EpisodeDataModule",
        "GymnasiumDataModule",
        "HiddenFactsDataModule",
        "JointDataModule",
        "MinariDataModule",
        "PermutedPixelsDataModule",
        "RewardDataModule",
        "RolloutDataModule",
        "TMazeDataModule",
        "TextDataModule",
        "TwoColorsDataModule",
    ),
    "envs": ("TMazeEnv", "TMazeRules", "TMazeVectorEnv"),
    "exceptions": ("MemUPError",),
    "models.encoders": (
        "ImageEncoder",
        "SmallImageEncoder",
        "StepEncoder",
        "TokenEncoder",
        "VectorEncoder",
        "WindowEncoder",
    ),
    "models.memory": (
        "AMRL",
        "DNC",
        "GRU",
        "LSTM",
        "NTM",
        "RMT",
        "SRNN",
        "XLSTM",
        "GTrXL",
        "Memory",
        "MinGRU",
        "RNNAdapter",
        "State",
    ),
    "models.outcomes": (
        "AdaptiveCategoricalOutcome",
        "CategoricalOutcome",
        "ContinuousOutcome",
        "GaussianOutcome",
        "Outcome",
        "QuantileOutcome",
    ),
    "models.predictors": ("AdditivePredictor", "FiLMPredictor", "MultiplicativePredictor", "OutcomePredictor"),
    "models.uncertainty": ("AverageSurprise", "LocalPredictor", "PredictiveUncertainty", "Uncertainty"),
    "modules": ("BPTT", "TBPTT", "BaseTask", "InverseSqrtLR", "MemUP", "MemoryTask"),
    "rl.agent": ("Agent", "AgentState"),
    "rl.algorithms": ("IMPALA", "PPO", "ActorCritic", "JointPPO"),
    "rl.wrappers": ("MemoryObservation", "VectorMemoryObservation"),
    "serving": ("Prediction", "Predictions", "Predictor", "StreamState"),
    "specs": ("FieldSpec", "TaskSpec"),
}
"""Module -> the public names that it defines."""

_MODULES = {name: module for module, names in _PUBLIC_NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    globals()[name] = value  # found at once from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
