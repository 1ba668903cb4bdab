"""Memory cores: one file each. A class path in the config is all it takes to use another, your own included."""

from memup_lightning.memory.base import Memory, State, check_memory, detach, map_state, put, reset, take
from memup_lightning.memory.gru import GRU
from memup_lightning.memory.lstm import LSTM
from memup_lightning.memory.module import ModuleMemory

__all__ = [
    "GRU",
    "LSTM",
    "Memory",
    "ModuleMemory",
    "State",
    "check_memory",
    "detach",
    "map_state",
    "put",
    "reset",
    "take",
]
