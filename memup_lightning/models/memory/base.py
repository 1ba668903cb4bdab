"""Base class of memory cores, and functions on their states."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memup_lightning.typing import State as State


class Memory(nn.Module, ABC):
    """Recurrent core g_theta: ``m_t = g(x_t, m_{t-1})`` (MemUP, NeurIPS 2022, equation 2).

    A subclass sets ``output_size`` and implements :meth:`initial_state` and :meth:`scan`. It receives the state
    that it returned, detached between chunks, and the initial state for a lane that begins an episode. Its contract
    (:func:`~memup_lightning.models.memory.external.contract.check_memory`): a pass in chunks equals one pass over the whole
    episode, no lane depends on another, no step depends on later ones, and the module keeps no state.

    Attributes:
        output_size: size of m_t as the predictor reads it.
        bound: largest magnitude that a component of m_t can have.
    """

    output_size: int
    bound: float = math.inf

    @abstractmethod
    def initial_state(self, lanes: int) -> State:
        """Return the state at the beginning of an episode, for all lanes, on the device of the parameters."""

    @abstractmethod
    def scan(self, x: Tensor, state: Any) -> tuple[Tensor, State]:
        """Run over a chunk.

        Args:
            x: inputs of the memory, ``[lanes, steps, features]``.
            state: state before the first step, of the type that :meth:`initial_state` returns.

        Returns:
            m of every step ``[lanes, steps, output_size]``, and the state after the last step.
        """

    def forward(self, x: Tensor, state: State, is_first: Tensor) -> tuple[Tensor, State]:
        """Reset the lanes that begin an episode, then run over the chunk.

        Args:
            x: ``[lanes, steps, features]``.
            state: state before the first step.
            is_first: lanes whose state is reset before the first step, bool ``[lanes]``.

        Returns:
            m of every step ``[lanes, steps, output_size]``, and the state after the last step.
        """
        before = reset(state, self.initial_state(x.shape[0]), is_first) if needs_reset(is_first) else state
        out, after = self.scan(x, before)
        return out, map_state(Tensor.to, after, before)  # under autocast a kernel may return another dtype


def needs_reset(is_first: Tensor) -> bool:
    """Return whether a lane may have to be reset; on an accelerator always True, since a look would wait for it, and in a
    traced or exported graph, which has no look."""
    if torch.compiler.is_compiling() or torch._C._is_tracing():
        return True
    return is_first.device.type != "cpu" or bool(is_first.any())


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """Apply a function to the tensors at the same place of all the given states, and return the state of its results."""
    if isinstance(states[0], Tensor):
        return function(*states)
    return tuple(map_state(function, *parts) for parts in zip(*states, strict=True))


def reset(state: State, initial: State, is_first: Tensor) -> State:
    """Return the state with the lanes of ``is_first`` (bool ``[lanes]``) at their initial state."""
    return map_state(lambda s, i: torch.where(is_first.view(-1, *[1] * (s.dim() - 1)), i, s), state, initial)


def detach(state: State) -> State:
    """Detach the state from its graph: no gradient crosses from one chunk to the one before."""
    return map_state(Tensor.detach, state)


def take(state: State, lanes: Tensor) -> State:
    """Return the state of some lanes (int64 ``[rows]``)."""
    return map_state(lambda s: s[lanes], state)


def put(state: State, lanes: Tensor, new: State) -> State:
    """Return the state with some lanes (int64 ``[rows]``) replaced by the rows of another."""
    return map_state(lambda s, n: s.index_copy(0, lanes, n.to(s, non_blocking=True)), state, new)


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of a state that sums over many steps, for parameters of ``dtype``: at least float32."""
    return torch.promote_types(dtype, torch.float32)
