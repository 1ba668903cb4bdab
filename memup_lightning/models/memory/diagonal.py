"""Base class of cores whose recurrence is element-wise, which can carry the derivatives of their state along."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

from torch import Tensor

from memup_lightning.models.memory.base import Memory, State


class DiagonalMemory(Memory):
    """Memory core with an element-wise recurrence: ``h_t = a_t * h_{t-1} + b_t``, where a and b depend on x_t alone.

    Each weight theta of a and b acts on one unit of the state, so the sensitivities ``S_t = dh_t / dtheta`` are one number
    for each weight and lane, with a recurrence of their own: ``S_t = a_t * S_{t-1} + (da_t / dtheta) * h_{t-1} +
    db_t / dtheta``. With them :class:`~memup_lightning.modules.baselines.rtrl.RTRL` has the gradient of all that came
    before a chunk; other training computes none.
    """

    @abstractmethod
    def initial_sensitivities(self, lanes: int) -> State:
        """Return the sensitivities at the beginning of an episode, zeros with the lane dimension first.

        Raises:
            MemUPError: a core of these arguments has no element-wise recurrence.
        """

    @abstractmethod
    def attach(self, state: Any, sensitivities: Any) -> State:
        """Return the state, the same numbers, with sensitivities as its derivatives by the weights:
        ``h + S * (theta - theta.detach())``.

        Args:
            state: before the first step of a chunk, without a graph.
            sensitivities: of that state.
        """

    @abstractmethod
    def advance(self, x: Tensor, state: Any, sensitivities: Any) -> State:
        """Compute the sensitivities after a chunk, without a graph.

        Args:
            x: inputs of the memory, ``[lanes, steps, features]``.
            state: before the first step.
            sensitivities: of that state.
        """
