"""The picture of an episode whose cue comes in its middle, under MemUP and under truncated BPTT.

python -m tools.pictures.maze    # trains both on episodes of 100 steps, a minute or two; writes docs/images/uncertainty.png
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import LightningModule, Trainer, seed_everything

from memup_lightning import LSTM, TBPTT, ArrayDataModule, MemUP
from memup_lightning.callbacks.plots.episode import uncertainty
from memup_lightning.callbacks.plots.style import save
from memup_lightning.callbacks.plots.timeline import follow_episode, follow_outcomes

IMAGES = Path(__file__).parents[2] / "docs" / "images"
EPISODES, LENGTH, UPDATES = 4096, 100, 1500
CUE, QUESTION = slice(0, 2), 2
"""Numbers of a step: which of two cues is shown, whether the outcome is asked for; the last two are noise."""


def episodes() -> list[tuple[Any, Any]]:
    """Make episodes with a cue at one of the first 90 steps, which says whether the last outcome is +1 or -1."""
    rng = np.random.default_rng(1)
    made = []
    for _ in range(EPISODES):
        x, y = np.zeros((LENGTH, 5), np.float32), np.zeros(LENGTH, np.float32)
        cue = int(rng.integers(2))
        x[rng.integers(LENGTH - 10), cue] = 1
        x[-1, QUESTION] = 1
        x[:, 3:] = rng.normal(0, 0.5, (LENGTH, 2))
        y[-1] = 2 * cue - 1
        made.append((x, y))
    return made


def main() -> None:
    torch.set_num_threads(1)
    seed_everything(1)
    data = ArrayDataModule(episodes)
    memory, adam = partial(LSTM, hidden_size=64), partial(torch.optim.Adam, lr=2e-3)
    memup = MemUP(data.task, memory=memory, optimizer=adam)
    _train(memup, data)
    val = data.splits["val"]
    cues = [int(val.read_field(i, np.arange(LENGTH), "x")[:, CUE].max(1).argmax()) for i in range(64)]
    middle = int(np.abs(np.array(cues) - LENGTH // 2).argmin())
    timeline = follow_episode(memup, data, "val", middle)  # now: the next training begins without targets
    truncated = TBPTT(data.task, memory=memory, optimizer=adam)
    _train(truncated, data)
    with torch.no_grad():
        (baseline,) = follow_outcomes(truncated.eval(), data.splits["val"], middle, timeline.targets, LENGTH)
    save(uncertainty(timeline, {"TBPTT": baseline.with_memory}, cue=cues[middle]), IMAGES / "uncertainty.png")


def _train(model: LightningModule, data: ArrayDataModule) -> None:
    trainer = Trainer(
        accelerator="cpu",
        max_steps=UPDATES,
        val_check_interval=250,
        check_val_every_n_epoch=None,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, data)
    shown = {
        name: f"{float(x):.3f}" for name, x in trainer.callback_metrics.items() if name in ("val/mse", "val/local_mse")
    }
    print(type(model).__name__, shown, flush=True)


if __name__ == "__main__":
    main()
