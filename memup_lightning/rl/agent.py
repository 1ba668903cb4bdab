"""Agent: a trained agent that acts, without a Trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from gymnasium.vector import VectorEnv
from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.models.memory import State
from memup_lightning.modules.base import BaseTask
from memup_lightning.modules.loading import load_module
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.rl.algorithms.actor_critic import ActorCritic
from memup_lightning.rl.cloned_policy import ClonedPolicy
from memup_lightning.rl.collectors.env_driver import check_classes, check_finite
from memup_lightning.rl.collectors.rollouts import RolloutCollector
from memup_lightning.rl.greedy_actor import GreedyActor
from memup_lightning.rl.memory_inputs import MemoryInputs, check_fields, no_action, to_space
from memup_lightning.rl.rollouts.rollout import EpisodeResult
from memup_lightning.rl.spaces import Leaves, space_fields
from memup_lightning.runs.checkpoints.lookup import weights_to_use
from memup_lightning.specs import FieldSpec

Policy: TypeAlias = ActorCritic | ClonedPolicy


class AgentState(NamedTuple):
    """State that is carried from one act to the next.

    Attributes:
        memory: the memory's state.
        action: the previous action of each environment, as the memory reads it.
        is_first: whether the episode begins, bool ``[envs]``.
        single: whether it plays one environment, whose observations and actions have no environment dimension.
    """

    memory: State
    action: Tensor
    is_first: Tensor
    single: bool


class Agent:
    """Trained agent that acts step by step: of reinforcement learning, or of a model whose outcome is the action::

        agent = Agent.load("runs/tmaze_ppo")  # its newest run; or a checkpoint
        state = agent.initial_state()
        action, state = agent.act(observation, state)  # from the second step on with the previous reward
        action, state = agent.act(observation, state, reward)

    Args:
        model: the trained module; :class:`~memup_lightning.rl.algorithms.actor_critic.ActorCritic`, or a
            :class:`~memup_lightning.modules.MemoryTask` whose outcome is the action.
        actions: how its actions become the environment's, see :func:`~memup_lightning.rl.memory_inputs.describe_actions`.
        starts: the first class numbers of token observations, see :func:`~memup_lightning.rl.spaces.space_starts`.

    Raises:
        MemUPError: a memory task of other outcomes.
    """

    def __init__(
        self,
        model: ActorCritic | MemoryTask,
        actions: dict[str, Any] | None = None,
        starts: dict[str, Any] | None = None,
    ) -> None:
        policy: Policy = ClonedPolicy(model) if isinstance(model, MemoryTask) else model
        self.model = policy.eval()
        self.starts = {name: np.asarray(start) for name, start in (starts or {}).items()}
        field = policy.task.fields["action"]
        self.actions = actions or {"dtype": "int64", "start": 0}
        if actions is None and field.type == "vector":
            self.actions = {"dtype": field.dtype, "low": -np.inf, "high": np.inf}
        self._inputs = MemoryInputs(policy.task)

    @classmethod
    def load(cls, checkpoint: str | Path) -> Agent:
        """Load the agent of a checkpoint that `memup fit` wrote; it needs no other file.

        Args:
            checkpoint: its path; or a folder, whose newest run counts: the weights that it ended with.

        Raises:
            MemUPError: no such checkpoint, or one of something else.
        """
        model, saved = load_module(weights_to_use(checkpoint), BaseTask)
        if not isinstance(model, ActorCritic | MemoryTask):
            raise MemUPError(f"{checkpoint} holds a {type(model).__name__}, which does not act")
        # The state of the datamodule.
        data = next((x for x in saved.values() if isinstance(x, dict) and "actions" in x), {})
        return cls(model, data.get("actions"), data.get("starts"))

    def initial_state(self, envs: int | None = None) -> AgentState:
        """Return the state at the beginning of an episode: of one environment, or of ``envs`` of them."""
        n = envs or 1
        device = self.model.device
        action = no_action(self.model.task.fields["action"], n).to(device)
        first = torch.ones(n, dtype=torch.bool, device=device)
        return AgentState(self.model.initial_state(n), action, first, envs is None)

    def act(
        self,
        observation: Any,
        state: AgentState,
        reward: float | npt.ArrayLike = 0.0,
        is_first: npt.ArrayLike | None = None,
        greedy: bool = True,
    ) -> tuple[Any, AgentState]:
        """Choose the next action.

        Args:
            observation: as the environment gave it, of one environment or ``[envs, ...]``.
            state: as the previous act returned it, or :meth:`initial_state`.
            reward: of the previous action, one number or ``[envs]``; ignored where an episode begins.
            is_first: environments that have begun a new episode, bool ``[envs]``.
            greedy: take the most probable action instead of drawing one.

        Returns:
            The action, for ``env.step``, and the state for the next act.

        Raises:
            MemUPError: an observation of other fields or of another number of environments, one that is not finite.
        """
        inputs, first = self._read(observation, state, reward, is_first)
        action, _, memory = self.model.act(inputs, state.memory, first, greedy)
        actions = to_space(self.actions, action)
        return actions[0] if state.single else actions, AgentState(
            memory, action, torch.zeros_like(first), state.single
        )

    def play(
        self, env: VectorEnv[Any, Any, Any], episodes: int, seed: int = 0, greedy: bool = True
    ) -> list[EpisodeResult]:
        """Play whole episodes::

            results = agent.play(gymnasium.make_vec("memup/TMaze-v0", num_envs=100), episodes=100)
            print(np.mean([result.episode_return for result in results]))

        Args:
            env: a vector environment; each of its environments contributes its first episodes.
            episodes: number of episodes.
            seed: of the environment.
            greedy: take the most probable actions instead of drawing them.

        Returns:
            Return and length of each episode, in the order in which they ended.

        Raises:
            MemUPError: an environment of other observations or actions than the agent was trained on, or one that breaks
                its interface.
        """
        if not isinstance(env, VectorEnv):
            raise MemUPError(
                f"play takes a vector environment, not {env}; give gymnasium.make_vec(ID, num_envs=1), or play one "
                "environment step by step with act"
            )
        given = space_fields("observation", env.single_observation_space)
        given |= space_fields("action", env.single_action_space)
        check_fields(self.model.task, given | {"reward": FieldSpec()})
        collector = RolloutCollector(env, self.model.task, seed, self.model.device)
        return list(collector.episodes(GreedyActor(self.model) if greedy else self.model, episodes))

    def predict_outcomes(
        self,
        observation: Any,
        state: AgentState,
        reward: float | npt.ArrayLike = 0.0,
        is_first: npt.ArrayLike | None = None,
    ) -> npt.NDArray[Any]:
        """Return the outcome that a MemUP memory predicts for each action, ``[actions]`` or ``[envs, actions]``.

        Args: those of :meth:`act`; call it before, with the same state.

        Raises:
            MemUPError: a memory that predicts no outcomes, or not from one step and one choice.
        """
        inputs, first = self._read(observation, state, reward, is_first)
        with torch.no_grad():
            _, memory, _ = self.model.encode_memory(inputs, state.memory, first)
        predicted: npt.NDArray[Any] = self.model.memory.predict_outcomes(inputs, memory).cpu().numpy()
        return predicted[0] if state.single else predicted

    def _read(
        self, observation: Any, state: AgentState, reward: float | npt.ArrayLike, is_first: npt.ArrayLike | None
    ) -> tuple[Fields, Tensor]:
        first = state.is_first
        if is_first is not None:
            first = first | torch.as_tensor(np.atleast_1d(is_first), device=first.device)
        leaves = _leaves("observation", observation, state.single)
        leaves |= {name: leaves[name] - start for name, start in self.starts.items() if name in leaves}
        fields = self.model.observation_fields
        given = {name: list(x.shape) for name, x in leaves.items()}
        wanted = {name: (len(first), *field.shape) for name, field in fields.items()}
        selected = {} if wanted.keys() - leaves.keys() else self._inputs.select(leaves)
        selected = {name: _as_trained(x, fields[name]) if name in fields else x for name, x in selected.items()}
        if any(name not in selected or selected[name].shape != shape for name, shape in wanted.items()):
            raise MemUPError(
                f"the observation holds arrays of shapes {given}; an agent in this state takes "
                f"{ {name: list(shape) for name, shape in wanted.items()} }: the fields it was trained on, of "
                f"{counted(len(first), 'environment')} (initial_state(envs) sets how many)"
            )
        rewards = np.broadcast_to(np.atleast_1d(np.asarray(reward, np.float32)), len(first))
        check_finite({**selected, "reward": rewards})
        check_classes(selected, self._inputs.fields)
        previous = torch.tensor(rewards, device=first.device)
        return self._inputs(selected, state.action, previous, first), first


def _as_trained(x: npt.NDArray[Any], field: FieldSpec) -> npt.NDArray[Any]:
    """Move the channels of images ``[envs, channels, height, width]`` to the end, as rollouts do."""
    if field.type == "image" and x.ndim == 4 and x.shape[1:] != field.shape:
        return np.moveaxis(x, 1, -1)
    return x


def _leaves(name: str, observation: Any, single: bool) -> Leaves:
    """Return the arrays ``[envs, ...]`` of an observation, named as by :func:`~memup_lightning.rl.spaces.space_leaves`."""
    if isinstance(observation, dict):
        return {k: x for key, sub in observation.items() for k, x in _leaves(f"{name}.{key}", sub, single).items()}
    if isinstance(observation, tuple):
        return {k: x for n, sub in enumerate(observation) for k, x in _leaves(f"{name}.{n}", sub, single).items()}
    array = np.asarray(observation)
    return {name: array[None] if single else array}
