"""RunSummary: callback that says what is trained, before the first update."""

from __future__ import annotations

import torch
from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import ModelSummary

from memup_lightning.callbacks.report.tables import print_rows
from memup_lightning.exceptions import counted
from memup_lightning.modules import BaseTask
from memup_lightning.runs.parts import run_data
from memup_lightning.user_warnings import option


class RunSummary(ModelSummary):
    """Callback that prints data, networks, length of the gradients and device, before the first update of ``fit``.

    It takes the place of Lightning's summary of layers, and the command line adds it where the config has none:
    ``--trainer.enable_model_summary=false`` leaves it out.
    """

    def __init__(self) -> None:
        super().__init__()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.is_global_zero:
            return
        data = run_data(trainer)
        rows = {} if data is None else data.describe()
        if isinstance(pl_module, BaseTask):
            rows |= pl_module.describe()
        rows["device"] = _device(trainer, pl_module)
        print_rows("what is trained", rows)


def _device(trainer: Trainer, module: LightningModule) -> str:
    device = module.device
    threads = counted(torch.get_num_threads(), "thread")
    name = f"CPU, {threads}" if device.type == "cpu" else f"{device}"
    if device.type == "cuda":
        name = f"{torch.cuda.get_device_name(device)} ({device})"
    ranks = f", {trainer.world_size} processes" if trainer.world_size > 1 else ""
    unused = f"; a GPU is there but not used: {option('trainer.accelerator', 'auto')}"
    return name + ranks + (unused if device.type == "cpu" and torch.cuda.is_available() else "")
