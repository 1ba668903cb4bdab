"""Schedule + source -> chunks.

:class:`ChunkStream` reads what depends on the schedule alone; it may run in DataLoader workers, which read ahead.
:class:`~memup_lightning.data.streaming.target_join.TargetJoin` adds the targets in the training process, at the step that
uses them, so that a refresh takes effect at once, however far the workers have read ahead: results do not depend on their
number.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from memup_lightning import rng
from memup_lightning.chunk import Chunk, StepBatch
from memup_lightning.data.episodes import EVAL_MASK, HAS_OUTCOME, OUTCOME, EpisodeSource
from memup_lightning.data.streaming.samplers import LaneSampler
from memup_lightning.data.streaming.step_reader import StepReader, as_tensor, mask_unknown
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import IntArray

_BLOCK_BYTES = 2 << 20  # of the chunks that are read at once: the chunks of a lane are next to each other ...
_BLOCK_CHUNKS = 64  # ... and no more chunks than these
_LATE = 0.01  # share that steps near the end of an episode have in the local predictor's loss, at least
_EPISODE, _STEP = 21, 22  # separate streams of random numbers


class ChunkStream(IterableDataset[Chunk]):
    """Chunks of all lanes, one after another.

    Worker w of W makes the chunks w, w + W, ...; a DataLoader with ``batch_size=None`` yields them in order.

    Args:
        source: the episodes.
        task: fields of input, context and outcome.
        schedule: positions of the lanes at each step.
        epoch_length: number of chunks after which an epoch ends; the first iteration yields as many.
        contexts: whether chunks carry the local context and outcome of their own steps.
        probes: steps drawn from each lane's episode for the local predictor.
        seed: the probes follow from it.
        loss_free: episodes without loss, bool ``[episodes]``; None: none.
    """

    def __init__(
        self,
        source: EpisodeSource,
        task: TaskSpec,
        schedule: LaneSampler,
        epoch_length: int,
        contexts: bool = True,
        probes: int = 0,
        seed: int = 0,
        loss_free: npt.NDArray[np.bool_] | None = None,
    ) -> None:
        self.source = source
        self.task = task
        self.schedule = schedule
        self.epoch_length = epoch_length
        self.contexts = contexts
        self.probes = probes
        self.seed = seed
        self.loss_free = loss_free
        self.reader = StepReader(source, task)
        # Shared memory: persistent workers hold a copy of this object, and read here where the next epoch begins.
        self._range = torch.tensor([0, epoch_length]).share_memory_()

    def __len__(self) -> int:
        """Return the number of chunks of a whole epoch, also where the next iteration resumes in its middle."""
        return self.epoch_length

    def set_range(self, first: int, last: int) -> None:
        """Set the range of the next iteration: the chunks of the steps ``first <= step < last``."""
        self._range[0], self._range[1] = first, last

    def __iter__(self) -> Iterator[Chunk]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for steps in self.blocks(number, workers):
            yield from self.read(steps)

    def blocks(self, first: int = 0, every: int = 1) -> Iterator[IntArray]:
        """Yield the steps of the range, from the ``first`` on ``every`` so many, as many together as are read at once."""
        begin, end = self._range.tolist()
        steps = np.arange(begin + first, end, every)
        step_bytes = sum(field.step_bytes for field in self.source.fields.values())
        size = max(1, _BLOCK_BYTES // (self.schedule.lanes * self.schedule.chunk_length * step_bytes))
        size = min(size, _BLOCK_CHUNKS)
        for place in range(0, len(steps), size):
            yield steps[place : place + size]

    def read(self, steps: IntArray) -> list[Chunk]:
        """Return the chunks of the given steps of the run."""
        return self.block(steps).split(steps.tolist())

    def block(self, steps: IntArray) -> Chunk:
        """Return the rows of the chunks of the given steps, one chunk after another."""
        at = self.schedule.at(steps)
        whole = self.rows(at.episode.ravel(), at.start.ravel())
        if self.probes:
            whole.probes = self._probe(steps, at.episode)
        return whole

    def rows(self, episode: IntArray, start: IntArray) -> Chunk:
        """Return one chunk with lanes at the given places (episode -1: an idle lane), without probes."""
        idle = episode < 0
        episode = np.where(idle, 0, episode)
        remaining = np.where(idle, 0, self.source.lengths[episode] - start)
        valid = torch.from_numpy(np.arange(self.schedule.chunk_length) < remaining[:, None])
        nothing = valid[:, 0].logical_not().numpy()
        return Chunk(
            step=-1,
            is_first=torch.from_numpy((start == 0) & ~nothing),
            episode=torch.from_numpy(np.where(nothing, -1, episode)),
            start=torch.from_numpy(start.copy()),
            valid=valid,
            loss_free=None if self.loss_free is None else torch.from_numpy(self.loss_free[episode]),
            **self._fields(episode, start, valid),
        )

    def _fields(self, episode: IntArray, start: IntArray, valid: Tensor) -> dict[str, Any]:
        task, length = self.task, self.schedule.chunk_length
        history = max([task.window - 1 if self.contexts else 0, *task.inputs.values()])
        names = list(dict.fromkeys(task.inputs))
        if self.contexts:
            names = list(dict.fromkeys([*names, *task.context, *self.reader.names]))
        arrays = self.source.gather(episode, start - history, history + length, names)
        tensors = {name: as_tensor(array) for name, array in arrays.items()}
        inputs = {name: tensors[name].narrow(1, history - lag, length) for name, lag in task.inputs.items()}
        nothing = torch.zeros(len(valid), 0)
        none = torch.zeros(len(valid), 0, dtype=torch.bool)
        if not self.contexts:
            return {"inputs": inputs, "context": {}, "outcome": nothing, "has_outcome": none, "eval_mask": none}
        now = {name: tensors[name][:, history:] for name in self.reader.names}
        has_outcome, outcome = valid, now[OUTCOME]
        if HAS_OUTCOME in now:
            has_outcome = now[HAS_OUTCOME] & valid
            outcome = mask_unknown(outcome, has_outcome)
        return {
            "inputs": inputs,
            "context": {name: tensors[name][:, history - task.window + 1 :] for name in task.context},
            "outcome": outcome,
            "has_outcome": has_outcome,
            "eval_mask": now[EVAL_MASK] & has_outcome if EVAL_MASK in now else has_outcome,
        }

    def _probe(self, steps: IntArray, episode: IntArray) -> StepBatch:
        # Lanes are numbered among those of all ranks: the draws do not depend on the number of ranks.
        draw = rng.uniform(
            self.seed, steps[:, None, None], self.schedule.lane[:, None], np.arange(self.probes)
        ).reshape(-1, self.probes)
        episode = np.maximum(episode, 0)
        probes = self.probe(episode.ravel(), draw)
        weights = self.schedule.episode_weights(steps, episode).reshape(-1, 1)
        assert probes.weight is not None
        probes.weight *= torch.from_numpy(weights.astype(np.float32))
        return probes

    def probe(self, episode: IntArray, draw: npt.NDArray[np.float64]) -> StepBatch:
        """Draw steps of some episodes, for each ``[rows]`` as many as there are draws from [0, 1), ``[rows, probes]``.

        Half of the probes are uniform over the episode. For the other half every distance from the end, on a logarithmic
        scale, is equally likely, so that an outcome that comes once, at the end of a long episode, is sampled too. Their
        weights make up for that: all steps count alike, but those near the end of a long episode at least a hundredth of
        what they would as drawn in the second half. Else the local predictor, whose weights decay, forgets the last one of
        100,000 steps."""
        length, number = self.source.lengths[episode][:, None], draw.shape[1]
        anywhere = np.floor(draw * length)
        near_end = length - np.floor(np.exp(draw * np.log1p(length)))
        position = np.where(np.arange(number) % 2, anywhere, near_end).astype(np.int64).clip(0, length - 1)
        arrays = self.reader.read(np.repeat(episode, number), position.ravel())
        steps = self.reader.steps(arrays, position, np.ones(position.size, bool), draw.shape)
        ahead = length - position  # steps to the end, this one included
        share = number // 2 / number
        late = np.log1p(1 / ahead) / np.log1p(length)
        likely = share / length + (1 - share) * late
        steps.weight = torch.from_numpy((np.maximum(1 / length, _LATE * late) / likely).astype(np.float32))
        return steps

    def sample_steps(self, count: int, draw: int) -> StepBatch:
        """Return about ``count`` steps of all episodes, drawn as probes are; other ones for every ``draw``."""
        rows = np.arange(count // self.probes)
        episodes = rng.integers(len(self.source), self.seed, _EPISODE, draw, rows)
        return self.probe(episodes, rng.uniform(self.seed, _STEP, draw, rows[:, None], np.arange(self.probes)))
