"""Comparison of the columns of a file with those that the model was trained on."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from memup_lightning.data.array_files.layout import Array, UserEpisodes
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec

SINCE_PREVIOUS = " (seconds since the previous row)"
"""What follows the name of a column of times in the names of the components of x."""
_NUMBER = re.compile(r"\[\d+\]$")  # of a list's component


def column_of(component: str) -> str:
    """Return the column of a table that a component of x was read from."""
    return _NUMBER.sub("", component.removesuffix(SINCE_PREVIOUS))


def times_columns(names: Iterable[str]) -> list[str]:
    """Return the columns of times among the names of the components of x."""
    return [name.removesuffix(SINCE_PREVIOUS) for name in names if name.endswith(SINCE_PREVIOUS)]


def times_advice(name: str) -> str:
    """Say how a column of text becomes one of times."""
    return f"make times of it (pandas: table[{name!r}] = pandas.to_datetime(table[{name!r}]))"


def check_columns(source: str, user: UserEpisodes, x: FieldSpec | None, texts: Iterable[str]) -> None:
    """Refuse columns of x of other names or contents, and an array of another shape, than in training.

    Args:
        source: the file, for messages.
        user: what was read.
        x: field of the numbers; None where all columns hold text.
        texts: columns of text.

    Raises:
        MemUPError: names the columns that differ, and how.
    """
    texts = tuple(texts)
    same_x = (x is None) == (user.x is None) and (x is None or not user.x_names or x.names in ((), user.x_names))
    if not same_x or tuple(user.texts) != texts:
        here = _contents(user.x_names, user.texts)
        there = _contents(x.names if x else (), texts)
        advice = "give columns of the same names and contents"
        as_text = [name for name, content in there.items() if (here.get(name), content) == ("text", "times")]
        raise MemUPError(
            f"{source}: {'; '.join([*_differences(here, there), *map(times_advice, as_text[:1]), advice])}"
        )
    if user.x is not None:
        assert x is not None
        check_shape(source, "x", user.x, x)


def check_shape(source: str, name: str, array: Array, field: FieldSpec) -> None:
    """Refuse an array of another shape than in training.

    Raises:
        MemUPError: its shape and that of training.
    """
    if array.shape[1:] != field.shape:
        raise MemUPError(
            f"{source}: {name} has shape {list(array.shape[1:])} a step, but {list(field.shape)} in the training data; "
            "give arrays of one shape"
        )


def _contents(names: Iterable[str], texts: Iterable[str]) -> dict[str, str]:
    """Return what each column holds."""
    times = dict.fromkeys(times_columns(names), "times")
    return (
        {name: "numbers" for name in names if not name.endswith(SINCE_PREVIOUS)} | times | dict.fromkeys(texts, "text")
    )


def _differences(here: Mapping[str, str], there: Mapping[str, str]) -> list[str]:
    """Say which columns of x differ; of columns in another order, both orders."""
    said = [
        f"x has no {name!r} ({content} in the training data)" for name, content in there.items() if name not in here
    ]
    said += [f"x has {name!r}, which the training data have not" for name in here if name not in there]
    said += [
        f"{name!r} holds {here[name]}, but {content} in the training data"
        for name, content in there.items()
        if here.get(name, content) != content
    ]
    return said or [f"x has the columns {', '.join(here)}, but {', '.join(there)} in the training data, in this order"]
