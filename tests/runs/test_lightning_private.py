"""Private parts of Lightning and jsonargparse that this project relies on are still there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wandb
from jsonargparse import _parameter_resolvers, _typehints
from pytorch_lightning import Trainer
from pytorch_lightning.cli import LightningCLI
from pytorch_lightning.loggers import CSVLogger, WandbLogger

from memup_lightning.runs.lightning_private import skip_launch_inputs

PARTS: dict[str, Callable[[Trainer], Any]] = {
    "Trainer._logger_connector.should_update_logs": lambda trainer: type(trainer._logger_connector).should_update_logs,
    "Trainer._logger_connector._first_loop_iter": lambda trainer: trainer._logger_connector._first_loop_iter,
    "fit_loop._should_accumulate": lambda trainer: trainer.fit_loop._should_accumulate,
    "epoch_loop._should_check_val_fx": lambda trainer: trainer.fit_loop.epoch_loop._should_check_val_fx,
    "epoch_loop._broadcast_sigterm_tensor": lambda trainer: trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor,
    "epoch_loop.restarted_on_train_batch_end": lambda trainer: trainer.fit_loop.epoch_loop.restarted_on_train_batch_end,
    "test_loop._print_results": lambda trainer: (
        trainer.test_loop._print_results,
        trainer.validate_loop._print_results,
    ),
    "LightningCLI._prepare_subcommand_parser": lambda trainer: LightningCLI._prepare_subcommand_parser,
    "CSVLogger._version": lambda trainer: CSVLogger(trainer.default_root_dir)._version,
    "wandb.Run._detect_and_apply_job_inputs": lambda trainer: wandb.Run._detect_and_apply_job_inputs,
    "WandbLogger._wandb_init": lambda trainer: WandbLogger(offline=True)._wandb_init["anonymous"],
    "jsonargparse unpack_typed_dict_kwargs": lambda _: _parameter_resolvers.unpack_typed_dict_kwargs,
    "jsonargparse adapt_class_type": lambda _: _typehints.adapt_class_type,
    "jsonargparse NestedArg(val)": lambda _: vars(_typehints)["NestedArg"]._fields.index("val"),
}


@pytest.mark.parametrize("part", PARTS)
def test_lightning_still_has_the_private_part(part: str, tmp_path: Path) -> None:
    trainer = Trainer(default_root_dir=tmp_path, logger=False, accelerator="cpu", enable_model_summary=False)
    try:
        PARTS[part](trainer)
    except (AttributeError, KeyError, ValueError) as error:
        pytest.fail(
            f"this version of Lightning has no {part} ({error}): correct memup_lightning/runs, or bound the version"
        )


def test_a_release_of_wandb_that_lacks_a_private_part_is_used_as_it_is() -> None:
    skip_launch_inputs(type("Run", (), {}))
