"""Chunks of a stream that carry only what the module asked for."""

from __future__ import annotations

import pytest

from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.exceptions import MemUPError


def test_a_chunk_without_contexts_says_how_a_module_gets_them() -> None:
    data = TMazeDataModule(length=10, num_train=4, lanes=2)
    data.setup("fit")
    without = next(iter(data.training_lanes().stream(1, contexts=False)))
    with pytest.raises(MemUPError, match=r"returns True from needs_own_steps\(\)"):
        without.windows(1)
    assert next(iter(data.training_lanes().stream(1, contexts=True))).windows(1)["observation"].shape == (2, 10, 1, 3)
