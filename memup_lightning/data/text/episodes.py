"""Texts as episodes: a token a step, and the next one as its outcome."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from memup_lightning.data.episodes import OUTCOME, EpisodeSource
from memup_lightning.data.procedural import ProceduralEpisodes
from memup_lightning.specs import FieldSpec
from memup_lightning.typing import Arrays, IntArray

TOKEN = "token"
"""Field of the token of a step, of a stored text and of an episode."""


class NextTokenEpisodes(ProceduralEpisodes):
    """Pieces of texts: step t shows token t of a piece, and its outcome is token t + 1.

    A piece begins with the token with which the piece before it ends, so every token but the first of a text is an outcome
    once.

    Args:
        texts: each an episode with the field ``token``, of any dtype.
        length: steps of a piece, at most; the pieces of a text are of equal length, or differ by one.
        token: specification of the token of a step.
        outcome: that of the next one.
    """

    def __init__(self, texts: EpisodeSource, length: int, token: FieldSpec, outcome: FieldSpec) -> None:
        self.texts = texts
        self.fields: Mapping[str, FieldSpec] = {TOKEN: token, OUTCOME: outcome}
        pieces = [(number, *cut) for number, steps in enumerate(texts.lengths - 1) for cut in _cut(int(steps), length)]
        self.text, self.start, self.lengths = np.array(pieces, np.int64).reshape(-1, 3).T

    def generate(self, episodes: IntArray, time: IntArray, names: Sequence[str]) -> Arrays:
        starts = self.start[episodes] + time[:, 0]
        found = self.texts.gather(self.text[episodes], starts, time.shape[1] + 1, [TOKEN])[TOKEN]
        steps = {TOKEN: found[:, :-1], OUTCOME: found[:, 1:]}
        return {name: steps[name].astype(self.fields[name].dtype) for name in names}


def _cut(steps: int, length: int) -> list[tuple[int, int]]:
    """Return the first step and the number of steps of each piece of a text."""
    bounds = np.linspace(0, steps, -(-steps // length) + 1).astype(np.int64)
    return list(zip(bounds[:-1].tolist(), np.diff(bounds).tolist(), strict=True))
