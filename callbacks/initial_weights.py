"""InitialWeights: callback that begins a run with the weights of another."""

from __future__ import annotations

from pathlib import Path

import torch
from pytorch_lightning import Callback, LightningModule, Trainer

from memup_lightning.runs.checkpoints.files import check_checkpoint, check_fits
from memup_lightning.runs.checkpoints.lookup import newest_checkpoint


class InitialWeights(Callback):
    """Callback that begins a run with the weights of another, so that a memory can learn on easy episodes first.

    Only weights are loaded; optimizer, schedule, targets and lanes start from the beginning. So the length of episodes
    and chunks and the number of lanes and targets may differ; sizes of networks and fields may not. A resumed run keeps
    its own weights.

    Args:
        path: of a checkpoint, or of a folder with runs, whose newest is taken.

    Raises:
        MemUPError: at the beginning of the run: no intact checkpoint there, or one of a model of other sizes.
    """

    def __init__(self, path: str) -> None:
        super().__init__()
        self.path = path

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.ckpt_path is not None:
            return
        path = newest_checkpoint(self.path) if Path(self.path).is_dir() else Path(self.path)
        option = "InitialWeights path"
        check_fits(path, check_checkpoint(path, option), pl_module, option)
        pl_module.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["state_dict"])
