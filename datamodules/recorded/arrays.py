"""Your own arrays: what a step shows (x) and what is to be predicted (y), from files or from a function."""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

import numpy as np

from memup_lightning.data.array_files import Array, EpisodeFunction, OwnEpisodes, read_episodes
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.subset import EpisodeSubset, split_by_share
from memup_lightning.datamodules.recorded.base import SPLITS, EpisodeDataModule
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec, FieldType, TaskSpec
from memup_lightning.typing import Split


class ArrayDataModule(EpisodeDataModule):
    """Episodes of your own, kept in memory; they may differ in length.

    The memory reads x. The local context is x of the last ``window`` steps. The outcome is y: one for each step, or one for
    each episode, which counts at its last step. The memory is evaluated where ``eval_mask`` says so, else at every step
    with an
    outcome.

    - ``.npz``: ``x`` and ``y`` of all episodes end to end with their ``lengths``, or without ``lengths`` as
      ``[episodes, steps, ...]``; y may be ``[episodes]``. Optional: ``has_outcome`` and ``eval_mask``, bool for each step.
    - ``.parquet``, ``.arrow``, ``.feather`` (extra ``arrow``): a row a step, the rows of an episode (column ``episode``)
      behind each other. A step without y has no outcome.
    - the import path of a function that yields ``(x, y)`` for each episode, or of a class whose objects do when called.

    Args:
        train: file or function.
        val, test: file or function; None: a share of ``train``.
        val_share, test_share: of the episodes of ``train``; which ones follows from ``seed``.
        x: arrays or columns that the memory reads; several are joined.
        y: array or column of the outcome.
        episode: column of a table that says to which episode a row belongs.
        x_kind: ``vector`` (numbers), ``token`` (class numbers from 0 on) or ``image`` (height, width, channels).
        y_kind: ``token`` (one of several classes) or ``vector`` (a number or vector); None: integers and booleans are
            classes, what has a fraction is a number.
        window: steps of the local context.
        tolerance: a predicted number counts as right within this distance.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: a file, array or column that is not there, lengths that disagree, no or empty episodes, anything in
            them but finite numbers.
    """

    def __init__(
        self,
        train: EpisodeFunction | str,
        val: EpisodeFunction | str | None = None,
        test: EpisodeFunction | str | None = None,
        val_share: float = 0.1,
        test_share: float = 0.1,
        x: list[str] | None = None,
        y: str = "y",
        episode: str = "episode",
        x_kind: FieldType = "vector",
        y_kind: Literal["vector", "token"] | None = None,
        window: int = 1,
        tolerance: float = 0.3,
        **stream: Any,
    ) -> None:
        super().__init__(**stream)
        self.given: dict[Split, EpisodeFunction | str | None] = {"train": train, "val": val, "test": test}
        self.shares: dict[Split, float] = {"val": val_share, "test": test_share}
        self.x = x or ["x"]
        self.y = y
        self.episode = episode
        self.x_kind: FieldType = x_kind
        self.y_kind = y_kind
        self.window = window
        self.tolerance = tolerance

    @property
    def label(self) -> str:
        train = self.given["train"]
        return train if isinstance(train, str) else getattr(train, "__qualname__", type(train).__qualname__)

    @property
    def task(self) -> TaskSpec:
        fields = self._sources["train"].fields
        outcome = fields[OUTCOME]
        return TaskSpec(
            {"x": fields["x"]},
            {"x": 0},
            ("x",),
            outcome,
            self.window,
            self.tolerance,
            has_eval_mask=EVAL_MASK in fields,
        )

    def episodes(self, split: Split) -> EpisodeSource:
        return self._sources[split]

    @cached_property
    def _sources(self) -> dict[Split, EpisodeSource]:
        read: dict[Split, OwnEpisodes] = {
            split: read_episodes(source, self.x, self.y, self.episode)
            for split, source in self.given.items()
            if source is not None
        }
        y_kind = self.y_kind or ("token" if read["train"].y.dtype.kind in "iub" else "vector")
        fields = {
            "x": _field("x", {split: own.x for split, own in read.items()}, self.x_kind),
            OUTCOME: _field("y", {split: own.y for split, own in read.items()}, y_kind),
        }
        eval_mask = any(EVAL_MASK in own.flags for own in read.values())
        sources: dict[Split, EpisodeSource] = {
            split: _source(self._name(split), own, fields, eval_mask) for split, own in read.items()
        }
        missing = [split for split in SPLITS if split not in sources]
        parts = split_by_share(len(sources["train"]), [self.shares[split] for split in missing], self.seed)
        whole = sources["train"]
        for split, part in zip([*missing, "train"], parts, strict=True):
            sources[split] = EpisodeSubset(whole, part)
        return sources

    def _name(self, split: Split) -> str:
        given = self.given[split]
        return given if isinstance(given, str) else f"the function of {split}"


def _field(name: str, arrays: dict[Split, Array], kind: FieldType) -> FieldSpec:
    """What an array holds, in all splits: of class numbers, as many classes as occur."""
    train = arrays["train"]
    for split, array in arrays.items():
        if array.shape[1:] != train.shape[1:]:
            raise MemUPError(
                f"{name} has shape {list(train.shape[1:])} a step in train, but {list(array.shape[1:])} in {split}"
            )
    if kind != "token":
        keep = kind == "image" and train.dtype == np.uint8  # the encoder scales bytes
        return FieldSpec(train.shape[1:], "uint8" if keep else "float32", kind)
    for split, array in arrays.items():
        if array.dtype.kind == "f" and not np.array_equal(array, np.round(array)):
            raise MemUPError(
                f"{name} of {split} holds {array[array != np.round(array)].flat[0]}, which is no class number; "
                f"set {name}_kind=vector"
            )
    return FieldSpec(train.shape[1:], "int64", "token", int(max(array.max() for array in arrays.values())) + 1)


def _source(name: str, own: OwnEpisodes, fields: dict[str, FieldSpec], eval_mask: bool) -> ArrayEpisodes:
    arrays = {"x": own.x.astype(fields["x"].dtype), OUTCOME: own.y.astype(fields[OUTCOME].dtype)}
    arrays[HAS_OUTCOME] = own.flags.get(HAS_OUTCOME, np.ones(len(own.x), np.bool_))
    if eval_mask:
        arrays[EVAL_MASK] = own.flags.get(EVAL_MASK, arrays[HAS_OUTCOME])
    bad = ~np.isfinite(arrays["x"].reshape(len(own.x), -1)).all(1)
    if bad.any():
        step = int(bad.argmax())
        begins = np.concatenate([[0], np.cumsum(own.lengths)])
        episode = int(np.searchsorted(begins, step, side="right")) - 1
        raise MemUPError(
            f"{name}: x of episode {episode} at step {step - begins[episode]} is {own.x[step]}; give numbers"
        )
    try:
        return ArrayEpisodes(arrays, own.lengths, fields)
    except MemUPError as error:
        raise MemUPError(f"{name}: {error}") from error
