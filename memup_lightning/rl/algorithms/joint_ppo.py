"""JointPPO: memory and policy trained at the same time, MemUP on the episodes that the agent itself plays."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from pytorch_lightning.cli import LRSchedulerCallable
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.encoders import StepEncoder
from memup_lightning.modules.losses import sum_losses
from memup_lightning.modules.memup import MemUP
from memup_lightning.modules.networks.factories import EncoderCallable
from memup_lightning.modules.optimization.optimizers import OptimizerCallable, adam
from memup_lightning.rl.agent_memory import FrozenMemory
from memup_lightning.rl.algorithms.actor_critic import HeadsCallable, RolloutBatch
from memup_lightning.rl.algorithms.ppo import PPO
from memup_lightning.rl.networks import Heads
from memup_lightning.specs import TaskSpec

MemUPCallable: TypeAlias = Callable[[TaskSpec], MemUP]


class JointPPO(PPO):
    """PPO on a memory that MemUP trains at the same time, on the episodes that PPO plays.

    A :class:`~memup_lightning.datamodules.played.joint.JointDataModule` yields batches of both types: chunks train the
    memory, and minibatches of a rollout train the policy, each under the one optimizer, which changes a weight only where
    the batch gave it a gradient. The policy reads an exponential moving average of the memory's weights (Polyak &
    Juditsky, 1992), so that its input changes slowly.

    Args:
        task: specification of the environment; the command line takes it from the datamodule.
        memup: ``(task) -> MemUP``: the memory and how it learns. Its own optimizer is not used.
        ema_decay: decay of the moving average at each update of the memory.
        heads: ``(feature_size, action) -> policy and value``.
        observation_encoder: ``(fields) -> encoder`` of the present observation.
        gamma: discount factor.
        gae_lambda: lambda of generalised advantage estimation.
        clip_range: largest difference of the probability ratio from 1 that the objective rewards.
        normalize_advantages: whether advantages are divided by their scale, see
            :class:`~memup_lightning.rl.algorithms.ppo.PPO`.
        vf_coef: weight of the value loss.
        ent_coef: weight of the entropy bonus.
        optimizer: ``(parameters) -> optimizer``, of memory and policy alike.
        lr_scheduler: ``(optimizer) -> schedule``, stepped after every update.

    Raises:
        MemUPError: ``ema_decay``, ``gae_lambda`` or ``clip_range`` out of range.
    """

    memory: FrozenMemory

    def __init__(
        self,
        task: TaskSpec | dict[str, Any],
        memup: MemUPCallable = MemUP,
        ema_decay: float = 0.99,
        heads: HeadsCallable = Heads,
        observation_encoder: EncoderCallable = StepEncoder,
        gamma: float = 0.99,
        gae_lambda: float = 0.95,
        clip_range: float = 0.2,
        normalize_advantages: bool = True,
        vf_coef: float = 0.5,
        ent_coef: float = 0.01,
        optimizer: OptimizerCallable = adam,
        lr_scheduler: LRSchedulerCallable | None = None,
    ) -> None:
        if not 0 <= ema_decay < 1:
            raise MemUPError(f"ema_decay={ema_decay}: must be in [0, 1)")
        learner = memup(TaskSpec.parse(task))
        super().__init__(
            task,
            memory=copy.deepcopy(learner),
            heads=heads,
            observation_encoder=observation_encoder,
            gamma=gamma,
            gae_lambda=gae_lambda,
            clip_range=clip_range,
            normalize_advantages=normalize_advantages,
            vf_coef=vf_coef,
            ent_coef=ent_coef,
            optimizer=optimizer,
            lr_scheduler=lr_scheduler,
        )
        self.memup, self.ema_decay = learner, ema_decay
        self._memory_has_gradient = False  # whether a chunk took part in the coming optimizer step

    def memory_task(self) -> MemUP:
        """Return the MemUP that trains the memory."""
        return self.memup

    def training_step(self, batch: RolloutBatch | Chunk, batch_idx: int) -> dict[str, Tensor]:
        if not isinstance(batch, Chunk):
            return super().training_step(batch, batch_idx)
        self._memory_has_gradient = True
        if batch.step == 0:  # the lanes begin with the newest episodes
            self.memup.lanes.reset()
        losses, memory = self.memup.chunk_losses(batch)
        locate = partial(self.memup.locate_loss, batch)
        self._finite_loss.add(losses, self.global_step, locate)
        out = sum_losses(losses)
        if self.is_log_step:
            self._finite_loss.check(self.global_step, locate)
            logged = {f"train/{name}": x for name, x in losses.items()} | self.memup.diagnostics(batch, memory)
            self.log_dict(logged, batch_size=batch.lanes)
        return out

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_save_checkpoint(checkpoint)
        checkpoint["memory_chunks"] = self.memup.lanes.num_chunks  # the schedule of the drift weight follows it

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        super().on_load_checkpoint(checkpoint)
        self.memup.lanes.num_chunks = checkpoint["memory_chunks"]

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        if self._memory_has_gradient:
            self._memory_has_gradient = False
            self.memup.after_update()
            self.memory.update_ema(self.memup, self.ema_decay)
