"""Gymnasium environments of our own. Importing this package registers them under ``memup/``.

``gymnasium.make("memup_lightning.envs:memup/TMaze-v0")`` imports and makes in one call.
"""

import gymnasium

from memup_lightning.envs.interference import InterferenceEnv, InterferenceRules
from memup_lightning.envs.tmaze import (
    PassiveTMazeEnv,
    PassiveTMazeExpert,
    PassiveTMazeVectorEnv,
    TMazeEnv,
    TMazeExpert,
    TMazeRules,
    TMazeVectorEnv,
)

__all__ = [
    "InterferenceEnv",
    "InterferenceRules",
    "PassiveTMazeEnv",
    "PassiveTMazeExpert",
    "PassiveTMazeVectorEnv",
    "TMazeEnv",
    "TMazeExpert",
    "TMazeRules",
    "TMazeVectorEnv",
]

for name in ("TMaze", "PassiveTMaze"):
    gymnasium.register(
        id=f"memup/{name}-v0",
        entry_point=f"memup_lightning.envs.tmaze:{name}Env",
        vector_entry_point=f"memup_lightning.envs.tmaze:{name}VectorEnv",
    )
gymnasium.register(id="memup/Interference-v0", entry_point="memup_lightning.envs.interference:InterferenceEnv")
for name in ("TwoColors", "TwoColorsDelay"):
    # By name: ViZDoom, an extra of this package, is imported where one is made.
    gymnasium.register(
        id=f"memup/{name}-v0",
        entry_point=f"memup_lightning.envs.two_colors.env:{name}Env",
        vector_entry_point=f"memup_lightning.envs.two_colors.vector_env:{name}VectorEnv",
    )
