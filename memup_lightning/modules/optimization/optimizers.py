"""Optimizers that a module has by default."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.optim import Adam, Optimizer

from memup_lightning.exceptions import MemUPError

OptimizerCallable: TypeAlias = Callable[[Iterable[Any]], Optimizer]
_MEMORY_DECAY = "memory_decay"  # key of a MemoryAdam's parameter groups: decay of all their matrices, in learning rates


class MemoryAdam(Adam):
    """Adam with the arguments that train a memory, and weight decay of the matrices of both predictors.

    A predictor of large weights reads from the memory what distinguishes training episodes. The decay is decoupled
    (Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019). The memory does not decay at first: it would
    forget, and what it adds up would lose precision. Once the run memorizes its training episodes (:class:`BestWeights`),
    all matrices decay, by ``memory_decay`` of each parameter group, which is part of its state. Biases and scales never do.

    Args:
        params: parameters.
        lr: learning rate.
        betas: decay of the averages of gradients and of their squares.
        eps: added to the denominator.
        predictor_decay: share of a matrix that is lost in an update, in learning rates; 0: none.
        fused: one kernel for all parameters.

    Raises:
        MemUPError: ``predictor_decay`` is below 0, or not finite.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 4e-3,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        predictor_decay: float = 0.3,
        fused: bool = True,
    ) -> None:
        if not 0 <= predictor_decay < math.inf:
            raise MemUPError(f"predictor_decay={predictor_decay}: must be a finite number, at least 0")
        super().__init__(params, lr, betas, eps, fused=fused)
        self.predictor_decay = predictor_decay
        for group in self.param_groups:
            group.setdefault(_MEMORY_DECAY, 0.0)

    def decay_memory(self, decay: float) -> None:
        """Let all matrices decay from now on, those of the memory too.

        Args:
            decay: share of a matrix that is lost in an update, in learning rates.
        """
        for group in self.param_groups:
            group[_MEMORY_DECAY] = decay

    def decay(self, weights: Iterable[Tensor]) -> None:
        """Let matrices decay from now on, after every step; those of no parameter group do not.

        Args:
            weights: of the predictors.
        """
        read = {id(p) for p in weights}
        matrices = [[p for p in group["params"] if p.ndim > 1] for group in self.param_groups]
        predictors = [[p for p in group if id(p) in read] for group in matrices]
        others = [[p for p in group if id(p) not in read] for group in matrices]

        @torch.no_grad()
        def shrink(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            for group, reading, rest in zip(optimizer.param_groups, predictors, others, strict=True):
                decay: float = group[_MEMORY_DECAY]
                for share, shrinking in ((max(self.predictor_decay, decay), reading), (decay, rest)):
                    if share and shrinking:
                        torch._foreach_mul_(shrinking, 1 - share * group["lr"])

        self.register_step_post_hook(shrink)


def memory_adam(parameters: Iterable[Any]) -> Optimizer:
    """Make :class:`MemoryAdam`, for the training of memories; its learning rate is lowered by
    :class:`~memup_lightning.modules.optimization.learning_rate.InverseSqrtLR`. A saved config can name a function, but no
    partial."""
    return MemoryAdam(parameters)


def adam(parameters: Iterable[Any]) -> Optimizer:
    """Make Adam with a learning rate of 2e-3, one kernel for all weights, for agents."""
    return Adam(parameters, lr=ADAM_LR, fused=True)


ADAM_LR = 2e-3
"""Learning rate of the optimizer that an agent has by default."""
UNFUSED: dict[OptimizerCallable, OptimizerCallable] = {
    memory_adam: partial(MemoryAdam, fused=False),
    adam: partial(Adam, lr=ADAM_LR),
}
"""The default optimizers without a fused kernel, whose gradients Lightning cannot clip under ``16-mixed``."""
