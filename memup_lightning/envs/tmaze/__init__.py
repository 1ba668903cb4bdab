"""The T-Maze: its rules, one maze, and a vector environment of mazes."""

from memup_lightning.envs.tmaze.env import TMazeEnv
from memup_lightning.envs.tmaze.rules import TMazeRules
from memup_lightning.envs.tmaze.vector_env import TMazeVectorEnv

__all__ = ["TMazeEnv", "TMazeRules", "TMazeVectorEnv"]
