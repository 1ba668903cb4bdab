"""StreamState: all that a prediction needs of the steps before, as an explicit value."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from memup_lightning.chunk import Fields
from memup_lightning.exceptions import MemUPError
from memup_lightning.models.memory import State
from memup_lightning.models.memory.base import map_state
from memup_lightning.typing import Arrays

_BEGIN = "begin the stream with initial_state()"


def check_state(state: Any, model: str) -> None:
    """Refuse what is no state of streams, or one of another model, to which its numbers mean something else.

    Args:
        state: what was given.
        model: fingerprint of the model that is to continue it.

    Raises:
        MemUPError: see above.
    """
    if not isinstance(state, StreamState):
        raise MemUPError(
            f"state is a {type(state).__name__}; give predictor.initial_state() at the first step of an episode, and at "
            "every other the state that step() returned"
        )
    if state.model != model:
        raise MemUPError(_of_another_model(state.model, model))


@dataclass(frozen=True)
class StreamState:
    """State of one or several streams between two steps. It is never changed; each step returns a new one.

    Args:
        memory: the memory's state.
        history: earlier steps that the local context or the memory still reads, each field ``[streams, steps, ...]``.
        columns: what the reading of the next row needs of the rows before, each ``[streams, ...]``.
        single: whether it is of one stream, whose observations and predictions have no dimension of streams.
        model: fingerprint of the model that it is of; no other one may continue it.
    """

    memory: State
    history: Fields
    columns: Arrays
    single: bool
    model: str

    @property
    def streams(self) -> int:
        """Number of streams."""
        return len(leaves(self.memory)[0])

    def split(self) -> list[StreamState]:
        """Return the state of each stream by itself."""
        return [self._rows(number) for number in range(self.streams)]

    @classmethod
    def join(cls, states: Sequence[StreamState]) -> StreamState:
        """Return the state of several streams, in their order.

        Raises:
            MemUPError: no states, or states of several models.
        """
        if not states:
            raise MemUPError("there are no states to join; give at least one")
        first = states[0]
        for state in states:
            check_state(state, first.model)
        return cls(
            map_state(lambda *parts: torch.cat(parts), *(state.memory for state in states)),
            {name: torch.cat([state.history[name] for state in states]) for name in first.history},
            {name: np.concatenate([state.columns[name] for state in states]) for name in first.columns},
            False,
            first.model,
        )

    def to_bytes(self) -> bytes:
        """Return the state as bytes (an npz file), from which :meth:`Predictor.state_from_bytes` makes it again."""
        arrays: Arrays = {"single": np.array(self.single), "model": np.array(self.model)}
        arrays |= {f"memory_{n}": leaf.cpu().numpy() for n, leaf in enumerate(leaves(self.memory))}
        arrays |= {f"history_{name}": x.cpu().numpy() for name, x in self.history.items()}
        arrays |= {f"columns_{name}": x for name, x in self.columns.items()}
        file = io.BytesIO()
        np.savez(file, allow_pickle=False, **arrays)
        return file.getvalue()

    def from_bytes(self, content: bytes) -> StreamState:
        """Make a state of the same model from the result of :meth:`to_bytes`.

        Args:
            self: a state of one stream of the model.
            content: the bytes; nothing in them is run.

        Raises:
            MemUPError: damaged bytes, or the state of another model.
        """
        try:
            with np.load(io.BytesIO(content), allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile) as error:
            raise MemUPError(f"the state cannot be read ({error}); {_BEGIN}") from error
        if (model := str(arrays.get("model", ""))) != self.model:
            raise MemUPError(_of_another_model(model, self.model))
        expected = {f"memory_{n}": x for n, x in enumerate(leaves(self.memory))}
        expected |= {f"history_{name}": x for name, x in self.history.items()}
        expected |= {f"columns_{name}": torch.from_numpy(x) for name, x in self.columns.items()}
        streams = len(arrays["memory_0"]) if arrays.get("memory_0", np.zeros(())).ndim else 0
        for name, x in expected.items():
            there = arrays.get(name)
            shape = (streams, *x.shape[1:])
            if there is None or there.shape != shape or torch.from_numpy(there).dtype != x.dtype:
                raise MemUPError(f"the state cannot be read (a part is missing or has another shape); {_BEGIN}")
        number = iter(range(len(expected)))
        memory = map_state(lambda x: torch.from_numpy(arrays[f"memory_{next(number)}"]).to(x.device), self.memory)
        history = {name: torch.from_numpy(arrays[f"history_{name}"]).to(x.device) for name, x in self.history.items()}
        columns = {name: arrays[f"columns_{name}"] for name in self.columns}
        return StreamState(memory, history, columns, bool(arrays.get("single", False)), self.model)

    def begin(self, is_first: Tensor, initial: StreamState) -> StreamState:
        """Return the state with some streams (bool ``[streams]``) at the initial one."""

        def choose(x: Tensor, begun: Tensor) -> Tensor:
            return torch.where(is_first.view(-1, *[1] * (x.dim() - 1)), begun, x)

        rows = is_first.cpu().numpy()
        columns = {
            name: np.where(rows.reshape(-1, *[1] * (x.ndim - 1)), initial.columns[name], x)
            for name, x in self.columns.items()
        }
        history = {name: choose(x, initial.history[name]) for name, x in self.history.items()}
        return replace(self, memory=map_state(choose, self.memory, initial.memory), history=history, columns=columns)

    def _rows(self, number: int) -> StreamState:
        row = slice(number, number + 1)
        history = {name: x[row] for name, x in self.history.items()}
        columns = {name: x[row] for name, x in self.columns.items()}
        return StreamState(map_state(lambda x: x[row], self.memory), history, columns, True, self.model)


def leaves(state: State) -> list[Tensor]:
    """Return the tensors of a memory's state, in their order."""
    return [state] if isinstance(state, Tensor) else [leaf for part in state for leaf in leaves(part)]


def _of_another_model(found: str, here: str) -> str:
    """Say that a state is of another model, and what to do."""
    return (
        f"the state is of another model (its fingerprint is {found or 'missing'}, that of this model {here}; more training "
        f"makes another model); {_BEGIN}, or load the checkpoint that the state is of"
    )
