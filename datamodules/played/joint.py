"""JointDataModule: the episodes that an agent plays, for its policy and, as they are over, for its memory too."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import gymnasium
import numpy as np

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import ArrayEpisodes, EpisodeSource
from memup_lightning.data.targets import Selector
from memup_lightning.datamodules.played.rollouts import RolloutDataModule, iterate_minibatches
from memup_lightning.datamodules.recorded.rewards import RewardDataModule
from memup_lightning.datamodules.scoring import score
from memup_lightning.exceptions import MemUPError
from memup_lightning.rl.algorithms.actor_critic import INPUT
from memup_lightning.rl.algorithms.joint_ppo import JointPPO
from memup_lightning.rl.collectors import Episode
from memup_lightning.rl.returns import RewardTarget
from memup_lightning.rl.rollouts import Rollout
from memup_lightning.rng import hash64
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Arrays, IntArray, Split


class JointDataModule(RolloutDataModule):
    """Hands out batches of two kinds in turn: a rollout for the policy, then chunks of the newest episodes for the memory.

    After every rollout the episodes that ended in it replace the oldest of those that are kept; all are scored by the
    memory's uncertainty, and ``memory_updates`` chunks of them follow, with targets from the second time on: before that
    the local predictor has learned nothing to score by.

    Args:
        env_id: see :class:`~memup_lightning.datamodules.played.rollouts.RolloutDataModule`.
        memory_updates: chunks after each rollout.
        num_episodes: episodes that are kept.
        chunk_length: steps of a chunk, r.
        lanes: episodes that the chunks are from, side by side.
        selector: which later steps a chunk gets as targets.
        restart: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.
        outcome: ``reward``, ``n_step`` or ``return``.
        n_steps: of ``n_step``.
        outcome_discount: gamma of ``n_step`` and ``return``.
        **rollouts: see :class:`~memup_lightning.datamodules.played.rollouts.RolloutDataModule`.
    """

    def __init__(
        self,
        env_id: str,
        memory_updates: int = 200,
        num_episodes: int = 256,
        chunk_length: int = 10,
        lanes: int = 64,
        selector: Selector | None = None,
        restart: list[float] | None = None,
        outcome: RewardTarget = "reward",
        n_steps: int = 1,
        outcome_discount: float = 1.0,
        **rollouts: Any,
    ) -> None:
        super().__init__(env_id, **rollouts)
        if memory_updates < 1 or num_episodes < 1:
            raise MemUPError(f"memory_updates={memory_updates}, num_episodes={num_episodes}: both must be at least 1")
        if selector is not None and selector.num_clusters:
            raise MemUPError(
                f"JointDataModule selector={type(selector).__name__} tells context clusters apart, which TargetRefresh "
                "finds in episodes that stay; an agent's do not: take TopK or Proportional"
            )
        self.memory_updates = memory_updates
        self.recent = RecentEpisodes(num_episodes)
        self._chunks = {
            "chunk_length": chunk_length,
            "lanes": lanes,
            "selector": selector,
            "restart": restart,
            "outcome": outcome,
            "n_steps": n_steps,
            "gamma": outcome_discount,
        }
        self._rounds = 0  # with chunks

    @property
    def updates_per_rollout(self) -> int:
        return super().updates_per_rollout + self.memory_updates

    def batches(self) -> Iterator[Any]:
        agent = self.agent
        if not isinstance(agent, JointPPO):
            raise MemUPError(
                f"JointDataModule trains JointPPO, not {type(agent).__name__}; give that a RolloutDataModule"
            )
        rollout = self.play()
        while not self.recent.add(rollout):  # the first episodes are still under way
            rollout = self.play()
        yield from iterate_minibatches(agent.make_batches(rollout), self.update_epochs, self.num_minibatches)
        yield from self._memory_batches(agent)

    def _memory_batches(self, agent: JointPPO) -> Iterator[Chunk]:
        data = _Recorded(self.task, self.spaces, list(self.recent.episodes), self._chunks, self.memory_updates)
        data.seed = int(hash64(self.seed, self.consumed)) >> 33
        data.setup("fit")
        if self._rounds:
            episodes = np.arange(len(self.recent.episodes))
            score(data, agent.memup, "train", episodes, lanes=len(episodes))
            data.tables["train"].version += 1
        self._rounds += 1
        for chunk in data.training_stream:
            yield data.join("train", chunk)

    def state_dict(self) -> dict[str, Any]:
        return {**super().state_dict(), "rounds": self._rounds}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        super().load_state_dict(state_dict)
        self._rounds = state_dict["rounds"]


class RecentEpisodes:
    """The newest episodes of a vector environment, cut out of its rollouts.

    Args:
        capacity: episodes that are kept; a newer one replaces the oldest.

    Attributes:
        episodes: the oldest first.
    """

    def __init__(self, capacity: int) -> None:
        self.episodes: deque[Episode] = deque(maxlen=capacity)
        self._open: list[list[Arrays]] = []  # parts of each environment's episode that is under way

    def add(self, rollout: Rollout) -> int:
        """Take in the next rollout; returns how many episodes are kept now."""
        steps, envs = rollout.valid.shape
        self._open = self._open or [[] for _ in range(envs)]
        fields = {name.removeprefix(INPUT): x for name, x in rollout.record.items() if name.startswith(INPUT)}
        arrays = {name: x.cpu().numpy() for name, x in {**fields, "reward": rollout.reward}.items()}
        action = rollout.record["action"].cpu().numpy()
        arrays["action"] = action.astype(np.int32) if action.dtype.kind == "i" else action
        valid, terminated = rollout.valid.cpu().numpy(), rollout.terminated.cpu().numpy()
        over = (rollout.terminated | rollout.truncated).cpu().numpy() & valid
        for env in range(envs):
            begin = 0
            for end in [*(np.flatnonzero(over[:, env]) + 1).tolist(), steps]:
                rows = begin + np.flatnonzero(valid[begin:end, env])
                self._open[env].append({name: x[rows, env] for name, x in arrays.items()})
                if end > begin and over[end - 1, env]:
                    self.episodes.append(_joined(self._open[env], bool(terminated[end - 1, env])))
                    self._open[env] = []
                begin = end
        return len(self.episodes)


def _joined(parts: list[Arrays], terminated: bool) -> Episode:
    return Episode({name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, terminated)


class _Recorded(RewardDataModule):
    """Episodes that were played, as a source of chunks."""

    def __init__(
        self,
        task: TaskSpec,
        spaces: tuple[gymnasium.Space[Any], gymnasium.Space[Any]],
        played: list[Episode],
        chunks: dict[str, Any],
        updates: int,
    ) -> None:
        super().__init__(**chunks, chunks_per_epoch=updates)
        self._task, self._spaces, self.played = task, spaces, played

    @property
    def origin(self) -> str:
        return "the agent's episodes"

    def spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        return self._spaces

    def episodes(self, split: Split) -> EpisodeSource:
        return self._source

    def check_targets(self, lengths: IntArray) -> None:
        """An agent may end an episode at any time; all of its steps are targets then."""

    @cached_property
    def _source(self) -> EpisodeSource:
        return ArrayEpisodes(*self._with_outcomes(self.played), self.stored_fields)
