"""How many lanes are played, and how often a run is evaluated, where the user does not say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from memup_lightning.datamodules import GymnasiumDataModule, TextDataModule, TMazeDataModule


class Seen(gymnasium.Env[Any, Any]):
    action_space = spaces.Discrete(2)

    def __init__(self, shape: tuple[int, ...] = (8, 8, 3)) -> None:
        kind = np.uint8 if len(shape) == 3 else np.float32
        self.observation_space = spaces.Dict({"seen": spaces.Box(0, 255, shape, kind)})


if "tests/Seen-v0" not in gymnasium.registry:
    gymnasium.register("tests/Seen-v0", Seen)


@pytest.mark.parametrize(("shape", "lanes"), [((8, 8, 3), 64), ((3,), 256)])
def test_images_are_seen_in_fewer_lanes(shape: tuple[int, ...], lanes: int) -> None:
    assert GymnasiumDataModule("tests/Seen-v0", {"shape": shape}).lanes == lanes
    assert GymnasiumDataModule("tests/Seen-v0", {"shape": shape}, lanes=12).lanes == 12


def test_a_text_is_split_among_few_lanes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words of a text " * 500)
    assert TextDataModule([str(tmp_path / "a.txt")]).lanes == 64


def test_a_run_has_as_many_lanes() -> None:
    data = TMazeDataModule(length=20, num_train=8)  # more lanes than episodes: some play the same one
    data.setup("fit")
    assert data.lanes == data.training_lanes().lanes == 256


@pytest.mark.parametrize("episodes", [8, 160, 4000])
def test_few_episodes_are_evaluated_after_fewer_updates(episodes: int) -> None:
    data = TMazeDataModule(length=38, num_train=episodes, num_val=8, lanes=16, chunk_length=8)
    data.setup("fit")
    steps = int(data.sources["train"].lengths.sum())
    updates = {8: 100, 160: 4 * steps // (16 * 8), 4000: 500}[episodes]
    assert data.chunks_per_epoch == updates == len(data.training_stream)
    given = TMazeDataModule(length=38, num_train=episodes, num_val=8, lanes=16, chunk_length=8, chunks_per_epoch=7)
    given.setup("fit")
    assert given.chunks_per_epoch == 7
