"""Episodes of any registered Gymnasium environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import gymnasium
import numpy as np

from datamodules.base import EpisodeDataModule, Split
from memup_lightning import counter
from memup_lightning.collect import Policy, collect, make_vector_env, random_policy, space_fields
from memup_lightning.episodes import EVALUATE, HAS_OUTCOME, OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.errors import MemUPError
from memup_lightning.returns import OutcomeKind, outcomes
from memup_lightning.task import Field, Task

_SPLITS: tuple[Split, ...] = ("train", "val", "test")


class GymnasiumDataModule(EpisodeDataModule):
    """Plays an environment, keeps the episodes in memory, and streams them.

    The memory reads the observation, the action before it and the reward before it. The local context is the
    observation and the action taken, of the last ``window`` steps. The outcome is made of rewards.

    Args:
        env_id: a registered environment with Box, Discrete, MultiBinary, MultiDiscrete, Dict or Tuple observations and
            Discrete, MultiDiscrete, MultiBinary or Box actions.
        env_kwargs: arguments of the environment.
        wrappers: class paths of wrappers, the innermost first.
        policy: a callable ``(observations, action_space) -> actions`` over the whole batch of environments, by class or
            function path; by default every action is equally likely.
        observed: entries of a flat Box observation that are seen; the others are masked out.
        outcome: ``reward``, ``n_step`` (sum of n_steps rewards) or ``return`` (to the end of the episode).
        n_steps: of ``n_step``.
        discount: gamma of ``n_step`` and ``return``.
        judged: where the memory is judged: at ``all`` steps with an outcome, or at the ``last`` step of each episode.
        tolerance: a predicted outcome counts as right within this distance.
        window: steps of the local context.
        num_train, num_val, num_test: episodes of each split; the splits share none.
        num_envs: environments played side by side.
        max_steps: longest episode that is accepted.
        **stream: see :class:`~datamodules.base.EpisodeDataModule`.

    Raises:
        MemUPError: an unknown environment, a space that cannot be used, a reward that is not finite.
    """

    def __init__(
        self,
        env_id: str,
        env_kwargs: dict[str, Any] | None = None,
        wrappers: list[Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]] | None = None,
        policy: Policy | None = None,
        observed: list[int] | None = None,
        outcome: OutcomeKind = "reward",
        n_steps: int = 1,
        discount: float = 1.0,
        judged: Literal["all", "last"] = "all",
        tolerance: float = 0.3,
        window: int = 1,
        num_train: int = 512,
        num_val: int = 256,
        num_test: int = 256,
        num_envs: int = 64,
        max_steps: int = 1_000_000,
        **stream: Any,
    ) -> None:
        super().__init__(**stream)
        self.env_id = env_id
        self.env_kwargs = env_kwargs or {}
        self.wrappers = wrappers or []
        self.policy = policy
        self.observed = observed
        self.outcome: OutcomeKind = outcome
        self.n_steps = n_steps
        self.discount = discount
        self.judged = judged
        self.tolerance = tolerance
        self.window = window
        self.num_episodes: dict[Split, int] = dict(zip(_SPLITS, (num_train, num_val, num_test), strict=True))
        for split, number in self.num_episodes.items():
            if number < 1:
                raise MemUPError(f"num_{split}={number}: at least one episode is needed")
        self.num_envs = num_envs
        self.max_steps = max_steps
        self._task: Task | None = None

    @property
    def task(self) -> Task:
        if self._task is None:
            env = make_vector_env(self.env_id, 1, self.env_kwargs, self.wrappers)
            observation = space_fields("observation", env.single_observation_space)
            action = space_fields("action", env.single_action_space)
            env.close()
            if self.observed is not None:
                observation = {"observation": self._mask_field(observation)}
            self._task = Task(
                fields={**observation, **action, "reward": Field()},
                inputs={**dict.fromkeys(observation, 0), **dict.fromkeys(action, 1), "reward": 1},
                context=(*observation, *action),
                window=self.window,
                tolerance=self.tolerance,
                judged=self.judged == "last",
            )
        return self._task

    def episodes(self, split: Split) -> EpisodeSource:
        number = self.num_episodes[split]
        env = make_vector_env(self.env_id, min(self.num_envs, number), self.env_kwargs, self.wrappers)
        try:
            arrays, lengths, terminated = collect(
                env, self.policy or random_policy, number, self.split_seed(split), self.max_steps
            )
        finally:
            env.close()
        if self.observed is not None:
            arrays["observation"] = np.ascontiguousarray(arrays["observation"][:, self.observed])
        arrays[OUTCOME], arrays[HAS_OUTCOME] = outcomes(
            self.outcome, arrays["reward"], lengths, terminated, self.n_steps, self.discount
        )
        if self.judged == "last":
            arrays[EVALUATE] = np.zeros(len(arrays[OUTCOME]), np.bool_)
            arrays[EVALUATE][np.cumsum(lengths) - 1] = True
        return ArrayEpisodes(arrays, lengths, self.task.fields)

    def split_seed(self, split: Split) -> int:
        """Seed of the environments of a split, 31 bits."""
        return int(counter.hash64(self.seed, _SPLITS.index(split))) >> 33

    def _mask_field(self, observation: dict[str, Field]) -> Field:
        assert self.observed is not None
        field = observation.get("observation")
        if field is None or len(field.shape) != 1:
            raise MemUPError(
                f"observed={self.observed} needs a flat Box observation, but {self.env_id} has {observation}"
            )
        wrong = [entry for entry in self.observed if not 0 <= entry < field.shape[0]]
        if wrong or not self.observed:
            raise MemUPError(f"observed={self.observed}: choose among the entries 0 to {field.shape[0] - 1}")
        return Field((len(self.observed),), field.dtype, field.kind, field.classes)
