"""Your own arrays: what a step shows (x) and what is to be predicted (y), from files or from a function."""

from __future__ import annotations

import math
import warnings
from functools import cached_property
from typing import Any, Literal, Unpack

import numpy as np

from memup_lightning.data.array_files import Columns, EpisodeFunction, EpisodePath, UserEpisodes, read_episodes
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.subset import EpisodeSubset, split_by_share
from memup_lightning.datamodules.recorded.base import SPLITS, EpisodeDataModule, StreamOptions
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec, FieldType, TaskSpec
from memup_lightning.typing import Split

_SPARSE_CLASSES = 1000  # from so many on, at least half of the class numbers must occur


class ArrayDataModule(EpisodeDataModule):
    """Episodes of your own, kept in memory; they may differ in length.

    The memory reads x. The local context is x of the last ``window`` steps. The outcome is y: one for each step, or one for
    each episode, which counts at its last step. The memory is evaluated where ``eval_mask`` says so, else at every step
    with an outcome.

    - ``.npz``: ``x`` and ``y`` of all episodes concatenated with their ``lengths``, or without ``lengths`` as
      ``[episodes, steps, ...]``; y may be ``[episodes]``. Optional: ``has_outcome`` and ``eval_mask``, bool for each step.
    - ``.parquet``, ``.arrow``, ``.feather`` (extra ``arrow``): a row a step; the rows of an episode (column ``episode``)
      follow each other. Where y is null there is no outcome. Optional columns: ``has_outcome`` and ``eval_mask``.
      Also a folder of parquet files, partitioned or not, and a pattern (``data/*.parquet``): files are read in the order
      of their names, with numbers in them by value.
    - the import path of a function that yields ``(x, y)`` for each episode, or of a class whose objects do when called.

    Args:
        train: file, folder, pattern or function.
        val, test: the same; None: a share of ``train``.
        val_share, test_share: of the episodes of ``train``; which ones follows from ``seed``.
        x: arrays or columns that the memory reads; several are joined.
        y: array or column of the outcome.
        episode: column of a table that says to which episode a row belongs.
        x_type: ``vector`` (numbers), ``token`` (class numbers from 0 on) or ``image`` (height, width, channels).
        y_type: ``token`` (one of several classes) or ``vector`` (a number or vector); None: integers and booleans are
            classes, floats are numbers.
        window: steps of the local context.
        tolerance: a predicted number counts as right within this distance.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: a file, array or column that is not there, lengths that disagree, no or empty episodes, anything in
            them but finite numbers, no outcome at all.
    """

    def __init__(
        self,
        train: EpisodePath | EpisodeFunction | str,
        val: EpisodePath | EpisodeFunction | str | None = None,
        test: EpisodePath | EpisodeFunction | str | None = None,
        val_share: float = 0.1,
        test_share: float = 0.1,
        x: list[str] | None = None,
        y: str = "y",
        episode: str = "episode",
        x_type: FieldType = "vector",
        y_type: Literal["vector", "token"] | None = None,
        window: int = 1,
        tolerance: float = 0.3,
        **stream: Unpack[StreamOptions],
    ) -> None:
        super().__init__(**stream)
        if x is not None and not x:
            raise MemUPError("x=[] names no array or column; name those that the memory reads")
        self.given: dict[Split, EpisodeFunction | str | None] = {"train": train, "val": val, "test": test}
        self.shares: dict[Split, float] = {"val": val_share, "test": test_share}
        self.x = ["x"] if x is None else x
        self.y = y
        self.episode = episode
        self.x_type: FieldType = x_type
        self.y_type = y_type
        self.window = window
        self.tolerance = tolerance

    @property
    def label(self) -> str:
        train = self.given["train"]
        return train if isinstance(train, str) else getattr(train, "__qualname__", type(train).__qualname__)

    @property
    def task(self) -> TaskSpec:
        fields = self._sources["train"].fields
        return TaskSpec({"x": fields["x"]}, {"x": 0}, ("x",), fields[OUTCOME], self.window, self.tolerance)

    def episodes(self, split: Split) -> EpisodeSource:
        return self._sources[split]

    @cached_property
    def _sources(self) -> dict[Split, EpisodeSource]:
        read: dict[Split, UserEpisodes] = {}
        y_type: FieldType | None = self.y_type
        for split, source in self.given.items():
            if source is not None:
                columns = Columns(tuple(self.x), self.y, self.episode, self.x_type, y_type)
                read[split] = read_episodes(source, columns)
                if y_type is None and _are_class_numbers(read[split]):
                    warnings.warn(
                        f"{self.split_label(split)}: {self.y!r} holds whole numbers from 0 on as {read[split].y.dtype}, "
                        "which are read as numbers (as pandas stores a column with missing values); "
                        "y_type=token reads them as classes",
                        stacklevel=2,
                    )
                y_type = y_type or ("token" if read[split].y.dtype == np.int64 else "vector")  # of train for all
        fields = {
            "x": _field("x", {split: user.x for split, user in read.items()}, self.x_type),
            OUTCOME: _field("y", {split: user.y for split, user in read.items()}, y_type or "vector"),
        }
        has_eval_mask = any(EVAL_MASK in user.flags for user in read.values())
        sources: dict[Split, EpisodeSource] = {
            split: _source(user, fields, has_eval_mask) for split, user in read.items()
        }
        missing = [split for split in SPLITS if split not in sources]
        parts = split_by_share(len(sources["train"]), [self.shares[split] for split in missing], self.seed)
        whole = sources["train"]
        for split, part in zip([*missing, "train"], parts, strict=True):
            sources[split] = EpisodeSubset(whole, part)
        return sources

    def split_label(self, split: Split) -> str:
        given = self.given[split]
        return given if isinstance(given, str) else super().split_label(split)


