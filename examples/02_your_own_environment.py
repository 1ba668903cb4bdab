"""Train a memory on an environment of your own: register it with Gymnasium, and name it.

    python -m examples.02_your_own_environment

A key of one of three colours is shown at the first step; 30 steps later the door of that colour gives the reward.
"""

from __future__ import annotations

from typing import Any

import gymnasium
import torch
from gymnasium.spaces import Discrete
from pytorch_lightning import Trainer, seed_everything

from memup_lightning.datamodules import GymnasiumDataModule
from memup_lightning.modules import MemUP

COLOURS, CORRIDOR, DOORS = 3, 3, 4  # observations 0, 1, 2: a key of that colour


class KeyDoor(gymnasium.Env[Any, Any]):
    observation_space = Discrete(COLOURS + 2)
    action_space = Discrete(COLOURS)  # which door is opened; in the corridor all actions walk on

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.key, self.time = int(self.np_random.integers(COLOURS)), 0
        return self.key, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        if self.time == 30:
            return DOORS, float(action == self.key), True, False, {}
        self.time += 1
        return DOORS if self.time == 30 else CORRIDOR, 0.0, False, False, {}


def main(updates: int = 500) -> None:
    torch.set_num_threads(1)
    seed_everything(1)
    gymnasium.register("KeyDoor-v0", lambda **kwargs: KeyDoor(**kwargs))
    # Episodes of a random policy. The outcome is the reward, and the memory is evaluated at the last step.
    data = GymnasiumDataModule("KeyDoor-v0", eval_at="last")
    model = MemUP(data.task)
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", max_steps=updates, **quiet)
    trainer.fit(model, data)
    (metrics,) = trainer.validate(model, data, verbose=False)
    print(f"rewards of validation doors predicted within a quarter of their spread: {metrics['val/accuracy']:.3f}")


if __name__ == "__main__":
    main()
