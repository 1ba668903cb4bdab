"""RewardDataModule: base class of datamodules of recorded agents, with outcomes made of rewards, or their actions."""

from __future__ import annotations

import time
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal, TypeAlias, Unpack

import gymnasium
import numpy as np
import numpy.typing as npt
from lightning_utilities.core.rank_zero import rank_zero_info

from memup_lightning.data.cache import cached
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.fingerprint import Json
from memup_lightning.data.growing_arrays import GrowingArrays
from memup_lightning.datamodules.agent_task import agent_task
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.exceptions import MemUPError
from memup_lightning.protocols.columns import InputColumns, numbered_columns
from memup_lightning.rl.action_outcomes import outcomes_of
from memup_lightning.rl.collectors.episodes import Episode, concatenate_episodes
from memup_lightning.rl.memory_inputs import describe_actions
from memup_lightning.rl.rollouts.returns import RewardTarget, reward_targets
from memup_lightning.rl.spaces import space_starts
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays, IntArray
from memup_lightning.user_warnings import option

_LONG = 10.0  # seconds of collecting
_BATCH_BYTES = 8 << 20  # of episodes whose outcomes are computed together


EvalAt: TypeAlias = Literal["all", "last"]
AgentOutcome: TypeAlias = RewardTarget | Literal["action"]


class RewardOptions(StreamOptions, total=False):
    """Arguments of :class:`RewardDataModule`, which its subclasses take as well."""

    observed: list[int] | None
    outcome: AgentOutcome
    n_steps: int
    gamma: float
    eval_at: EvalAt
    tolerance: float
    window: int
    cache_dir: str | None


def check_reward_options(outcome: str, n_steps: int, gamma: float) -> None:
    """Refuse settings that the outcome does not follow from.

    Raises:
        MemUPError: what was set, and the outcomes that it is of.
    """
    if n_steps != 1 and outcome != "n_step":
        raise MemUPError(
            f"n_steps={n_steps} has no effect with outcome={outcome}; leave it out, or set "
            f"{option('data.outcome', 'n_step')}"
        )
    if gamma != 1 and (outcome not in ("n_step", "return") or (outcome == "n_step" and n_steps == 1)):
        more = " and n_steps=1" if outcome == "n_step" else ""
        raise MemUPError(
            f"gamma={gamma} has no effect with outcome={outcome}{more}; leave it out, or set "
            f"{option('data.outcome', 'return')}, or n_step with n_steps"
        )


