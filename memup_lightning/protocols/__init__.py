"""Protocols: the methods by which the layers use each other.

Data, modules and callbacks call the methods of these Protocols and read no other attributes of each other. So a
datamodule, a training method or a callback of your own needs no change of the others: it has the methods.

======================  =====================================  ==============================================
Protocol                implemented by                         used by
======================  =====================================  ==============================================
:class:`ChunkLearner`   modules of memory training             datamodules: what a training chunk must carry
:class:`TargetLearner`  those that learn from later steps      target refresh: scores of steps, clusters
:class:`LaneOwner`      those whose lanes may be overridden    replay: states of lanes
:class:`ChunkSource`    datamodules of recorded episodes       modules and callbacks: episodes and targets
:class:`LaneSchedule`   the training lanes of such data        target refresh, replay
:class:`EpisodeSplit`   the splits of such data                target refresh, callbacks
:class:`TargetStore`    the targets of a split                 target refresh
:class:`WeightKeeper`   BestWeights                            modules: whether a run keeps its best weights
:class:`RunData`        every datamodule                       the report of a run
:class:`Actor`          whatever plays environments            collectors of rollouts
:class:`RolloutLearner` agents that learn from rollouts        datamodules of rollouts
:class:`MemoryLearner`  agents whose memory learns too         the datamodule of both
:class:`RolloutSource`  datamodules of rollouts                agents and their callbacks
======================  =====================================  ==============================================
"""

from memup_lightning.protocols.data import (
    ChunkSource,
    EpisodeSplit,
    LaneSchedule,
    RunData,
    TargetCollection,
    TargetStore,
)
from memup_lightning.protocols.learners import ChunkLearner, LaneOwner, TargetLearner, WeightKeeper
from memup_lightning.protocols.rollouts import Actor, ActorOutput, MemoryLearner, RolloutLearner, RolloutSource

__all__ = [
    "Actor",
    "ActorOutput",
    "ChunkLearner",
    "ChunkSource",
    "EpisodeSplit",
    "LaneOwner",
    "LaneSchedule",
    "MemoryLearner",
    "RolloutLearner",
    "RolloutSource",
    "RunData",
    "TargetCollection",
    "TargetLearner",
    "TargetStore",
    "WeightKeeper",
]
