"""RolloutDataModule: episodes that the model itself plays, as minibatches to learn from."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypedDict

import gymnasium
import torch
from torch import Tensor
from torch.utils.data import IterableDataset

from memup_lightning.datamodules.agent_task import agent_task
from memup_lightning.datamodules.task import BaseDataModule
from memup_lightning.distributed import rank, share_of_lanes, world_size
from memup_lightning.exceptions import MemUPError, check_counts, check_effect
from memup_lightning.protocols import Actor, RolloutLearner
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from memup_lightning.rl.memory_inputs import describe_actions
from memup_lightning.rl.rollouts.minibatches import iterate_minibatches
from memup_lightning.rl.rollouts.rollout import EpisodeResult, Rollout
from memup_lightning.rl.spaces import space_starts
from memup_lightning.rl.vector_envs import Vectorization, check_action_space, make_vector_env
from memup_lightning.rng import hash64
from memup_lightning.specs import TaskSpec
from memup_lightning.user_warnings import option

_TIMEOUT, _NUM_RECENT = 300.0, 100  # seconds, by default; episodes of which the training progress is the mean
_TRAIN, _VAL, _TEST = range(3)  # purposes of environments: each has seeds of its own


class RolloutOptions(TypedDict, total=False):
    """Arguments of :class:`RolloutDataModule` but the environment, which its subclasses take as well."""

    wrappers: list[Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]] | None
    observed: list[int] | None
    num_envs: int
    num_steps: int
    update_epochs: int
    num_minibatches: int
    rollouts_per_epoch: int
    vectorization: Vectorization
    timeout: float
    num_val: int
    num_test: int
    greedy: bool
    success_return: float | None
    seed: int | None


class RolloutDataModule(BaseDataModule):
    """Datamodule that plays a vector environment with the trained model, and yields minibatches of the rollouts.

    A rollout is ``num_steps`` steps of ``num_envs`` environments; episodes continue from one to the next. The model makes
    rows of it (single steps, or whole sequences), which are divided into ``num_minibatches`` minibatches in each of
    ``update_epochs`` passes; then the next rollout is played with the present weights. One minibatch is one batch of the
    Trainer. Evaluation plays whole episodes in environments of its own.

    A resumed run begins new episodes: the state of an environment cannot be saved in general.

    Args:
        env_id: a registered environment with Discrete, MultiDiscrete or Box actions.
        env_kwargs: arguments of the environment.
        wrappers: class paths of wrappers, the innermost first.
        observed: entries of a flat Box observation that the agent reads; the others are masked out.
        num_envs: environments played at once. It counts those of all ranks together, which share them evenly.
        num_steps: steps of a rollout, in each environment.
        update_epochs: passes over a rollout.
        num_minibatches: minibatches of a pass.
        rollouts_per_epoch: rollouts of an epoch of the Trainer.
        vectorization: ``native``: the environment's own, where it has one; ``sync``: one after another; ``async``: each in
            a process of its own.
        timeout: seconds to wait for a step of environments in processes of their own.
        num_val: episodes of an evaluation.
        num_test: episodes of ``test`` and ``predict``.
        greedy: whether evaluation takes the most probable actions instead of drawing them.
        success_return: least return of an episode that counts as a success; by default success is not reported.
        seed: of the environments; by default that of ``seed_everything``.

    Attributes:
        environment_steps: steps taken for training so far, on this rank.
    """

    def __init__(
        self,
        env_id: str,
        env_kwargs: dict[str, Any] | None = None,
        wrappers: list[Callable[[gymnasium.Env[Any, Any]], gymnasium.Env[Any, Any]]] | None = None,
        observed: list[int] | None = None,
        num_envs: int = 64,
        num_steps: int = 128,
        update_epochs: int = 4,
        num_minibatches: int = 4,
        rollouts_per_epoch: int = 10,
        vectorization: Vectorization = "native",
        timeout: float = _TIMEOUT,
        num_val: int = 100,
        num_test: int = 200,
        greedy: bool = True,
        success_return: float | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        check_counts(1, num_envs=num_envs, num_steps=num_steps, rollouts_per_epoch=rollouts_per_epoch, num_val=num_val)
        check_counts(1, update_epochs=update_epochs, num_minibatches=num_minibatches, num_test=num_test)
        if vectorization != "async":
            check_effect("timeout", timeout, _TIMEOUT, f"with vectorization={vectorization}")
        self.env_id, self.env_kwargs, self.wrappers = env_id, env_kwargs or {}, wrappers or []
        self.num_envs, self.num_steps, self.observed = num_envs, num_steps, observed
        self.update_epochs, self.num_minibatches = update_epochs, num_minibatches
        self.rollouts_per_epoch, self.timeout = rollouts_per_epoch, timeout
        self.vectorization: Vectorization = vectorization
        self.num_val, self.num_test, self.greedy, self.success_return = num_val, num_test, greedy, success_return
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self.consumed = 0  # batches handed out
        self.environment_steps = 0
        self._recent: deque[EpisodeResult] = deque(maxlen=_NUM_RECENT)
        self._spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]] | None = None
        self._collector: RolloutCollector | None = None

    @property
    def task(self) -> TaskSpec:
        return agent_task(*self.spaces, self.env_id, self.observed)

    @property
    def spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        """Of an observation and of an action."""
        if self._spaces is None:
            env = make_vector_env(self.env_id, 1, self.env_kwargs, self.wrappers)
            env.close()
            check_action_space(env.single_action_space, self.env_id)
            self._spaces = env.single_observation_space, env.single_action_space
        return self._spaces

    @property
    def updates_per_rollout(self) -> int:
        """Minibatches after each rollout."""
        return self.update_epochs * self.num_minibatches

    def training_progress(self) -> dict[str, float]:
        """Return the environment steps taken so far, and means over the last 100 training episodes."""
        progress: dict[str, float] = {"environment_steps": self.environment_steps}
        if count := len(self._recent):
            progress["return"] = sum(x.episode_return for x in self._recent) / count
            progress["length"] = sum(x.length for x in self._recent) / count
            if self.success_return is not None:
                progress["success"] = sum(self.is_success(x) for x in self._recent) / count
        return progress

    def num_environment_steps(self) -> int:
        return self.environment_steps

    def is_success(self, episode: EpisodeResult) -> bool:
        """Return whether an episode counts as a success: by its return, where ``success_return`` is set."""
        return self.success_return is not None and episode.episode_return >= self.success_return

    @contextmanager
    def evaluation_collector(self, num_envs: int, purpose: int) -> Iterator[RolloutCollector]:
        """Make new environments, and close them at the end."""
        collector = self._new_collector(num_envs, purpose)
        try:
            yield collector
        finally:
            collector.env.close()

    def play_episode(self, actor: Actor) -> float:
        """Play one episode in an environment of its own, and return the sum of its rewards."""
        env = make_vector_env(self.env_id, 1, self.env_kwargs, self.wrappers)
        try:
            collector = RolloutCollector(env, self.task, self.seed, self._device)
            (result,) = collector.episodes(actor, 1)
        finally:
            env.close()
        return result.episode_return

    def train_dataloader(self) -> _Rollouts:
        return _Rollouts(self)

    def val_dataloader(self) -> _Episodes:
        return _Episodes(self, self.num_val, _VAL)

    def test_dataloader(self) -> _Episodes:
        return _Episodes(self, self.num_test, _TEST)

    def predict_dataloader(self) -> _Episodes:
        return _Episodes(self, self.num_test, _TEST)

    def check_ranks(self, num_ranks: int) -> None:
        share_of_lanes(self.num_envs, option("data.init_args.num_envs"), num_ranks)

    def collect(self) -> Rollout:
        """Play the next rollout with the model's present weights."""
        if self._collector is None:
            self._collector = self._new_collector(share_of_lanes(self.num_envs, "num_envs"), _TRAIN, self.consumed)
        rollout = self._collector.collect(self.agent, self.num_steps)
        self.environment_steps += rollout.num_valid_steps
        self._recent.extend(self._collector.take_finished())
        return rollout

    def batches(self) -> Iterator[Any]:
        """Play a rollout, and divide it into :attr:`updates_per_rollout` batches."""
        return iterate_minibatches(self.agent.make_batches(self.collect()), self.update_epochs, self.num_minibatches)

    @property
    def agent(self) -> RolloutLearner:
        """Model that plays.

        Raises:
            MemUPError: a model that does not play.
        """
        model = self._model
        if not isinstance(model, RolloutLearner):
            raise MemUPError(
                f"RolloutDataModule plays with an agent (PPO, ...), not with {type(model).__name__}; "
                "give that a datamodule of recorded episodes (TMazeDataModule, GymnasiumDataModule, ...)"
            )
        return model

    @property
    def _device(self) -> torch.device | str:
        return "cpu" if self._model is None else self._model.device

    def _new_collector(self, num_envs: int, purpose: int, number: int = 0) -> RolloutCollector:
        env = make_vector_env(self.env_id, num_envs, self.env_kwargs, self.wrappers, self.vectorization)
        seed = int(hash64(self.seed, purpose, number, rank())) >> 33  # 31 bits
        return RolloutCollector(env, self.task, seed, self._device, self.timeout)

    def setup(self, stage: str) -> None:
        _ = self.agent  # refuses other models
        self.begin_if_another_model(stage)

    def forget_run(self) -> None:
        self.consumed = self.environment_steps = 0
        self._recent.clear()

    def teardown(self, stage: str) -> None:
        if self._collector is not None:
            self._collector.env.close()
            self._collector = None

    def state_dict(self) -> dict[str, Any]:
        counts = {"consumed": self.consumed, "environment_steps": self.environment_steps}
        observation, action = self.spaces
        spaces = {"actions": describe_actions(action), "starts": space_starts("observation", observation)}
        return {**counts, **spaces}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.consumed, self.environment_steps = state_dict["consumed"], state_dict["environment_steps"]


