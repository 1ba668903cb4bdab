"""Spaces of Gymnasium as fields: which arrays a space holds, and the arrays of a batch.

A Dict or Tuple is taken apart: each of its entries is a field of its own, named by its path (``observation.key``,
``observation.0``). A text among them, such as MiniGrid's ``mission``, is left out with a warning. An image whose channels
come first is read with its channels last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, reduce, singledispatch
from operator import getitem
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
from gymnasium import spaces
from gymnasium.vector.utils import concatenate, create_empty_array

from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec, is_picture
from memup_lightning.typing import IntArray
from memup_lightning.user_warnings import warn_user

Leaves = dict[str, npt.NDArray[Any]]
"""Arrays ``[envs, ...]`` by the name of their field."""


def space_fields(name: str, space: gymnasium.Space[Any]) -> dict[str, FieldSpec]:
    """Return the fields of a space: one, or one for each entry of a Dict or Tuple, named ``name.key``.

    Raises:
        MemUPError: a space without a fixed shape, or with nothing but text in it.
    """
    fields = {}
    for entry in _entries(name, space):
        if _is_text(entry.space) and entry.keys:
            _warn_once(f"{entry.name} is text, which no network reads here; it is left out")
        else:
            fields[entry.name] = _field(entry.space, entry.name)
    if not fields:
        raise MemUPError(f"the {name} space {space} holds no numbers; add some with a wrapper")
    return fields


def space_leaves(name: str, space: gymnasium.Space[Any], batch: Any) -> Leaves:
    """Return the arrays ``[envs, ...]`` of the fields of :func:`space_fields`, from a batch of a vector environment."""
    return {leaf.name: leaf.read(batch) for leaf in leaf_readers(name, space)}


@dataclass(frozen=True)
class LeafReader:
    """Reader of one field of :func:`space_fields` from observations or actions.

    Attributes:
        name: of the field.
        keys: that lead to it.
        start: first class number, which is subtracted; None where there are no classes.
        channels_first: whether an image's channels are moved to the end.
    """

    name: str
    keys: tuple[Any, ...]
    start: npt.NDArray[Any] | None
    channels_first: bool

    def read(self, batch: Any) -> npt.NDArray[Any]:
        """Return the field ``[*shape]`` of one environment, or ``[envs, *shape]`` of a batch of them."""
        array = np.asarray(reduce(getitem, self.keys, batch))
        if self.start is not None:
            array = array - self.start
        return np.moveaxis(array, -3, -1) if self.channels_first else array


def leaf_readers(name: str, space: gymnasium.Space[Any]) -> list[LeafReader]:
    """Return a reader of each field of :func:`space_fields`."""
    readers = []
    for entry in _entries(name, space):
        if not _is_text(entry.space):
            channels_first = _has_channels_first(entry.space)
            readers.append(LeafReader(entry.name, entry.keys, first_class(entry.space), channels_first))
    return readers


def take_envs(space: gymnasium.Space[Any], batch: Any, envs: IntArray) -> Any:
    """Return the observations of some environments, from those that a vector environment puts into its infos."""
    parts = space_parts(space)
    if parts is not None and isinstance(batch, dict | tuple):
        taken = {key: take_envs(part, batch[key], envs) for key, part in parts.items()}
        return tuple(taken.values()) if isinstance(space, spaces.Tuple) else taken
    array = np.asarray(batch)
    if array.dtype != object:
        return array[envs]
    out: Any = create_empty_array(space, len(envs))
    return concatenate(space, [array[env] for env in envs], out)


def space_starts(name: str, space: gymnasium.Space[Any]) -> dict[str, Any]:
    """Return the first class number of each Discrete and MultiDiscrete field, which :func:`space_leaves` subtracts."""
    starts = {entry.name: first_class(entry.space) for entry in _entries(name, space)}
    return {name: start.tolist() for name, start in starts.items() if start is not None}


def first_class(space: gymnasium.Space[Any]) -> npt.NDArray[Any] | None:
    """Return the first class number of a space of class numbers (Discrete, MultiDiscrete); None of another."""
    start = getattr(space, "start", None)
    return None if start is None else np.asarray(start)


@singledispatch
def space_parts(space: gymnasium.Space[Any]) -> dict[Any, gymnasium.Space[Any]] | None:
    """Return the entries of a Dict or Tuple by their key; None of a space without entries."""
    return None


@space_parts.register(spaces.Dict)
def _(space: spaces.Dict) -> dict[Any, gymnasium.Space[Any]]:
    return dict(space.items())


@space_parts.register(spaces.Tuple)
def _(space: spaces.Tuple[Any]) -> dict[Any, gymnasium.Space[Any]]:
    return dict(enumerate(space))


def misfit(name: str, space: gymnasium.Space[Any], observation: Any) -> str:
    """Say which field of an observation of one environment is not there, or has another shape or dtype than its space.

    Returns:
        The end of a sentence about the observation; empty where all fields are as the space has them.
    """
    if observation is None:
        return f"that is None, but its observation_space is {space}"
    for entry in _entries(name, space):
        if entry.space.shape is None or entry.space.dtype is None or _is_text(entry.space):
            continue
        try:
            array = np.asarray(reduce(getitem, entry.keys, observation))
        except (LookupError, TypeError):
            return f"without the field {entry.name}, which its observation_space has"
        except ValueError:  # a list of lists that differ in length
            return f"whose field {entry.name} is no array, but its observation_space is {list(entry.space.shape)}"
        if array.dtype == object and not array.shape and array.item() is None:
            expected = f"{list(entry.space.shape)} and {entry.space.dtype}"
            return f"whose field {entry.name} is None, but its observation_space has there {expected}"
        if array.shape != entry.space.shape or not np.can_cast(array.dtype, entry.space.dtype, "same_kind"):
            whose, has = (f"whose field {entry.name} is ", "has there") if entry.keys else ("", "is")
            found, expected = (f"{list(x.shape or ())} and {x.dtype}" for x in (array, entry.space))
            return f"{whose}of shape {found}, but its observation_space {has} {expected}"
    return ""


class _Entry(NamedTuple):
    """Space that is not taken apart further, its path as a name and as the keys that lead to it."""

    name: str
    space: gymnasium.Space[Any]
    keys: tuple[Any, ...]


def _entries(name: str, space: gymnasium.Space[Any], keys: tuple[Any, ...] = ()) -> Iterator[_Entry]:
    parts = space_parts(space)
    if parts is None:
        yield _Entry(name, space, keys)
    else:
        for key, part in parts.items():
            yield from _entries(f"{name}.{key}", part, (*keys, key))


@singledispatch
def _field(space: gymnasium.Space[Any], name: str) -> FieldSpec:
    raise MemUPError(
        f"the {name} space {space} has no fixed shape; "
        "Box, Discrete, MultiBinary, MultiDiscrete, Dict and Tuple can be used: convert it with a wrapper"
    )


@_field.register(spaces.Discrete)
def _(space: spaces.Discrete, name: str) -> FieldSpec:
    return FieldSpec((), "int32", "token", int(space.n))


@_field.register(spaces.MultiDiscrete)
def _(space: spaces.MultiDiscrete, name: str) -> FieldSpec:
    sizes = space.nvec.ravel().tolist()
    return FieldSpec(
        tuple(space.shape), "int32", "token", max(sizes), sizes=tuple(sizes) if len(set(sizes)) > 1 else ()
    )


@_field.register(spaces.MultiBinary)
def _(space: spaces.MultiBinary, name: str) -> FieldSpec:
    return FieldSpec(tuple(space.shape), "int8")


@_field.register(spaces.Box)
def _(space: spaces.Box, name: str) -> FieldSpec:
    shape, dtype = tuple(space.shape), np.dtype(space.dtype)
    if _has_channels_first(space):
        last = (*shape[1:], shape[0])
        _warn_once(f"{name} is an image of shape {shape}, channels first; it is read as {last}, channels last")
        shape = last
    if _is_image(space):
        return FieldSpec(shape, "uint8" if dtype == np.uint8 else "float32", "image")
    return FieldSpec(shape, dtype.name if dtype == np.float32 or dtype.kind in "iub" else "float32")


def _is_image(space: gymnasium.Space[Any]) -> bool:
    """Return whether a Box holds images: bytes, or floats from 0 to 1 with as many channels as a picture has."""
    if not isinstance(space, spaces.Box) or len(space.shape) != 3:
        return False
    if space.dtype == np.uint8:
        return True
    bounded = (space.low == 0).all() and (space.high == 1).all()
    return bool(space.dtype.kind == "f" and bounded and is_picture(space.shape))


def _has_channels_first(space: gymnasium.Space[Any]) -> bool:
    """Return whether steps are images ``(channels, height, width)``: few channels, and no few columns."""
    if not _is_image(space):
        return False
    first, height, width = space.shape or ()
    return first < min(height, width) and width > 4


def _is_text(space: gymnasium.Space[Any]) -> bool:
    return space.dtype is not None and np.dtype(space.dtype).kind == "U"  # Text, and MiniGrid's own space of missions


@cache
def _warn_once(message: str) -> None:
    warn_user(message)
