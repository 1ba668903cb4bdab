"""Tokens of text: bytes, or words with a vocabulary."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from memup_lightning.data.text.files import TextFile

UNKNOWN = "<unknown>"
"""Name of the token of all words that are not in a vocabulary."""
BYTES = 256
"""Tokens of bytes."""
_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
_SPACE = re.compile(r"\s")
_LONGEST = 1 << 16  # characters without white space that are kept together


def words(texts: Iterable[str]) -> Iterator[list[str]]:
    """Split text into words and punctuation marks, in lower case.

    Args:
        texts: pieces of a text; a word may go on in the next piece.

    Yields:
        The words of a piece, with those that began in the piece before; an apostrophe within a word belongs to it.
    """
    rest = ""
    for text in texts:
        text = rest + text
        cut = next((number for number in range(len(text), 0, -1) if _SPACE.match(text[number - 1])), 0)
        if not cut and len(text) > _LONGEST:
            cut = len(text)
        rest = text[cut:]
        if found := _WORD.findall(text[:cut].removeprefix("\ufeff").lower()):
            yield found
    if found := _WORD.findall(rest.removeprefix("\ufeff").lower()):
        yield found


class Vocabulary:
    """Words and their numbers, from 0 on; one number more for all others.

    Args:
        names: the words; each once.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self.names = tuple(names)
        self._numbers = _Numbers(zip(self.names, range(len(self.names)), strict=True))
        self._numbers.unknown = self.unknown

    @classmethod
    def of(cls, pieces: Iterable[list[str]], most: int, first: Sequence[str] = ()) -> Vocabulary:
        """Make the vocabulary of a text: its most common words, of equally common ones those that come first in the
        alphabet. A word that comes once is left out, so that the text has unknown words as well, from which a model learns
        what follows them.

        Args:
            pieces: words of the text.
            most: words at most, ``first`` not counted.
            first: words that are in any vocabulary; they have the first numbers.
        """
        counts: Counter[str] = Counter()
        for piece in pieces:
            counts.update(piece)
        for word in first:
            del counts[word]
        common = sorted((word for word, count in counts.items() if count > 1), key=lambda word: (-counts[word], word))
        return cls((*first, *common[:most]))

    @property
    def unknown(self) -> int:
        """Number of the words that are not in the vocabulary."""
        return len(self.names)

    @property
    def classes(self) -> int:
        """Numbers, that of unknown words with them."""
        return len(self.names) + 1

    @property
    def names_of_all(self) -> tuple[str, ...]:
        """Names of all numbers."""
        return (*self.names, UNKNOWN)

    @property
    def dtype(self) -> str:
        """The smaller of two dtypes that holds the numbers."""
        return "uint16" if self.classes <= 1 << 16 else "int32"

    def encode(self, found: Sequence[str]) -> npt.NDArray[Any]:
        """Return the numbers of words, ``[words]``."""
        return np.fromiter(map(self._numbers.__getitem__, found), self.dtype, len(found))

    def decode(self, numbers: Iterable[int]) -> list[str]:
        """Return the words of numbers."""
        names = self.names_of_all
        return [names[number] for number in numbers]


class _Numbers(dict[str, int]):
    """Numbers of words; that of unknown ones for any other."""

    unknown: int

    def __missing__(self, word: str) -> int:
        return self.unknown


def byte_tokens(file: TextFile, start: int, stop: int) -> Iterator[npt.NDArray[Any]]:
    """Yield a part of a file as numbers of bytes, ``[bytes]`` each."""
    for block in file.blocks(start, stop):
        yield np.frombuffer(block, np.uint8)


def word_tokens(file: TextFile, start: int, stop: int, vocabulary: Vocabulary) -> Iterator[npt.NDArray[Any]]:
    """Yield a part of a file as numbers of words, ``[words]`` each."""
    for found in words(file.texts(start, stop)):
        yield vocabulary.encode(found)
