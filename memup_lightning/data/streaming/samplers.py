"""Samplers of lanes: positions as a pure function of (seed, step, episode lengths), without reading data.

A lane plays *visits*: an episode from its first step on, for a number of chunks. Visits follow each other without a gap,
so the position of a lane at a step is found by a binary search in the cumulative number of chunks. A training schedule has
no end: of its visits only a window around the steps that are asked for is worked out, and it moves forward with the run.
Where it is, two numbers a lane, is saved with the run (:meth:`ShuffledLaneSampler.visits`): a resumed run, and each of its
workers, begins there, however many visits came before.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from memup_lightning import rng
from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.typing import IntArray

_ORDER_STREAM, _LEAVING_STREAM, _OFFSET_STREAM = 1, 2, 3  # separate streams of random numbers
_NUM_LENGTHS = 1024  # quantiles of the lengths of episodes by which the weights of episodes are scaled
_MAX_RESTART = 0.999  # a lane of this probability plays almost nothing but first chunks


class Positions(NamedTuple):
    """Positions of all lanes at some steps, ``[steps, lanes]`` each; ``episode`` is -1 for an idle lane."""

    episode: IntArray
    start: IntArray

    @property
    def is_first(self) -> npt.NDArray[np.bool_]:
        first: npt.NDArray[np.bool_] = self.start == 0
        return first


class Visits(NamedTuple):
    """The visit that each lane plays at some step of the run, ``[lanes]`` each."""

    number: IntArray
    """Visits of the lane before it."""
    begin: IntArray
    """Step of the run, or of its stage, at which it begins."""


class LaneSampler(ABC):
    """What a :class:`~memup_lightning.data.streaming.stream.ChunkStream` asks for: episode and first step of every lane."""

    lanes: int
    chunk_length: int
    first_lane: int = 0  # number of the first of them among the lanes of all ranks

    @property
    def lane(self) -> IntArray:
        """Numbers of the lanes among those of all ranks, ``[lanes]``."""
        return np.arange(self.first_lane, self.first_lane + self.lanes)

    @abstractmethod
    def at(self, steps: IntArray) -> Positions:
        """Return the positions of all lanes at the given steps of the run, ``[steps, lanes]``."""

    def episode_weights(self, steps: IntArray, episode: IntArray) -> npt.NDArray[np.float64]:
        """Return how often an episode would be played if its length alone decided, relative to how often a lane plays it.

        Args:
            steps: of the run, ``[steps]``.
            episode: of each lane at each of them, ``[steps, lanes]``.

        Returns:
            ``[steps, lanes]``, of mean 1 over a run; here 1.
        """
        return np.ones(episode.shape)


class ShuffledLaneSampler(LaneSampler):
    """Endless training schedule: each lane plays one episode after another.

    A lane goes through all episodes in an order of its own, then through all of them in another. A lane whose ``restart``
    probability p is not 0 leaves its episode after a geometric number of chunks (mean 1/p) or at its end, whichever comes
    first: from most chunks of a long episode nothing is learned, and its beginning is where the state of the memory is
    certainly its own. The first visit of every lane ends early at a random place, so that lanes which would march in step
    spread over the episode.

    Args:
        lengths: steps of each episode.
        lanes: episodes played at once, B.
        chunk_length: steps of a chunk, r.
        restart: probabilities to leave an episode at a chunk's end, spread evenly over the lanes; None: horizons (see
            :func:`restart_probabilities`).
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
        restart: Sequence[float] | None = None,
        seed: int = 0,
        first_lane: int = 0,
        all_lanes: int | None = None,
    ) -> None:
        check_counts(1, lanes=lanes, chunk_length=chunk_length)
        if restart is not None and (not len(restart) or any(not 0 <= p < 1 for p in restart)):
            raise MemUPError(f"restart={list(restart)}: give probabilities p with 0 <= p < 1, at least one")
        self.lengths = lengths
        self.lanes = lanes
        self.chunk_length = chunk_length
        self.seed = seed
        self.first_lane = first_lane
        all_lanes = lanes if all_lanes is None else all_lanes
        if restart is None:
            self.restart = restart_probabilities(int(lengths.max()), all_lanes, chunk_length)[self.lane]
        else:
            self.restart = np.asarray(restart, float)[self.lane * len(restart) // all_lanes]
        self._rewind()

    def at(self, steps: IntArray) -> Positions:
        steps = np.asarray(steps, np.int64)
        column, begin = self._find(steps)
        return Positions(self._episodes[np.arange(self.lanes), column], (steps[:, None] - begin) * self.chunk_length)

    def episode_weights(self, steps: IntArray, episode: IntArray) -> npt.NDArray[np.float64]:
        lengths = self.lengths[episode]
        weights: npt.NDArray[np.float64] = lengths / self._chunks(lengths) / self._usual
        return weights

    @cached_property
    def _usual(self) -> npt.NDArray[np.float64]:
        """Steps of an episode for each of its chunks that a lane plays, ``[lanes]``."""
        number = min(len(self.lengths), _NUM_LENGTHS)
        some = np.sort(self.lengths)[((np.arange(number) + 0.5) / number * len(self.lengths)).astype(np.int64)]
        usual: npt.NDArray[np.float64] = some.sum() / self._chunks(some[:, None]).sum(0)
        return usual

    def _chunks(self, lengths: IntArray) -> npt.NDArray[np.float64]:
        """Return how many chunks of an episode of some length (``[rows, lanes]`` or ``[rows, 1]``) each lane plays on
        average, ``[rows, lanes]``."""
        number = -(-lengths // self.chunk_length)
        p = np.where(self.restart > 0, self.restart, 0.5)
        chunks: npt.NDArray[np.float64] = np.where(self.restart > 0, -np.expm1(number * np.log1p(-p)) / p, number)
        return chunks

    def visits(self, step: int) -> Visits:
        """Return the visit that each lane plays at a step: where another sampler of these settings may begin."""
        column, begin = self._find(np.array([step]))
        return Visits(self._visit + column[0], begin[0])

    def start_from(self, visits: Visits) -> None:
        """Begin with the given visits, without working out those that came before.

        Args:
            visits: of each lane, ``[lanes]``, as :meth:`visits` returned them.
        """
        self._visit, self._begin = visits
        self._width = self._WINDOW
        self._work_out()

    def _find(self, steps: IntArray) -> tuple[IntArray, IntArray]:
        """Return the column of the window that each lane plays at each step, and the step at which that visit begins."""
        low, high = int(steps.min()), int(steps.max())
        if low < self._begin.max():
            self._rewind()
        while self._ends[:, -1].min() <= high:
            self._advance(low)
        column = np.stack([np.searchsorted(ends, steps, side="right") for ends in self._ends], axis=1)
        begin = np.where(column == 0, self._begin, self._ends[np.arange(self.lanes), np.maximum(column - 1, 0)])
        return column, begin

    def _rewind(self) -> None:
        self.start_from(Visits(np.zeros(self.lanes, np.int64), np.zeros(self.lanes, np.int64)))

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
            draw = rng.uniform(self.seed, _LEAVING_STREAM, lane[leaving], visits[leaving])
            stay = np.floor(np.log1p(-draw) / np.log1p(-self.restart[leaving, None])) + 1
            played[leaving] = np.minimum(played[leaving], stay).astype(np.int64)
        early = np.ceil(rng.uniform(self.seed, _OFFSET_STREAM, lane) * played).astype(np.int64)
        played = np.where(visits == 0, np.maximum(early, 1), played)
        self._ends = self._begin[:, None] + np.cumsum(played, axis=1)

    def _episode_of(self, lane: IntArray, visit: IntArray) -> IntArray:
        """Return an affine permutation of the episodes for every lane and every pass of that lane through them."""
        count = len(self.lengths)
        turn, place = np.divmod(visit, count)
        factor = 1 + rng.integers(count, self.seed, _ORDER_STREAM, lane, turn)
        while (shared := np.gcd(factor, count) > 1).any():
            factor = np.where(shared, factor % count + 1, factor)
        shift = rng.integers(count, self.seed, _ORDER_STREAM, lane, turn, 1)
        return (factor * place + shift) % count


def restart_probabilities(longest: int, lanes: int, chunk_length: int) -> npt.NDArray[np.float64]:
    """Return the probability of every lane to leave its episode after a chunk, so that all time scales get their share.

    Each lane has a horizon h, in steps; horizons are spaced evenly in log h from one chunk to twice the longest episode,
    and a lane with horizon h leaves with probability ``chunk_length / h``. The first lanes see many beginnings, the last
    ones keep the state to the end of their episodes.

    Args:
        longest: steps of the longest episode.
        lanes: lanes of all processes together.
        chunk_length: steps of a chunk, r.

    Returns:
        Probabilities, falling, ``[lanes]``.
    """
    share = np.linspace(0, 1, lanes) if lanes > 1 else np.ones(1)
    horizon = chunk_length * (max(2 * longest, chunk_length) / chunk_length) ** share
    return np.minimum(chunk_length / horizon, _MAX_RESTART)


class SequentialSampler(LaneSampler):
    """Every episode once, from its beginning to its end: for evaluation and for refreshing targets.

    Args:
        lengths: steps of each episode of the source.
        lanes: episodes played at once, at most; fewer are used where there are fewer episodes.
        chunk_length: steps of a chunk, or those of the longest episode where it is shorter.
        episodes: which episodes; by default all of them.
    """

    def __init__(self, lengths: IntArray, lanes: int, chunk_length: int, episodes: IntArray | None = None) -> None:
        episodes = np.arange(len(lengths)) if episodes is None else np.asarray(episodes, np.int64)
        self.lanes = max(1, min(lanes, len(episodes)))
        self.chunk_length = chunk_length = max(1, min(chunk_length, int(lengths[episodes].max(initial=0))))
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
