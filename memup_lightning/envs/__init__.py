"""Gymnasium environments of our own. Importing this package registers them under ``memup/``.

``gymnasium.make("memup_lightning.envs:memup/TMaze-v0")`` imports and makes in one call.
"""

import gymnasium

from memup_lightning.envs.tmaze import TMazeEnv, TMazeRules, TMazeVectorEnv

__all__ = ["TMazeEnv", "TMazeRules", "TMazeVectorEnv"]

gymnasium.register(
    id="memup/TMaze-v0",
    entry_point="memup_lightning.envs.tmaze:TMazeEnv",
    vector_entry_point="memup_lightning.envs.tmaze:TMazeVectorEnv",
)
