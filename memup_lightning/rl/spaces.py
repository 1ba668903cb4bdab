"""Spaces of Gymnasium as fields: which arrays a space holds, and the arrays of a batch.

A Dict or Tuple is taken apart: each of its entries is a field of its own, named by its path (``observation.key``,
``observation.0``). ``space_fields`` says what the fields are, ``space_leaves`` takes them from a batch of observations or
actions, ``space_starts`` says what was subtracted from class numbers on the way.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces

from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec

Leaves = dict[str, npt.NDArray[Any]]


def space_fields(name: str, space: gymnasium.Space[Any]) -> dict[str, FieldSpec]:
    """The fields of a space: one, or one for each entry of a Dict or Tuple, named ``name.key``.

    Raises:
        MemUPError: a space that has no fixed shape.
    """
    if isinstance(space, spaces.Dict):
        return {key: f for part, sub in space.items() for key, f in space_fields(f"{name}.{part}", sub).items()}
    if isinstance(space, spaces.Tuple):
        return {key: f for n, sub in enumerate(space) for key, f in space_fields(f"{name}.{n}", sub).items()}
    if isinstance(space, spaces.Discrete):
        return {name: FieldSpec((), "int32", "token", int(space.n))}
    if isinstance(space, spaces.MultiDiscrete):
        return {name: FieldSpec(tuple(space.shape), "int32", "token", int(space.nvec.max()))}
    if isinstance(space, spaces.MultiBinary):
        return {name: FieldSpec(tuple(space.shape), "int8")}
    if isinstance(space, spaces.Box):
        if len(space.shape) == 3 and space.dtype == np.uint8:
            return {name: FieldSpec(tuple(space.shape), "uint8", "image")}
        kept = space.dtype == np.float32 or np.dtype(space.dtype).kind in "iub"
        return {name: FieldSpec(tuple(space.shape), np.dtype(space.dtype).name if kept else "float32")}
    raise MemUPError(
        f"the {name} space {space} has no fixed shape; "
        "Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple can be used: convert it with a wrapper"
    )


def space_leaves(name: str, space: gymnasium.Space[Any], batch: Any) -> Leaves:
    """The arrays ``[envs, ...]`` behind the fields of :func:`space_fields`, from a batch of a vector environment."""
    if isinstance(space, spaces.Dict):
        return {k: x for key, sub in space.items() for k, x in space_leaves(f"{name}.{key}", sub, batch[key]).items()}
    if isinstance(space, spaces.Tuple):
        return {k: x for n, sub in enumerate(space) for k, x in space_leaves(f"{name}.{n}", sub, batch[n]).items()}
    array = np.asarray(batch)
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        array = array - np.asarray(space.start)
    return {name: array}


def space_starts(name: str, space: gymnasium.Space[Any]) -> dict[str, Any]:
    """What :func:`space_leaves` takes off the class numbers of each Discrete and MultiDiscrete entry, in plain values."""
    if isinstance(space, spaces.Dict):
        return {key: x for part, sub in space.items() for key, x in space_starts(f"{name}.{part}", sub).items()}
    if isinstance(space, spaces.Tuple):
        return {key: x for n, sub in enumerate(space) for key, x in space_starts(f"{name}.{n}", sub).items()}
    if isinstance(space, spaces.Discrete | spaces.MultiDiscrete):
        return {name: np.asarray(space.start).tolist()}
    return {}
