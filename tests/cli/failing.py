"""Command lines that must fail."""

from __future__ import annotations

from collections.abc import Callable

Fails = Callable[..., str]
FIT = ("fit", "--config", "tiny.yaml")
GYM = ("--data=GymnasiumDataModule", "--data.init_args.num_train=2", "--data.init_args.num_envs=1")
BROKEN = """
    import gymnasium
    import numpy as np
    from memup_lightning.datamodules import EpisodeDataModule, TMazeDataModule
    from memup_lightning.data.episodes import OUTCOME, ArrayEpisodes
    from memup_lightning.data.targets import Selector


    class EmptyEpisode(TMazeDataModule):
        lengths, value = [3, 0, 2], 1.0

        def episodes(self, split):
            steps = sum(self.lengths)
            arrays = {"observation": np.zeros((steps, 3), np.float32), "action": np.zeros(steps, np.int32)}
            arrays |= {"reward": np.zeros(steps, np.float32), OUTCOME: np.full(steps, self.value, np.float32)}
            return ArrayEpisodes(arrays, self.lengths, self.task.fields)


    class NeedsTargets(Selector):
        def score(self, steps):
            return steps.uncertainty


    class NoEpisode(EmptyEpisode):
        lengths = []


    class NaNOutcome(EmptyEpisode):
        lengths, value = [3, 2], float("nan")


    class NaNReward(gymnasium.Env):
        observation_space, action_space = gymnasium.spaces.Box(-1, 1, (1,)), gymnasium.spaces.Discrete(2)

        def reset(self, *, seed=None, options=None):
            super().reset(seed=seed)
            self.left = 3
            return np.zeros(1, np.float32), {}

        def step(self, action):
            self.left -= 1
            return np.zeros(1, np.float32), float("nan"), self.left == 0, False, {}


    if "NaNReward-v0" not in gymnasium.registry:
        gymnasium.register("NaNReward-v0", NaNReward)
"""
