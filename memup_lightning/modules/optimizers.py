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


class MemoryAdam(Adam):
    """Adam with the arguments that train a memory, and weight decay of the matrices of both predictors.

    A predictor of large weights reads from the memory what tells one training episode from another. The decay is decoupled
    (Loshchilov & Hutter, "Decoupled Weight Decay Regularization", ICLR 2019). The memory does not decay: it would forget,
    and what it adds up would lose precision. Nor do biases, scales, encoders and embeddings.

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

    def decay(self, weights: Iterable[Tensor]) -> None:
        """Let matrices decay from now on, after every step; those of no parameter group do not.

        Args:
            weights: of the predictors.
        """
        chosen = {id(p) for p in weights if p.ndim > 1}
        groups = [[p for p in group["params"] if id(p) in chosen] for group in self.param_groups]

        @torch.no_grad()
        def shrink(optimizer: Optimizer, args: Any, kwargs: Any) -> None:
            for group, matrices in zip(optimizer.param_groups, groups, strict=True):
                if matrices:
                    torch._foreach_mul_(matrices, 1 - self.predictor_decay * group["lr"])

        if self.predictor_decay:
            self.register_step_post_hook(shrink)


def memory_adam(parameters: Iterable[Any]) -> Optimizer:
    """Make :class:`MemoryAdam`, for the training of memories; its learning rate is lowered by
    :class:`~memup_lightning.modules.learning_rate.InverseSqrtLR`. A saved config can name a function, but no partial."""
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
