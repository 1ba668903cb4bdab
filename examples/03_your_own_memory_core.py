"""Train a memory core of your own: two methods to write.

    python -m examples.03_your_own_memory_core

This one averages what it reads, each unit over a time of its own, from one step to a hundred.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import torch
from pytorch_lightning import Trainer, seed_everything
from torch import Tensor, nn

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.datamodules import TMazeDataModule
from memup_lightning.models.memory import Memory, State
from memup_lightning.modules import MemUP


class Averages(Memory):
    keep: Tensor

    def __init__(self, input_size: int, hidden_size: int = 32, longest: float = 100.0) -> None:
        super().__init__()
        self.output_size = hidden_size  # of m_t, as the predictor reads it
        self.read = nn.Linear(input_size, hidden_size)
        self.norm = nn.LayerNorm(hidden_size)
        self.register_buffer("keep", 1 - torch.logspace(0, -torch.tensor(longest).log10().item(), hidden_size))

    def initial_state(self, lanes: int) -> State:
        return self.keep.new_zeros(lanes, self.output_size)  # the lane dimension first

    def scan(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        assert isinstance(state, Tensor)
        out = [state]
        for new in self.read(x).relu().unbind(1):  # x: [lanes, steps, features]
            out.append(self.keep * out[-1] + new)
        return self.norm(torch.stack(out[1:], 1)), out[-1]


def main(updates: int = 800) -> None:
    torch.set_num_threads(1)
    seed_everything(1)
    data = TMazeDataModule(length=20, chunk_length=5, lanes=32)
    model = MemUP(data.task, memory=Averages, optimizer=partial(torch.optim.Adam, lr=5e-3))
    quiet: dict[str, Any] = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    trainer = Trainer(accelerator="cpu", max_steps=updates, callbacks=[TargetRefresh(every=100, settle=50)], **quiet)
    trainer.fit(model, data)
    (metrics,) = trainer.validate(model, data, verbose=False)
    print(f"rewards of validation junctions predicted within 0.3: {metrics['val/accuracy']:.3f}")


if __name__ == "__main__":
    main()
