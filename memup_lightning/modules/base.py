"""What every LightningModule of this collection shares, whatever it learns: its task, its optimizer, how it resumes."""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.cli import LRSchedulerCallable, ReduceLROnPlateau
from pytorch_lightning.plugins import Precision
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor
from torch.optim import Adam, Optimizer

from memup_lightning.distributed import all_gather_object, rank
from memup_lightning.runs.trust import CheckedLoading
from memup_lightning.specs import TaskSpec

OptimizerCallable: TypeAlias = Callable[[Iterable[Any]], Optimizer]


def adam(parameters: Iterable[Any]) -> Optimizer:
    """Adam with a learning rate of 2e-3, a memory's default. A function has a name in a saved config, a partial none."""
    return Adam(parameters, lr=2e-3)


class BaseTask(CheckedLoading, LightningModule, ABC):  # type: ignore[misc]
    """A model of a task, with its optimizer. A checkpoint of it holds all that it was built from, and a resumed run goes
    on with its random numbers, its optimizer and its schedule, but for what was changed since.

    Args:
        task: what the data are; the command line takes it from the datamodule.
        optimizer: ``(parameters) -> optimizer``.
        lr_scheduler: ``(optimizer) -> schedule``, stepped after every update (``ReduceLROnPlateau``: after every epoch).
    """

    def __init__(
        self, task: TaskSpec | dict[str, Any], optimizer: OptimizerCallable, lr_scheduler: LRSchedulerCallable | None
    ) -> None:
        super().__init__()
        with warnings.catch_warnings():  # of a module among the arguments, which does not stay there
            warnings.filterwarnings("ignore", message=r"Attribute '\w+' is an instance of `nn.Module`")
            self.save_hyperparameters(logger=False)
        if "_instantiator" not in self.hparams:  # built in Python: callables have no place in a checkpoint
            self.hparams.clear()
        self.task = task if isinstance(task, TaskSpec) else TaskSpec.from_dict(task)
        self.hparams["task"] = self.task.to_dict()
        self._optimizer, self._lr_scheduler = optimizer, lr_scheduler

    @property
    def is_log_step(self) -> bool:
        """Whether Lightning will write what is logged now: to log at other steps costs time for nothing."""
        due: bool = self.trainer._logger_connector.should_update_logs
        return due

    def configure_optimizers(self) -> Any:
        optimizer = self._optimizer(p for p in self.parameters() if p.requires_grad)
        if self._lr_scheduler is None:
            return optimizer
        scheduler = self._lr_scheduler(optimizer)
        if isinstance(scheduler, ReduceLROnPlateau):  # it needs a validation, and counts its patience in epochs
            return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "monitor": scheduler.monitor}}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def configure_gradient_clipping(
        self, optimizer: Optimizer, gradient_clip_val: float | None = None, gradient_clip_algorithm: str | None = None
    ) -> None:
        """Clip as Lightning does; under bf16-mixed with a fused optimizer too, which Lightning refuses as it does under
        16-mixed, although nothing is scaled there."""
        plugin = self.trainer.precision_plugin
        if plugin.precision != "bf16-mixed":
            super().configure_gradient_clipping(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val:
            algorithm = GradClipAlgorithmType(gradient_clip_algorithm or "norm")
            Precision.clip_gradients(plugin, optimizer, gradient_clip_val, algorithm)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        # Rank zero writes what all ranks hold: the random numbers of each.
        checkpoint["torch_rng"] = all_gather_object(torch.get_rng_state())
        if self.device.type == "cuda":
            checkpoint["cuda_rng"] = all_gather_object(torch.cuda.get_rng_state(self.device))
        checkpoint["optimizer_defaults"] = [_plain(opt.defaults) for opt in self.trainer.optimizers]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self._resumed = {name: checkpoint[name] for name in ("torch_rng", "optimizer_defaults")}
        self._resumed["cuda_rng"] = checkpoint.get("cuda_rng")

    def on_train_start(self) -> None:
        resumed = self.__dict__.pop("_resumed", None)
        if resumed is None or self.trainer.ckpt_path is None:
            return
        torch.set_rng_state(_own(resumed["torch_rng"]).cpu())
        if resumed["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(_own(resumed["cuda_rng"]).cpu(), self.device)
        for optimizer, before in zip(self.trainer.optimizers, resumed["optimizer_defaults"], strict=False):
            # What was changed since, on the command line say, wins over what the checkpoint brought back.
            changed = {key: x for key, x in _plain(optimizer.defaults).items() if before.get(key) != x}
            schedules = [c.scheduler for c in self.trainer.lr_scheduler_configs if c.scheduler.optimizer is optimizer]
            if schedules and "lr" in changed and before.get("lr"):
                _rescale(optimizer, schedules, changed.pop("lr") / before["lr"])
            for group in optimizer.param_groups:
                group.update(changed)
        self._catch_up_validation()

    def _catch_up_validation(self) -> None:
        """Run the validation that was due at the very update after which the checkpoint was written. Lightning leaves it
        out, and a callback that decides by it (EarlyStopping) would decide otherwise than in the uncut run."""
        trainer = self.trainer
        loop = trainer.fit_loop.epoch_loop
        if not loop.restarted_on_train_batch_end or not loop._should_check_val_fx(None):  # type: ignore[arg-type]
            return
        first = trainer._logger_connector._first_loop_iter
        trainer.validating = True
        loop.val_loop.restarting = False
        loop.val_loop.run()
        trainer.training = True
        trainer._logger_connector._first_loop_iter = first


def _plain(defaults: Mapping[str, Any]) -> dict[str, Any]:
    kinds = (int, float, bool, str, type(None))
    return {
        key: list(x) if isinstance(x, tuple) else x
        for key, x in defaults.items()
        if isinstance(x, kinds) or (isinstance(x, tuple) and all(isinstance(part, kinds) for part in x))
    }


def _rescale(optimizer: Optimizer, schedules: Iterable[Any], ratio: float) -> None:
    """Another base rate under a schedule: it goes on where it stood."""
    for group in optimizer.param_groups:
        group["lr"] *= ratio
        group["initial_lr"] *= ratio
    for schedule in schedules:
        if hasattr(schedule, "base_lrs"):
            schedule.base_lrs = [rate * ratio for rate in schedule.base_lrs]


def _own(states: Sequence[Tensor]) -> Tensor:
    """This rank's of the random states of a checkpoint, which another number of ranks may have written."""
    return states[rank() % len(states)]
