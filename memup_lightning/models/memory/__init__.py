"""Memory cores, one file each. A config names a core, also one of your own, by its class path."""

from memup_lightning.models.memory.amrl import AMRL
from memup_lightning.models.memory.base import Memory, State, detach, map_state, put, reset, take
from memup_lightning.models.memory.diagonal import DiagonalMemory
from memup_lightning.models.memory.dnc import DNC
from memup_lightning.models.memory.external.adapter import RNNAdapter
from memup_lightning.models.memory.external.contract import check_memory, make_memory
from memup_lightning.models.memory.gru import GRU
from memup_lightning.models.memory.gtrxl import GTrXL
from memup_lightning.models.memory.lru import LRU
from memup_lightning.models.memory.lstm import LSTM
from memup_lightning.models.memory.mingru import MinGRU
from memup_lightning.models.memory.ntm import NTM
from memup_lightning.models.memory.rmt import RMT
from memup_lightning.models.memory.srnn import SRNN
from memup_lightning.models.memory.xlstm import XLSTM

__all__ = [
    "AMRL",
    "DNC",
    "GRU",
    "LRU",
    "LSTM",
    "NTM",
    "RMT",
    "SRNN",
    "XLSTM",
    "DiagonalMemory",
    "GTrXL",
    "Memory",
    "MinGRU",
    "RNNAdapter",
    "State",
    "check_memory",
    "detach",
    "make_memory",
    "map_state",
    "put",
    "reset",
    "take",
]
