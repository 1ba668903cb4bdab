"""RolloutDataModule: episodes that the model itself plays, as batches to learn from."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import gymnasium
import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.utils.data import IterableDataset

from memup_lightning.datamodules.agent_task import agent_task
from memup_lightning.datamodules.task import BaseDataModule
from memup_lightning.distributed import rank, share_of_lanes, world_size
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import State, map_state
from memup_lightning.rl.algorithms.actor_critic import ActorCritic, RolloutBatch
from memup_lightning.rl.rollouts import Actor, ActorOutput, EpisodeResult, Rollout, RolloutCollector, describe_actions
from memup_lightning.rl.spaces import space_starts
from memup_lightning.rl.vector_envs import Vectorization, make_agent_env
from memup_lightning.rng import hash64
from memup_lightning.specs import TaskSpec

_RECENT = 100  # episodes that the running return is the mean of
_TRAIN, _VAL, _TEST = range(3)


class RolloutDataModule(BaseDataModule):
    """Plays a vector environment with the model that is trained, and hands out what was played in batches.

    A rollout is ``num_steps`` steps of ``num_envs`` environments; episodes go on from one to the next. The model
    makes rows of
    it (single steps, or whole sequences), which are dealt anew into ``minibatches`` batches in each of
    ``update_epochs`` passes;
    then the next rollout is played, by the model as it is then. One batch is one update of the Trainer. Evaluation plays
    whole episodes in environments of its own.

    A resumed run begins new episodes: what an environment was in the middle of cannot be saved in general.

    Args:
        env_id: a registered environment with Discrete, MultiDiscrete or Box actions.
        env_kwargs: arguments of the environment.
        wrappers: class paths of wrappers, the innermost first.
        observed: entries of a flat Box observation that are seen; the others are masked out.
        num_envs: environments played side by side. It counts those of all ranks together, which split it evenly.
        num_steps: steps of a rollout, in each environment.
        update_epochs: passes over a rollout.
        minibatches: batches of a pass.
        rollouts_per_epoch: rollouts of an epoch of the Trainer.
        vectorization: ``native``: the environment's own, where it has one; ``sync``: one after another; ``async``: each in
            a process of its own.
        timeout: seconds to wait for a step of environments in processes of their own.
        num_val, num_test: episodes of an evaluation, and of ``test`` and ``predict``.
        greedy: whether evaluation takes the most probable actions, not drawn ones.
        success_return: the return from which on an episode counts as a success; by default no episode does.
        seed: the environments follow from it; by default that of ``seed_everything``.

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
        timeout: float = 300.0,
        num_val: int = 100,
        num_test: int = 200,
        greedy: bool = True,
        success_return: float | None = None,
        seed: int | None = None,
    ) -> None:
        super().__init__()
        counts = {
            "num_steps": num_steps,
            "update_epochs": update_epochs,
            "minibatches": num_minibatches,
            "num_val": num_val,
        }
        for name, value in {**counts, "num_test": num_test, "rollouts_per_epoch": rollouts_per_epoch}.items():
            if value < 1:
                raise MemUPError(f"{name}={value}: must be at least 1")
        self.env_id, self.env_kwargs, self.wrappers = env_id, env_kwargs or {}, wrappers or []
        self.observed = observed
        self.num_envs, self.num_steps, self.update_epochs, self.num_minibatches = (
            num_envs,
            num_steps,
            update_epochs,
            num_minibatches,
        )
        self.rollouts_per_epoch = rollouts_per_epoch
        self.vectorization: Vectorization = vectorization
        self.timeout = timeout
        self.num_val, self.num_test, self.greedy, self.success_return = num_val, num_test, greedy, success_return
        self.seed = int(os.environ.get("PL_GLOBAL_SEED", 0)) if seed is None else seed
        self.consumed = 0  # batches handed out
        self.environment_steps = 0
        self._recent: deque[EpisodeResult] = deque(maxlen=_RECENT)
        self._spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]] | None = None
        self._player: RolloutCollector | None = None

    @property
    def task(self) -> TaskSpec:
        return agent_task(*self.spaces, self.env_id, self.observed, has_eval_mask=False)

    @property
    def spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        """Of an observation and of an action."""
        if self._spaces is None:
            env = make_agent_env(self.env_id, 1, self.env_kwargs, self.wrappers)
            env.close()
            self._spaces = env.single_observation_space, env.single_action_space
        return self._spaces

    @property
    def updates_per_rollout(self) -> int:
        return self.update_epochs * self.num_minibatches

    @property
    def progress(self) -> dict[str, float]:
        """How the training is going: steps taken, and means over the last 100 episodes."""
        found: dict[str, float] = {"environment_steps": self.environment_steps}
        if self._recent:
            found["return"] = sum(x.episode_return for x in self._recent) / len(self._recent)
            found["length"] = sum(x.length for x in self._recent) / len(self._recent)
            if self.success_return is not None:
                found["success"] = sum(self.succeeds(x) for x in self._recent) / len(self._recent)
        return found

    def succeeds(self, episode: EpisodeResult) -> bool:
        return self.success_return is not None and episode.episode_return >= self.success_return

    def player(self, num_envs: int, purpose: int, number: int = 0) -> RolloutCollector:
        """New environments, at the beginning of episodes that follow from the seed."""
        env = make_agent_env(self.env_id, num_envs, self.env_kwargs, self.wrappers, self.vectorization)
        seed = int(hash64(self.seed, purpose, number, rank())) >> 33  # 31 bits
        return RolloutCollector(env, self.task, seed, self.observed, self.agent.device, self.timeout)

    def train_dataloader(self) -> _Rollouts:
        return _Rollouts(self)

    def val_dataloader(self) -> _Episodes:
        return _Episodes(self, self.num_val, _VAL)

    def test_dataloader(self) -> _Episodes:
        return _Episodes(self, self.num_test, _TEST)

    def predict_dataloader(self) -> _Episodes:
        return _Episodes(self, self.num_test, _TEST)

    def play(self) -> Rollout:
        """The next rollout, played by the model as it is now."""
        model = self.agent
        if self._player is None:
            envs = share_of_lanes(self.num_envs, "data.init_args.num_envs")
            self._player = self.player(envs, _TRAIN, self.consumed)
        rollout = self._player.rollout(model, self.num_steps)
        self.environment_steps += rollout.num_valid_steps
        self._recent.extend(self._player.take_finished())
        return rollout

    def batches(self) -> Iterator[Any]:
        """Play a rollout, and share it out: as many batches as :attr:`updates_per_rollout`."""
        return iterate_minibatches(self.agent.make_batches(self.play()), self.update_epochs, self.num_minibatches)

    @property
    def agent(self) -> ActorCritic:
        """The model that plays.

        Raises:
            MemUPError: it is none.
        """
        model: LightningModule | None = self.trainer.lightning_module if self.trainer is not None else None
        if not isinstance(model, ActorCritic):
            raise MemUPError(
                f"RolloutDataModule plays with an agent (PPO, ...), not with {type(model).__name__}; "
                "give that a datamodule of recorded episodes (TMazeDataModule, GymnasiumDataModule, ...)"
            )
        return model

    def setup(self, stage: str) -> None:
        _ = self.agent  # says what does not fit

    def teardown(self, stage: str) -> None:
        if self._player is not None:
            self._player.env.close()
            self._player = None

    def state_dict(self) -> dict[str, Any]:
        counts = {"consumed": self.consumed, "environment_steps": self.environment_steps}
        observation, action = self.spaces
        acts = {"actions": describe_actions(action), "starts": space_starts("observation", observation)}
        return {**counts, **acts, "observed": self.observed}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.consumed, self.environment_steps = state_dict["consumed"], state_dict["environment_steps"]


