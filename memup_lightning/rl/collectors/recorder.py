"""EpisodeRecorder: recording of an agent's observations, predictions and actions in an episode."""

from __future__ import annotations

from typing import Any, NamedTuple, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.distributions import Categorical

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError
from memup_lightning.protocols import ActorOutput, RolloutSource
from memup_lightning.rl.algorithms.actor_critic import ActorCritic
from memup_lightning.typing import FloatArray, State


class EpisodeRecord(NamedTuple):
    """An episode of T steps.

    Attributes:
        observation: as the agent read it, flat, ``[T, entries]``.
        predicted_outcome: the outcome that the memory predicted for each action, ``[T, actions]``; None where it predicts
            none.
        probability: the policy's probability of each action, ``[T, actions]``.
        action: the action taken, ``[T]``.
        reward: of that action, ``[T]``.
    """

    observation: FloatArray
    predicted_outcome: FloatArray | None
    probability: FloatArray
    action: npt.NDArray[np.int64]
    reward: FloatArray


class EpisodeRecorder:
    """Actor that plays an agent's most probable actions, and records observations, predictions and actions.

    Args:
        agent: the agent.
        max_steps: a longer episode is refused.

    Raises:
        MemUPError: an agent whose action is not one choice.
    """

    def __init__(self, agent: ActorCritic, max_steps: int) -> None:
        action = agent.task.fields["action"]
        if action.type != "token" or action.shape:
            raise MemUPError("EpisodeFilm shows agents with one Discrete action; remove it from trainer.callbacks")
        self.agent, self.max_steps = agent, max_steps
        self.initial_state, self.value = agent.initial_state, agent.value
        self._steps: list[dict[str, Tensor]] = []

    def play(self, source: RolloutSource) -> EpisodeRecord:
        """Play one episode.

        Args:
            source: has the environment.

        Raises:
            MemUPError: an episode longer than ``max_steps``.
        """
        self._steps = []
        total = source.play_episode(self)
        columns = {name: torch.cat([step[name] for step in self._steps]).cpu().numpy() for name in self._steps[0]}
        # A step reads the reward of the previous one; that of the last step is the rest of the return.
        previous = columns["reward"]
        reward = np.append(previous[1:], total - previous.sum()).astype(np.float32)
        predicted: Any = columns.get("predicted_outcome")
        return EpisodeRecord(columns["observation"], predicted, columns["probability"], columns["action"], reward)

    @torch.no_grad()
    def act(self, inputs: Fields, state: State, is_first: Tensor) -> ActorOutput:
        if len(self._steps) == self.max_steps:
            raise MemUPError(
                f"an episode is longer than max_steps={self.max_steps}; give EpisodeFilm more, or the env a TimeLimit"
            )
        agent = self.agent
        encoded, memory, after = agent.encode_memory(inputs, state, is_first)
        policy, value = agent.decide(encoded, memory)
        action: Tensor = policy.mode
        step = {"probability": cast(Categorical, policy).probs, "reward": inputs["reward"], "action": action}
        step["observation"] = torch.cat([inputs[name].float().flatten(1) for name in agent.observation_fields], 1)
        if agent.memory.can_predict_outcomes:
            step["predicted_outcome"] = agent.memory.predict_outcomes(inputs, memory)
        self._steps.append(step)
        return ActorOutput(action, {"value": value}, after)
