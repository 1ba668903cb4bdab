"""States of the memory in every training lane."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from memup_lightning.distributed import all_gather_cat, rank, share_of_lanes
from memup_lightning.models.memory import detach, map_state, put
from memup_lightning.typing import State


class LaneStates:
    """States of the lanes of this rank before and after the last training chunk.

    An optimizer may compute the loss of a chunk several times (LBFGS): each time from the same state.

    Attributes:
        after: states with which the next chunk begins; None before the first chunk.
        num_chunks: training chunks so far.
    """

    def __init__(self) -> None:
        self.after: State | None = None
        self.num_chunks = 0
        self._before: State | None = None
        self._step: int | None = None

    def reset(self) -> None:
        """Forget the states: every lane begins an episode with the next chunk."""
        self.after = self._before = self._step = None

    def begin(self, step: int) -> State | None:
        """Return the state with which a chunk begins; None: the initial one.

        Args:
            step: number of the chunk in its run. The same one twice in a row is the same chunk.
        """
        if step != self._step:
            self._before, self._step = self.after, step
            self.num_chunks += 1
        return self._before

    def end(self, state: State) -> None:
        """Store the state after the chunk, without its graph."""
        self.after = detach(state)

    def put(self, lanes: Tensor, states: State) -> None:
        """Replace the states of some lanes (int64 ``[rows]``), a row each."""
        assert self.after is not None
        self.after = put(self.after, lanes, states)

    def to(self, device: torch.device) -> None:
        if self.after is not None:
            self.after = map_state(lambda x: x.to(device), self.after)

    def state_dict(self) -> dict[str, Any]:
        """Return the states of the lanes of all ranks; called on all of them."""
        states = None if self.after is None else map_state(all_gather_cat, self.after)
        return {"states": states, "num_chunks": self.num_chunks}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.reset()
        states = state_dict["states"]
        self.after = None if states is None else map_state(_own_lanes, states)
        self.num_chunks = state_dict["num_chunks"]


def _own_lanes(state: Tensor) -> Tensor:
    """Return this rank's rows of the lanes of all ranks."""
    lanes = share_of_lanes(len(state), "the lanes of the checkpoint: lanes")
    return state.narrow(0, rank() * lanes, lanes).clone()
