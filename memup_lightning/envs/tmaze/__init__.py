"""The T-Maze: its rules, one maze, and many mazes side by side."""

from memup_lightning.envs.tmaze.env import TMazeEnv
from memup_lightning.envs.tmaze.rules import TMazeRules
from memup_lightning.envs.tmaze.vector_env import TMazeVectorEnv

__all__ = ["TMazeEnv", "TMazeRules", "TMazeVectorEnv"]