class RewardDataModule(EpisodeDataModule):
    """Base class of episodes of observations, actions and rewards. A subclass defines their spaces and makes them.

    The memory reads the observation, the previous action and the previous reward. The local context is the observation
    and the action taken, of the last ``window`` steps. The outcome is made of rewards. Where it is the action, neither
    memory nor local context reads that action, and a model that is trained is a policy (behaviour cloning):
    :class:`~memup_lightning.rl.agent.Agent` plays it.

    Args:
        observed: entries of a flat Box observation that are read; the others are masked out.
        outcome: ``reward``, ``n_step`` (sum of n_steps rewards), ``return`` (to the end of the episode) or ``action``.
        n_steps: of ``n_step``.
        gamma: discount of later rewards in ``n_step`` and ``return``.
        eval_at: where the memory is evaluated: at ``all`` steps with an outcome, or at the ``last`` step of each episode.
        tolerance: a predicted outcome counts as right within this distance, in spreads of the outcome.
        window: steps of the local context.
        cache_dir: folder that keeps the episodes on disk, from which they are streamed; every later run with the same
            parameters starts at once. By default they are kept in memory, and every run collects them again.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.
    """

    steps_name = "environment steps"

    def __init__(
        self,
        observed: list[int] | None = None,
        outcome: AgentOutcome = "reward",
        n_steps: int = 1,
        gamma: float = 1.0,
        eval_at: EvalAt = "all",
        tolerance: float = 0.25,
        window: int = 1,
        cache_dir: str | None = None,
        **stream: Unpack[StreamOptions],
    ) -> None:
        super().__init__(**stream)
        check_reward_options(outcome, n_steps, gamma)
        self.observed = observed
        self.outcome: AgentOutcome = outcome
        self.n_steps = n_steps
        self.gamma = gamma
        self.eval_at = eval_at
        self.tolerance = tolerance
        self.window = window
        self.cache_dir = cache_dir
        self._task: TaskSpec | None = None

    @property
    @abstractmethod
    def origin(self) -> str:
        """Name of the environment or data set."""

    @abstractmethod
    def spaces(self) -> tuple[gymnasium.Space[Any], gymnasium.Space[Any]]:
        """Return the spaces of an observation and of an action."""

    @property
    def task(self) -> TaskSpec:
        if self._task is None:
            self._task = agent_task(
                *self.spaces(), self.origin, self.observed, self.window, self.tolerance, self.outcome == "action"
            )
        return self._task

    @property
    def unknown_outcomes(self) -> str:
        if self.outcome not in ("n_step", "return"):
            return super().unknown_outcomes
        reach = "to the end" if self.outcome == "return" else f"over {self.n_steps} steps"
        return (
            f"every episode was cut off (truncated, as a time limit does), and the rewards after that, which a sum {reach} "
            f"needs, are unknown; let the environment terminate where its task is over, or set {option('data.gamma', 0.9)} "
            f"or {option('data.outcome', 'reward')}"
        )

    @property
    def input_columns(self) -> InputColumns | None:
        spec = self.task.fields.get("observation")  # several where it is a Dict
        return None if spec is None else numbered_columns("observation", spec, "the observation", "data.observed")

    @property
    def stored_fields(self) -> dict[str, FieldSpec]:
        """Fields of a step that are stored."""
        flag = FieldSpec((), "bool")
        fields = {**self.task.fields, OUTCOME: self.task.outcome, HAS_OUTCOME: flag}
        return fields | {EVAL_MASK: flag} if self.eval_at == "last" else fields

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the training data, and what a policy must know of the spaces to play."""
        if self.outcome != "action":
            return super().state_dict()
        observation, action = self.spaces()
        spaces = {"actions": describe_actions(action), "starts": space_starts("observation", observation)}
        return super().state_dict() | spaces

    def keep(
        self, name: str, parameters: Callable[[], dict[str, Json]], played: Callable[[], Iterable[Episode]]
    ) -> EpisodeSource:
        """Keep episodes with their outcomes: in memory, or in the cache, into which they are written once.

        Args:
            name: of the folder in the cache.
            parameters: returns the parameters of ``played``; called where there is a cache.
            played: makes the episodes.
        """
        if self.cache_dir is None:
            kept, began = GrowingArrays(self.stored_fields), time.perf_counter()
            for arrays in self._finished(played()):
                kept.append(arrays)
            if (seconds := time.perf_counter() - began) > _LONG:
                rank_zero_info(
                    f"{name}: collected in {seconds:.0f} s, for this run alone; {option('data.cache_dir', 'episodes')} "
                    "keeps them for later runs"
                )
            return ArrayEpisodes(*kept.finish(), self.stored_fields)
        made_of = parameters() | {
            "observed": self.observed,
            "outcome": self.outcome,
            "n_steps": self.n_steps,
            "gamma": self.gamma,
            "eval_at": self.eval_at,
        }
        return cached(self.cache_dir, name, made_of, self.stored_fields, lambda: self._finished(played()))

    def _finished(self, played: Iterable[Episode]) -> Iterator[Arrays]:
        """Yield the stored fields of each episode. Outcomes are computed for many at once: episodes may be short."""
        batch: list[Episode] = []
        held = 0
        for episode in played:
            batch.append(episode)
            held += sum(x.nbytes for x in episode.arrays.values())
            if held >= _BATCH_BYTES:
                yield from self._finish(batch)
                batch, held = [], 0
        if batch:
            yield from self._finish(batch)

    def _finish(self, batch: list[Episode]) -> Iterator[Arrays]:
        arrays, lengths = self._with_outcomes(batch)
        for end, length in zip(np.cumsum(lengths), lengths, strict=True):
            yield {name: x[end - length : end] for name, x in arrays.items()}

    def _with_outcomes(self, played: list[Episode]) -> tuple[Arrays, IntArray]:
        """Return the stored fields of episodes, concatenated, and their lengths; what else came with them is dropped."""
        arrays, lengths, terminated = concatenate_episodes(played)
        if self.observed is not None:
            arrays["observation"] = np.ascontiguousarray(arrays["observation"][:, self.observed])
        if self.outcome == "action":
            arrays[OUTCOME] = outcomes_of(arrays["action"], self.task.fields["action"], self.task.outcome)
            arrays[HAS_OUTCOME] = np.ones(len(arrays["action"]), np.bool_)
        else:
            arrays[OUTCOME], arrays[HAS_OUTCOME] = reward_targets(
                self.outcome, arrays["reward"], lengths, terminated, self.n_steps, self.gamma
            )
        if self.eval_at == "last":
            arrays[EVAL_MASK] = self.eval_steps(arrays, lengths, terminated)
        return {name: arrays[name] for name in self.stored_fields}, lengths

    def eval_steps(self, arrays: Arrays, lengths: IntArray, terminated: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
        """Return the steps at which ``eval_at: last`` evaluates the memory; a subclass may name others.

        Args:
            arrays: fields of whole episodes, end to end, ``[sum(lengths), *shape]``.
            lengths: steps of each episode.
            terminated: whether each episode ended by itself.
        """
        last = np.zeros(len(arrays["reward"]), np.bool_)
        last[np.cumsum(lengths) - 1] = True
        return last
