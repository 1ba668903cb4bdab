"""The states of a trained memory as arrays: of whole episodes, and one step at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memup_lightning.chunk import Chunk
from memup_lightning.data.episodes import ArrayEpisodes, EpisodeSource
from memup_lightning.data.streaming.samplers import SequentialSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.models.eval_mode import eval_mode
from memup_lightning.specs import FieldSpec, TaskSpec
from memup_lightning.typing import Arrays, FloatArray, State

Episode: TypeAlias = npt.ArrayLike | Mapping[str, npt.ArrayLike]
"""Fields of an episode by name, each ``[steps, *shape]``; or the array of the only field that the memory reads."""

_LANES, _CHUNK_LENGTH = 256, 500  # episodes and steps that are encoded at once


class MemoryEncoding:
    """What a memory makes of chunks in training, and of episodes for programs of one's own: a part of
    :class:`~memup_lightning.modules.memory_task.MemoryTask`."""

    task: TaskSpec

    if TYPE_CHECKING:
        device: torch.device
        encoder: Any
        memory: Any

    def unroll(self, chunk: Chunk, state: State | None) -> tuple[Tensor, State]:
        """Run encoder and memory over a chunk: m ``[B, T, output_size]`` and the state after it."""
        if state is None:
            state = self.memory.initial_state(chunk.lanes)
        memory, state = self.memory(self.encoder(chunk.inputs), state, chunk.is_first)
        return memory, state

    def initial_states(self, lanes: int) -> State:
        """Return the states at the beginning of episodes."""
        state: State = self.memory.initial_state(lanes)
        return state

    def encode_inputs(self, chunk: Chunk) -> Tensor:
        """Encode the memory's inputs, ``[lanes, steps, features]``."""
        x: Tensor = self.encoder(chunk.inputs)
        return x

    def advance(self, x: Tensor, state: State, is_first: Tensor) -> State:
        """Compute the states after a chunk of encoded inputs."""
        after: State = self.memory(x, state, is_first)[1]
        return after

    def encode(self, episodes: EpisodeSource | Iterable[Episode]) -> list[FloatArray]:
        """Compute the memory's state m_t at every step of episodes::

            model = MemUP.load_from_checkpoint("lightning_logs/version_0")
            states = model.encode(data.episodes("test"))
            states = model.encode([{"observation": o, "action": a, "reward": r}])  # a = action taken at each step

        Args:
            episodes: of any lengths: the episodes of a datamodule (``data.episodes(split)``), or for each one the fields
                that the memory reads (``model.task.inputs`` names them) by name, ``[steps, *shape]`` in the data's unit.
                The memory itself looks back where it reads a field of the step before. Where it reads one field, an array
                will do: ``[steps, *shape]`` for each, or ``[episodes, steps, *shape]``.

        Returns:
            m of every episode, float32 ``[steps, output_size]``: row t is the state after step t was read.

        Raises:
            MemUPError: fields that are missing or of another shape, numbers that are not finite, classes that do not exist.
        """
        source = episodes if isinstance(episodes, EpisodeSource) else _source(self.task, episodes)
        _check_source(self.task, source)
        schedule = SequentialSampler(source.lengths, _LANES, _CHUNK_LENGTH)
        size = int(self.memory.output_size)
        out = [np.empty((length, size), np.float32) for length in source.lengths.tolist()]
        state: State | None = None
        with eval_mode(self):  # type: ignore[arg-type]
            for chunk in ChunkStream(source, self.task, schedule, schedule.steps, contexts=False):
                memory, state = self.unroll(chunk.to(self.device), state)
                rows = memory.float().cpu().numpy()
                for lane, (episode, start) in enumerate(zip(chunk.episode.tolist(), chunk.start.tolist(), strict=True)):
                    if episode >= 0:
                        part = out[episode][start : start + rows.shape[1]]
                        part[:] = rows[lane, : len(part)]
        return out

    def encode_step(
        self, inputs: Mapping[str, npt.ArrayLike], state: State | None = None, is_first: npt.ArrayLike | None = None
    ) -> tuple[FloatArray, State]:
        """Compute the memory's state after one more step of N episodes::

            m, state = model.encode_step({"observation": first})  # [N, ...]
            m, state = model.encode_step({"observation": o, "action": a, "reward": r}, state)  # a, r: of the step before

        Args:
            inputs: what the memory reads at this step, by name, each ``[N, *shape]``. A field that it reads with a lag
                (``model.task.inputs``: name -> lag) is that of the step before; at the first step it is ignored, and may
                be left out.
            state: as the previous call returned it; None: all N episodes begin. Its tensors have the episodes first.
            is_first: episodes that begin at this step, bool ``[N]``.

        Returns:
            m, float32 ``[N, output_size]``, and the state for the next call.

        Raises:
            MemUPError: see :meth:`encode`.
        """
        given = {name: np.asarray(x) for name, x in inputs.items()}
        lanes = next((x.shape[0] for x in given.values() if x.ndim), 0)
        first = np.zeros(lanes, np.bool_) if is_first is None else np.asarray(is_first, np.bool_)
        first = first | (state is None)
        counts = {name: list(x.shape[:1]) for name, x in given.items()}
        if any(count != [lanes] for count in counts.values()):
            raise MemUPError(
                f"the inputs of the step have different numbers of rows: {counts}; give one for each episode"
            )
        fields: dict[str, Tensor] = {}
        for name, lag in self.task.inputs.items():
            field = self.task.fields[name]
            if lag and name not in given and first.all():
                array = np.full((lanes, *field.shape), field.fill, field.dtype)
            else:
                array = _as_field(name, field, given, "the step", first if lag else None)
            if lag:
                array[first] = field.fill
            fields[name] = torch.from_numpy(array).to(self.device).unsqueeze(1)
        with eval_mode(self):  # type: ignore[arg-type]
            before = self.memory.initial_state(lanes) if state is None else state
            memory, after = self.memory(self.encoder(fields), before, torch.from_numpy(first).to(self.device))
        return memory.squeeze(1).float().cpu().numpy(), after


