"""Your own arrays: which of two sequences was louder at its beginning?

    python -m examples.04_your_own_arrays

Makes 2,000 sequences of 30 to 60 steps with two channels, writes them into one file and trains a memory on it. The first
five steps say which channel is louder, the rest is noise of equal loudness; the answer is asked for at the end.
"""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from pytorch_lightning import Trainer, seed_everything

from memup_lightning.callbacks import TargetRefresh
from memup_lightning.datamodules import ArrayDataModule
from memup_lightning.models.memory import LSTM
from memup_lightning.modules import MemUP


def write_episodes(path: Path, number: int) -> None:
    """``x`` of all episodes end to end, their ``lengths``, and ``y``: one class an episode."""
    rng = np.random.default_rng(1)
    lengths = rng.integers(30, 61, number)
    louder = rng.integers(0, 2, number)
    x = rng.normal(0, 0.3, (lengths.sum(), 2)).astype(np.float32)
    begins = np.cumsum(lengths) - lengths
    for step in range(5):
        x[begins + step, louder] += 1
    np.savez(path, x=x, y=louder, lengths=lengths)


def main(updates: int = 400) -> float:
    """Trains, and returns the share of validation sequences that are answered right."""
    seed_everything(1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sequences.npz"
        write_episodes(path, 2000)
        data = ArrayDataModule(str(path), val_share=0.1, chunk_length=5, lanes=32)
        model = MemUP(data.task, memory=partial(LSTM, hidden_size=32))
        # The data say where the outcome is: once is enough.
        refresh = TargetRefresh(every=10**6, max_wait=50, settle=25)
        trainer = Trainer(
            max_steps=updates, callbacks=[refresh], logger=False, enable_checkpointing=False, enable_progress_bar=False
        )
        trainer.fit(model, data)
        (found,) = trainer.validate(model, data, verbose=False)
    print(f"right: {found['val/accuracy']:.3f} of the validation sequences")
    return found["val/accuracy"]


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
