"""JointDataModule: the episodes that an agent plays, to train its policy and, when they have ended, its memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cached_property
from typing import Any, Unpack

import gymnasium
import numpy as np

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import ArrayEpisodes, EpisodeSource
from memup_lightning.data.targets import Selector
from memup_lightning.datamodules.played.rollouts import RolloutDataModule, RolloutOptions
from memup_lightning.datamodules.recorded.environments.rewards import RewardDataModule, check_reward_options
from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.modules.targets.scoring import score_episodes
from memup_lightning.protocols import ChunkLearner, MemoryLearner
from memup_lightning.rl.algorithms.actor_critic import INPUT
from memup_lightning.rl.collectors.episodes import Episode
from memup_lightning.rl.rollouts.minibatches import iterate_minibatches
from memup_lightning.rl.rollouts.returns import RewardTarget
from memup_lightning.rl.rollouts.rollout import Rollout
from memup_lightning.rng import hash64
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Arrays, Split


class JointDataModule(RolloutDataModule):
    """Datamodule of batches for policy and memory: minibatches of a rollout, then chunks of the newest episodes.

    After every rollout the episodes that ended in it replace the oldest of those that are kept. All are scored by the
    memory's uncertainty, and ``memory_updates`` chunks of them follow. The first time they carry no targets, since the
    local predictor that scores them is untrained.

    Args:
        env_id: a registered environment with Discrete, MultiDiscrete or Box actions.
        env_kwargs: arguments of the environment.
        memory_updates: chunks after each rollout.
        num_episodes: newest episodes that are kept for the memory.
        chunk_length: steps of a chunk, r.
        lanes: episodes of a batch of chunks, B.
        selector: which later steps a chunk gets as targets.
        restart: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.
        outcome: ``reward``, ``n_step`` or ``return``.
        n_steps: of ``n_step``.
        **rollouts: wrappers, observed, num_envs, num_steps, update_epochs, num_minibatches, rollouts_per_epoch,
            vectorization, timeout, num_val, num_test, greedy, success_return, seed: see
            :class:`~memup_lightning.datamodules.played.rollouts.RolloutDataModule`.
    """

    def __init__(
        self,
        env_id: str,
        env_kwargs: dict[str, Any] | None = None,
        memory_updates: int = 200,
        num_episodes: int = 256,
        chunk_length: int = 10,
        lanes: int = 64,
        selector: Selector | None = None,
        restart: list[float] | None = None,
        outcome: RewardTarget = "reward",
        n_steps: int = 1,
        **rollouts: Unpack[RolloutOptions],
    ) -> None:
        super().__init__(env_id, env_kwargs, **rollouts)
        check_counts(1, memory_updates=memory_updates, num_episodes=num_episodes)
        if selector is not None and selector.one_per_cluster:
            raise MemUPError(
                f"JointDataModule selector={type(selector).__name__} needs context clusters, which TargetRefresh finds in "
                "episodes that stay; an agent's episodes are replaced: use TopK or Proportional"
            )
        check_reward_options(outcome, n_steps, 1.0)
        self.memory_updates = memory_updates
        self.num_episodes, self.recent = num_episodes, RecentEpisodes(num_episodes)
        self._chunks = {
            "chunk_length": chunk_length,
            "lanes": lanes,
            "selector": selector,
            "restart": restart,
            "outcome": outcome,
            "n_steps": n_steps,
        }
        self._rounds = 0  # rollouts that were followed by chunks

    @property
    def updates_per_rollout(self) -> int:
        """Batches after each rollout: those of the policy, then those of the memory."""
        return super().updates_per_rollout + self.memory_updates

    def batches(self) -> Iterator[Any]:
        agent = self.agent
        rollout = self.collect()
        while not self.recent.add(rollout):  # the first episodes have not ended yet
            rollout = self.collect()
        yield from iterate_minibatches(agent.make_batches(rollout), self.update_epochs, self.num_minibatches)
        yield from self._memory_batches(agent)

    @property
    def agent(self) -> MemoryLearner:
        agent = super().agent
        if not isinstance(agent, MemoryLearner):
            raise MemUPError(
                f"JointDataModule trains JointPPO, not {type(agent).__name__}; give that a RolloutDataModule"
            )
        return agent

    def _memory_batches(self, agent: MemoryLearner) -> Iterator[Chunk]:
        learner = agent.memory_task()
        data = _RecordedEpisodes(
            self.task, self.spaces, list(self.recent.episodes), self._chunks, self.memory_updates, learner
        )
        data.seed = int(hash64(self.seed, self.consumed)) >> 33
        data.setup("fit")
        if not self._rounds:
            learner.try_networks(data)
        else:
            episodes = np.arange(len(self.recent.episodes))
            score_episodes(data, learner, "train", episodes, lanes=len(episodes))
            data.splits["train"].targets.complete_refresh()
        self._rounds += 1
        for chunk in data.training_stream:
            yield data.join("train", chunk)

    def forget_run(self) -> None:
        super().forget_run()
        self.recent, self._rounds = RecentEpisodes(self.num_episodes), 0

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "rounds": self._rounds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._rounds = state_dict["rounds"]


class RecentEpisodes:
    """Newest episodes of a vector environment, from its rollouts.

    Args:
        capacity: episodes that are kept; a newer one replaces the oldest.

    Attributes:
        episodes: the oldest first.
    """

    def __init__(self, capacity: int) -> None:
        self.episodes: deque[Episode] = deque(maxlen=capacity)
        self._open: list[list[Arrays]] = []  # parts of each environment's episode that has not ended

    def add(self, rollout: Rollout) -> int:
        """Add the next rollout; returns how many episodes are kept now."""
        num_steps, num_envs = rollout.valid.shape
        self._open = self._open or [[] for _ in range(num_envs)]
        fields = {name.removeprefix(INPUT): x for name, x in rollout.record.items() if name.startswith(INPUT)}
        arrays = {name: x.cpu().numpy() for name, x in {**fields, "reward": rollout.reward}.items()}
        action = rollout.record["action"].cpu().numpy()
        arrays["action"] = action.astype(np.int32) if action.dtype.kind == "i" else action
        valid, terminated = rollout.valid.cpu().numpy(), rollout.terminated.cpu().numpy()
        over = (rollout.terminated | rollout.truncated).cpu().numpy() & valid
        for env in range(num_envs):
            begin = 0
            for end in [*(np.flatnonzero(over[:, env]) + 1).tolist(), num_steps]:
                steps = begin + np.flatnonzero(valid[begin:end, env])
                self._open[env].append({name: x[steps, env] for name, x in arrays.items()})
                if end > begin and over[end - 1, env]:
                    self.episodes.append(_joined(self._open[env], bool(terminated[end - 1, env])))
                    self._open[env] = []
                begin = end
        return len(self.episodes)


def _joined(parts: list[Arrays], terminated: bool) -> Episode:
    return Episode({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, terminated)


class _RecordedEpisodes(RewardDataModule):
    """Episodes that an agent played, as a source of chunks."""

    def __init__(
        self,
        task: TaskSpec,
        spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
        episodes: list[Episode],
        chunks: dict[str, Any],
        updates: int,
        learner: ChunkLearner,
    ) -> None:
        super().__init__(**chunks, chunks_per_epoch=updates)
        self._task, self._spaces, self._episodes, self._learner = task, spaces, episodes, learner

    @property
    def origin(self) -> str:
        return "the agent's episodes"

    @property
    def learner(self) -> ChunkLearner:
        return self._learner

    def spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        return self._spaces

    def episodes(self, split: Split) -> EpisodeSource:
        return self._source

    def check_episodes(self, split: Split, source: EpisodeSource) -> None:
        """Accept all: an agent may end an episode at any step, and before its return is known."""

    @cached_property
    def _source(self) -> EpisodeSource:
        return ArrayEpisodes(*self._with_outcomes(self._episodes), self.stored_fields)
