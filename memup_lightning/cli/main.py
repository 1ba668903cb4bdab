"""``memup``: a LightningCLI of fit, validate, test and predict, beside the subcommands of our own."""

from __future__ import annotations

import atexit
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning_fabric.plugins.io.torch_io import TorchCheckpointIO
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger
from pytorch_lightning.profilers import PassThroughProfiler

from memup_lightning import callbacks, envs  # noqa: F401 (every class that is imported has a short name in configs)
from memup_lightning.cli.arguments import config_files_first, read_config_files
from memup_lightning.cli.checks.dropped_keys import dropped_keys_logger, warn_of_dropped_keys
from memup_lightning.cli.checks.nulls import check_nulls
from memup_lightning.cli.checks.trainer import check_seed, check_trainer, warn_of_random_weights
from memup_lightning.cli.default_callbacks import add_default_callbacks, leave_out_disabled, replace_lightnings
from memup_lightning.cli.default_parts import name_default_parts
from memup_lightning.cli.errors import about_settings, end_with, format_warning, leave_out_noise
from memup_lightning.cli.help_text import PlainHelpFormatter
from memup_lightning.cli.messages import explain
from memup_lightning.cli.subcommands import run_own
from memup_lightning.data import targets  # noqa: F401
from memup_lightning.datamodules import BaseDataModule
from memup_lightning.distributed import destroy_process_group
from memup_lightning.exceptions import MemUPError, check_counts
from memup_lightning.models import memory, outcomes, predictors, uncertainty  # noqa: F401
from memup_lightning.modules import BaseTask
from memup_lightning.rl import algorithms  # noqa: F401
from memup_lightning.runs.checkpoints.files import AtomicCheckpointIO, check_fits, read_task
from memup_lightning.runs.checkpoints.lookup import given_checkpoint, kept_checkpoint, last_checkpoint, run_of_config
from memup_lightning.runs.checkpoints.trust import import_modules
from memup_lightning.runs.lightning_private import failed_parser, keep_null, list_options_with_defaults
from memup_lightning.runs.loggers import (
    check_loggers,
    prepare_wandb,
    wandb_sync_line,
    write_metrics_whole,
)
from memup_lightning.runs.parts import parts
from memup_lightning.runs.profiler import NoProfiler
from memup_lightning.runs.run_folder import (
    check_writable,
    claim_versions,
    configured_folders,
    remove_empty_folders,
    run_folder,
)
from memup_lightning.runs.run_verdict import warn_of_verdict
from memup_lightning.runs.signals import StopOnSignal
from memup_lightning.specs import TaskSpec

PROGRAM = "memup"

list_options_with_defaults()
keep_null()


