"""Schedule + source + targets -> chunks.

Two halves, on two sides of a process boundary. :class:`ChunkStream` reads what depends on the schedule alone; it may run
in DataLoader workers, which read ahead. :class:`TargetJoin` adds the targets in the training process, at the step that
uses them, so that a refresh takes effect at once, however far the workers have read ahead: results do not depend on
their number.
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
from memup_lightning.data.samplers import LaneSampler
from memup_lightning.data.targets import NOWHERE, TargetTable
from memup_lightning.specs import TaskSpec
from memup_lightning.typing import Arrays, IntArray

_PLAN = 64  # chunks whose targets are chosen and read at once
_BLOCK_BYTES = 2 << 20  # of the chunks that are read at once: a lane's chunks lie beside each other ...
_BLOCK_CHUNKS = 64  # ... and no more chunks than these


class StepReader:
    """Reads single steps with their local context (:class:`~memup_lightning.chunk.StepBatch`) from a source."""

    def __init__(self, source: EpisodeSource, task: TaskSpec) -> None:
        self.source = source
        self.task = task
        self.names = [name for name in (OUTCOME, HAS_OUTCOME, EVAL_MASK) if name in source.fields]

    def read(self, episodes: IntArray, positions: IntArray) -> Arrays:
        """Each context field ``[rows, W, *shape]``, outcome and flags ``[rows, *shape]``."""
        window = self.task.window
        arrays = self.source.gather(episodes, positions - window + 1, window, [*self.task.context, *self.names])
        return {name: x[:, -1] if name in self.names else x for name, x in arrays.items()}

    def steps(self, arrays: Arrays, position: IntArray, valid: np.ndarray, shape: tuple[int, ...]) -> StepBatch:
        """What :meth:`read` returned, as tensors whose rows are laid out in ``shape``."""
        ok = torch.from_numpy(valid.reshape(shape))
        outcome = _tensor(arrays[OUTCOME], shape)
        if HAS_OUTCOME in arrays:
            ok = ok & _tensor(arrays[HAS_OUTCOME], shape)
            outcome = _known(outcome, ok)
        eval_mask = _tensor(arrays[EVAL_MASK], shape) if EVAL_MASK in arrays else ok
        return StepBatch(
            position=torch.from_numpy(position.reshape(shape)),
            valid=ok,
            context={name: _tensor(arrays[name], shape) for name in self.task.context},
            outcome=outcome,
            eval_mask=eval_mask & ok,
        )


def _tensor(array: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    return _from_numpy(np.ascontiguousarray(array)).view(*shape, *array.shape[1:])


def _from_numpy(array: np.ndarray) -> Tensor:
    """The array as a tensor; numbers of another precision as float32, which networks read."""
    return torch.from_numpy(array if array.dtype.kind != "f" else array.astype(np.float32, copy=False))


def _known(outcome: Tensor, known: Tensor) -> Tensor:
    """0 where there is no outcome: NaN may stand there, or no class; a loss that does not count still has a gradient."""
    return outcome.where(known.view(*known.shape, *[1] * (outcome.dim() - known.dim())), 0)


class ChunkStream(IterableDataset[Chunk]):
    """Chunks of all lanes, one after another.

    Worker w of W makes the chunks w, w + W, ...; a DataLoader with ``batch_size=None`` hands them out in their order.

    Args:
        source: the episodes.
        task: what is input, context and outcome.
        schedule: where the lanes stand at each step.
        epoch_length: number of chunks after which an epoch ends; the first iteration yields as many.
        contexts: whether chunks carry the local context and outcome of their own steps.
        probes: steps drawn from each lane's episode for the local predictor.
        seed: the probes follow from it.
        loss_free: which episodes teach nothing, bool ``[episodes]``; None: all of them teach.
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
        self._range = torch.tensor([0, epoch_length]).share_memory_()  # type: ignore[no-untyped-call]

    def __len__(self) -> int:
        """Chunks of a whole epoch, also where the next iteration resumes in its middle."""
        return self.epoch_length

    def set_range(self, first: int, last: int) -> None:
        """The next iteration yields the chunks of the steps ``first <= step < last``."""
        self._range[0], self._range[1] = first, last

    def __iter__(self) -> Iterator[Chunk]:
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        for steps in self.blocks(number, workers):
            yield from self.read(steps)

    def blocks(self, first: int = 0, every: int = 1) -> Iterator[IntArray]:
        """The steps of the range, from the ``first`` on ``every`` so many, as many together as are read at once."""
        begin, end = self._range.tolist()
        steps = np.arange(begin + first, end, every)
        step_bytes = sum(field.step_bytes for field in self.source.fields.values())
        size = max(1, _BLOCK_BYTES // (self.schedule.lanes * self.schedule.chunk_length * step_bytes))
        size = min(size, _BLOCK_CHUNKS)
        for place in range(0, len(steps), size):
            yield steps[place : place + size]

    def read(self, steps: IntArray) -> list[Chunk]:
        """The chunks of the given steps of the run."""
        return self.block(steps).split(steps.tolist())

    def block(self, steps: IntArray) -> Chunk:
        """The rows of the chunks of the given steps, one chunk after another."""
        at = self.schedule.at(steps)
        whole = self.rows(at.episode.ravel(), at.start.ravel())
        if self.probes:
            whole.probes = self._probe(np.repeat(steps, self.schedule.lanes), np.maximum(at.episode.ravel(), 0))
        return whole

    def rows(self, episode: IntArray, start: IntArray) -> Chunk:
        """One chunk whose lanes stand at the given places (episode -1: a lane that idles), without probes."""
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
        tensors = {name: _from_numpy(array) for name, array in arrays.items()}
        inputs = {name: tensors[name].narrow(1, history - lag, length) for name, lag in task.inputs.items()}
        nothing = torch.zeros(len(valid), 0)
        none = torch.zeros(len(valid), 0, dtype=torch.bool)
        if not self.contexts:
            return {"inputs": inputs, "context": {}, "outcome": nothing, "has_outcome": none, "eval_mask": none}
        now = {name: tensors[name][:, history:] for name in self.reader.names}
        has_outcome, outcome = valid, now[OUTCOME]
        if HAS_OUTCOME in now:
            has_outcome = now[HAS_OUTCOME] & valid
            outcome = _known(outcome, has_outcome)
        return {
            "inputs": inputs,
            "context": {name: tensors[name][:, history - task.window + 1 :] for name in task.context},
            "outcome": outcome,
            "has_outcome": has_outcome,
            "eval_mask": now[EVAL_MASK] & has_outcome if EVAL_MASK in now else has_outcome,
        }

    def _probe(self, steps: IntArray, episode: IntArray) -> StepBatch:
        lanes = self.schedule.lanes
        # Numbered among the lanes of all ranks: the draws do not depend on the number of ranks.
        lane = np.tile(self.schedule.first_lane + np.arange(lanes), len(steps) // lanes)
        return self.probe(episode, rng.uniform(self.seed, steps[:, None], lane[:, None], np.arange(self.probes)))

    def probe(self, episode: IntArray, draw: npt.NDArray[np.float64]) -> StepBatch:
        """Steps of some episodes, for each ``[rows]`` as many as there are draws from [0, 1), ``[rows, probes]``.

        Half of the probes lie anywhere; for the other half every distance from the end, on a logarithmic scale, is
        equally likely: outcomes that come once, at the end of a long episode, are seen too."""
        length = self.source.lengths[episode][:, None]
        anywhere = np.floor(draw * length)
        near_end = length - np.floor(np.exp(draw * np.log1p(length)))
        position = np.where(np.arange(draw.shape[1]) % 2, anywhere, near_end).astype(np.int64).clip(0, length - 1)
        arrays = self.reader.read(np.repeat(episode, draw.shape[1]), position.ravel())
        return self.reader.steps(arrays, position, np.ones(position.size, bool), draw.shape)


class TargetJoin:
    """Adds the targets to chunks, in the training process.

    Between two refreshes the schedule alone says which targets the next chunks get: they are chosen and read for a block
    of chunks at once, each target once for as long as a lane keeps it, and laid out chunk after chunk: what is left to do
    for a chunk is to hand out views.

    Args:
        source: the episodes.
        task: what is context and outcome.
        table: the targets of every episode.
        schedule: that of the chunks.
    """

    def __init__(self, source: EpisodeSource, task: TaskSpec, table: TargetTable, schedule: LaneSampler) -> None:
        self.table = table
        self.schedule = schedule
        self.reader = StepReader(source, task)
        self._version = -1
        self._first = self._last = 0  # steps of the run that are planned
        self._positions = np.zeros((0, 0, 0), np.int64)
        self._rows = np.zeros((0, 0), np.int64)  # where the targets of a planned step and lane stand in ...
        self._arrays: Arrays = {}  # ... these arrays, [rows, K, ...]
        self._laid_out: dict[int, StepBatch] = {}  # step of the run -> its targets

    def __call__(self, chunk: Chunk) -> Chunk:
        if self._version != self.table.version or chunk.step not in self._laid_out:
            self._lay_out(chunk.step)
        chunk.targets = self._laid_out[chunk.step]
        return chunk

    def targets(self, episode: IntArray, start: IntArray) -> StepBatch:
        """The targets of chunks at the given places, ``[rows, K]``."""
        position = self.table.select(episode, start)
        arrays = self._read(episode, position)
        return self.reader.steps(arrays, position, position != NOWHERE, position.shape)

    def _read(self, episode: IntArray, position: IntArray) -> Arrays:
        """The steps at ``position [rows, K]`` of each row's episode, one after another; any step stands for none."""
        return self.reader.read(
            np.repeat(episode, position.shape[1]), np.where(position == NOWHERE, 0, position).ravel()
        )

    def _lay_out(self, step: int) -> None:
        """The targets of the chunks from ``step`` on, as many as fit into a block."""
        if self._version != self.table.version or not self._first <= step < self._last:
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
        self._version, self._first, self._last = self.table.version, step, step + len(steps)