class _Rollouts(IterableDataset[Any]):
    """Batches of an epoch.

    The data set has a length, so Lightning fetches no batch before the previous one was used, and a rollout is played
    with the weights after the last update.
    """

    def __init__(self, data: RolloutDataModule) -> None:
        self.data = data

    def __len__(self) -> int:
        return self.data.rollouts_per_epoch * self.data.updates_per_rollout

    def __iter__(self) -> Iterator[Any]:
        data = self.data
        updates = data.updates_per_rollout
        first = data.consumed % len(self)  # of a resumed run
        for number in range(first // updates, data.rollouts_per_epoch):
            for update, batch in enumerate(data.batches()):
                if number * updates + update >= first:
                    data.consumed += 1
                    yield batch


class _Episodes(IterableDataset[dict[str, Tensor]]):
    """Whole episodes, played with the model's present weights, a batch each."""

    def __init__(self, data: RolloutDataModule, num_episodes: int, purpose: int) -> None:
        self.data, self.purpose = data, purpose
        self.num_episodes = -(-num_episodes // world_size())  # as many on every rank

    def __len__(self) -> int:
        return self.num_episodes

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        data = self.data
        actor: Actor = data.agent.greedy_actor() if data.greedy else data.agent
        with data.evaluation_collector(min(data.num_envs, self.num_episodes), self.purpose) as collector:
            for number, result in enumerate(collector.episodes(actor, self.num_episodes)):
                episode = {
                    "episode": torch.tensor([number]),
                    "return": torch.tensor([result.episode_return]),
                    "length": torch.tensor([result.length]),
                }
                if data.success_return is not None:
                    episode["success"] = torch.tensor([float(data.is_success(result))])
                yield episode
