"""Your own arrays: what a step shows (x) and what is to be predicted (y), from files or from a function."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
from pytorch_lightning.utilities import rank_zero_info

from memup_lightning.chunk import Chunk
from memup_lightning.data.array_files import (
    Columns,
    EpisodeFunction,
    EpisodePath,
    UserEpisodes,
    episode_source,
    read_episodes,
)
from memup_lightning.data.array_files.encoding import X, columns_of, encode, fit_texts
from memup_lightning.data.array_files.fields import fit_fields
from memup_lightning.data.array_files.layout import Missing, input_columns, outcome_columns
from memup_lightning.data.array_files.notes.class_counts import class_note
from memup_lightning.data.array_files.notes.training_file import training_notes
from memup_lightning.data.array_files.summary import summarize
from memup_lightning.data.episodes import OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.subset import EpisodeSubset, split_by_share
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.splits import SHARE, SPLITS, check_shares
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.protocols.columns import InputColumns, numbered_columns
from memup_lightning.specs import FieldSpec, FieldType, TaskSpec
from memup_lightning.typing import IntArray, Split
from memup_lightning.user_warnings import option, warn_user


class ArrayDataModule(EpisodeDataModule):
    """Episodes of your own, kept in memory; they may differ in length.

    The memory reads x. The local context is x of the last ``window`` steps. The outcome is y: one a step, or one an
    episode, which counts at its last step. The memory is evaluated where ``eval_mask`` is true, else at all outcomes.

    Columns of a table: numbers, booleans (0 or 1) and durations (seconds) are joined to one vector; times become the
    seconds since the row before, 0 at first; text and categories become a token each, with one class for unknown values.

    - ``.npz``: ``x`` and ``y`` of all episodes concatenated with their ``lengths``, or without ``lengths`` as
      ``[episodes, steps, ...]``; y may be ``[episodes]``. Optional: ``has_outcome`` and ``eval_mask``, bool for each step.
    - ``.parquet``, ``.arrow``, ``.feather``, ``.csv`` (extra ``arrow``): a row a step; the column ``episode`` says to which
      episode it belongs. Where y is null there is no outcome. Optional columns: ``has_outcome`` and ``eval_mask``.
      A folder of parquet files too, and a pattern (``data/*.parquet``), by name, with numbers in them by value.
    - the import path of a function that yields ``(x, y)`` for each episode, or of a class whose objects do.

    Args:
        train: file, folder, pattern or function.
        val: the same for validation; None: a share of ``train``.
        test: the same for the test; None: a share of ``train``.
        val_share: share of the episodes of ``train`` for validation, drawn by ``seed``.
        test_share: the same for the test.
        x: arrays or columns that the memory reads; by default the array ``x``, of a table all columns of no other use.
        y: array or column of the outcome; several columns: numbers make a vector, classes a class each combination.
        episode: column of a table that says to which episode a row belongs.
        time: column of a table by which the rows of an episode are sorted; by default they stay in the file's order.
        missing: what replaces a missing number (NaN or null) of x: ``mask``, the mean of its column in the training
            episodes; ``previous``, the last number of its episode, at first the mean. Both add a field that is 1 where
            a number was missing. Missing text counts as unknown, or is the previous one. By default they are refused.
        x_type: of the numbers in x: ``vector``, ``token`` (classes from 0 on) or ``image`` (height, width, channels).
        y_type: ``token`` (a class) or ``vector`` (numbers); None: integers, booleans and text are classes.
        window: steps of the local context.
        tolerance: see :class:`~memup_lightning.specs.TaskSpec`.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: what is not there, lengths that disagree, empty episodes, numbers that are not finite, no outcome.
    """

    def __init__(
        self,
        train: EpisodePath | EpisodeFunction | str,
        val: EpisodePath | EpisodeFunction | str | None = None,
        test: EpisodePath | EpisodeFunction | str | None = None,
        val_share: float = SHARE,
        test_share: float = SHARE,
        x: list[str] | None = None,
        y: str | list[str] = "y",
        episode: str = "episode",
        time: str | None = None,
        missing: Missing | None = None,
        x_type: FieldType = "vector",
        y_type: Literal["vector", "token"] | None = None,
        window: int = 1,
        tolerance: float = 0.25,
        **stream: Unpack[StreamOptions],
    ) -> None:
        super().__init__(**stream)
        self.given: dict[Split, EpisodeFunction | str | None] = {
            split: episode_source(split, source) for split, source in zip(SPLITS, (train, val, test), strict=True)
        }
        if isinstance(test, str) and test == train:
            warn_user(f"test={test} is the training file too, so the test measures what was trained on; give another")
        check_shares(val, val_share, test, test_share)
        self.shares: dict[Split, float] = {"val": val_share, "test": test_share}
        self.y, self._y_parts = outcome_columns(y)
        self.x = input_columns(x, self._y_parts or (self.y,), episode)
        self.episode, self.time, self.missing = episode, time, missing
        self.x_type: FieldType = x_type
        self.y_type = y_type
        self.window, self.tolerance = window, tolerance
        self._model_task: TaskSpec | None = None
        self._sources: dict[Split, ArrayEpisodes] = {}
        self._parts: dict[Split, IntArray] = {}  # episodes of the file of train that a split has
        self._keys: dict[Split, list[str]] = {}
        self._columns: tuple[str, ...] | None = None  # that x was read from
        self._arrays: tuple[str, ...] = ()
        self._orders: dict[Split, IntArray] = {}  # row of the file of each step, where it is another
        self._predicts_file = False
        self._range: list[list[float]] | None = None

    @property
    def label(self) -> str:
        train = self.given["train"]
        return train if isinstance(train, str) else getattr(train, "__qualname__", type(train).__qualname__)

    @property
    def task(self) -> TaskSpec:
        if "_fitted_task" not in vars(self) and self._model_task is None:
            self._model_task = self._trained_task()  # the model knows; the training episodes need not be read
        if self._model_task is None:
            return self._fitted_task
        return replace(self._model_task, window=self.window, tolerance=self.tolerance)

    def use_task(self, task: TaskSpec) -> None:
        self._model_task = task

    def setup(self, stage: str) -> None:
        if (trained := self._trained_task()) is not None:
            trained.check_same_names(self.task)
        super().setup(stage)

    def episodes(self, split: Split) -> EpisodeSource:
        if self._has_own_file(split):
            return self._whole(split)
        return EpisodeSubset(self._whole("train"), self._parts[split])

    def _has_own_file(self, split: Split) -> bool:
        """Return whether validation or test has a file, and is no part of that of train."""
        return split != "train" and self.given[split] is not None

    def all_training_episodes(self) -> EpisodeSource:
        return self.sources["train"] if self.given["val"] is None else self._whole("train")

    def episode_keys(self, split: Split) -> list[str]:
        own = self._has_own_file(split)
        self._whole(split if own else "train")
        if own:
            return self._keys[split]
        return [keys[number] for number in self._parts[split]] if (keys := self._keys["train"]) else []

    def episode_rows(self, split: Split) -> Callable[[IntArray, IntArray], IntArray]:
        own = self._has_own_file(split)
        file: Split = split if own else "train"
        offsets, order = self._whole(file).offsets, self._orders.get(file)

        def rows(episodes: IntArray, steps: IntArray) -> IntArray:
            place = offsets[episodes if own else self._parts[split][episodes]] + steps
            return place if order is None else order[place]

        return rows

    @property
    def key_name(self) -> str:
        return self.episode

    def predict_on(self, data: str) -> None:
        if data in SPLITS:
            if Path(data).exists():
                given, other = (option("on", x, f"predict_on({x!r})") for x in (data, f"./{data}"))
                warn_user(f"{given}: the split of the run's data; write {other} for what is there")
            super().predict_on(data)
        else:
            self.given["test"] = data
            self._predicts_file = True

    def check_episodes(self, split: Split, source: EpisodeSource) -> None:
        if not (split == "test" and self._predicts_file):  # nothing is evaluated on it
            super().check_episodes(split, source)

    def on_before_batch_transfer(self, batch: Chunk, dataloader_idx: int) -> Chunk:
        chunk = super().on_before_batch_transfer(batch, dataloader_idx)
        # Of a file every row is predicted, whether its outcome is known or not.
        return replace(chunk, eval_mask=chunk.valid) if self._predicts_file else chunk

    def split_label(self, split: Split) -> str:
        given = self.given[split]
        return given if isinstance(given, str) else super().split_label(split)

    @property
    def table_columns(self) -> tuple[str, ...]:
        of_table = self.steps_name == "training rows" and self.x_type == "vector"
        return (self._columns or ()) if of_table else ()

    @property
    def input_columns(self) -> InputColumns | None:
        if columns := self.table_columns:
            return InputColumns(columns, setting="data.x")
        if len(self._arrays) > 1:
            return InputColumns((), setting="data.x")
        return numbered_columns(X, self.task.fields[X], self._arrays[0]) if self._arrays else None

    @property
    def reading(self) -> dict[str, Any]:
        columns = None if self._columns is None else list(self._columns)
        names = {"x": columns, "episode": self.episode, "time": self.time, "x_type": self.x_type}
        return names | {"missing": self.missing, "range": self._x_range()}

    def _x_range(self) -> list[list[float]] | None:
        """Return the smallest and the largest number of each component of x in the training file, once it was read."""
        if self._range is None and self.x_type == "vector" and "train" in self._sources:
            x = self._sources["train"].arrays.get(X)
            if x is not None and x.dtype == np.float32:
                rows = x.reshape(len(x), -1)
                self._range = [rows.min(0).tolist(), rows.max(0).tolist()]
        return self._range

    def state_dict(self) -> dict[str, Any]:
        """Return the place in the training data, and how they are read."""
        return super().state_dict() | {"reading": self.reading}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the place in the training data, and the range of those that were trained on where they are not read here."""
        super().load_state_dict(state_dict)
        if "train" not in self._sources:
            self._range = state_dict.get("reading", {}).get("range")

    def _whole(self, split: Split) -> ArrayEpisodes:
        """Return all episodes of the file or function of a split."""
        if split not in self._sources:
            if self._model_task is None:
                _ = self._fitted_task  # reads all that is given
            else:
                fields = {**self._model_task.fields, OUTCOME: self._model_task.outcome}
                user = self._read(split, self.x or columns_of(fields), fields[OUTCOME].type)
                self._sources[split] = self._encode(split, user, fields)
                if split == "train":
                    self._parts = self._split_train(len(user.lengths))
        return self._sources[split]

    def _split_train(self, count: int) -> dict[Split, IntArray]:
        """Return which of the episodes of the file of train each split has; none where it has a file of its own."""
        shared = [split for split in SPLITS if self.given[split] is None]
        parts = split_by_share(count, [self.shares[split] for split in shared], self.seed)
        return dict(zip([*shared, "train"], parts, strict=True))

    @cached_property
    def _fitted_task(self) -> TaskSpec:
        """The task that follows from the training episodes."""
        train = self._read("train", self.x, self.y_type)
        self._parts = self._split_train(len(train.lengths))
        training = np.isin(np.arange(len(train.lengths)), self._parts["train"])
        training = np.repeat(training, train.lengths)
        label = self.split_label("train")
        train.notes += training_notes(train, self.y, self.episode, self.y_type)
        texts = fit_texts(label, train, training, named=self.x is not None)
        users: dict[Split, UserEpisodes] = {"train": train}
        y_type: FieldType = self.y_type or ("token" if train.y.dtype == np.int64 else "vector")
        for split in SPLITS:
            if self._has_own_file(split):
                users[split] = self._read(split, train.columns or self.x, y_type)
        named, missing = self.x is not None, self.missing is not None
        fields, outcome = fit_fields(label, users, texts, training, self.x_type, y_type, missing, named)
        task = TaskSpec(fields, dict.fromkeys(fields, 0), tuple(fields), outcome, self.window, self.tolerance)
        rank_zero_info(f"{label}: {summarize(train, task, self.episode, self.y)}")
        for split, user in users.items():
            self._sources[split] = self._encode(split, user, fields | {OUTCOME: outcome})
        if (note := class_note(self._sources, self._parts, outcome, self.y)) is not None:
            warn_user(f"{label}: {note}")
        return task

    def _read(self, split: Split, x: tuple[str, ...] | None, y_type: FieldType | None) -> UserEpisodes:
        source = self.given[split]
        assert source is not None
        may_lack_y = split == "test" and self._predicts_file
        how = (self.time, self.missing is not None, may_lack_y, self._y_parts)
        columns = Columns(x, self.y, self.episode, self.x_type, y_type, *how)
        user = read_episodes(source, columns)
        self._keys[split] = user.keys
        if user.order is not None:
            self._orders[split] = user.order
        if split == "train":
            self._columns, self._arrays = user.columns or self.x, user.arrays
            self.steps_name = "training rows" if user.columns else "training steps"
        return user

    def _encode(self, split: Split, user: UserEpisodes, fields: dict[str, FieldSpec]) -> ArrayEpisodes:
        arrays, notes = encode(self.split_label(split), user, fields, self.missing)
        for note in (*user.notes, *notes):
            warn_user(f"{self.split_label(split)}: {note}")
        return ArrayEpisodes(arrays, user.lengths, fields)
