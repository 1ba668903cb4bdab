"""Memory and policy trained at the same time: MemUP on what the agent itself plays."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import reduce
from typing import Any, TypeAlias

import torch
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import detach
from memup_lightning.modules.memup import MemUP
from memup_lightning.rl.agent_memory import FrozenMemory
from memup_lightning.rl.algorithms.actor_critic import RolloutBatch
from memup_lightning.rl.algorithms.ppo import PPO
from memup_lightning.specs import TaskSpec

MemUPCallable: TypeAlias = Callable[[TaskSpec], MemUP]


class JointPPO(PPO):
    """PPO on a memory that MemUP trains beside it, on the episodes that PPO plays.

    A :class:`~memup_lightning.datamodules.played.joint.JointDataModule` hands out batches of both kinds, so that
    chunks train the memory and steps
    the policy, each under the one optimizer: it moves a weight only where the batch gave it a gradient. The policy reads a
    slowly updated copy, an exponential moving average of the memory's weights (Polyak & Juditsky, 1992), so that its input
    does not jump.

    Args:
        task: what the environment gives; the command line takes it from the datamodule.
        memup: ``(task) -> MemUP``: the memory and how it learns. Its own optimizer is not used.
        ema_decay: share that the copy keeps of itself at each of the memory's updates.
        **agent: see :class:`~memup_lightning.rl.algorithms.ppo.PPO`; without ``memory``, and observations are not
        normalised.

    Raises:
        MemUPError: an average that is no share; normalised observations.
    """

    memory: FrozenMemory

    def __init__(
        self, task: TaskSpec | dict[str, Any], memup: MemUPCallable = MemUP, ema_decay: float = 0.99, **agent: Any
    ) -> None:
        if not 0 <= ema_decay < 1:
            raise MemUPError(f"ema_decay={ema_decay}: the share that the copy keeps of itself; give 0 <= ema_decay < 1")
        made = memup(task if isinstance(task, TaskSpec) else TaskSpec.from_dict(task))
        super().__init__(task, memory=copy.deepcopy(made), **agent)
        if self.normalizer is not None:
            raise MemUPError(
                "JointPPO keeps what it saw for its memory, which reads it raw; normalize_observations=false"
            )
        self.memup, self.ema_decay = made, ema_decay

    def training_step(self, batch: RolloutBatch | Chunk, batch_idx: int) -> dict[str, Tensor]:
        if not isinstance(batch, Chunk):
            return super().training_step(batch, batch_idx)
        if batch.step == 0:  # the lanes begin episodes that were played since
            self.memup.lane_state = None
        memory, state = self.memup.unroll(batch, self.memup.lane_state)
        self.memup.lane_state = detach(state)
        losses = self.memup.losses(batch, memory)
        out = {name: loss.detach() for name, loss in losses.items()}
        out["loss"] = reduce(torch.add, losses.values())
        if self.is_log_step:
            logged = {f"train/{name}": x for name, x in losses.items()} | self.memup.diagnostics(batch, memory.detach())
            self.log_dict(logged, batch_size=batch.lanes)
        return out

    def on_train_batch_end(self, outputs: Any, batch: RolloutBatch | Chunk, batch_idx: int) -> None:
        if isinstance(batch, Chunk):
            self.memup.uncertainty.update(self.memup)
            self.memory.follow(self.memup, self.ema_decay)
