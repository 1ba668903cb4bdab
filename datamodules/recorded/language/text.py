"""Your own text: the next word, or the next byte, is the outcome of every step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal, Unpack

import numpy as np
from pytorch_lightning.utilities import rank_zero_info

from memup_lightning.data.cache import cached
from memup_lightning.data.episodes import ArrayEpisodes, EpisodeSource
from memup_lightning.data.fingerprint import Json, digest
from memup_lightning.data.text.episodes import TOKEN, NextTokenEpisodes
from memup_lightning.data.text.files import TextFile
from memup_lightning.data.text.tokens import BYTES, UNKNOWN, Vocabulary, byte_tokens, word_tokens, words
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.splits import SHARE, SPLITS, check_shares
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.exceptions import MemUPError, check_counts, check_effect
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays, Split
from memup_lightning.user_warnings import option

Part = tuple[TextFile, int, int]
"""A file, the first byte of a part of it, and the byte after its last."""

_LONGEST = 10_000  # steps of an episode, by default
_FEWEST_CHUNKS = 10  # of an episode, by default
_LANES, _NUM_WORDS = 64, 10_000  # by default
_COUNTED = 1 << 20  # tokens that are counted at once
_PARTS: dict[Split, str] = {"train": "training", "val": "validation", "test": "test"}


class TextDataModule(EpisodeDataModule):
    """Text of your own: at every step the memory reads a token, and the next token is the outcome.

    A file begins with its training part, then come those of validation and test, unless these have files of their own.
    A token is a word or a punctuation mark, in lower case, or a byte. The vocabulary is made of the training part alone:
    its most common words that come more than once; all others are one token, ``<unknown>``. A checkpoint holds it. The
    local context is the last ``window`` tokens. Lanes play every episode to its end, unless ``restart`` is given.

    Args:
        files: text files, plain or gzip. Words are read as UTF-8.
        val: files for validation; None: a part of each of ``files``.
        test: files for the test; None: a part of each of ``files``.
        val_share: share of each of ``files`` for validation, after the training part.
        test_share: share of each of ``files`` for the test, at its end.
        unit: what a token is: ``word`` or ``byte``.
        num_words: words of the vocabulary, at most.
        length: steps of an episode, at most: a part is cut into pieces of about equal length. By default as many as let
            every lane play another piece, but 10 chunks at least and 10,000 steps at most.
        window: tokens of the local context.
        cache_dir: folder that keeps the tokens on disk, from which they are streamed in little memory, and read at once
            by every later run on the same files. By default they are kept in memory, two bytes each.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: a file that is not there, empty, or no text; a part without enough tokens; shares that leave nothing.
    """

    def __init__(
        self,
        files: list[str],
        val: list[str] | None = None,
        test: list[str] | None = None,
        val_share: float = SHARE,
        test_share: float = SHARE,
        unit: Literal["word", "byte"] = "word",
        num_words: int = _NUM_WORDS,
        length: int | None = None,
        window: int = 4,
        cache_dir: str | None = None,
        **stream: Unpack[StreamOptions],
    ) -> None:
        if stream.get("restart") is None:
            stream["restart"] = [0.0]  # there is something to learn at every step
        super().__init__(**stream)
        check_counts(1, num_words=num_words, length=length, window=window)
        for name, given in (("files", files), ("val", val), ("test", test)):
            if given is not None and not given:
                raise MemUPError(
                    f"{name}=[] names no file; give at least one" + ", or leave it out" * (name != "files")
                )
        self.files: dict[Split, list[str] | None] = {"train": files, "val": val, "test": test}
        check_shares(val, val_share, test, test_share)
        if unit == "byte":
            check_effect("num_words", num_words, _NUM_WORDS, "with unit=byte, whose tokens are the 256 bytes")
        shares: dict[Split, float] = {"val": val_share, "test": test_share}
        shares = {split: share for split, share in shares.items() if self.files[split] is None}
        if any(share <= 0 for share in shares.values()) or sum(shares.values()) >= 1:
            listed = ", ".join(f"{split}_share={share}" for split, share in shares.items())
            raise MemUPError(f"{listed}: give shares of the files above 0 whose sum is below 1")
        self.shares: dict[Split, float] = {"train": 1 - sum(shares.values()), **shares}
        self.unit = unit
        self.num_words = num_words
        self.length = length
        self.window = window
        self.cache_dir = cache_dir
        self._task: TaskSpec | None = None
        self._texts: dict[Split, EpisodeSource] = {}

    @property
    def label(self) -> str:
        return ", ".join(self.files["train"] or [])

    @property
    def task(self) -> TaskSpec:
        if self._task is None:
            self.use_task(self._trained_task() or self._fitted_task())  # a model knows; no training part need be read
        assert self._task is not None
        return replace(self._task, window=self.window)

    def use_task(self, task: TaskSpec) -> None:
        token = task.fields.get(TOKEN)
        trained = "byte" if token is not None and not token.names else "word"
        if trained != self.unit:
            raise MemUPError(
                f"unit={self.unit}, but the model was trained on {trained}s; give {option('data.unit', trained)}"
            )
        self._task = task

    def setup(self, stage: str) -> None:
        if (trained := self._trained_task()) is not None:
            trained.check_same_names(self.task)
        super().setup(stage)

    @cached_property
    def parts(self) -> dict[Split, list[Part]]:
        """The parts of files that each split has."""
        files = {split: [TextFile(path) for path in paths] for split, paths in self.files.items() if paths is not None}
        named: dict[Any, str] = {}
        for split, opened in files.items():
            for file in opened:
                place = file.path.resolve()
                if place in named:
                    raise MemUPError(
                        f"{file.path} is given twice, for {named[place]} and {_PARTS[split]}; give it once"
                    )
                named[place] = _PARTS[split]
        found: dict[Split, list[Part]] = {split: [(f, 0, f.size) for f in files.get(split, [])] for split in SPLITS}
        found["train"] = []
        for file in files["train"]:
            for split, bounds in zip(self.shares, file.parts(list(self.shares.values())), strict=True):
                if split == "train" or split not in files:
                    found[split].append((file, *bounds))
        return found

    @property
    def vocabulary(self) -> Vocabulary:
        """The words of tokens; empty where tokens are bytes."""
        return Vocabulary(self.task.fields[TOKEN].names)

    def texts(self, split: Split) -> EpisodeSource:
        """Return the tokens of a split, an episode a part of a file.

        Raises:
            MemUPError: a part without two tokens, training parts that are shorter than a chunk.
        """
        if split not in self._texts:
            texts = self._encode(split)
            short = int(texts.lengths.argmin())
            least = self.chunk_length + 1 if split == "train" else 2
            if texts.lengths[short] < 2 or (split == "train" and texts.lengths.max() < least):
                raise MemUPError(
                    f"the {_PARTS[split]} part of {self.parts[split][short][0].path} holds {texts.lengths[short]} "
                    f"{self.unit}s, and needs at least {least}"
                    + f" (chunk_length={self.chunk_length} and the next one)" * (split == "train")
                    + "; give a longer text"
                )
            self._texts[split] = texts
            self._say(split, texts)
        return self._texts[split]

    def episodes(self, split: Split) -> NextTokenEpisodes:
        length = self.length
        if length is None:
            own = self.texts("train").total_steps // self.lanes
            length = min(max(own, _FEWEST_CHUNKS * self.chunk_length), _LONGEST)
        return NextTokenEpisodes(self.texts(split), length, self.task.fields[TOKEN], self.task.outcome)

    def default_lanes(self) -> int:
        return _LANES  # each plays a part of the text

    def describe(self) -> dict[str, str]:
        rows = super().describe()
        if self.unit == "word":
            rows["vocabulary"] = f"{len(self.vocabulary.names):,} words of the training part; all others are {UNKNOWN}"
        return rows

    def _fitted_task(self) -> TaskSpec:
        if self.unit == "byte":
            token = outcome = FieldSpec((), "int32", "token", BYTES)
        else:
            names = self._fit_vocabulary()
            token = FieldSpec((), "int32", "token", len(names) + 1, names)
            outcome = replace(token, names=(*names, UNKNOWN))
        return TaskSpec({TOKEN: token}, {TOKEN: 0}, (TOKEN,), outcome, self.window)

    def _fit_vocabulary(self) -> tuple[str, ...]:
        def found() -> Iterator[list[str]]:
            for file, start, stop in self.parts["train"]:
                yield from words(file.texts(start, stop))

        def fitted() -> tuple[str, ...]:
            names = Vocabulary.of(found(), self.num_words).names
            if not names:
                raise MemUPError(f"no word comes twice in the training part of {self.label}; give a longer text")
            return names

        if self.cache_dir is None:
            return fitted()
        field = {"text": FieldSpec((), "uint8")}
        made_of = self._identity("train") | {"num_words": self.num_words}
        made = lambda: [{"text": np.frombuffer("\n".join(fitted()).encode(), np.uint8)}]  # noqa: E731
        store = cached(self.cache_dir, "vocabulary", made_of, field, made)
        return tuple(store.read(0, 0, int(store.lengths[0]))["text"].tobytes().decode().split("\n"))

    def _identity(self, split: Split) -> dict[str, Json]:
        """Return what the tokens of a split follow from, but the vocabulary."""
        return {"unit": self.unit, "parts": [[file.checksum(), *bytes_] for file, *bytes_ in self.parts[split]]}

    def _encode(self, split: Split) -> EpisodeSource:
        vocabulary, parts = self.vocabulary, self.parts[split]
        dtype = "uint8" if self.unit == "byte" else vocabulary.dtype
        fields = {TOKEN: FieldSpec((), dtype)}

        def pieces(part: Part) -> Iterator[Arrays]:
            found = byte_tokens(*part) if self.unit == "byte" else word_tokens(*part, vocabulary)
            return ({TOKEN: tokens} for tokens in found)

        if self.cache_dir is not None:
            made_of = self._identity(split) | {"vocabulary": digest(list(vocabulary.names))}
            return cached(self.cache_dir, f"text {split}", made_of, fields, lambda: map(pieces, parts))
        texts = [np.concatenate([np.zeros(0, dtype), *(piece[TOKEN] for piece in pieces(part))]) for part in parts]
        lengths = [len(text) for text in texts]
        if empty := [str(file.path) for (file, *_), steps in zip(parts, lengths, strict=True) if not steps]:
            raise MemUPError(f"the {_PARTS[split]} part of {empty[0]} holds no {self.unit}; give a longer text")
        return ArrayEpisodes({TOKEN: np.concatenate(texts)}, lengths, fields)

    def _say(self, split: Split, texts: EpisodeSource) -> None:
        unknown, number = self.vocabulary.unknown, texts.total_steps
        said = f"the {_PARTS[split]} part of {self.split_label(split)}: {number:,} {self.unit}s"
        if self.unit == "word":
            missing = sum(
                int((texts.read(text, start, min(start + _COUNTED, steps))[TOKEN] == unknown).sum())
                for text, steps in enumerate(texts.lengths.tolist())
                for start in range(0, steps, _COUNTED)
            )
            said += f", {missing:,} of them ({missing / number:.1%}) {UNKNOWN}"
        rank_zero_info(said)

    def split_label(self, split: Split) -> str:
        return ", ".join(self.files[split] or self.files["train"] or [])

    def episode_keys(self, split: Split) -> Sequence[str]:
        source = self.sources.get(split)
        if not isinstance(source, NextTokenEpisodes):
            return ()
        names = [str(file.path) for file, *_ in self.parts[split]]
        return [f"{names[text]}:{start}" for text, start in zip(source.text, source.start, strict=True)]

    @property
    def key_name(self) -> str:
        return "text"

    def predict_on(self, data: str) -> None:
        if data in SPLITS:
            super().predict_on(data)
        else:
            self.files["test"] = [data]