class _Rollouts(IterableDataset[Any]):
    """The batches of an epoch. It has a length, so that Lightning asks for a batch only when it is due: a rollout is played
    by the weights behind the update before it."""

    def __init__(self, data: RolloutDataModule) -> None:
        self.data = data

    def __len__(self) -> int:
        return self.data.rollouts_per_epoch * self.data.updates_per_rollout

    def __iter__(self) -> Iterator[Any]:
        data = self.data
        each = data.updates_per_rollout
        first = data.consumed % len(self)  # of a resumed run
        for number in range(first // each, data.rollouts_per_epoch):
            for update, batch in enumerate(data.batches()):
                if number * each + update >= first:
                    data.consumed += 1
                    yield batch


def iterate_minibatches(rows: RolloutBatch, epochs: int, num_minibatches: int) -> Iterator[RolloutBatch]:
    """Batches of rows: in each epoch all rows of which any step counts (``valid``), in a new random order.

    Raises:
        MemUPError: fewer rows than batches.
    """
    which = rows["valid"].flatten(1).any(1) if rows["valid"].dim() > 1 else rows["valid"]
    counting = which.nonzero().flatten()
    count = len(counting)
    if count < num_minibatches:
        raise MemUPError(
            f"num_minibatches={num_minibatches}: a rollout has only {count} rows (environments for a memory "
            "that learns with the policy, else steps); give fewer, or more num_envs or steps"
        )
    for _ in range(epochs):
        order = counting[torch.randperm(count, device=counting.device)]
        for picked in order.tensor_split(num_minibatches):
            yield {name: map_state(lambda x, at=picked: x[at], part) for name, part in rows.items()}


class _Greedy:
    """An agent that takes its most probable actions."""

    def __init__(self, agent: ActorCritic) -> None:
        self.agent = agent
        self.initial_state, self.value = agent.initial_state, agent.value

    def act(self, inputs: dict[str, Tensor], state: State, is_first: Tensor) -> ActorOutput:
        return self.agent.act(inputs, state, is_first, greedy=True)


class _Episodes(IterableDataset[dict[str, Tensor]]):
    """Whole episodes, played by the model as it is; a batch is one of them, when it ends."""

    def __init__(self, data: RolloutDataModule, episodes: int, purpose: int) -> None:
        self.data, self.purpose = data, purpose
        self.episodes = -(-episodes // world_size())  # as many on every rank

    def __len__(self) -> int:
        return self.episodes

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        data = self.data
        model = data.agent
        actor: Actor = _Greedy(model) if data.greedy else model
        player = data.player(min(data.num_envs, self.episodes), self.purpose)
        try:
            for number, result in enumerate(player.episodes(actor, self.episodes)):
                found = {
                    "episode": torch.tensor([number]),
                    "return": torch.tensor([result.episode_return]),
                    "length": torch.tensor([result.length]),
                }
                if data.success_return is not None:
                    found["success"] = torch.tensor([float(data.succeeds(result))])
                yield found
        finally:
            player.env.close()
