"""Fields of users' arrays: shape, type and number of classes, from the arrays of all splits."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from memup_lightning.data.array_files.encoding import MISSING, X, fit_missing
from memup_lightning.data.array_files.layout import Array, UserEpisodes
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec, FieldType
from memup_lightning.typing import BoolArray, Split
from memup_lightning.user_warnings import option

_SPARSE_CLASSES = 1000  # from so many on, at least half of the class numbers must occur


def fit_fields(
    source: str,
    users: Mapping[Split, UserEpisodes],
    texts: Mapping[str, FieldSpec],
    training: BoolArray,
    x_type: FieldType,
    y_type: FieldType,
    missing: bool,
    named: bool,
) -> tuple[dict[str, FieldSpec], FieldSpec]:
    """Make the fields of the inputs and of the outcome.

    Args:
        source: the training file, for messages.
        users: what was read for each split that has a file of its own.
        texts: fields of the columns of text.
        training: steps of the training episodes in that file, ``[steps]``.
        x_type, y_type: of x and y.
        missing: whether numbers of x may be missing.
        named: whether the user named what x is read from.
    """
    train = users["train"]
    fields: dict[str, FieldSpec] = {}
    if train.x is not None:
        x = make_field(X, {split: user.x for split, user in users.items() if user.x is not None}, x_type)
        mask: FieldSpec | None = None
        means: tuple[float, ...] = ()
        if missing and x.dtype == "float32":
            mask, means = fit_missing(source, train, training, named)
        fields[X] = replace(x, names=train.x_names if x.type == "vector" else (), means=means)
        if mask is not None:
            fields[MISSING] = mask
    if train.y_names:
        return {**fields, **texts}, FieldSpec((), "int64", "token", len(train.y_names), train.y_names)
    return {**fields, **texts}, make_field(
        "y", {split: user.outcomes for split, user in users.items()}, y_type, bool(train.columns)
    )


def make_field(name: str, arrays: Mapping[Split, Array], type: FieldType, of_table: bool = False) -> FieldSpec:
    """Describe an array in all splits: of class numbers, as many classes as the largest number asks for."""
    train = arrays["train"]
    shape = train.shape[1:]
    if name == "y" and type == "token" and shape:
        raise MemUPError(
            f"y has class numbers of shape {list(shape)} a step; give one class for each step (y[..., 0] of one column, "
            f"y.argmax(-1) of one-hot rows), or read vectors: {option('data.y_type', 'vector')}"
        )
    if not math.prod(shape):
        raise MemUPError(f"{name} has shape {list(shape)} a step, which holds no number; give at least one column")
    if type == "image":
        _check_image(name, shape)
    if type != "token":
        return FieldSpec(shape, train.dtype.name, type)
    classes = max(2, int(max(array.max(initial=0) for array in arrays.values())) + 1)
    if classes > _SPARSE_CLASSES:
        occurring = len(np.unique(np.concatenate([np.unique(array) for array in arrays.values()])))
        if classes > 2 * occurring:
            how = f"renumber them from 0 on (np.unique({name}, return_inverse=True)[1])"
            if of_table and name == "y":
                how = "make text of them (pandas: table[y] = table[y].astype('Int64').astype('string'))"
            raise MemUPError(
                f"{name} has class numbers up to {classes - 1}, of which {occurring} occur, and a model has weights for "
                f"all; {how}, or read numbers: {option(f'data.{name}_type', 'vector')}"
            )
    return FieldSpec(shape, "int64", "token", classes)


def _check_image(name: str, shape: tuple[int, ...]) -> None:
    channels = (1, 3, 4)
    if len(shape) == 2:
        raise MemUPError(f"{name} has frames of shape {list(shape)}; give [height, width, channels]: {name}[..., None]")
    if len(shape) == 3 and shape[0] in channels and shape[2] not in channels:
        raise MemUPError(
            f"{name} has frames of shape {list(shape)}, channels first; give [height, width, channels]: "
            f"np.moveaxis({name}, -3, -1)"
        )
