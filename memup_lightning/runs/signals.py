"""Signals that stop a run: SIGTERM ends it with a checkpoint, SIGINT is never lost."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning_fabric.plugins.environments.lightning import LightningEnvironment
from lightning_utilities.core.rank_zero import rank_zero_only
from pytorch_lightning import Callback, LightningModule, Trainer

from memup_lightning.distributed import all_reduce_sum, world_size
from memup_lightning.runs.lightning_private import drop_sigterm_broadcast, is_mid_update
from memup_lightning.runs.parts import is_dev_run, parts
from memup_lightning.runs.run_folder import run_folder
from memup_lightning.user_warnings import option

EXIT_STATUS = 128 + signal.SIGTERM  # 143, what a shell reports of a process that SIGTERM ended
_say = rank_zero_only(print)


class Terminated(SystemExit):
    """A run that SIGTERM stopped; the process ends with status 143.

    Args:
        message: what was reached and written.
        status: exit status of the process.
    """

    def __init__(self, message: str, status: int = EXIT_STATUS) -> None:
        super().__init__(message)
        self.code = status


class StopOnSignal(Callback):
    """Writes a checkpoint after SIGTERM and ends the process with status 143; makes sure that SIGINT arrives.

    The handler only notes SIGTERM. After the next whole update, or batch of a validation, all ranks agree to stop, write
    ``sigterm-step=N.ckpt`` to the folder of the other checkpoints and end. A run that resumes from it ends like one that
    was never stopped. Outside of training the process ends at once.

    Lightning's own handler is replaced: it calls a collective from within the signal handler. The other ranks may be in
    another collective at that moment, and then all ranks wait for ever.

    SIGINT raises KeyboardInterrupt, as usual. Python drops an exception that is raised while an object is deleted, such as
    the iterator of a DataLoader with workers at the end of an epoch. Then it is raised again at the next batch.
    """

    def __init__(self) -> None:
        super().__init__()
        self._terminated = self._interrupted = False  # this process got a signal
        self._agreed = False  # any rank was
        self._training = False
        self._trainer: Trainer | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        # The last of all callbacks, so that a checkpoint holds what the others did after the update. A new list, since
        # Lightning is iterating over the old one.
        run = parts(trainer)
        run.callbacks = [*(callback for callback in run.callbacks if callback is not self), self]
        self._trainer = trainer
        self._terminated = self._interrupted = self._agreed = self._training = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        # Now, since Lightning sets its handlers just before; it sets those from before the run again when it ends.
        self._training = True
        drop_sigterm_broadcast(trainer)
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, self._on_sigterm)
            signal.signal(signal.SIGINT, self._on_sigint)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        self._agree(pl_module)

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if self._agreed and not is_mid_update(trainer):
            self._stop(trainer)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: Any) -> None:
        if not self._training:
            return
        self._agree(pl_module)
        if self._agreed and not is_mid_update(trainer):
            # Saved as if the validation had not begun: it runs as a whole when the run resumes.
            progress = trainer.fit_loop.epoch_loop.batch_progress
            progress.total.completed -= 1
            progress.current.completed -= 1
            self._stop(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._training = False

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        self._training = False

    def _agree(self, module: LightningModule) -> None:
        """Record whether any rank got a signal: one number is summed over the ranks and read back."""
        if self._interrupted:
            raise KeyboardInterrupt
        got_signal = self._terminated
        if world_size() > 1:
            got_signal = bool(all_reduce_sum(torch.tensor(int(got_signal), device=module.device)).item())
        self._agreed = got_signal

    @staticmethod
    def _stop(trainer: Trainer) -> None:
        message = f"stopped by SIGTERM after update {trainer.global_step:,}"
        if not is_dev_run(trainer):
            path = _folder(trainer) / f"sigterm-step={trainer.global_step}.ckpt"
            trainer.save_checkpoint(path)
            message += f"; wrote {path}; resume with {option('ckpt_path', 'last', f'ckpt_path={str(path)!r}')}"
        _say(message)
        raise Terminated(message, _status(trainer))

    def _on_sigterm(self, signum: int, frame: FrameType | None) -> None:
        self._terminated = True
        assert self._trainer is not None
        if (launcher := self._trainer.strategy.launcher) is not None:
            launcher.kill(signum)  # to the ranks that this process started; only numbers are sent
        if not self._training:
            raise Terminated("stopped by SIGTERM outside of training", _status(self._trainer))

    def _on_sigint(self, signum: int, frame: FrameType | None) -> None:
        self._interrupted = True
        raise KeyboardInterrupt


def _folder(trainer: Trainer) -> Path:
    """Return the folder of the run's checkpoints; all ranks call it."""
    folder = getattr(trainer.checkpoint_callback, "dirpath", None)
    return Path(folder) if folder else run_folder(trainer) / "checkpoints"


def _status(trainer: Trainer) -> int:
    """Return the exit status: 0 for a rank that Lightning started.

    Only Lightning's observer sees that one, and at any other status it kills the process that started the rank.
    """
    environment = getattr(trainer.strategy, "cluster_environment", None)
    return 0 if type(environment) is LightningEnvironment and environment.local_rank() > 0 else EXIT_STATUS
