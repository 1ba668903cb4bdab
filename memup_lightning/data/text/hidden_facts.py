"""Episodes of prose in which facts are hidden, with questions at the end; computed when they are read."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning import rng
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, check_lengths
from memup_lightning.data.procedural import ProceduralEpisodes
from memup_lightning.data.text.episodes import TOKEN
from memup_lightning.data.text.facts import (
    LONGEST,
    OBJECTS,
    PEOPLE,
    PLACES,
    QUESTIONS,
    SENTENCES,
    Facts,
    Supporting,
)
from memup_lightning.data.text.tokens import Vocabulary
from memup_lightning.exceptions import MemUPError
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray

LAST_WORDS = "last_words"
"""Field of the last words up to and with that of the step."""
_BEGIN, _SPOT = 11, 12  # streams of random numbers
_ENDS, _CLOSING, _ABBREVIATIONS = (".", "!", "?"), ("\u201d", '"', "\u2019", "'", ")"), ("mr", "mrs", "ms", "dr", "st")
_NOTHING = -1  # in place of a word, after the end of a fact


class Prose:
    """Words of books, end to end, and where their sentences begin.

    The text is endless: after the last book the first one follows again.

    Args:
        words: numbers of the words, ``[words]``.
        vocabulary: of the words.

    Raises:
        MemUPError: there is no sentence.
    """

    def __init__(self, words: npt.NDArray[Any], vocabulary: Vocabulary) -> None:
        self.words = words
        numbers = [
            [vocabulary.encode([word])[0] for word in group if word in vocabulary.names]
            for group in (_ENDS, _CLOSING, _ABBREVIATIONS)
        ]
        ends, closing, short = (np.isin(words, np.array(group, words.dtype)) for group in numbers)
        ends[1:] &= ~short[:-1]
        ends[1:] |= closing[1:] & ends[:-1]
        over = ends & ~np.append(ends[1:], False)
        self.begins = np.flatnonzero(np.append(True, over[:-1]))
        if not over.any():
            raise MemUPError(f"the prose of {len(words):,} words holds no sentence; give books, with full stops")

    def __len__(self) -> int:
        return len(self.words)

    def next_sentence(self, place: IntArray) -> IntArray:
        """Return the first place at or after each, at which a sentence begins."""
        turn, within = np.divmod(place, len(self.words))
        begins = np.append(self.begins, len(self.words) + self.begins[0])
        found: IntArray = turn * len(self.words) + begins[np.searchsorted(begins, within)]
        return found


class HiddenFactsEpisodes(ProceduralEpisodes):
    """Sentences of prose, with facts between them, in order, at random places, and questions at the end.

    The outcome of the last step of a question, its question mark, is the answer, which no step shows.

    Args:
        prose: what the facts are hidden in; it begins at a random sentence of it.
        vocabulary: of all words; it begins with :data:`~memup_lightning.data.text.facts.WORDS`.
        task: facts that an answer follows from.
        facts: of each episode.
        lengths: words of prose of each episode; the sentence that begins before the end is completed.
        seeds: one seed an episode.
        every_word: whether each next word is an outcome, too; the outcome is a word then, and else a place.
        places: number of places that are answers.
        last_words: words that the memory reads at a step.
    """

    def __init__(
        self,
        prose: Prose,
        vocabulary: Vocabulary,
        task: Supporting,
        facts: Facts,
        lengths: IntArray,
        seeds: IntArray,
        every_word: bool,
        places: int,
        last_words: int,
    ) -> None:
        self.prose, self.every_word, self.last_words = prose, every_word, last_words
        self.before_begin = vocabulary.unknown  # in place of a word before the first one
        self.begin = prose.next_sentence(rng.integers(len(prose), seeds, _BEGIN, 0))
        words = prose.next_sentence(self.begin + lengths) - self.begin
        number = np.arange(facts.kind.shape[1])
        drawn = np.sort(rng.integers(words[:, None], seeds[:, None], _SPOT, number), axis=1)
        spots = np.minimum(prose.next_sentence(self.begin[:, None] + drawn) - self.begin[:, None], words[:, None])
        self.facts = _sentences(facts, vocabulary)  # [episodes, facts, LONGEST]
        self.fact_lengths = (self.facts != _NOTHING).sum(-1)
        self.before = np.concatenate([np.zeros_like(spots[:, :1]), np.cumsum(self.fact_lengths, axis=1)], axis=1)
        self.fact_begins = spots + self.before[:, :-1]
        self.question_length = len(QUESTIONS[task].split())
        self.questions = _questions(task, facts, vocabulary)  # [episodes, words of all questions]
        self.question_begins = words + self.before[:, -1]
        self.lengths = check_lengths(self.question_begins + self.questions.shape[1])
        self.answers = facts.answer
        self.answer_words = vocabulary.encode(PLACES)[facts.answer].astype(np.int32)
        word = FieldSpec((), "int32", "token", vocabulary.classes, vocabulary.names)
        flag = FieldSpec((), "bool")
        self.fields = {TOKEN: word, **outcome_fields(vocabulary, every_word, places), EVAL_MASK: flag}
        if last_words > 1:
            self.fields[LAST_WORDS] = FieldSpec((last_words,), "int32", "token", vocabulary.classes, vocabulary.names)
        if not every_word:
            self.fields[HAS_OUTCOME] = flag

    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        earlier = self.last_words - 1 if LAST_WORDS in names else 0
        steps = time.shape[1]
        words = self._words(episodes, time[:, :1] + np.arange(-earlier, steps + 1))
        asked = time - self.question_begins[episodes, None] + 1
        answers = (asked > 0) & (asked % self.question_length == 0) & (asked <= self.questions.shape[1])
        question = (asked // self.question_length - 1).clip(0, self.answers.shape[1] - 1)
        out: Arrays = {TOKEN: words[:, earlier:-1]}
        if LAST_WORDS in names:
            windows = np.lib.stride_tricks.sliding_window_view(words[:, :-1], self.last_words, axis=1)
            out[LAST_WORDS] = windows.copy()
        if self.every_word:
            out[OUTCOME] = np.where(answers, self.answer_words[episodes[:, None], question], words[:, earlier + 1 :])
        else:
            out[OUTCOME] = np.where(answers, self.answers[episodes[:, None], question], 0)
            out[HAS_OUTCOME] = answers
        out[EVAL_MASK] = answers.copy()
        return out

    def _words(self, episodes: IntArray, time: IntArray) -> npt.NDArray[np.int32]:
        """Return the words at some times, ``[rows, steps]``; any that is declared after the end of an episode."""
        begins = self.fact_begins[episodes]
        passed = np.zeros(time.shape, np.int64)  # facts that have begun
        for column in range(begins.shape[1]):  # few, and not [rows, steps, facts] at once
            passed += time >= begins[:, column, None]
        place = self.begin[episodes, None] + time - np.take_along_axis(self.before[episodes], passed, axis=1)
        out: npt.NDArray[np.int32] = self.prose.words[place % len(self.prose)].astype(np.int32)
        row, step = np.nonzero(passed)
        fact = passed[row, step] - 1
        within = time[row, step] - begins[row, fact]
        inside = within < self.fact_lengths[episodes[row], fact]
        row, step, fact, within = (x[inside] for x in (row, step, fact, within))
        out[row, step] = self.facts[episodes[row], fact, within]
        asked = time - self.question_begins[episodes, None]
        row, step = np.nonzero((asked >= 0) & (asked < self.questions.shape[1]))
        out[row, step] = self.questions[episodes[row], asked[row, step]]
        out[time < 0] = self.before_begin
        return out


def outcome_fields(vocabulary: Vocabulary, every_word: bool, places: int) -> dict[str, FieldSpec]:
    """Return the specification of the outcome: a word, or one of the places."""
    names = vocabulary.names_of_all if every_word else PLACES[:places]
    return {OUTCOME: FieldSpec((), "int32", "token", len(names), names)}


def _sentences(facts: Facts, vocabulary: Vocabulary) -> IntArray:
    """Return the words of facts, ``[episodes, facts, LONGEST]``, with :data:`_NOTHING` after their ends."""
    out = np.full((*facts.kind.shape, LONGEST), _NOTHING, np.int32)
    for kind, sentences in SENTENCES.items():
        things = OBJECTS if kind else PLACES
        for number, sentence in enumerate(sentences):
            row, fact = np.nonzero((facts.kind == kind) & (facts.sentence == number))
            for place, word in enumerate(sentence.split()):
                if word == "PERSON":
                    out[row, fact, place] = vocabulary.encode(PEOPLE)[facts.person[row, fact]]
                elif word == "THING":
                    out[row, fact, place] = vocabulary.encode(things)[facts.thing[row, fact]]
                else:
                    out[row, fact, place] = vocabulary.encode([word])[0]
    return out


def _questions(task: Supporting, facts: Facts, vocabulary: Vocabulary) -> IntArray:
    """Return the words of the questions of each episode, one after the other, ``[episodes, words]``."""
    subjects = vocabulary.encode(PEOPLE if task == 1 else OBJECTS)[facts.subject]
    filled = {"SUBJECT": subjects, "PLACE": vocabulary.encode(PLACES)[facts.now]}
    columns = [
        filled[word] if word in filled else np.full(subjects.shape, vocabulary.encode([word])[0])
        for word in QUESTIONS[task].split()
    ]
    return np.stack(columns, axis=-1).astype(np.int64).reshape(len(subjects), -1)
