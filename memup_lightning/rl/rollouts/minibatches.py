"""Minibatches of a rollout."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch

from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.models.memory import map_state


def iterate_minibatches(batch: dict[str, Any], epochs: int, num_minibatches: int) -> Iterator[dict[str, Any]]:
    """Divide rows into minibatches: in each epoch all rows of which any step counts (``valid``), in a new random order.

    Args:
        batch: rows of a rollout, see :meth:`~memup_lightning.protocols.RolloutLearner.make_batches`.
        epochs: passes over the rows.
        num_minibatches: minibatches of a pass.

    Raises:
        MemUPError: fewer rows than minibatches.
    """
    counts = batch["valid"].flatten(1).any(1) if batch["valid"].dim() > 1 else batch["valid"]
    rows = counts.nonzero().flatten()
    if len(rows) < num_minibatches:
        raise MemUPError(
            f"num_minibatches={num_minibatches}: a rollout has only {counted(len(rows), 'row')} (environments for a "
            "memory that learns with the policy, else steps); give fewer, or more num_envs or num_steps"
        )
    for _ in range(epochs):
        order = rows[torch.randperm(len(rows), device=rows.device)]
        for chosen in order.tensor_split(num_minibatches):
            yield {name: map_state(lambda x, at=chosen: x[at], part) for name, part in batch.items()}
