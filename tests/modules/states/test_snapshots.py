"""Snapshots: the rarest chunks of each episode, whatever else is played."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import Tensor

from memup_lightning.modules.states.snapshots import TopKStates


@given(
    rarity=arrays(np.int64, (3, 12), elements=st.integers(-1, 4)),
    window=st.integers(1, 12),
    count=st.integers(1, 3),
)
def test_the_candidates_of_each_window_leave_the_snapshots_of_all_chunks(
    rarity: npt.NDArray[np.int64], window: int, count: int
) -> None:
    score, time = torch.from_numpy(rarity).double(), torch.arange(12)
    every = TopKStates(torch.arange(3), count, torch.zeros(3, 1))
    for chunk in range(12):
        every.update(score[:, chunk], time[chunk].expand(3), torch.full((3, 1), float(chunk)))

    def windows(lanes: list[int]) -> TopKStates:
        kept = TopKStates(torch.tensor(lanes), count, torch.zeros(len(lanes), 1))
        for begin in range(0, 12, window):
            next_chunks = score[lanes, begin : begin + window]
            chosen = kept.candidates(next_chunks)
            for chunk in chosen.any(0).nonzero().squeeze(1).tolist():
                state = torch.full((len(lanes), 1), float(begin + chunk))
                rarity = next_chunks[:, chunk].where(chosen[:, chunk], -1)
                kept.update(rarity, time[begin + chunk].expand(len(lanes)), state)
        return kept

    def places(kept: TopKStates, lane: int) -> list[list[float]]:
        found, states = kept.found, kept.found.states
        assert isinstance(states, Tensor)
        assert found.where[:, 1].tolist() == states[:, 0].tolist(), "a state of another place"
        rows = found.where[:, 0] == lane
        return sorted(
            [float(start), novelty] for start, novelty in zip(found.where[rows, 1], found.novelty[rows], strict=True)
        )

    together = windows([0, 1, 2])
    for lane in range(3):
        assert places(together, lane) == places(windows([lane]), lane), "other lanes have an effect"
        rarities = [sorted(novelty for _, novelty in places(kept, lane)) for kept in (together, every)]
        assert rarities[0] == rarities[1]  # of equally rare chunks another one may be kept
