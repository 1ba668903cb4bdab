"""The copy task: symbols of the beginning are the outcomes at the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

import numpy as np

from memup_lightning import rng
from memup_lightning.data.episodes import EVAL_MASK, OUTCOME, check_lengths
from memup_lightning.data.procedural import ProceduralEpisodes
from memup_lightning.datamodules.recorded.base import EpisodeDataModule
from memup_lightning.datamodules.recorded.stream_options import StreamOptions
from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays, IntArray, Split

_SYMBOL, _PLACE, _LENGTH = 1, 2, 3  # streams of random numbers


class CopyEpisodes(ProceduralEpisodes):
    """Episodes of the copy task: ``copied`` symbols before or among L blanks, then as many cues.

    A token is a symbol (``0 <= token < symbols``), the blank (``symbols``) or the cue (``symbols + 1``). The outcome at
    the i-th cue is the i-th symbol, at all other steps the blank.

    Args:
        blanks: L of each episode.
        symbols: number of different symbols.
        copied: how many are to be remembered.
        scattered: whether the symbols are at random places among the blanks, not at the first steps.
        seeds: one seed an episode.
    """

    def __init__(self, blanks: IntArray, symbols: int, copied: int, scattered: bool, seeds: IntArray) -> None:
        self.blanks, self.copied, self.blank, self.cue = blanks, copied, symbols, symbols + 1
        number = np.arange(copied)
        self.symbols = rng.integers(symbols, seeds[:, None], _SYMBOL, number).astype(np.int16)
        self.places = np.broadcast_to(number, self.symbols.shape)
        if scattered:
            # Distinct places in rising order: the i-th of `copied` draws from the `L + 1` ways to be passed by blanks,
            # shifted by the i symbols before it.
            self.places = np.sort(rng.integers(blanks[:, None] + 1, seeds[:, None], _PLACE, number), axis=1) + number
        self.lengths = check_lengths(blanks + 2 * copied)
        self.fields = {
            "token": FieldSpec((), "int16", "token", symbols + 2),
            OUTCOME: FieldSpec((), "int16", "token", symbols + 1),
            EVAL_MASK: FieldSpec((), "bool"),
        }

    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        number = time - (self.blanks[episodes, None] + self.copied)  # of the cue
        cue = number >= 0
        out: Arrays = {}
        if "token" in names:
            out["token"] = np.where(cue, self.cue, self.blank).astype(np.int16)
            place = self.places[episodes] - time[:, :1]
            row, symbol = ((place >= 0) & (place < time.shape[1])).nonzero()
            out["token"][row, place[row, symbol]] = self.symbols[episodes[row], symbol]
        if OUTCOME in names:
            asked = self.symbols[episodes[:, None], number.clip(0, self.copied - 1)]
            out[OUTCOME] = np.where(cue, asked, np.int16(self.blank))
        if EVAL_MASK in names:
            out[EVAL_MASK] = cue
        return out


class CopyDataModule(EpisodeDataModule):
    """Copy-L: ten symbols, L blanks, ten cues; at the cues the symbols are to be reproduced in their order (Hochreiter &
    Schmidhuber, 1997; Arjovsky, Shah & Bengio, ICML 2016). Scattered copy-L: the symbols are among the blanks.

    The memory reads the tokens. The local context is the last ``copied`` tokens, which show the number of the cue. The
    outcome is a class: the symbol at a cue, the blank elsewhere. The memory is evaluated at the cues: accuracy is the
    share of symbols reproduced. Episodes are computed when they are read.

    Args:
        length: L, blanks. Symbols are remembered for ``length + copied`` steps (scattered: for ``copied`` steps at least).
        symbols: number of different symbols.
        copied: how many are to be remembered.
        scattered: whether the symbols are at random places among the blanks, not at the first steps.
        num_train: training episodes.
        num_val: validation episodes.
        num_test: test episodes.
        shortest: blanks of the shortest training episode: theirs are drawn from [shortest, length], as many of each order
            of magnitude. By default all have ``length``, as those of validation and test have in any case.
        **stream: see :class:`~memup_lightning.datamodules.recorded.base.EpisodeDataModule`.

    Raises:
        MemUPError: no blank, symbol or episode; ``shortest`` above ``length``.
    """

    def __init__(
        self,
        length: int = 1000,
        symbols: int = 8,
        copied: int = 10,
        scattered: bool = False,
        num_train: int = 4096,
        num_val: int = 256,
        num_test: int = 256,
        shortest: int | None = None,
        **stream: Unpack[StreamOptions],
    ) -> None:
        super().__init__(**stream)
        shortest = length if shortest is None else shortest
        check_counts(1, length=length, shortest=shortest, copied=copied)
        check_counts(2, symbols=symbols)
        check_counts(1, num_train=num_train, num_val=num_val, num_test=num_test)
        self.num_episodes: dict[Split, int] = {"train": num_train, "val": num_val, "test": num_test}
        if shortest > length:
            raise MemUPError(f"shortest={shortest} is more than length={length}; no episode is longer than length")
        self.length = length
        self.shortest = shortest
        self.symbols = symbols
        self.copied = copied
        self.scattered = scattered

    @property
    def task(self) -> TaskSpec:
        return TaskSpec(
            fields={"token": FieldSpec((), "int16", "token", self.symbols + 2)},
            inputs={"token": 0},
            context=("token",),
            outcome=FieldSpec((), "int16", "token", self.symbols + 1),
            window=self.copied,
        )

    def episodes(self, split: Split) -> CopyEpisodes:
        seeds = self.episode_seeds(split, self.num_episodes[split])
        shortest = self.shortest if split == "train" else self.length
        ratio = (self.length + 1) / shortest
        blanks = np.floor(shortest * ratio ** rng.uniform(seeds, _LENGTH)).astype(np.int64)
        return CopyEpisodes(blanks.clip(shortest, self.length), self.symbols, self.copied, self.scattered, seeds)
