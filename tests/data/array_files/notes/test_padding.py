"""Episodes that were filled up to one length are pointed out, and sparse ones are not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from memup_lightning.data.array_files.layout import UserEpisodes
from memup_lightning.data.array_files.notes.padding import padding_notes
from memup_lightning.data.episodes import HAS_OUTCOME
from memup_lightning.datamodules import ArrayDataModule
from tests.datamodules.machine_tables import said

EPISODES, STEPS = 40, 30
RNG = np.random.default_rng(0)
X = RNG.normal(size=(EPISODES, STEPS, 3))
LENGTHS = RNG.integers(10, STEPS + 1, EPISODES)
PADDED = X * (np.arange(STEPS) < LENGTHS[:, None])[..., None]
LAST = (np.arange(STEPS) == STEPS - 1) & np.ones((EPISODES, 1), bool)


def notes(x: Any, y: Any = None, exists: Any = LAST) -> list[str]:
    y = np.arange(EPISODES)[:, None] % 2 * LAST if y is None else y
    flags = {} if exists is None else {HAS_OUTCOME: np.ravel(exists)}
    x = np.asarray(x, np.float32).reshape(EPISODES * STEPS, -1)
    return list(padding_notes(UserEpisodes(x, np.ravel(y), np.full(EPISODES, STEPS), flags)))


def test_episodes_that_were_filled_up_are_said(tmp_path: Path) -> None:
    (found,) = notes(PADDED)
    assert (
        f"x is 0 at the last steps of {(LENGTHS < STEPS).sum()} of the 40 episodes, from step {LENGTHS.min()} on"
        in (found.replace(" or later", ""))
    )
    assert "'lengths' holds the steps of each episode" in found
    assert notes(PADDED[..., 0])
    assert notes(PADDED, y=np.arange(STEPS) % 3 * (np.arange(STEPS) < LENGTHS[:, None]), exists=None)
    np.savez(tmp_path / "own.npz", x=PADDED, y=np.arange(EPISODES) % 2)
    assert any("filled up to one length" in x for x in said(lambda: ArrayDataModule(str(tmp_path / "own.npz")).task))


def test_other_episodes_of_one_length_are_not() -> None:
    steps = np.arange(STEPS)
    cue = X * (steps == RNG.integers(0, STEPS, EPISODES)[:, None])[..., None]
    first = X * (steps < 5)[..., None]  # the same steps of each episode
    seldom = X * (RNG.random((EPISODES, STEPS, 1)) < 0.3)
    few = np.where((np.arange(EPISODES) < 10)[:, None, None], PADDED, X)
    for x in (X, cue, first, seldom, few, 0 * X):
        assert not notes(x)
    assert not notes(PADDED, y=RNG.integers(0, 9, (EPISODES, STEPS)), exists=None)  # what was shown is to be repeated
