"""Who reads what: a pure function of (seed, step, episode lengths), apart from any reading of data.

A lane plays *visits*: an episode from its first step on, for a number of chunks. Visits follow each other without a
gap, so where a lane stands at a step is found by a binary search in the cumulative number of chunks; no step depends on
the one before it, and a resumed run, or any worker, asks for the step it needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memup_lightning import counter
from memup_lightning.episodes import IntArray
from memup_lightning.errors import MemUPError

_ORDER, _LEAVE, _STAGGER = 1, 2, 3  # separate streams of random numbers


class Positions(NamedTuple):
    """Where every lane stands at some steps; ``[steps, lanes]`` each, ``episode`` is -1 for a lane that idles."""

    episode: IntArray
    start: IntArray

    @property
    def is_first(self) -> npt.NDArray[np.bool_]:
        first: npt.NDArray[np.bool_] = self.start == 0
        return first


class Schedule(ABC):
    """What :class:`~memup_lightning.stream.ChunkStream` asks for: the episode and first step of every lane's chunk."""

    lanes: int
    chunk_length: int
    first_lane: int = 0  # number of the first of them among the lanes of all ranks

    @abstractmethod
    def at(self, steps: IntArray) -> Positions:
        """Positions of all lanes at the given steps of the run, ``[steps, lanes]``."""


