"""The public names of the package, each written here alone: type checkers read this file, and so does __init__.py."""

from memup_lightning.callbacks import (
    BestWeights as BestWeights,
    EpisodeFilm as EpisodeFilm,
    InitialWeights as InitialWeights,
    MemoryUsage as MemoryUsage,
    PredictionWriter as PredictionWriter,
    Progress as Progress,
    Replay as Replay,
    RunReport as RunReport,
    RunSummary as RunSummary,
    TargetRefresh as TargetRefresh,
    TextPage as TextPage,
    Verdict as Verdict,
    default_callbacks as default_callbacks,
)
from memup_lightning.chunk import Chunk as Chunk, StepBatch as StepBatch
from memup_lightning.data.episodes import ArrayEpisodes as ArrayEpisodes, EpisodeSource as EpisodeSource
from memup_lightning.data.procedural import ProceduralEpisodes as ProceduralEpisodes
from memup_lightning.data.store import EpisodeStore as EpisodeStore, EpisodeWriter as EpisodeWriter
from memup_lightning.data.targets import (
    Explainable as Explainable,
    Proportional as Proportional,
    Scorable as Scorable,
    Selector as Selector,
    TargetTable as TargetTable,
    TopK as TopK,
)
from memup_lightning.datamodules import (
    AddingDataModule as AddingDataModule,
    ArrayDataModule as ArrayDataModule,
    BaseDataModule as BaseDataModule,
    CopyDataModule as CopyDataModule,
    EpisodeDataModule as EpisodeDataModule,
    GymnasiumDataModule as GymnasiumDataModule,
    HiddenFactsDataModule as HiddenFactsDataModule,
    InterferenceDataModule as InterferenceDataModule,
    JointDataModule as JointDataModule,
    MinariDataModule as MinariDataModule,
    PermutedPixelsDataModule as PermutedPixelsDataModule,
    RewardDataModule as RewardDataModule,
    RolloutDataModule as RolloutDataModule,
    TextDataModule as TextDataModule,
    TMazeDataModule as TMazeDataModule,
    TwoColorsDataModule as TwoColorsDataModule,
)
from memup_lightning.envs import (
    InterferenceEnv as InterferenceEnv,
    InterferenceRules as InterferenceRules,
    PassiveTMazeEnv as PassiveTMazeEnv,
    PassiveTMazeExpert as PassiveTMazeExpert,
    PassiveTMazeVectorEnv as PassiveTMazeVectorEnv,
    TMazeEnv as TMazeEnv,
    TMazeExpert as TMazeExpert,
    TMazeRules as TMazeRules,
    TMazeVectorEnv as TMazeVectorEnv,
)
from memup_lightning.exceptions import MemUPError as MemUPError
from memup_lightning.models.encoders import (
    ImageEncoder as ImageEncoder,
    SmallImageEncoder as SmallImageEncoder,
    StepEncoder as StepEncoder,
    TokenEncoder as TokenEncoder,
    VectorEncoder as VectorEncoder,
    WindowEncoder as WindowEncoder,
)
from memup_lightning.models.memory import (
    AMRL as AMRL,
    DNC as DNC,
    GRU as GRU,
    LRU as LRU,
    LSTM as LSTM,
    NTM as NTM,
    RMT as RMT,
    SRNN as SRNN,
    XLSTM as XLSTM,
    DiagonalMemory as DiagonalMemory,
    GTrXL as GTrXL,
    Memory as Memory,
    MinGRU as MinGRU,
    RNNAdapter as RNNAdapter,
    State as State,
)
from memup_lightning.models.outcomes import (
    AdaptiveCategoricalOutcome as AdaptiveCategoricalOutcome,
    CategoricalOutcome as CategoricalOutcome,
    ContinuousOutcome as ContinuousOutcome,
    GaussianOutcome as GaussianOutcome,
    Outcome as Outcome,
    QuantileOutcome as QuantileOutcome,
)
from memup_lightning.models.predictors import (
    AdditivePredictor as AdditivePredictor,
    FiLMPredictor as FiLMPredictor,
    MultiplicativePredictor as MultiplicativePredictor,
    OutcomePredictor as OutcomePredictor,
)
from memup_lightning.models.uncertainty import (
    AverageSurprise as AverageSurprise,
    LocalPredictor as LocalPredictor,
    PredictiveUncertainty as PredictiveUncertainty,
    Uncertainty as Uncertainty,
)
from memup_lightning.modules import (
    BPTT as BPTT,
    RTRL as RTRL,
    TBPTT as TBPTT,
    BaseTask as BaseTask,
    InverseSqrtLR as InverseSqrtLR,
    MemoryAdam as MemoryAdam,
    MemoryTask as MemoryTask,
    MemUP as MemUP,
)
from memup_lightning.rl.agent import Agent as Agent, AgentState as AgentState
from memup_lightning.rl.algorithms import (
    IMPALA as IMPALA,
    PPO as PPO,
    ActorCritic as ActorCritic,
    BehaviorCloning as BehaviorCloning,
    JointPPO as JointPPO,
)
from memup_lightning.rl.wrappers import (
    MemoryObservation as MemoryObservation,
    VectorMemoryObservation as VectorMemoryObservation,
)
from memup_lightning.serving import (
    Prediction as Prediction,
    Predictions as Predictions,
    Predictor as Predictor,
    StreamState as StreamState,
)
from memup_lightning.specs import FieldSpec as FieldSpec, TaskSpec as TaskSpec

__version__: str
__all__: list[str]
_MODULES: dict[str, str]
