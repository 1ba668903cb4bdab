"""What a memory core is: state in, state out, nothing hidden."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import State as State


class Memory(nn.Module, ABC):
    """A recurrent core g_theta: ``m_t = g(x_t, m_{t-1})`` (MemUP, NeurIPS 2022, equation 2).

    A subclass sets :attr:`output_size` and writes :meth:`initial_state` and :meth:`scan`. What it may count on: the state
    it gets is the one it returned, detached between chunks, and a lane that begins an episode gets its initial state.
    What it must keep: a pass in chunks equals one pass over the whole episode, and no lane sees another.

    Attributes:
        output_size: size of m_t as the predictor reads it.
    """

    output_size: int

    @abstractmethod
    def initial_state(self, lanes: int) -> State:
        """State at the beginning of an episode, for all lanes, on the device of the parameters."""

    @abstractmethod
    def scan(self, x: Tensor, state: Any) -> tuple[Tensor, State]:
        """Run over a chunk.

        Args:
            x: what the memory reads, ``[lanes, steps, features]``.
            state: state before the first step.

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
        before = reset(state, self.initial_state(x.shape[0]), is_first) if may_hold(is_first) else state
        out, after = self.scan(x, before)
        return out, map_state(Tensor.to, after, before)  # under autocast a kernel may return another dtype


def may_hold(mask: Tensor) -> bool:
    """Whether a mask may be true anywhere, so that what it calls for must be done. On an accelerator the answer is yes: to
    look would be to wait for it."""
    return mask.device.type != "cpu" or bool(mask.any())


def map_state(function: Callable[..., Tensor], *states: State) -> State:
    """A state of what the function makes of the tensors that stand at the same place of all the given states."""
    if isinstance(states[0], Tensor):
        return function(*states)
    return tuple(map_state(function, *parts) for parts in zip(*states, strict=True))


def reset(state: State, initial: State, is_first: Tensor) -> State:
    """The state with the lanes of ``is_first`` (bool ``[lanes]``) at their initial state."""
    return map_state(lambda s, i: torch.where(is_first.view(-1, *[1] * (s.dim() - 1)), i, s), state, initial)


def detach(state: State) -> State:
    """The same state without the graph that made it: no gradient crosses from one chunk to the one before."""
    return map_state(Tensor.detach, state)


def take(state: State, lanes: Tensor) -> State:
    """The state of some lanes (int64 ``[rows]``)."""
    return map_state(lambda s: s[lanes], state)


def put(state: State, lanes: Tensor, new: State) -> State:
    """The state with some lanes (int64 ``[rows]``) replaced by the rows of another."""
    return map_state(lambda s, n: s.index_copy(0, lanes, n.to(s, non_blocking=True)), state, new)


def accumulation_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of a state that sums over many steps, for parameters of ``dtype``: at least float32."""
    return torch.promote_types(dtype, torch.float32)


def check_sizes(core: nn.Module, **sizes: int) -> None:
    """Refuse a core with a size below 1.

    Raises:
        MemUPError: the first such size, with its value.
    """
    for name, size in sizes.items():
        if size < 1:
            raise MemUPError(f"{type(core).__name__} {name}={size}: must be at least 1")
