"""A text file of your own: what the memory expects as the next word.

python -m examples.10_own_text
python -c "import importlib; importlib.import_module('examples.10_own_text').main('my.txt')"
"""

from __future__ import annotations

from importlib import resources

import torch
from pytorch_lightning import Trainer, seed_everything

from memup_lightning import MemUP, TargetRefresh, TextDataModule

SAMPLE = str(resources.files("memup_lightning.data.text") / "sample" / "train.txt")


def main(file: str = SAMPLE, updates: int = 300) -> float:
    """Trains, and returns the bits of a validation word."""
    seed_everything(1)
    data = TextDataModule([file], chunk_length=16, lanes=32, num_words=2000)
    model = MemUP(data.task)
    refresh = TargetRefresh(max_wait=100)  # the memory learns from then on
    trainer = Trainer(
        max_steps=updates, callbacks=[refresh], logger=False, enable_checkpointing=False, enable_progress_bar=False
    )
    trainer.fit(model, data)
    (found,) = trainer.validate(model, data, verbose=False)
    bits = found["val/nll"] / 0.693
    print(f"{bits:.2f} bits a word; {found['val/accuracy']:.1%} of the next words are right")
    return float(bits)


if __name__ == "__main__":
    torch.set_num_threads(1)
    main()
