"""The tasks of ``conf/`` in a short form, and environments."""

from __future__ import annotations

from functools import partial
from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces

from benchmarks.zoo.problem import Problem, entropy, gaussian_bits
from memup_lightning.datamodules import AddingDataModule, CopyDataModule, GymnasiumDataModule, TMazeDataModule


class Warehouse(gymnasium.Env[dict[str, Any], np.int64]):
    """A cue of three at a random step below 20; the door of its number pays at the last step."""

    observation_space = spaces.Dict({"sensor": spaces.Box(-5, 5, (4,), np.float32), "floor": spaces.Discrete(3)})
    action_space = spaces.Discrete(3)

    def __init__(self, delay: int = 200) -> None:
        self.delay = delay

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[dict[str, Any], Any]:
        super().reset(seed=seed)
        self.time = 0
        self.cue, self.when = int(self.np_random.integers(3)), int(self.np_random.integers(20))
        return self._observe(), {}

    def _observe(self) -> dict[str, Any]:
        sensor = self.np_random.normal(0, 0.3, 4).astype(np.float32)
        if self.time == self.when:
            sensor[self.cue] += 2
        return {"sensor": sensor, "floor": int(self.time >= self.delay - 1)}

    def step(self, action: np.int64) -> tuple[dict[str, Any], float, bool, bool, dict[str, Any]]:
        last = self.time == self.delay - 1
        reward = float(last and action == self.cue)
        self.time += 1
        return self._observe(), reward, last, False, {}


class First(gymnasium.Env[np.int64, np.int64]):
    """Every step pays +-1/415 for naming the symbol that was shown first."""

    observation_space = spaces.Discrete(4)
    action_space = spaces.Discrete(4)
    steps = 415

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[np.int64, Any]:
        super().reset(seed=seed)
        self.time, self.first = 0, self.np_random.integers(4)
        return self.first, {}

    def step(self, action: np.int64) -> tuple[np.int64, float, bool, bool, dict[str, Any]]:
        self.time += 1
        reward = (1.0 if action == self.first else -1.0) / self.steps
        return self.np_random.integers(4), reward, self.time == self.steps, False, {}


gymnasium.register("zoo/Warehouse-v0", f"{__name__}:Warehouse")
gymnasium.register("zoo/First-v0", f"{__name__}:First")


def first_probabilities() -> tuple[float, float]:
    """How probable it is that a step of :class:`First` pays where action and symbol agree (a quarter of the steps; at one
    of all steps the symbol is the first one), and where they differ."""
    later = (First.steps - 1) / First.steps / 4
    return 1 / First.steps + later, later


def maze(name: str, about: str, length: int, **more: Any) -> Problem:
    """A problem of TMazeDataModule."""
    return Problem(name, about, partial(TMazeDataModule, length=length, **more), local=12.25, bits=1.0)


def copy(name: str, about: str, length: int, **more: Any) -> Problem:
    """A problem of CopyDataModule: five symbols of eight."""
    data = partial(CopyDataModule, length=length, copied=5, **more)
    return Problem(name, about, data, local=3.0, bits=3.0)


def played(name: str, about: str, env_id: str, local: float, bits: float, **more: Any) -> Problem:
    """A problem of GymnasiumDataModule with its default number of episodes."""
    return Problem(name, about, partial(GymnasiumDataModule, env_id, **more), local, bits)


def shipped() -> list[Problem]:
    """Problems of this module."""
    agree, differ = first_probabilities()
    variance = 0.25 * agree * (1 - agree) + 0.75 * differ * (1 - differ)  # of a reward that is 0 or 1
    bits = 0.25 * entropy(agree, 1 - agree) + 0.75 * entropy(differ, 1 - differ)
    return [
        maze("T-Maze-100", "conf/tmaze.yaml", 100),
        maze("T-Maze-1000", "conf/tmaze.yaml", 1000),
        maze("T-Maze-100,000", "conf/tmaze_1m.yaml", 100_000, num_train=64, num_val=16),
        maze("random hint", "conf/tmaze_random_hint.yaml, 1,000 steps", 1000, hint_window=0.5),
        maze("five coins", "conf/tmaze_noise.yaml, 5 random rewards", 1000, distractors=5),
        copy("copy-30", "five symbols of eight", 30),
        copy("copy-120", "five symbols of eight", 120),
        copy("scattered copy-120", "five symbols of eight", 120, scattered=True),
        Problem(
            "adding-200",
            "conf/adding.yaml",
            partial(AddingDataModule, 200),
            local=1 / 6,
            bits=gaussian_bits(1 / 6, 0),
        ),
        played("warehouse", "Gymnasium, a Dict", "zoo/Warehouse-v0", 2 / 9, entropy(1 / 3, 2 / 3), eval_at="last"),
        played(
            "tiny rewards",
            "Gymnasium, 0.0024 at each of 415 steps",
            "zoo/First-v0",
            4 * variance / First.steps**2,
            bits,
        ),
    ]
