"""Base class of the LightningModules of this collection: task, optimizer, resumption."""

from __future__ import annotations

import warnings
from abc import ABC
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Self

import torch
from pytorch_lightning import Callback, LightningModule
from pytorch_lightning.cli import LRSchedulerCallable
from pytorch_lightning.plugins import Precision
from pytorch_lightning.trainer.states import TrainerFn
from pytorch_lightning.utilities import GradClipAlgorithmType
from torch import Tensor
from torch.optim import Optimizer

from memup_lightning.distributed import all_gather_object, rank
from memup_lightning.exceptions import MemUPError
from memup_lightning.modules.losses import sum_losses
from memup_lightning.modules.optimization.optimizers import UNFUSED, OptimizerCallable
from memup_lightning.modules.optimization.resume import optimizer_settings, restore_settings, scheduler_settings
from memup_lightning.runs.callback_checks import check_callbacks
from memup_lightning.runs.checkpoints.files import check_checkpoint, check_fits
from memup_lightning.runs.checkpoints.lookup import weights_to_use
from memup_lightning.runs.checkpoints.trust import check_names
from memup_lightning.runs.lightning_private import logs_are_due, run_missed_validation
from memup_lightning.specs import TaskSpec
from memup_lightning.user_warnings import warn_user


class BaseTask(LightningModule, ABC):
    """Base class of LightningModules: task, optimizer, resumption.

    A checkpoint holds all arguments of the module. A resumed run continues with the checkpoint's random numbers,
    optimizer and schedule; settings that were changed since take precedence.

    Args:
        task: specification of the data; the command line takes it from the datamodule.
        optimizer: ``(parameters) -> optimizer``.
        lr_scheduler: ``(optimizer) -> schedule``, stepped after every update; Lightning's ReduceLROnPlateau after every
            epoch, by its ``monitor``.
    """

    def __init__(
        self, task: TaskSpec | dict[str, Any], optimizer: OptimizerCallable, lr_scheduler: LRSchedulerCallable | None
    ) -> None:
        super().__init__()
        self.task = TaskSpec.parse(task)
        with warnings.catch_warnings():  # of a module among the arguments, which does not stay there
            warnings.filterwarnings("ignore", message=r"Attribute '\w+' is an instance of `nn.Module`")
            self.save_hyperparameters(logger=False)
        if "_instantiator" not in self.hparams:  # built in Python: callables have no place in a checkpoint
            self.hparams.clear()
        self.hparams["task"] = self.task.to_dict()
        self._optimizer, self._lr_scheduler = optimizer, lr_scheduler
        self._last_losses: dict[str, Tensor] = {}  # of the last update

    @classmethod
    def load_from_checkpoint(
        cls,
        checkpoint_path: str | Path | IO[bytes],
        map_location: Any = None,
        hparams_file: str | Path | None = None,
        strict: bool | None = None,
        weights_only: bool | None = None,
        **kwargs: Any,
    ) -> Self:
        """Build a model from a checkpoint, whose names are checked first; see Lightning's method of this name.

        Args:
            checkpoint_path: the file; or a folder, whose newest run counts: the weights that it ended with, or the last
                ones where it has not ended.
            map_location: as for Lightning's method, and so are the others.
            hparams_file: see there.
            strict: see there.
            weights_only: see there.
            kwargs: see there.

        Raises:
            MemUPError: no such file; a folder without a checkpoint; the checkpoint names a class that is not trusted.
        """
        if isinstance(checkpoint_path, str | Path) and "://" not in str(checkpoint_path):
            checkpoint_path = weights_to_use(checkpoint_path)
            check_checkpoint(checkpoint_path, "the checkpoint")
        weights_only = check_names(checkpoint_path, weights_only)
        return super().load_from_checkpoint(checkpoint_path, map_location, hparams_file, strict, weights_only, **kwargs)

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False) -> Any:
        """Load weights, as torch does.

        Raises:
            MemUPError: the weights of another model, with the first difference.
        """
        try:
            return super().load_state_dict(state_dict, strict, assign)
        except RuntimeError:
            shapes = {name: x.shape for name, x in state_dict.items() if isinstance(x, Tensor)}
            check_fits("that is loaded", shapes, self, "the checkpoint")
            raise

    def describe(self) -> dict[str, str]:
        """Return what a run says about the module before it begins: name of a row, text."""
        sizes = {name: sum(p.numel() for p in part.parameters()) for name, part in self.named_children()}
        parts = [f"{name}: {type(getattr(self, name)).__name__} ({n:,})" for name, n in sizes.items() if n]
        return {"method": type(self).__name__, "networks (weights)": ", ".join(parts)}

    @property
    def is_log_step(self) -> bool:
        """Whether Lightning writes what is logged now; at other steps logging only takes time."""
        return logs_are_due(self.trainer)

    def sum_losses(self, losses: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return what a training step returns: see :func:`~memup_lightning.modules.losses.sum_losses`.

        Callbacks that run after an epoch or a validation can monitor these losses, at a log step or not.
        """
        out = sum_losses(losses)
        self._last_losses = out | {"loss": out["loss"].detach()}
        return out

    def _show_losses(self) -> None:
        if self.trainer.state.fn == TrainerFn.FITTING and not self.trainer.sanity_checking:
            shown = {f"train/{name}": x for name, x in self._last_losses.items()}
            self.trainer.callback_metrics.update(shown)

    def on_validation_start(self) -> None:
        self._show_losses()

    def on_train_epoch_end(self) -> None:
        self._show_losses()

    def configure_callbacks(self) -> list[Callback]:
        """Check the trainer's callbacks and precision; add none."""
        check_callbacks(self.trainer)
        if self.trainer.precision == "16-true":
            raise MemUPError(
                "precision='16-true': float16 weights become NaN, since Adam's eps is 0 in float16; take '16-mixed' or "
                "'bf16-mixed'"
            )
        return []

    def configure_optimizers(self) -> Any:
        for name, factory in (("optimizer", self._optimizer), ("lr_scheduler", self._lr_scheduler)):
            if factory is not None and not callable(factory):
                raise MemUPError(
                    f"{name} is a {type(factory).__name__} that exists already; give what makes one of the parameters, "
                    f"such as functools.partial(torch.optim.Adam, lr=1e-3)"
                )
        weights = [p for p in self.parameters() if p.requires_grad]
        if not weights:
            raise MemUPError(
                "no weight of the model has requires_grad=True, so there is nothing to train; unfreeze a part"
            )
        optimizer = self._make_optimizer(weights)
        self._check_optimizer(optimizer)
        scheduler: Any = None if self._lr_scheduler is None else self._lr_scheduler(optimizer)
        self._settings = {
            "optimizer": optimizer_settings(optimizer),
            "scheduler": None if scheduler is None else scheduler_settings(scheduler),
        }
        if scheduler is None:
            return optimizer
        monitor = getattr(scheduler, "monitor", None)
        if monitor is None and isinstance(scheduler, torch.optim.lr_scheduler.ReduceLROnPlateau):
            raise MemUPError(
                "lr_scheduler=torch.optim.lr_scheduler.ReduceLROnPlateau does not say which metric it follows; give "
                "pytorch_lightning.cli.ReduceLROnPlateau with monitor=val/nll, say"
            )
        how = {"interval": "step"} if monitor is None else {"interval": "epoch", "monitor": monitor}
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler} | how}

    def _make_optimizer(self, weights: Sequence[Tensor]) -> Optimizer:
        make = self._optimizer
        if self._trainer is not None and self.trainer.precision == "16-mixed":
            make = UNFUSED.get(make, make)
        return make(iter(weights))

    def _check_optimizer(self, optimizer: Optimizer) -> None:
        """Warn of weights that the optimizer does not change."""
        taken = {id(p) for group in optimizer.param_groups for p in group["params"] if group.get("lr") != 0}
        left = [name for name, p in self.named_parameters() if p.requires_grad and id(p) not in taken]
        if left:
            warn_user(
                f"{type(optimizer).__name__} does not change {len(left)} weights, such as {left[0]}: its lr is 0 for them, "
                "or it was not given them; give it all parameters, or set requires_grad=False where they should stay"
            )

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
        # Rank zero writes the random states of all ranks.
        checkpoint["torch_rng"] = all_gather_object(torch.get_rng_state())
        if self.device.type == "cuda":
            checkpoint["cuda_rng"] = all_gather_object(torch.cuda.get_rng_state(self.device))
        checkpoint["settings"] = self._settings
        checkpoint["task"] = self.task.to_dict()  # Lightning rewrites that of the hyperparameters before it is loaded

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if not checkpoint.get("optimizer_states") and self._trainer is not None and self.trainer.state.fn == "fit":
            raise MemUPError(
                "the checkpoint holds weights alone (save_weights_only=True), so a run cannot be resumed from it; give one "
                "that holds the whole state, or start a new run from its weights by the callback InitialWeights"
            )
        TaskSpec.from_dict(checkpoint["task"]).check_same_names(self.task)
        self._resumed = {name: checkpoint.get(name) for name in ("torch_rng", "cuda_rng", "settings")}

    def on_train_start(self) -> None:
        resumed = self.__dict__.pop("_resumed", None)
        if resumed is None or self.trainer.ckpt_path is None:
            return
        torch.set_rng_state(_own(resumed["torch_rng"]).cpu())
        if resumed["cuda_rng"] is not None and self.device.type == "cuda":
            torch.cuda.set_rng_state(_own(resumed["cuda_rng"]).cpu(), self.device)
        (optimizer,) = self.trainer.optimizers
        configs = self.trainer.lr_scheduler_configs
        scheduler: Any = configs[0].scheduler if configs else None
        scheduler = restore_settings(optimizer, scheduler, self._lr_scheduler, resumed["settings"], self._settings)
        if configs:
            configs[0].scheduler = scheduler
        run_missed_validation(self.trainer)


def _own(states: Sequence[Tensor]) -> Tensor:
    """Return this rank's random state from those of a checkpoint, which another number of ranks may have written."""
    return states[rank() % len(states)]
