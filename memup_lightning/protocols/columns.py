"""Inputs of the data that can be left out, and how their user does so."""

from __future__ import annotations

from typing import NamedTuple

from memup_lightning.specs import FieldSpec


class InputColumns(NamedTuple):
    """Inputs of which some can be left out.

    Attributes:
        names: of the columns of a table; ``x[0]``, ``x[1]``, ... of those of an array or an observation; empty: arrays are
            left out as a whole.
        setting: key of the setting that names those that are read; None: a slice of the array leaves the others out.
        array: of which they are the columns.
        numbers: by which the user's data call the columns, in place of names; empty for a table.
    """

    names: tuple[str, ...]
    setting: str | None = None
    array: str | None = None
    numbers: tuple[int, ...] = ()


def numbered_columns(field: str, spec: FieldSpec, array: str, setting: str | None = None) -> InputColumns | None:
    """Return the columns of an array that has no names for them; None where a step has no columns.

    Args:
        field: of the task, which holds the array.
        spec: of that field.
        array: as its user calls it.
        setting: key of the setting that numbers those that are read.
    """
    if spec.type != "vector" or len(spec.shape) > 1:
        return None
    names = component_names(field, spec)
    return InputColumns(names, setting, array, spec.entries or tuple(range(len(names))))


def component_names(field: str, spec: FieldSpec) -> tuple[str, ...]:
    """Return the names of the components of a field; of a token, an image or a number there is one, the field's."""
    if spec.type != "vector":
        return (field,)
    if spec.names or len(spec.shape) != 1:
        return spec.names or (field,)
    return tuple(f"{field}[{number}]" for number in range(spec.shape[0]))
