"""Behaviour cloning on a memory that stays fixed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self, TypedDict, Unpack

import torch
from pytorch_lightning.cli import LRSchedulerCallable
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.baselines.tbptt import TBPTT
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.modules.networks.factories import (
    EncoderCallable,
    LocalCallable,
    OutcomeCallable,
    PredictorCallable,
)
from memup_lightning.modules.optimization.optimizers import OptimizerCallable
from memup_lightning.rl.action_outcomes import predicts_actions
from memup_lightning.rl.agent_memory import FrozenMemory, MemoryPath, frozen_memory
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import State


class PolicyOptions(TypedDict, total=False):
    """Arguments of :class:`~memup_lightning.modules.MemoryTask` but those of the memory."""

    outcome: OutcomeCallable | None
    predictor: PredictorCallable
    context_encoder: EncoderCallable
    local: LocalCallable
    optimizer: OptimizerCallable
    lr_scheduler: LRSchedulerCallable | None


class BehaviorCloning(TBPTT):
    """Behaviour cloning on a memory that MemUP trained before, on other outcomes or other episodes, and that stays fixed.

    The policy is the predictor q(a_t | c_t, m_t) of the recorded action: the local context is the observation, and m_t has
    read the observation, the previous action and the previous reward, not the action itself. It minimises ``-log q`` of
    every step: the cross-entropy of classes, the negative log-likelihood of a normal distribution of numbers. Evaluation
    compares it with a policy that reads the observation alone, as for every memory, and
    :class:`~memup_lightning.rl.agent.Agent` plays it.

    Where memory and policy are to be learned from the same episodes, :class:`~memup_lightning.modules.MemUP` with the
    action as the outcome does both at once: its predictor is the policy.

    Args:
        task: specification of the data, whose outcome is the action (``outcome: action``); the command line takes it from
            the datamodule.
        memory: path of a checkpoint of MemUP, or of a folder with runs, whose newest is taken. In Python also a
            :class:`~memup_lightning.modules.MemoryTask`.
        **parts: outcome, predictor (the policy), context_encoder (of its observation), local (the policy without memory),
            optimizer, lr_scheduler: see :class:`~memup_lightning.modules.MemoryTask`.

    Raises:
        MemUPError: data whose outcome is not the action, a memory that cannot be loaded or that reads other inputs.
    """

    def __init__(self, task: TaskSpec | dict[str, Any], memory: MemoryPath, **parts: Unpack[PolicyOptions]) -> None:
        task = TaskSpec.parse(task)
        if not predicts_actions(task):
            raise MemUPError(
                f"BehaviorCloning learns recorded actions, and the outcome of these data is {task.outcome}; give "
                "GymnasiumDataModule or MinariDataModule with outcome=action"
            )
        given: Any = memory
        if not isinstance(given, str | Path | MemoryTask):
            raise MemUPError(
                f"memory={given} is no trained memory; give the path of a checkpoint of MemUP, or train memory and policy "
                "at once: MemUP with outcome=action of the data"
            )
        frozen = FrozenMemory(given) if isinstance(given, MemoryTask) else frozen_memory(str(given), task)
        encoder: Any = frozen.encoder
        super().__init__(task, memory=lambda _: frozen.core, encoder=lambda _: encoder, **parts)
        self.hparams["memory"] = frozen.text  # the policy's checkpoint no longer needs that of the memory

    def train(self, mode: bool = True) -> Self:
        super().train(mode)
        self.encoder.eval()
        self.memory.eval()  # dropout would change what the policy reads
        return self

    def learned_steps(self, chunk: Chunk) -> Tensor:
        return chunk.has_outcome

    @torch.no_grad()
    def unroll(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        return super().unroll(chunk, state)
