"""Facts hidden in prose, asked for at the end."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from importlib import resources
from typing import Literal, Unpack

import numpy as np

from memup_lightning import rng
from memup_lightning.data.episodes import OUTCOME
from memup_lightning.data.text.episodes import TOKEN
from memup_lightning.data.text.facts import QUESTIONS, WORDS, Supporting, draw_facts
from memup_lightning.data.text.files import TextFile
from memup_lightning.data.text.hidden_facts import LAST_WORDS, HiddenFactsEpisodes, Prose, outcome_fields
from memup_lightning.data.text.tokens import Vocabulary, words
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Split

_LENGTH, _COUNT, _PRESENT = 13, 14, 15  # streams of random numbers
_SAMPLE: dict[Split, str] = {"train": "train.txt", "val": "val.txt", "test": "test.txt"}


class HiddenFactsDataModule(EpisodeDataModule):
    """Facts between the sentences of books, and questions at the end, in the manner of BABILong (Kuratov et al., NeurIPS
    2024): bAbI's people and places among real prose. Vocabulary and rules:
    :mod:`memup_lightning.data.text.facts`.

    The memory reads words. The local context is as many words as the question has, so it holds the question. The memory is
    evaluated at question marks, whose outcome is the answer. The vocabulary is made of the training books
    alone; of other books' words it does not hold, all are one token. Episodes are computed when they are read.

    Args:
        task: facts that an answer follows from. 1: where is a person; 2: where is an object, which somebody took; 3:
            where was it before.
        ask: what is an outcome: the ``answer`` alone, or ``every_word``: each next word, in which the answer must be found.
        length: words of prose of an episode.
        shortest: of the shortest training episode: theirs are drawn from [shortest, length], as many of each order of
            magnitude. By default all have ``length``, as those of validation and test have in any case.
        facts: facts of an episode; training episodes have as many at most, and as often any smaller number that will do.
        questions: questions at the end of an episode, one after the other. No step shows an answer. With several, every
            state of the memory has as many targets, and a memory learns sooner.
        people: number of people of an episode; training episodes have as many at most, and as often any smaller number.
        places: number of places; by guessing one of them is right.
        objects: number of objects; tasks 2 and 3.
        train: books of the training episodes, text files, plain or gzip; None: a small sample that comes with the package.
        val: books of the validation episodes; None: a sample of another book.
        test: books of the test episodes; None: a sample of a third one.
        num_words: words of the vocabulary in addition to those of the facts, at most.
        last_words: words that the memory reads at a step, that of the step and those before it.
        num_train: training episodes.
        num_val: validation episodes.
        num_test: test episodes.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: a number outside its range, a book that is not there or given for two splits, books without sentences.
    """

    def __init__(
        self,
        task: Supporting = 1,
        ask: Literal["answer", "every_word"] = "answer",
        length: int = 1000,
        shortest: int | None = None,
        facts: int = 4,
        questions: int = 1,
        people: int = 4,
        places: int = 6,
        objects: int = 3,
        train: list[str] | None = None,
        val: list[str] | None = None,
        test: list[str] | None = None,
        num_words: int = 5000,
        last_words: int = 1,
        num_train: int = 16384,
        num_val: int = 256,
        num_test: int = 256,
        **stream: Unpack[StreamOptions],
    ) -> None:
        super().__init__(**stream)
        shortest = length if shortest is None else shortest
        check_counts(1, length=length, shortest=shortest, facts=facts, questions=questions, last_words=last_words)
        check_counts(0, num_words=num_words)
        check_counts(1, num_train=num_train, num_val=num_val, num_test=num_test)
        if task not in QUESTIONS:
            raise MemUPError(f"task={task}: give 1, 2 or 3")
        if shortest > length:
            raise MemUPError(f"shortest={shortest} is more than length={length}; no episode is longer than length")
        self.supporting: Supporting = task
        self.ask = ask
        self.length = length
        self.shortest = shortest
        self.facts = facts
        self.questions = questions
        self.people = people
        self.places = places
        self.objects = objects
        self.books: dict[Split, list[str] | None] = {"train": train, "val": val, "test": test}
        self.num_words = num_words
        self.last_words = last_words
        self.num_episodes: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_test}

    @property
    def label(self) -> str:
        return f"HiddenFacts-{self.supporting}, {self.length:,} words"

    @property
    def task(self) -> TaskSpec:
        vocabulary = self.vocabulary
        word = FieldSpec((), "int32", "token", vocabulary.classes, vocabulary.names)
        fields, reads = {TOKEN: word}, TOKEN
        if self.last_words > 1:
            reads = LAST_WORDS
            fields[reads] = FieldSpec((self.last_words,), "int32", "token", vocabulary.classes, vocabulary.names)
        outcome = outcome_fields(vocabulary, self.ask == "every_word", self.places)[OUTCOME]
        return TaskSpec(fields, {reads: 0}, (TOKEN,), outcome, len(QUESTIONS[self.supporting].split()))

    def use_task(self, task: TaskSpec) -> None:
        if task.fields.get(TOKEN) is not None:
            self.vocabulary = Vocabulary(task.fields[TOKEN].names)

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The words of the facts, and the most common ones of the training books."""
        return Vocabulary.of(self._read("train"), self.num_words, first=WORDS)

    @cached_property
    def files(self) -> dict[Split, list[TextFile]]:
        """The books of each split."""
        sample = resources.files("memup_lightning.data.text") / "sample"
        found: dict[Split, list[TextFile]] = {}
        used: dict[str, Split] = {}
        for split, books in self.books.items():
            found[split] = [TextFile(book) for book in books or [str(sample / _SAMPLE[split])]]
            for file in found[split]:
                other = used.setdefault(file.checksum(), split)
                if other != split:
                    raise MemUPError(f"{file.path} is a book of {other} and of {split}; give each split its own")
        return found

    def episodes(self, split: Split) -> HiddenFactsEpisodes:
        seeds = self.episode_seeds(split, self.num_episodes[split])
        shortest = self.shortest if split == "train" else self.length
        ratio = (self.length + 1) / shortest
        lengths = np.floor(shortest * ratio ** rng.uniform(seeds, _LENGTH)).astype(np.int64)
        lengths = lengths.clip(shortest, self.length)
        vocabulary = self.vocabulary
        prose = Prose(np.concatenate([vocabulary.encode(piece) for piece in self._read(split)]), vocabulary)
        counts, present = np.full(len(seeds), self.facts), np.full(len(seeds), self.people)
        if split == "train" and self.facts >= self.supporting:
            counts -= rng.integers(self.facts - self.supporting + 1, seeds, _COUNT)
            present = 1 + rng.integers(self.people, seeds, _PRESENT)
        given = self.people, self.places, self.objects, self.questions
        facts = draw_facts(self.supporting, counts, present, *given, seeds)
        every_word = self.ask == "every_word"
        return HiddenFactsEpisodes(
            prose, vocabulary, self.supporting, facts, lengths, seeds, every_word, self.places, self.last_words
        )

    def _read(self, split: Split) -> Iterator[list[str]]:
        """Yield the words of the books of a split."""
        for file in self.files[split]:
            yield from words(file.texts())
