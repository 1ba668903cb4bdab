"""Joins targets to chunks, in the training process."""

from __future__ import annotations

import numpy as np

from memup_lightning.chunk import Chunk, StepBatch
from memup_lightning.data.episodes import EVAL_MASK, OUTCOME, EpisodeSource
from memup_lightning.data.streaming.samplers import LaneSampler
from memup_lightning.data.streaming.step_reader import StepReader
from memup_lightning.data.targets.candidates import NOWHERE
from memup_lightning.data.targets.table import TargetTable
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Arrays, BoolArray, IntArray

_PLAN = 64  # chunks whose targets are chosen and read at once
_BLOCK_BYTES = 2 << 20  # of the targets that are laid out at once


class TargetJoin:
    """Adds the targets to chunks, in the training process.

    Between two refreshes the schedule alone says which targets the next chunks get: they are chosen and read for a block
    of chunks at once, each target once for as long as a lane keeps it, and laid out chunk after chunk: what is left to do
    for a chunk is to hand out views.

    Args:
        source: the episodes.
        task: fields of context and outcome.
        table: the targets of every episode.
        schedule: that of the chunks.
    """

    def __init__(self, source: EpisodeSource, task: TaskSpec, table: TargetTable, schedule: LaneSampler) -> None:
        self.table = table
        self.schedule = schedule
        self.reader = StepReader(source, task)
        self._refresh = -1
        self._first = self._last = 0  # steps of the run that are planned
        self._positions = np.zeros((0, 0, 0), np.int64)
        self._rows = np.zeros((0, 0), np.int64)  # places of the targets of a planned step and lane in ...
        self._arrays: Arrays = {}  # ... these arrays, [rows, K, ...]
        self._laid_out: dict[int, StepBatch] = {}  # step of the run -> its targets

    def __call__(self, chunk: Chunk) -> Chunk:
        if self._refresh != self.table.num_refreshes or chunk.step not in self._laid_out:
            self._read_block(chunk.step)
        chunk.targets = self._laid_out[chunk.step]
        return chunk

    def targets(self, episode: IntArray, start: IntArray) -> StepBatch:
        """Return the targets of chunks at the given places, ``[rows, K]``."""
        return self.steps_at(episode, self.table.select(episode, start))

    def steps_at(self, episodes: IntArray, positions: IntArray) -> StepBatch:
        """Return some steps of episodes, ``[rows, K]``.

        Args:
            episodes: ``[rows]``.
            positions: ``[rows, K]``; :data:`NOWHERE` where there is no step.
        """
        return self.reader.steps(self._read(episodes, positions), positions, positions != NOWHERE, positions.shape)

    def eval_mask_at(self, episodes: IntArray, positions: IntArray) -> BoolArray:
        """Return whether the memory is evaluated at the given steps of episodes that mark such steps.

        Args:
            episodes: ``[rows]``.
            positions: ``[rows, K]``; :data:`NOWHERE` where there is no step.

        Returns:
            ``[rows, K]``; False where there is no step.
        """
        there = positions != NOWHERE
        rows = np.repeat(episodes, positions.shape[1])
        flags = self.reader.source.gather(rows, np.where(there, positions, 0).ravel(), 1, [EVAL_MASK])[EVAL_MASK]
        eval_mask: BoolArray = flags.reshape(positions.shape).astype(np.bool_) & there
        return eval_mask

    def _read(self, episode: IntArray, position: IntArray) -> Arrays:
        """Read the steps at ``position [rows, K]`` of each row's episode, concatenated; any step for a missing target."""
        return self.reader.read(
            np.repeat(episode, position.shape[1]), np.where(position == NOWHERE, 0, position).ravel()
        )

    def _read_block(self, step: int) -> None:
        """Return the targets of the chunks from ``step`` on, as many as fit into a block."""
        if self._refresh != self.table.num_refreshes or not self._first <= step < self._last:
            self._plan(step)
        lanes, targets = self._positions.shape[1:]
        row_bytes = sum(x.nbytes for x in self._arrays.values()) // max(1, len(self._arrays[OUTCOME]))
        size = max(1, _BLOCK_BYTES // max(1, lanes * row_bytes))
        begin, end = step - self._first, min(step - self._first + size, len(self._rows))
        rows = self._rows[begin:end].ravel()
        position = self._positions[begin:end].reshape(len(rows), targets)
        arrays = {name: x.take(rows, 0).reshape(position.size, *x.shape[2:]) for name, x in self._arrays.items()}
        whole = self.reader.steps(arrays, position, position != NOWHERE, position.shape)
        self._laid_out = dict(zip(range(step, step + end - begin), whole.split(end - begin), strict=True))

    def _plan(self, step: int) -> None:
        """Choose and read the targets of the chunks from ``step`` on."""
        steps = np.arange(step, step + _PLAN)
        episode, start = self.schedule.at(steps)
        idle = (episode < 0)[..., None]
        shape = (*episode.shape, self.table.selector.num_targets)
        position = self.table.select(np.maximum(episode, 0).ravel(), start.ravel()).reshape(shape)
        position = np.where(idle, NOWHERE, position)
        fresh = np.ones(episode.shape, np.bool_)
        fresh[1:] = (episode[1:] != episode[:-1]) | (position[1:] != position[:-1]).any(-1)
        lane = np.arange(episode.shape[1])
        latest = np.maximum.accumulate(np.where(fresh, np.arange(len(steps))[:, None], 0), axis=0)
        numbers = np.cumsum(fresh.ravel()).reshape(fresh.shape) - 1
        self._rows = numbers[latest, lane]
        self._positions = position
        wanted = position[fresh]
        read = self._read(np.maximum(episode[fresh], 0), wanted)
        self._arrays = {name: x.reshape(*wanted.shape, *x.shape[1:]) for name, x in read.items()}
        self._refresh, self._first, self._last = self.table.num_refreshes, step, step + len(steps)