def _source(task: TaskSpec, episodes: Iterable[Episode]) -> ArrayEpisodes:
    """Return the fields that the memory reads as a source.

    Raises:
        MemUPError: see :meth:`MemoryEncoding.encode`.
    """
    if isinstance(episodes, Mapping):
        raise MemUPError(
            "episodes is a dict of one episode or a batch; give a list of episodes, one dict each: [episode]"
        )
    rows: list[Arrays] = []
    for number, episode in enumerate(episodes):
        if not isinstance(episode, Mapping):
            if len(task.inputs) != 1:
                raise MemUPError(
                    f"episode {number} is an array, and the memory reads {', '.join(task.inputs)}; give a dict of them"
                )
            episode = {next(iter(task.inputs)): episode}
        arrays = {name: _as_field(name, task.fields[name], episode, f"episode {number}") for name in task.inputs}
        lengths = {name: len(x) for name, x in arrays.items()}
        if len(set(lengths.values())) > 1:
            raise MemUPError(
                f"the fields of episode {number} have different lengths: {lengths}; give one row a step in each"
            )
        rows.append(arrays)
    if not rows:
        raise MemUPError("there are no episodes to encode; give at least one")
    joined = {name: np.concatenate([row[name] for row in rows]) for name in task.inputs}
    return ArrayEpisodes(joined, [len(next(iter(row.values()))) for row in rows], task.input_fields)


def _as_field(
    name: str, field: FieldSpec, given: Mapping[str, Any], place: str, ignored: npt.NDArray[np.bool_] | None = None
) -> npt.NDArray[Any]:
    """Return an array of a field, ``[rows, *shape]``, in the field's dtype, that may be written to.

    Args:
        name: of the field.
        field: its specification.
        given: arrays by name.
        place: of the arrays, for messages.
        ignored: rows whose values are not read.

    Raises:
        MemUPError: it is missing, of another shape, no numbers, or not of the field's classes.
    """
    if name not in given:
        raise MemUPError(f"{place} has no {name!r}; it has {', '.join(given)}, and the memory reads it")
    array = np.asarray(given[name])
    if array.dtype.kind not in "biuf":
        raise MemUPError(
            f"{name} of {place} holds {array.dtype}; the memory reads numbers, encoded as in its training data"
        )
    if array.shape[1:] != field.shape or not array.ndim:
        raise MemUPError(
            f"{name} of {place} has shape {list(array.shape)}; give [rows, *shape] with shape {list(field.shape)}"
        )
    if field.type == "token" and array.dtype.kind == "f" and (array != np.floor(array)).any():
        raise MemUPError(f"{name} of {place} is a class number, and holds fractions; give whole numbers")
    converted = array.astype(field.dtype)
    read = converted if ignored is None else converted[~ignored]
    if field.type == "token" and ((read < 0) | (read >= field.classes)).any():
        raise MemUPError(
            f"{name} of {place} holds {read.min()} to {read.max()}; its classes are 0 to {field.classes - 1}"
        )
    if read.dtype.kind == "f" and not np.isfinite(read).all():
        raise MemUPError(f"{name} of {place} holds numbers that are not finite; correct them")
    return converted


def _check_source(task: TaskSpec, source: EpisodeSource) -> None:
    """Refuse episodes whose fields are not those that the memory reads.

    Raises:
        MemUPError: naming the first.
    """
    for name, field in task.input_fields.items():
        found = source.fields.get(name)
        wanted = (field.type, field.shape, field.classes, field.entries)
        if found is None or (found.type, found.shape, found.classes, found.entries) != wanted:
            given = (
                "missing" if found is None else f"{found.type} {list(found.shape)}, {counted(found.classes, 'class')}"
            )
            raise MemUPError(
                f"the memory reads {name}, {field.type} {list(field.shape)}, {counted(field.classes, 'class')}, which "
                f"is {given} in these episodes; give episodes of the task that it was trained on"
            )
