"""``python -m memup_lightning {fit,validate,test,predict}``: a LightningCLI."""

from __future__ import annotations

import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import Namespace
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

import callbacks  # noqa: F401 (short class names in configs: every class that is imported has one)
from datamodules import EpisodeDataModule
from memup_lightning import envs, memory, outcomes, predictor, targets, uncertainty  # noqa: F401
from memup_lightning.did_you_mean import explain
from memup_lightning.errors import MemUPError
from memup_lightning.modules import MemoryModule
from memup_lightning.run_folder import check_writable, run_folder, wandb_offline


class RunConfig(SaveConfigCallback):
    """The resolved config: once as ``config.yaml`` in the run folder, once, nested, to every logger but the CSV one."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not self.already_saved and stage == "fit":
            folder = run_folder(trainer)
            check_writable(folder)
            if trainer.is_global_zero:
                text = self.parser.dump(self.config, skip_none=False)
                (folder / self.config_filename).write_text(text)
                for logger in trainer.loggers:
                    if not isinstance(logger, CSVLogger):  # it would write the same once more, into the same folder
                        logger.log_hyperparams(yaml.safe_load(text))
            self.already_saved = True


class Parser(LightningArgumentParser):
    """Answers a misspelt key or class with what was meant."""

    def error(self, message: str, ex: Exception | None = None) -> Any:
        raise MemUPError(explain(message, self)) from ex


class MemUPCLI(LightningCLI):
    """LightningCLI with subcommands; model and data are given by class name."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--num_threads", type=int | None, default=None, help="Threads of torch; by default torch's own choice."
        )
        parser.add_argument(
            "--imports",
            type=list[str],
            default=[],
            help="Modules to import first, such as one that registers your env.",
        )
        parser.link_arguments("data.task", "model.init_args.task", apply_on="instantiate")

    @property
    def _given(self) -> Namespace:
        return self.config[self.config.subcommand]

    def _parse_ckpt_path(self) -> None:
        """What is on the command line and in the config wins over what a checkpoint was trained with."""

    def before_instantiate_classes(self) -> None:
        import importlib

        import torch

        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        warnings.filterwarnings("ignore", message=".*`isinstance\\(treespec, LeafSpec\\)` is deprecated.*")
        given = self._given
        if given.num_threads:
            torch.set_num_threads(given.num_threads)
        for name in given.imports:
            importlib.import_module(name)
        loggers = given.trainer.logger if isinstance(given.trainer.logger, list) else [given.trainer.logger]
        if any("WandbLogger" in str(getattr(logger, "class_path", "")) for logger in loggers):
            wandb_offline()


def main(args: Sequence[str] | None = None, extra_callbacks: Sequence[Callback] = ()) -> MemUPCLI:
    """Run the command line.

    Args:
        args: the arguments, without the program's name; by default those of the process.
        extra_callbacks: callbacks beside those of the config.

    Returns:
        The CLI, whose ``trainer``, ``model`` and ``datamodule`` tests and scripts can look at.

    Raises:
        SystemExit: after one sentence on stderr, where the input is at fault.
    """
    try:
        return MemUPCLI(
            MemoryModule,
            EpisodeDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            save_config_callback=RunConfig,
            parser_class=Parser,
            trainer_defaults={"max_epochs": -1, "num_sanity_val_steps": 0, "callbacks": list(extra_callbacks)},
            args=list(args) if args is not None else None,
        )
    except (MemUPError, MisconfigurationException) as error:
        if os.environ.get("MEMUP_TRACEBACK"):
            raise
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(2) from error
