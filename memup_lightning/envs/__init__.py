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
for name in ("TwoColors", "TwoColorsDelay"):
    # By name: ViZDoom, an extra of this package, is imported where one is made.
    gymnasium.register(
        id=f"memup/{name}-v0",
        entry_point=f"memup_lightning.envs.two_colors.env:{name}Env",
        vector_entry_point=f"memup_lightning.envs.two_colors.vector_env:{name}VectorEnv",
    )