class RunConfig(SaveConfigCallback):
    """Callback that writes the resolved config: ``config.yaml`` in the run folder, and nested to every logger but the CSV
    one.

    It also sends checkpoints to the run folder, where their callback names no folder.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if self.already_saved:
            return
        self.already_saved = True
        folder = run_folder(trainer)
        for callback in trainer.checkpoint_callbacks:
            if isinstance(callback, ModelCheckpoint) and callback.dirpath is None:
                callback.dirpath = str(folder / "checkpoints")
        if not trainer.is_global_zero:
            return
        if stage == "fit":
            text = self.parser.dump(self.config, skip_unset=False)
            (folder / self.config_filename).write_text(text)
            for logger in trainer.loggers:
                if not isinstance(logger, CSVLogger):  # it would write the same once more, into the same folder
                    logger.log_hyperparams(yaml.safe_load(text))
        if stage != "predict" and (line := wandb_sync_line(trainer)):
            print(line)


class Parser(LightningArgumentParser):
    """A parser that answers a misspelt key or class with what was meant, and names the keys that it drops.

    Args:
        predicts: whether it is that of ``predict``.
    """

    def __init__(self, *args: Any, predicts: bool = False, **kwargs: Any) -> None:
        self.predicts = predicts
        own: dict[str, Any] = {"prog": PROGRAM, "logger": dropped_keys_logger(), "formatter_class": PlainHelpFormatter}
        own["allow_abbrev"] = False  # an abbreviation is taken for a misspelt key, as in a config
        super().__init__(*args, **(own | kwargs))

    def error(self, message: str, ex: Exception | None = None) -> Any:
        if not self.exit_on_error:  # of a class inside the config: the outermost parser makes the sentence
            super().error(message, ex)
        parser = failed_parser(self, ex)
        raise MemUPError(explain(message, list(parser.get_defaults().keys()))) from ex


class MemUPCLI(LightningCLI):
    """LightningCLI with subcommands; model and data are given by class name.

    Args:
        command: the command line, its config files first; only the subcommands named in it get their arguments, whose
            listing takes a second.
        typed: the command line as it was typed.
        options: of LightningCLI.
    """

    def __init__(self, command: list[str], typed: Sequence[str], **options: Any) -> None:
        self._command, self._typed = command, typed
        super().__init__(BaseTask, BaseDataModule, subclass_mode_model=True, subclass_mode_data=True, **options)

    def _prepare_subcommand_parser(self, klass: type, subcommand: str, **kwargs: Any) -> LightningArgumentParser:
        if subcommand in self._command:
            return super()._prepare_subcommand_parser(klass, subcommand, **kwargs)
        self._subcommand_method_arguments[subcommand] = []
        return self.init_parser(**kwargs)

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        parser.add_argument(
            "--num_threads", type=int | None, default=None, help="Threads of torch; by default torch's own choice."
        )
        parser.add_argument(
            "--imports",
            type=list[str] | str,
            default=[],
            help="Module to import first, such as one that registers your env, or several, as [one, other]; checkpoints "
            "may name their classes.",
        )
        if isinstance(parser, Parser) and parser.predicts:
            parser.add_argument(
                "--on",
                type=str,
                default="test",
                help="What is predicted: train, val or test; or a new file, such as new.parquet, of which every row is.",
            )
        parser.link_arguments("data", "model.init_args.task", self._task, apply_on="instantiate")

    def _task(self, data: BaseDataModule) -> TaskSpec:
        """Return the task of the data, whose classes mean what they do in the checkpoint."""
        if self.config.subcommand == "predict":
            data.predict_on(self._given["on"])
        if self._checkpoint_shapes and (trained := read_task(self._given.ckpt_path)):
            data.use_task(trained)
        return data.task

    def parse_arguments(self, parser: LightningArgumentParser, args: Any) -> None:
        self.config = parser.parse_args(self._command)
        check_seed(self._given.seed_everything)

    @property
    def _given(self) -> Namespace:
        given: Namespace = self.config[self.config.subcommand]
        return given

    def _parse_ckpt_path(self) -> None:
        """Lightning would put what a checkpoint was trained with over the config. Here the config wins: the checkpoint
        must only be there, and fit. ``last`` is found by us: Lightning's would look in this run's own, empty folder."""
        given = self._given
        run = next(filter(None, (run_of_config(str(config)) for config in given.get("config") or [])), None)
        if given.get("ckpt_path") == "last":
            found = last_checkpoint(given.trainer, self.config.subcommand != "fit", run)
            given["ckpt_path"], self._checkpoint_shapes = (str(found[0]), found[1]) if found else (None, {})
        elif given.get("ckpt_path") == "best":
            if self.config.subcommand == "fit":
                raise MemUPError(
                    "--ckpt_path best: it holds weights alone, so no run continues from it; give last, or begin a new run "
                    "with its weights by the callback InitialWeights"
                )
            found_best = kept_checkpoint(given.trainer, run)
            given["ckpt_path"], self._checkpoint_shapes = str(found_best[0]), found_best[1]
        elif (path := given.get("ckpt_path")) and not _is_keyword(path):
            found_there = given_checkpoint(path, self.config.subcommand == "fit")
            given["ckpt_path"], self._checkpoint_shapes = str(found_there[0]), found_there[1]
        else:
            self._checkpoint_shapes = {}
        if self._checkpoint_shapes and self.config.subcommand != "fit":  # which may well continue such a run
            warn_of_verdict(Path(given.ckpt_path))

    def before_instantiate_classes(self) -> None:
        given = self._given
        if self.config.subcommand == "predict":
            _prepare_prediction(given)
        check_nulls(given)
        leave_out_disabled(given.trainer)
        check_trainer(given.trainer)
        warn_of_random_weights(self.config.subcommand, given)
        _count_across_epochs(given.trainer)
        for option, folder in configured_folders(given.trainer).items():
            check_writable(Path(folder), option)
        if given.num_threads:
            torch.set_num_threads(given.num_threads)
        import_modules([given.imports] if isinstance(given.imports, str) else given.imports)
        check_loggers(given.trainer)

    def after_instantiate_classes(self) -> None:
        check_counts(1, **{"trainer.accumulate_grad_batches": self.trainer.accumulate_grad_batches})
        prepare_wandb(self.trainer)
        add_default_callbacks(self.trainer, self.config.subcommand == "predict")
        for callback in parts(self.trainer).callbacks:
            if isinstance(callback, callbacks.Verdict):
                callback.given = self._typed
        replace_lightnings(self.trainer, self._given.trainer)
        write_metrics_whole(self.trainer)
        if type(self.trainer.strategy.checkpoint_io) is TorchCheckpointIO:  # not one that the config names
            self.trainer.strategy.checkpoint_io = AtomicCheckpointIO()
        run = parts(self.trainer)
        if type(run.profiler) is PassThroughProfiler:
            run.profiler = NoProfiler()
        if self.config.subcommand == "fit":  # now, since later every rank would say it, and Lightning kill the first
            self.datamodule.check_ranks(self.trainer.world_size)
        if self._checkpoint_shapes:
            check_fits(self._given.ckpt_path, self._checkpoint_shapes, self.model)
        if self.trainer.is_global_zero:
            claim_versions(self.trainer.loggers)


def main(args: Sequence[str] | None = None, extra_callbacks: Sequence[Callback] = ()) -> MemUPCLI | Any:
    """Run the command line, as the program ``memup`` does.

    Args:
        args: the arguments, without the program's name; by default those of the process.
        extra_callbacks: callbacks in addition to those of the config.

    Returns:
        The CLI, with ``trainer``, ``model`` and ``datamodule`` for tests and scripts; None of ``configs`` and ``export``,
        which have none (no type checker then asks whether a CLI is None).

    Raises:
        SystemExit: after one sentence on stderr, where the input is at fault; after help and version.
    """
    typed = list(sys.argv[1:] if args is None else args)
    if run_own(typed):
        return None
    atexit.register(destroy_process_group)
    leave_out_noise()
    warnings.formatwarning = format_warning
    try:
        given = config_files_first(typed)
        configs = read_config_files(given)
        warn_of_dropped_keys(given, configs)
        return MemUPCLI(
            name_default_parts(given, configs),
            typed,
            save_config_callback=RunConfig,
            parser_class=Parser,
            parser_kwargs={"prog": PROGRAM, "predict": {"predicts": True}},
            trainer_defaults={
                "max_epochs": -1,
                "num_sanity_val_steps": 0,
                "callbacks": [*extra_callbacks, StopOnSignal()],
            },
            auto_configure_optimizers=False,  # the model has its optimizer: model.init_args.optimizer
        )
    except Exception as error:
        remove_empty_folders()
        sentence = about_settings(error)
        if sentence is None or os.environ.get("MEMUP_TRACEBACK"):
            raise
        end_with(sentence, error)


def _prepare_prediction(given: Namespace) -> None:
    """Refuse to predict with weights that were never trained; keep no predictions, since a callback writes them."""
    if not given.get("ckpt_path"):
        raise MemUPError("predict needs the weights of a run: give --ckpt_path best, last, or the path of a checkpoint")
    if given.get("return_predictions") is None:
        given["return_predictions"] = False


def _count_across_epochs(trainer: Namespace) -> None:
    """Let an int ``val_check_interval`` count updates from the beginning of the run, unless ``check_val_every_n_epoch`` is
    given. Lightning would count them within an epoch, and a stream has none of its own."""
    if isinstance(trainer.val_check_interval, int) and trainer.check_val_every_n_epoch == 1:
        trainer.check_val_every_n_epoch = None


def _is_keyword(ckpt_path: str) -> bool:
    """Return whether it is no path, but a keyword that Lightning resolves."""
    return ckpt_path in ("hpc", "registry") or ckpt_path.startswith("registry:")
