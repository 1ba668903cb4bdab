"""A training schedule in stages, from short episodes to all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import numpy.typing as npt

from memup_lightning.data.streaming.samplers import LaneSampler, Positions, ShuffledLaneSampler, Visits
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.typing import IntArray


class CurriculumSampler(LaneSampler):
    """A training schedule in stages: at first lanes play short episodes alone, and all episodes in the last stage.

    Each stage is a :class:`ShuffledLaneSampler` over the episodes that it admits. Where it ends, all lanes leave
    their episodes.

    Args:
        longest: steps of the longest episode that is played, until which update: ``{1000: 50, 3000: 200}`` plays episodes
            of at most 50 steps in the first 1,000 updates, of at most 200 until update 3,000, then all.
        lengths: steps of each episode.
        lanes, chunk_length, restart, seed, first_lane, all_lanes: see :class:`ShuffledLaneSampler`.

    Raises:
        MemUPError: updates or lengths that do not rise, a stage without an episode; see :class:`ShuffledLaneSampler`.
    """

    def __init__(
        self,
        longest: Mapping[int, int],
        lengths: IntArray,
        lanes: int,
        chunk_length: int,
        restart: Sequence[float] | None = None,
        seed: int = 0,
        first_lane: int = 0,
        all_lanes: int | None = None,
    ) -> None:
        stages = sorted(longest.items())
        ends, limits = (np.array([0, *(stage[n] for stage in stages)], np.int64) for n in (0, 1))
        if (np.diff(ends) < 1).any() or (np.diff(limits) < 1).any():
            raise MemUPError(
                f"curriculum={dict(stages)}: give the longest episode that is played until an update, such as "
                "{1000: 50, 3000: 200}; updates and lengths must be above 0 and rise together"
            )
        if stages and limits[1] < lengths.min():
            raise MemUPError(
                f"curriculum={dict(stages)} plays episodes of at most {counted(limits[1], 'step')} at first, but the "
                f"shortest has {lengths.min()}; give at least as many"
            )
        self._begins = ends
        self._admitted = [*(np.flatnonzero(lengths <= limit) for limit in limits[1:]), np.arange(len(lengths))]
        self._stages = [
            ShuffledLaneSampler(lengths[admitted], lanes, chunk_length, restart, seed, first_lane, all_lanes)
            for admitted in self._admitted
        ]
        self.lanes, self.chunk_length, self.first_lane = lanes, chunk_length, first_lane

    def admitted(self, step: int) -> IntArray:
        """Return the episodes that may be played at a step of the run."""
        return self._admitted[self._stage(step)]

    def visits(self, step: int) -> Visits:
        """Return the visit that each lane plays at a step, in the stage of that step."""
        stage = self._stage(step)
        return self._stages[stage].visits(step - int(self._begins[stage]))

    def start_from(self, step: int, visits: Visits) -> None:
        """Begin at a step, without working out what came before.

        Args:
            step: of the run.
            visits: of each lane at that step, ``[lanes]``, as :meth:`visits` returned them.
        """
        self._stages[self._stage(step)].start_from(visits)

    def _stage(self, step: int) -> int:
        return int(self._stage_of(np.array(step)))

    def _stage_of(self, steps: IntArray) -> IntArray:
        return np.searchsorted(self._begins, steps, side="right") - 1

    def _by_stage(self, steps: IntArray) -> Iterator[tuple[int, npt.NDArray[np.bool_], ShuffledLaneSampler, IntArray]]:
        """Yield each stage that some steps lie in: when it begins, which steps, its sampler, and its episodes."""
        stage = self._stage_of(steps)
        for number in np.unique(stage).tolist():
            yield int(self._begins[number]), stage == number, self._stages[number], self._admitted[number]

    def episode_weights(self, steps: IntArray, episode: IntArray) -> npt.NDArray[np.float64]:
        weights = np.empty(episode.shape)
        for begin, rows, sampler, admitted in self._by_stage(steps):
            weights[rows] = sampler.episode_weights(steps[rows] - begin, np.searchsorted(admitted, episode[rows]))
        return weights

    def at(self, steps: IntArray) -> Positions:
        steps = np.asarray(steps, np.int64)
        episode, start = np.empty((2, len(steps), self.lanes), np.int64)
        for begin, rows, sampler, admitted in self._by_stage(steps):
            places = sampler.at(steps[rows] - begin)
            episode[rows], start[rows] = admitted[places.episode], places.start
        return Positions(episode, start)
