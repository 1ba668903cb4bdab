"""Observations with the state of a memory, and their space."""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from memup_lightning.exceptions import MemUPError
from memup_lightning.typing import BoolArray, FloatArray, IntArray

MEMORY = "memory"
"""Key of m_t in a Dict observation."""
OBSERVATION = "observation"
"""Key of the environment's observation, where that is neither a Dict nor a flat Box."""


class ObservationWithMemory:
    """Observation that m_t is appended to: at the end of a flat Box, else as an entry of a Dict.

    Args:
        space: of the environment's observation.
        size: of m_t.
        bound: largest magnitude of a component of m_t.

    Attributes:
        space: of the observation with m_t.

    Raises:
        MemUPError: a Dict that has an entry of this name.
    """

    def __init__(self, space: gymnasium.Space[Any], size: int, bound: float) -> None:
        memory = spaces.Box(-bound, bound, (size,), np.float32)
        self.space: spaces.Box | spaces.Dict
        self.is_flat = isinstance(space, spaces.Box) and len(space.shape) == 1
        self.is_dict = isinstance(space, spaces.Dict)
        if isinstance(space, spaces.Box) and self.is_flat:
            # That of the observation, or one that holds all its numbers.
            dtype = np.result_type(space.dtype, np.float32)
            low, high = (
                np.concatenate([x, y]).astype(dtype) for x, y in ((space.low, memory.low), (space.high, memory.high))
            )
            self.space = spaces.Box(low, high, dtype=dtype.type)
        elif isinstance(space, spaces.Dict):
            if MEMORY in space.spaces:
                raise MemUPError(f"the observation has an entry {MEMORY!r} already; rename it in the environment")
            self.space = spaces.Dict({**space.spaces, MEMORY: memory})
        else:
            self.space = spaces.Dict({OBSERVATION: space, MEMORY: memory})

    def join(self, observation: Any, memory: FloatArray) -> Any:
        """Append m_t to an observation.

        Args:
            observation: of one environment, or of a batch of them.
            memory: m_t, ``[size]`` or ``[envs, size]``.
        """
        if self.is_flat:
            split = self.space.shape[0] - memory.shape[-1]  # type: ignore[index]
            joined = np.empty((*memory.shape[:-1], self.space.shape[0]), self.space.dtype)  # type: ignore[index]
            joined[..., :split] = observation
            joined[..., split:] = memory
            return joined
        entries = observation if self.is_dict else {OBSERVATION: observation}
        return {**entries, MEMORY: memory.copy()}  # the memory's state may share the array

    def join_final(self, final: Any, joined: Any, memory: FloatArray, envs: IntArray, over: BoolArray) -> Any:
        """Append m_t to the last observations of episodes, laid out as a vector environment's infos have them.

        Args:
            final: as the infos have them, of all environments.
            joined: the last observations of ``envs`` with m_t.
            memory: m_t of ``envs``, ``[len(envs), size]``.
            envs: environments whose episode ended.
            over: the same as a mask, bool ``[N]``.
        """
        if isinstance(final, np.ndarray) and final.dtype == object:
            out = np.full(len(over), None, object)
            for row, env in enumerate(envs.tolist()):
                out[env] = _row(joined, row)
            return out
        if self.is_flat:
            return _spread(joined, envs, len(over))
        entries = final if self.is_dict else {OBSERVATION: final, f"_{OBSERVATION}": over}
        return {**entries, MEMORY: _spread(memory, envs, len(over)), f"_{MEMORY}": over.copy()}


def _row(joined: Any, row: int) -> Any:
    if isinstance(joined, dict):
        return {name: _row(x, row) for name, x in joined.items()}
    return tuple(_row(x, row) for x in joined) if isinstance(joined, tuple) else joined[row]


def _spread(rows: npt.NDArray[Any], envs: IntArray, num_envs: int) -> npt.NDArray[Any]:
    out = np.zeros((num_envs, *rows.shape[1:]), rows.dtype)
    out[envs] = rows
    return out
