"""Predictions: values, probabilities of all classes, intervals of numbers, states of the memory."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.exceptions import MemUPError
from memup_lightning.serving.tables.writer import SUFFIXES, Columns, TableWriter

_BOOLEANS = {"0": False, "1": True, "false": False, "true": True}


@dataclass
class Prediction:
    """Prediction of a step: of one stream, or of several with a first dimension ``[streams]``.

    Args:
        value: the most probable class, by its name where it has one, or the mean of a number, in the data's unit.
        classes: names of the classes, or their numbers as text; empty for numbers.
        probabilities: of each class, ``[..., classes]``; None for numbers.
        lower: lower bound of the interval of a number, ``[..., *shape]``; None for classes.
        upper: upper bound of the interval.
        memory: state m_t of the memory, ``[..., size]``; None where it was not asked for.
    """

    value: Any
    classes: tuple[str, ...]
    probabilities: npt.NDArray[Any] | None
    lower: Any
    upper: Any
    memory: npt.NDArray[Any] | None

    def probability(self, name: str | bool | int | float) -> Any:
        """Return the probability of a class.

        Args:
            name: of the class, as text or as the value that the data had: a whole number, or a boolean where the classes
                are 0 and 1 (or False and True).

        Raises:
            MemUPError: no such class, or a boolean that could mean several.
        """
        found = _class_numbers(self.classes, name)
        if self.probabilities is None or not found:
            raise MemUPError(f"there is no class {name!r}; the outcome is {', '.join(self.classes) or 'a number'}")
        if len(found) > 1:
            several = ", ".join(repr(self.classes[number]) for number in found)
            raise MemUPError(f"{name!r} could be any of the classes {several}; give one of them as it is written here")
        return self.probabilities[..., found[0]]


@dataclass
class Predictions(Prediction):
    """Predictions of the rows of a table, in its order; every array has the rows first.

    Args:
        key: what the data call the episode of each row, or its number, ``[rows]``.
        step: number of the row in its episode, ``[rows]``.
        key_name: name of the column of the episodes.
    """

    key: npt.NDArray[Any]
    step: npt.NDArray[np.int64]
    key_name: str = "episode"

    def __len__(self) -> int:
        return len(self.step)

    def columns(self) -> Columns:
        """Return the columns of a table: episode, row, step, prediction, ``probability_CLASS``, ``lower``, ``upper``,
        ``m_0`` and so on."""
        out: Columns = {self.key_name: self.key, "row": np.arange(len(self)), "step": self.step}
        return out | _prediction_columns(self)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame."""
        import pyarrow

        return pyarrow.table(self.columns()).to_pandas()

    def write(self, path: str | Path) -> Path:
        """Write a table, ``.parquet`` or ``.csv``; return its path.

        Raises:
            MemUPError: another ending; a folder that is not there.
        """
        path = Path(path)
        if path.suffix not in SUFFIXES:
            raise MemUPError(f"{path}: give a name that ends in {' or '.join(SUFFIXES)}")
        if not path.parent.is_dir():
            raise MemUPError(f"{path}: there is no folder {path.parent}; make it first")
        table = TableWriter(path)
        table.write(self.columns())
        table.close()
        return path


def _class_numbers(classes: tuple[str, ...], name: Any) -> list[int]:
    """Return the numbers of the classes that a name may mean; a class that is written just so is the only one."""
    text = str(int(name)) if isinstance(name, float | np.floating) and float(name).is_integer() else str(name)
    if text in classes:
        return [classes.index(text)]
    lower = [x.lower() for x in classes]
    meant = text.lower()
    if meant not in _BOOLEANS:
        return []
    if sorted(lower) in (["0", "1"], ["false", "true"]):
        return [number for number, x in enumerate(lower) if _BOOLEANS.get(x) == _BOOLEANS[meant]]
    return [number for number, x in enumerate(lower) if x == meant]


def _prediction_columns(prediction: Prediction) -> Columns:
    out: Columns = _flat("prediction", prediction.value)
    if prediction.probabilities is not None:
        out |= {f"probability_{name}": prediction.probabilities[:, n] for n, name in enumerate(prediction.classes)}
    if prediction.lower is not None:
        out |= _flat("lower", prediction.lower) | _flat("upper", prediction.upper)
    if prediction.memory is not None:
        out |= {f"m_{n}": prediction.memory[:, n] for n in range(prediction.memory.shape[1])}
    return out


def _flat(name: str, array: npt.NDArray[Any]) -> Columns:
    """Return a column, or one for each component."""
    if array.ndim == 1:
        return {name: array}
    flat = array.reshape(len(array), -1)
    return {f"{name}_{number}": flat[:, number] for number in range(flat.shape[1])}
