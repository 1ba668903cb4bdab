"""Predictor: a trained model that predicts, step by step or for whole episodes, without a Trainer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from memup_lightning.data.array_files import read_episodes
from memup_lightning.data.array_files.column_checks import times_columns
from memup_lightning.data.array_files.encoding import X, encode_inputs
from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.data.array_files.notes.spellings import key_notes
from memup_lightning.data.array_files.tables.in_memory import TABLE, episode_lengths, read_arrays, read_table
from memup_lightning.data.episodes import OUTCOME, ArrayEpisodes, EpisodeSource
from memup_lightning.data.streaming.samplers import SequentialSampler
from memup_lightning.data.streaming.stream import ChunkStream
from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.modules.evaluation.memory import INTERVAL
from memup_lightning.modules.loading import load_module
from memup_lightning.modules.memory_task import MemoryTask
from memup_lightning.modules.ranges.far_inputs import Rows, far_inputs
from memup_lightning.modules.ranges.input_range import InputRange
from memup_lightning.modules.ranges.range_watch import RangeWatch
from memup_lightning.runs.checkpoints.lookup import weights_to_use
from memup_lightning.serving.inputs.observations import FieldReader, ObservationReader, RowReader
from memup_lightning.serving.inputs.reading import parse_reading, saved_reading, training_range
from memup_lightning.serving.inputs.streams import check_streams
from memup_lightning.serving.model_fingerprint import model_fingerprint
from memup_lightning.serving.prediction import Prediction, Predictions
from memup_lightning.serving.state import StreamState, check_state
from memup_lightning.serving.step.compiled import CompiledStep
from memup_lightning.serving.step.exported import ExportedStep, state_tensors
from memup_lightning.serving.step.network import StepNetwork
from memup_lightning.typing import Arrays
from memup_lightning.user_warnings import warn_user

_LANES = 256  # episodes that are played at once
_ROWS = 6400  # of a chunk of all lanes: their activations fit into the cache of a processor


class Predictor:
    """Trained model that predicts::

        predictor = Predictor.load("lightning_logs/version_0")
        table["risk"] = predictor.run("new.parquet").probability("fault")  # whole episodes

        state = predictor.initial_state()
        prediction, state = predictor.step({"speed": 12.0, "gear": "third"}, state)  # a row of one stream
        prediction.value, prediction.probabilities, prediction.memory

    Args:
        model: the trained module.
        reading: how its training data were read, :attr:`ArrayDataModule.reading
            <memup_lightning.datamodules.ArrayDataModule.reading>`; None: its fields are given by their names.
        interval: probability that the interval of a number holds.

    Attributes:
        fingerprint: of the model, the same wherever it is loaded; other weights have another one. A state is of the model
            whose fingerprint it has.

    Raises:
        MemUPError: an ``interval`` that is no probability between 0 and 1.
    """

    def __init__(self, model: MemoryTask, reading: Mapping[str, Any] | None = None, interval: float = INTERVAL) -> None:
        if not 0 < interval < 1:
            raise MemUPError(f"interval={interval}: give a probability between 0 and 1, such as 0.9")
        self.model = model.eval().requires_grad_(False)
        self.task = model.task
        self.outcome = model.outcome
        self.interval = interval
        self.network = StepNetwork(self.model)
        self._known = InputRange(self.model.encoder, self.network.fields, training_range(reading))
        self._watch = RangeWatch(self._known)
        self._step = ExportedStep(self.network, self.outcome, interval).eval()
        self._columns, self.missing = parse_reading(reading)
        self.fingerprint = model_fingerprint(self.network, self._columns, self.missing)
        outcome = self.task.outcome
        self.classes = outcome.names or tuple(map(str, range(outcome.classes))) if outcome.type == "token" else ()
        self._names = np.array(outcome.names, object) if outcome.names else None
        fields = self.network.fields
        self._reader: ObservationReader = FieldReader(fields)
        if self._columns is not None and (reader := RowReader(fields, self.missing, self._columns.episode)).reads_all(
            fields
        ):
            self._reader = reader

    @classmethod
    def load(
        cls,
        checkpoint: str | Path,
        which: Literal["best", "last"] = "best",
        interval: float = INTERVAL,
        device: str | torch.device = "cpu",
    ) -> Predictor:
        """Load a checkpoint that `memup fit` wrote; it needs no other file.

        Args:
            checkpoint: its path, or a folder of one or several runs, of which the newest counts.
            which: of a folder, as ``--ckpt_path``: ``best``, the weights that the run ended with, or ``last``.
            interval: probability that the interval of a number holds.
            device: where it computes.

        Raises:
            MemUPError: no such checkpoint, a torn one, one of something else, one that names classes that are not trusted
                (see :mod:`memup_lightning.runs.checkpoints.trust`).
        """
        path = weights_to_use(checkpoint, which)
        model, saved = load_module(path, MemoryTask)
        return cls(model.to(device), saved_reading(saved), interval)

    def initial_state(self, streams: int | None = None) -> StreamState:
        """Return the state at the beginning of an episode: of one stream, or of ``streams`` of them."""
        n = streams or 1
        memory, history = self.model.initial_states(n), self.network.initial_history(n, self.model.device)
        return StreamState(memory, history, self._reader.initial(n), streams is None, self.fingerprint)

    def state_from_bytes(self, content: bytes) -> StreamState:
        """Return the state that :meth:`StreamState.to_bytes` wrote.

        Raises:
            MemUPError: damaged bytes, or the state of another model.
        """
        return self.initial_state().from_bytes(content)

    @torch.inference_mode()
    def step(
        self, observation: Any, state: StreamState, is_first: npt.ArrayLike | None = None
    ) -> tuple[Prediction, StreamState]:
        """Predict the outcome of a step.

        Args:
            observation: the row of a table as a dictionary from column to value (None: missing), or the fields of other
                data by their names; an array where the model reads one field. In a state of several streams every value is
                an array with the streams first.
            state: as the previous step returned it, or :meth:`initial_state`.
            is_first: streams that begin a new episode, bool ``[streams]``.

        Returns:
            The prediction, and the state for the next step.

        Raises:
            MemUPError: a column that is not there, a value that is no number, another number of streams, no state, one of
                another model, or one of another episode where the row names its own.
        """
        check_state(state, self.fingerprint)
        if is_first is not None:
            begins = torch.as_tensor(np.atleast_1d(is_first), device=self.model.device)
            if begins.any():
                state = state.begin(begins, self.initial_state(state.streams))
        arrays, columns = self._reader.read(observation, state.columns, state.single)
        for name, x in arrays.items():
            check_streams(name, x, state.streams)
        ordered = {name: arrays[name] for name in self._step.fields}
        self._watch.next_step()
        for name in self._watched:
            self._watch.check(name, ordered[name])
        tensors: tuple[Tensor, ...]
        if self._compiled is not None:
            tensors = self._compiled(ordered, state_tensors(state))
        else:
            fields = (torch.from_numpy(x).to(self.model.device) for x in ordered.values())
            tensors = self._step(*fields, *state_tensors(state))
        predicted, m = tensors[: self._step.num_predicted], tensors[self._step.num_predicted]
        memory, history = self._step.next_state(tensors)
        after = StreamState(memory, history, columns, state.single, self.fingerprint)
        return self._prediction(predicted, m, state.single), after

    @cached_property
    def _watched(self) -> list[str]:
        """Fields of numbers whose range the compiled step does not see."""
        seen = () if self._compiled is None else self._compiled.scales
        return [name for name in self._watch.scales if name not in seen]

    @cached_property
    def _compiled(self) -> CompiledStep | None:
        """The step for the CPU; None for another device, and for parts that cannot be traced."""
        if self.model.device.type != "cpu" or not CompiledStep.can_trace(self._step):
            return None
        return CompiledStep(self._step, self._watch)

    def exported_step(self) -> ExportedStep:
        """Return one step as a function of tensors, with its state as arguments and results."""
        return self._step

    def run(self, table: Any, memory: bool = False) -> Predictions:
        """Predict every row of whole episodes.

        Args:
            table: path of a parquet, Arrow, csv or npz file, a folder or pattern of files; a pandas, polars or pyarrow
                table; a dictionary of columns, or of arrays ``[episodes, steps, ...]`` or concatenated with their
                ``lengths``. It has the columns of the training data, but needs no outcome.
            memory: whether the states m_t of the memory are returned too.

        Returns:
            Predictions in the order of the rows.

        Raises:
            MemUPError: a file, column or array that is not there or cannot be read, with its place.
        """
        given, arrays, user = self._read_table(table)
        name = self._columns.episode if self._columns is not None and user.keys else "episode"
        keys: Any = np.array(user.keys, object) if user.keys else np.arange(len(user.lengths))
        for sentence in far_inputs(self._known, Rows(arrays, user.lengths, keys, name)):
            warn_user(f"{given}: {sentence}")
        fields = {**self.network.fields, OUTCOME: self.task.outcome}
        arrays[OUTCOME] = np.zeros((sum(user.lengths), *self.task.outcome.shape), self.task.outcome.dtype)
        source = ArrayEpisodes(arrays, user.lengths, fields)
        params, m = self._play(source, memory)
        steps = np.arange(source.total_steps) - np.repeat(source.offsets[:-1], source.lengths)
        key = np.repeat(keys, source.lengths)
        if user.order is not None:  # back to the order of the rows
            place = np.argsort(user.order)
            params, steps, key = params[torch.from_numpy(place)], steps[place], key[place]
            m = None if m is None else m[torch.from_numpy(place)]
        with torch.inference_mode():
            parts = vars(self._prediction(self._step.predict(params), m, False))
        return Predictions(**parts, key=key, step=steps, key_name=name)

    def _read_table(self, table: Any) -> tuple[str, Arrays, UserEpisodes]:
        """Return what the table is called in messages, the arrays of the fields, and the episodes that they are of."""
        columns = self._columns
        if columns is None:
            return "the episodes", *self._read_fields(table)
        if isinstance(table, str | Path):
            source, user = str(table), read_episodes(str(table), columns)
        elif isinstance(table, Mapping) and columns.episode not in table:
            source, user = "the arrays", read_arrays(table, columns)
        else:
            times = times_columns(self.network.fields[X].names) if X in self.network.fields else ()
            source, user = TABLE, read_table(table, columns, times)
        arrays, notes = encode_inputs(source, user, self.network.fields, self.missing)
        for note in (*key_notes(columns.episode, user.keys), *user.notes, *notes):
            warn_user(f"{source}: {note}")
        return source, arrays, user

    def _read_fields(self, given: Any) -> tuple[Arrays, UserEpisodes]:
        fields = self.network.fields
        if not isinstance(given, Mapping) or (missing := [name for name in fields if name not in given]):
            found = f"a {type(given).__name__}" if not isinstance(given, Mapping) else f"without {missing[0]!r}"
            raise MemUPError(
                f"the episodes are {found}; the model was not trained on a table: give a dictionary of the arrays "
                f"{', '.join(fields)}, each [episodes, steps, ...] or concatenated with their lengths"
            )
        arrays = {name: np.asarray(given[name]) for name in fields}
        lengths, leading = episode_lengths(given, arrays)
        steps = int(lengths.sum())
        for name, field in fields.items():
            shape = arrays[name].shape
            if shape[leading:] != field.shape or int(np.prod(shape[:leading])) != steps:
                raise MemUPError(
                    f"{name!r} has shape {list(shape)}; give {list(field.shape)} for each of {counted(steps, 'step')}"
                )
            arrays[name] = arrays[name].reshape(steps, *field.shape).astype(field.dtype)
        return arrays, UserEpisodes(None, np.zeros(0), lengths, {})

    @torch.inference_mode()
    def _play(self, source: EpisodeSource, with_memory: bool) -> tuple[Tensor, Tensor | None]:
        """Return the parameters of the outcome ``[rows, num_parameters]``, and m ``[rows, size]``."""
        model, count = self.model, source.total_steps
        lanes = min(_LANES, len(source))
        longest = int(source.lengths.max())
        length = -(-longest // -(-longest // max(1, _ROWS // lanes)))  # chunks of the same length
        schedule = SequentialSampler(source.lengths, lanes, length)
        begin = torch.from_numpy(np.cumsum(source.lengths) - source.lengths)
        params = torch.empty(count, self.outcome.num_parameters)
        states = torch.empty(count, model.memory.output_size) if with_memory else None
        state = None
        for chunk in ChunkStream(source, self.task, schedule, schedule.steps):
            m, state = model.unroll(here := chunk.to(model.device), state)
            out = model.predict_outcomes(here.windows(self.task.window), m)
            place = (begin[chunk.episode.clamp(min=0)] + chunk.start)[:, None] + torch.arange(chunk.num_steps)
            whole = bool(chunk.valid.all())
            index = place.flatten() if whole else place[chunk.valid]
            for rows, part in ((params, out), (states, m)):
                if rows is not None:
                    rows.index_copy_(0, index, (part.flatten(0, 1) if whole else part[here.valid]).to(rows))
        return params, states

    def _prediction(self, predicted: Sequence[Tensor], m: Tensor | None, single: bool) -> Prediction:
        """Make a prediction of the tensors that :meth:`ExportedStep.predict` returns."""
        arrays = [x.cpu().numpy() for x in predicted]
        memory = None if m is None else m.cpu().numpy()
        if single:
            arrays, memory = [x[0] for x in arrays], None if memory is None else memory[0]
        if not self.classes:
            value, lower, upper = arrays if len(arrays) > 1 else (*arrays, None, None)
            return Prediction(value, (), None, lower, upper, memory)
        number: Any = arrays[0].argmax(-1)
        value = number if self._names is None else self._names[number]
        return Prediction(value, self.classes, arrays[0], None, None, memory)