class LaneSchedule(Schedule):
    """Endless training schedule: each lane plays one episode after another.

    A lane goes through all episodes in an order of its own, then through all of them in another. A lane whose
    ``restart`` probability p is not 0 leaves its episode after a geometric number of chunks (mean 1/p) or at its end,
    whichever comes first: in a long episode most chunks teach nothing, and its beginning is where the state of the
    memory is certainly its own. The first visit of every lane ends early at a random place, so that lanes which would
    march in step spread over the episode.

    Args:
        lengths: steps of each episode.
        lanes: episodes played side by side, B.
        chunk_length: steps of a chunk, r.
        restart: probabilities to leave an episode at a chunk's end, spread evenly over the lanes.
        seed: every lane's path follows from it.
        first_lane: number of the first lane that this process plays, of ``all_lanes`` (for several ranks).
        all_lanes: lanes of all processes together; by default ``lanes``.

    Raises:
        MemUPError: no lane, no step in a chunk, a restart probability outside [0, 1).
    """

    _WINDOW = 128  # visits of a lane that are worked out at once

    def __init__(
        self,
        lengths: IntArray,
        lanes: int,
        chunk_length: int,
        restart: Sequence[float] = (0.0,),
        seed: int = 0,
        first_lane: int = 0,
        all_lanes: int | None = None,
    ) -> None:
        if lanes < 1 or chunk_length < 1:
            raise MemUPError(f"lanes={lanes}, chunk_length={chunk_length}: both must be at least 1")
        if not restart or any(not 0 <= p < 1 for p in restart):
            raise MemUPError(f"restart={list(restart)}: give probabilities p with 0 <= p < 1, at least one")
        self.lengths = lengths
        self.lanes = lanes
        self.chunk_length = chunk_length
        self.seed = seed
        self.first_lane = first_lane
        self.lane = np.arange(first_lane, first_lane + lanes)
        spread = self.lane * len(restart) // (lanes if all_lanes is None else all_lanes)
        self.restart = np.asarray(restart, float)[spread]
        self._rewind()

    def at(self, steps: IntArray) -> Positions:
        steps = np.asarray(steps, np.int64)
        low, high = int(steps.min()), int(steps.max())
        if low < self._begin.max():
            self._rewind()
        while self._ends[:, -1].min() <= high:
            self._advance(low)
        visit = np.stack([np.searchsorted(ends, steps, side="right") for ends in self._ends], axis=1)
        rows = np.arange(self.lanes)
        begun = np.where(visit == 0, self._begin, self._ends[rows, np.maximum(visit - 1, 0)])
        return Positions(self._episodes[rows, visit], (steps[:, None] - begun) * self.chunk_length)

    def _rewind(self) -> None:
        self._visit = np.zeros(self.lanes, np.int64)  # number of the first visit that is worked out, for every lane
        self._begin = np.zeros(self.lanes, np.int64)  # step of the run at which it begins
        self._width = self._WINDOW
        self._work_out()

    def _advance(self, low: int) -> None:
        """Forget the visits that end at or before step ``low`` and work out as many new ones."""
        done = (self._ends <= low).sum(axis=1)
        if not done.any():
            self._width *= 2
        last = self._ends[np.arange(self.lanes), np.maximum(done - 1, 0)]
        self._begin = np.where(done > 0, last, self._begin)
        self._visit = self._visit + done
        self._work_out()

    def _work_out(self) -> None:
        visits = self._visit[:, None] + np.arange(self._width)
        lane = self.lane[:, None]
        self._episodes = self._episode_of(lane, visits)
        played = -(-self.lengths[self._episodes] // self.chunk_length)
        leaving = self.restart > 0
        if leaving.any():
            draw = counter.uniform(self.seed, _LEAVE, lane[leaving], visits[leaving])
            stay = np.floor(np.log1p(-draw) / np.log1p(-self.restart[leaving, None])) + 1
            played[leaving] = np.minimum(played[leaving], stay).astype(np.int64)
        early = np.ceil(counter.uniform(self.seed, _STAGGER, lane) * played).astype(np.int64)
        played = np.where(visits == 0, np.maximum(early, 1), played)
        self._ends = self._begin[:, None] + np.cumsum(played, axis=1)

    def _episode_of(self, lane: IntArray, visit: IntArray) -> IntArray:
        """An affine permutation of the episodes for every lane and every pass of that lane through them."""
        count = len(self.lengths)
        turn, place = np.divmod(visit, count)
        factor = 1 + counter.integers(count, self.seed, _ORDER, lane, turn)
        while (shared := np.gcd(factor, count) > 1).any():
            factor = np.where(shared, factor % count + 1, factor)
        shift = counter.integers(count, self.seed, _ORDER, lane, turn, 1)
        return (factor * place + shift) % count


class OncePerEpisode(Schedule):
    """Every episode once, from its beginning to its end: for evaluation and for refreshing targets.

    Args:
        lengths: steps of each episode of the source.
        lanes: episodes played side by side, at most; fewer are used where there are fewer episodes.
        chunk_length: steps of a chunk.
        episodes: which episodes; by default all of them.
    """

    def __init__(self, lengths: IntArray, lanes: int, chunk_length: int, episodes: IntArray | None = None) -> None:
        episodes = np.arange(len(lengths)) if episodes is None else np.asarray(episodes, np.int64)
        self.lanes = max(1, min(lanes, len(episodes)))
        self.chunk_length = chunk_length
        rounds = max(1, -(-len(episodes) // self.lanes))  # a rank may have no episode
        padded = np.full(rounds * self.lanes, -1)
        # Longest first: the lanes of a round end near each other, and few idle.
        padded[: len(episodes)] = episodes[np.argsort(-lengths[episodes], kind="stable")]
        turns = padded.reshape(rounds, self.lanes)
        chunks = -(-lengths[turns] // chunk_length)
        self._ends = np.cumsum(np.where(turns >= 0, chunks, 0).max(axis=1, initial=0))
        self._episodes = np.concatenate([turns, np.full((1, self.lanes), -1)])  # past the end every lane idles

    @property
    def steps(self) -> int:
        """Number of chunks until every episode is through."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def at(self, steps: IntArray) -> Positions:
        steps = np.asarray(steps, np.int64)
        turn = np.searchsorted(self._ends, steps, side="right")
        begun = np.where(turn == 0, 0, self._ends[np.maximum(turn - 1, 0)])
        start = np.broadcast_to(((steps - begun) * self.chunk_length)[:, None], (len(steps), self.lanes))
        return Positions(self._episodes[turn], start)
