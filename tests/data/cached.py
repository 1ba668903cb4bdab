"""Policies and data whose episodes are kept on disk, and what is found there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from memup_lightning.data.episodes import EpisodeSource
from memup_lightning.datamodules import GymnasiumDataModule
from memup_lightning.typing import Arrays

ROOT = Path(__file__).parents[2]


class Lean:
    """A policy with parameters: which way CartPole is pushed."""

    def __init__(self, side: int = 0) -> None:
        self.side = side
        self.calls = 0

    def __call__(self, observations: Any, action_space: Any) -> Any:
        self.calls += 1
        return np.full(len(observations), (self.side + self.calls // 2) % 2)


class Network(nn.Module):
    """A policy with weights."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layer = nn.Linear(4, 2)

    def forward(self, observations: Any, action_space: Any) -> Any:
        return self.layer(torch.as_tensor(observations)).argmax(-1).numpy()


def cartpole(cache_dir: Path | None, **given: Any) -> GymnasiumDataModule:
    given = {"num_train": 6, "num_val": 3, "num_test": 2, "num_envs": 4, "seed": 1} | given
    return GymnasiumDataModule("CartPole-v1", lanes=4, cache_dir=cache_dir and str(cache_dir), **given)


def content(source: EpisodeSource) -> list[Arrays]:
    return [source.read(e, 0, int(length)) for e, length in enumerate(source.lengths)]


def assert_same(one: EpisodeSource, other: EpisodeSource) -> None:
    assert one.fields == other.fields
    assert one.lengths.tolist() == other.lengths.tolist()
    for a, b in zip(content(one), content(other), strict=True):
        for name in one.fields:
            np.testing.assert_array_equal(a[name], b[name])


def finished(folder: Path) -> list[Path]:
    return sorted(marker.parent for marker in folder.glob("*/finished.json"))
