"""The T-Mazes: rules, one maze, a vector environment of mazes, and a scripted expert of each."""

from memup_lightning.envs.tmaze.env import TMazeEnv, TMazeExpert
from memup_lightning.envs.tmaze.passive import PassiveTMazeEnv, PassiveTMazeExpert, PassiveTMazeVectorEnv
from memup_lightning.envs.tmaze.rules import TMazeRules
from memup_lightning.envs.tmaze.vector_env import TMazeVectorEnv

__all__ = [
    "PassiveTMazeEnv",
    "PassiveTMazeExpert",
    "PassiveTMazeVectorEnv",
    "TMazeEnv",
    "TMazeExpert",
    "TMazeRules",
    "TMazeVectorEnv",
]
