"""ClonedPolicy: a model whose outcome is the action, as a policy that acts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.protocols import ActorOutput
from memup_lightning.rl.action_outcomes import actions_of, predicts_actions
from memup_lightning.rl.agent_memory import RecurrentMemory
from memup_lightning.typing import State


class ClonedPolicy(nn.Module):
    """Policy of a model whose outcome is the action: its predictor q(a | c_t, m_t), as it predicts in evaluation.

    Args:
        module: its parts are used, not copies.

    Raises:
        MemUPError: a model of other outcomes.
    """

    def __init__(self, module: MemoryTask) -> None:
        super().__init__()
        if not predicts_actions(module.task):
            raise MemUPError(
                f"the {type(module).__name__} predicts {module.task.outcome}, not the action: no policy; train it with "
                "outcome=action of GymnasiumDataModule or MinariDataModule, or train a policy on its memory: "
                "BehaviorCloning or PPO with memory=PATH (a model of a table is played by Predictor.step)"
            )
        self.module, self.task = module, module.task
        self.memory = RecurrentMemory(module.encoder, module.memory)
        self.observation_fields = self.task.context_fields

    @property
    def device(self) -> torch.device:
        """Device on which it computes."""
        return self.module.device

    def initial_state(self, envs: int) -> State:
        """Return the state at the beginning of episodes: that of the memory, and the observations before the first one."""
        before = tuple(
            torch.full((envs, self.task.window - 1, *field.shape), field.fill, dtype=getattr(torch, field.dtype))
            for field in self.observation_fields.values()
        )
        return self.memory.initial_state(envs), tuple(x.to(self.device) for x in before)

    def encode_memory(self, inputs: Fields, state: State, is_first: Tensor) -> tuple[Fields, Tensor, State]:
        """Return the local context of the step, each field ``[N, W, ...]``, m_t ``[N, output_size]``, and the state after
        the step; see :meth:`~memup_lightning.rl.algorithms.actor_critic.ActorCritic.encode_memory`."""
        memory, before = state
        context: Fields = {}
        for (name, field), past in zip(self.observation_fields.items(), before, strict=True):
            past = past.masked_fill(is_first.view(-1, *[1] * (past.dim() - 1)), field.fill)
            context[name] = torch.cat([past, inputs[name].unsqueeze(1)], 1)
        m, memory = self.memory(inputs, memory, is_first)
        return context, m, (memory, tuple(x[:, 1:] for x in context.values()))

    @torch.no_grad()
    def act(self, inputs: Fields, state: State, is_first: Tensor, greedy: bool = False) -> ActorOutput:
        """Choose an action for every environment; see :class:`~memup_lightning.protocols.Actor`.

        Args:
            inputs: inputs of a memory at this step, each field ``[N, ...]``.
            state: state before the step.
            is_first: environments whose episode begins, bool ``[N]``.
            greedy: take the most probable action instead of drawing one.
        """
        context, m, state = self.encode_memory(inputs, state, is_first)
        params = self.module.predict_outcomes(context, m)
        outcome = self.module.outcome
        chosen = outcome.predict(params) if greedy else outcome.sample(params)
        return ActorOutput(actions_of(chosen, self.task.fields["action"]), {}, state)

    def value(self, inputs: Fields, state: State, is_first: Tensor) -> Tensor:
        """Return zeros ``[N]``: a cloned policy predicts no returns."""
        return torch.zeros(len(is_first), device=self.device)
