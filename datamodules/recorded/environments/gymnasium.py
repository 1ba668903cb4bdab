"""Episodes of any registered Gymnasium environment."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import fields
from functools import partial
from typing import Any, Unpack

import gymnasium
from gymnasium.envs.registration import load_env_creator

from memup_lightning import rng
from memup_lightning.data.episodes import EpisodeSource
from memup_lightning.data.fingerprint import Json, fingerprints
from memup_lightning.datamodules.recorded.environments.rewards import RewardDataModule, RewardOptions
from memup_lightning.datamodules.recorded.splits import SPLITS
from memup_lightning.envs.policies import Policy, random_policy
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.collectors.episodes import Episode, collect
from memup_lightning.rl.collectors.seeding import repeated_noise, repeats_episodes
from memup_lightning.rl.vector_envs import make_vector_env
from memup_lightning.typing import Split
from memup_lightning.user_warnings import warn_user

_FEWEST = 512  # training episodes by default
_STEPS, _STEPS_OF_IMAGES = 2_000_000, 500_000  # of them: some 800 updates read so many, in 256 lanes or in 64
_BYTES = 1 << 30  # of what is stored of them, at most
_SHOWN = 3  # entries of an observation in a message
_OURS = "memup/"  # environments of this collection


class GymnasiumDataModule(RewardDataModule):
    """Datamodule of episodes played in an environment, kept in memory or on disk.

    The memory reads the observation, the previous action and the previous reward. The local context is the observation
    and the action taken, of the last ``window`` steps. The outcome is made of rewards, or is the action.

    Args:
        env_id: a registered environment whose observations and actions are Box, Discrete, MultiBinary, MultiDiscrete, Dict
            or Tuple.
        env_kwargs: arguments of the environment.
        wrappers: class paths of wrappers, such as ``gymnasium.wrappers.FlattenObservation``, the innermost first.
        policy: a callable ``(observations, action_space) -> actions`` over the whole batch of environments, by class or
            function path; by default every action is equally likely.
        num_train: training episodes; by default as many as have 2 million steps together, or 500,000 where a step holds an
            image, and fewer where they would take more than a GiB, but 512 at least. Too few are memorized.
        num_val: validation episodes; the splits share none.
        num_test: test episodes.
        num_envs: environments played at once.
        max_steps: an episode longer than this is refused; a time limit ends it instead (``max_episode_steps`` among
            ``env_kwargs``).
        **rewards: observed, outcome, n_steps, gamma, eval_at, tolerance, window, cache_dir: see
            :class:`~memup_lightning.datamodules.recorded.environments.rewards.RewardDataModule`; and the arguments of
            :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: an unknown environment, a space that cannot be used, a reward that is not finite, a policy or
            wrapper that a cache could not distinguish from another.
    """

    kept_infos: tuple[str, ...] = ()
    """Numbers of the environment's infos that are kept of a step, as ``info.NAME``, for :meth:`eval_steps`."""

    def __init__(
        self,
        env_id: str,
        env_kwargs: dict[str, Any] | None = None,
        wrappers: list[Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]] | None = None,
        policy: Policy | None = None,
        num_train: int | None = None,
        num_val: int = 256,
        num_test: int = 256,
        num_envs: int = 64,
        max_steps: int = 100_000,
        **rewards: Unpack[RewardOptions],
    ) -> None:
        super().__init__(**rewards)
        self.env_id = env_id
        self.env_kwargs = env_kwargs or {}
        self.wrappers = wrappers or []
        self.policy = policy
        fewest = _FEWEST if num_train is None else num_train
        self.num_episodes: dict[Split, int] = dict(zip(SPLITS, (fewest, num_val, num_test), strict=True))
        self._extends = num_train is None
        for split, number in self.num_episodes.items():
            if number < 1:
                raise MemUPError(f"num_{split}={number}: at least one episode is needed")
        self.num_envs = num_envs
        self.max_steps = max_steps
        self._played_by: dict[str, Json] | None = None
        self._collected = False
        self._asks_for_seed = not str(env_id).startswith(_OURS)

    @property
    def origin(self) -> str:
        return self.env_id

    def spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        env = make_vector_env(self.env_id, 1, self.env_kwargs, self.wrappers)
        env.close()
        return env.single_observation_space, env.single_action_space

    def episodes(self, split: Split) -> EpisodeSource:
        return self.keep(f"{self.env_id}-{split}", lambda: self._parameters(split), lambda: self._play(split))

    def setup(self, stage: str) -> None:
        super().setup(stage)
        if self._collected and self._asks_for_seed:  # afterwards, so that what is collected cannot depend on it
            self._asks_for_seed = False
            self._warn_of_other_seeds()

    def _warn_of_other_seeds(self) -> None:
        """Point out an environment whose episodes do not follow from its seed."""
        make = partial(make_vector_env, self.env_id, 1, self.env_kwargs, self.wrappers)
        repeats = repeats_episodes(make, self.policy or random_policy, self.split_seed("train"))
        if repeats and (found := repeated_noise(make, self.split_seed("train"))):
            shown = ", ".join(found[:_SHOWN]) + ", ..." * (len(found) > _SHOWN)
            warn_user(
                f"{self.env_id} shows the same in each of its {self.num_envs} environments, in training and validation: "
                f"{shown} differs from episode to episode, but not with the seed; draw from self.np_random, which "
                "super().reset(seed=seed) seeds, in place of a generator that the environment makes for itself"
            )
        if repeats is False:
            warn_user(
                f"{self.env_id} plays other episodes after a reset with the same seed: another run with this seed, a run "
                "that is continued, or a cache that is made again may have other data; draw from self.np_random, which "
                "super().reset(seed=seed) seeds, in place of np.random or random"
            )

    def _play(self, split: Split) -> Iterator[Episode]:
        self._collected = True
        number = self.num_episodes[split]
        env = make_vector_env(self.env_id, min(self.num_envs, number), self.env_kwargs, self.wrappers)
        # A cache is found by the policy as it was given: no split may leave it changed for the next.
        policy = (copy.deepcopy(self.policy) if self.cache_dir else self.policy) or random_policy
        seed, steps = self.split_seed(split), 0
        try:
            for episode in collect(env, policy, number, seed, self.max_steps, self.kept_infos):
                steps += len(episode.arrays["reward"])
                yield episode
            more = number * self._default_steps() // steps - number if split == "train" and self._extends else 0
            if more > 0:
                seed = int(rng.hash64(seed, 1)) >> 33
                yield from collect(env, policy, more, seed, self.max_steps, self.kept_infos)
        finally:
            env.close()

    def _default_steps(self) -> int:
        step_bytes = sum(x.step_bytes for x in self.stored_fields.values())
        return min(_STEPS_OF_IMAGES if self.shows_images() else _STEPS, _BYTES // step_bytes)

    def _parameters(self, split: Split) -> dict[str, Json]:
        """Return the parameters that determine the episodes of a split."""
        if self._played_by is None:
            _ = self.task  # imports and registers the environment, or raises
            spec = gymnasium.spec(self.env_id)
            creators = [x for x in (spec.entry_point, spec.vector_entry_point) if x is not None]
            self._played_by = fingerprints(
                {
                    "env_id": self.env_id,
                    "env_spec": {field.name: getattr(spec, field.name) for field in fields(spec)},
                    "env_code": [load_env_creator(x) if isinstance(x, str) else x for x in creators],
                    "env_kwargs": self.env_kwargs,
                    "wrappers": self.wrappers,
                    "policy": self.policy or random_policy,
                    "gymnasium": gymnasium.__version__,
                }
            )
        number = self.num_episodes[split]
        counts: dict[str, Json] = {"num_episodes": number, "num_envs": min(self.num_envs, number)}
        if split == "train" and self._extends:
            counts["num_episodes"] = [_FEWEST, self._default_steps()]
        return {**self._played_by, "seed": self.seed, "split": split, **counts}