def _are_class_numbers(user: UserEpisodes) -> bool:
    """Whether floats look like classes: whole numbers, the smallest 0, no gap, three or more."""
    exists = user.flags.get(HAS_OUTCOME)
    values = np.unique(user.y if exists is None else user.y[exists])
    return bool(user.y.dtype != np.int64 and len(values) > 2 and np.array_equal(values, np.arange(len(values))))


def _field(name: str, arrays: dict[Split, np.ndarray[Any, Any]], type: FieldType) -> FieldSpec:
    """Describe an array in all splits: of class numbers, as many classes as the largest number asks for."""
    train = arrays["train"]
    shape = train.shape[1:]
    for split, array in arrays.items():
        if array.shape[1:] != shape:
            raise MemUPError(f"{name} has shape {list(shape)} a step in train, but {list(array.shape[1:])} in {split}")
    if not math.prod(shape):
        raise MemUPError(f"{name} has shape {list(shape)} a step, which holds no number; give at least one column")
    if type == "image":
        _check_image(name, shape)
    if type != "token":
        return FieldSpec(shape, train.dtype.name, type)
    classes = int(max(array.max() for array in arrays.values())) + 1
    if classes > _SPARSE_CLASSES:
        occurring = len(np.unique(np.concatenate([np.unique(array) for array in arrays.values()])))
        if classes > 2 * occurring:
            raise MemUPError(
                f"{name} has class numbers up to {classes - 1}, of which {occurring} occur, a model has weights for all; "
                f"renumber them from 0 on (np.unique({name}, return_inverse=True)[1]) or read numbers: {name}_type=vector"
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


def _source(user: UserEpisodes, fields: dict[str, FieldSpec], has_eval_mask: bool) -> ArrayEpisodes:
    arrays = {"x": user.x, OUTCOME: user.y}
    arrays[HAS_OUTCOME] = user.flags.get(HAS_OUTCOME, np.ones(len(user.x), np.bool_))
    if has_eval_mask:
        arrays[EVAL_MASK] = user.flags.get(EVAL_MASK, arrays[HAS_OUTCOME])
    for field in ("x", OUTCOME):  # images of bytes in one split, of floats in another
        arrays[field] = arrays[field].astype(fields[field].dtype, copy=False)
    return ArrayEpisodes(arrays, user.lengths, fields)
