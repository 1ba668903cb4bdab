"""Private parts of Lightning, jsonargparse and W&B that this project relies on.

``tests/runs/test_lightning_private.py`` fails where a new version of Lightning lacks one of them.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any, get_args

from jsonargparse import ArgumentParser, _parameter_resolvers, _typehints
from pytorch_lightning import Trainer
from pytorch_lightning.loggers import Logger


def logs_are_due(trainer: Trainer) -> bool:
    """Return whether Lightning writes to the loggers at this step."""
    due: bool = trainer._logger_connector.should_update_logs
    return due


def run_missed_validation(trainer: Trainer) -> None:
    """Run the validation that was due at the update of the checkpoint from which the trainer resumes.

    Lightning leaves it out, and a callback that decides by it (EarlyStopping) would decide otherwise than in the run that
    was not interrupted.
    """
    loop = trainer.fit_loop.epoch_loop
    if not loop.restarted_on_train_batch_end or not loop._should_check_val_fx(None):  # type: ignore[arg-type]
        return
    connector = trainer._logger_connector
    first = connector._first_loop_iter
    trainer.validating = True
    loop.val_loop.restarting = False
    loop.val_loop.run()
    trainer.training = True
    connector._first_loop_iter = first


def is_mid_update(trainer: Trainer) -> bool:
    """Return whether gradients of this batch wait for those of the next (``accumulate_grad_batches``)."""
    waits: bool = trainer.fit_loop._should_accumulate()
    return waits


def drop_sigterm_broadcast(trainer: Trainer) -> None:
    """Drop the collective that Lightning calls before every batch to ask whether SIGTERM arrived at any rank."""
    trainer.fit_loop.epoch_loop._broadcast_sigterm_tensor = lambda: None  # type: ignore[method-assign]


def rename_printed_metrics(trainer: Trainer, rename: Callable[[Mapping[str, Any]], dict[str, Any]]) -> None:
    """Rename the metrics in the table that Lightning prints after ``validate`` and ``test``.

    Args:
        trainer: of the run.
        rename: makes a result with the names to print, of one with those that are logged.
    """
    for loop in (trainer.validate_loop, trainer.test_loop):
        show = loop._print_results
        loop._print_results = lambda results, stage, show=show: show([*map(rename, results)], stage)  # type: ignore[method-assign, misc]


def given_version(logger: Logger) -> int | str | None:
    """Return the version that a logger was built with, or None where it takes the next free number or has none."""
    version: int | str | None = getattr(logger, "_version", None)
    return version


def forget_version(logger: Any) -> None:
    """Let a logger that numbers its runs look for the next free number again."""
    logger._version = None


def drop_anonymous(logger: Any) -> None:
    """Remove an argument that WandbLogger hands to W&B, and of which W&B warns before it knows that it is silent."""
    logger._wandb_init.pop("anonymous", None)


def skip_launch_inputs(run: Any) -> None:
    """Let W&B look for inputs of its launch service only in programs that use it: W&B would import the service to look.

    Args:
        run: the class of W&B's runs.
    """
    look = getattr(run, "_detect_and_apply_job_inputs", None)  # W&B has no upper bound: another release may lack it
    if look is not None and look.__module__ != __name__:
        run._detect_and_apply_job_inputs = lambda run: look(run) if "wandb.sdk.launch" in sys.modules else None


def failed_parser(parser: ArgumentParser, error: Exception | None) -> ArgumentParser:
    """Return the parser of the subcommand in which an error arose, or the parser that reports it."""
    found: ArgumentParser = getattr(error, "subcommand_parser", None) or parser
    return found


def list_options_with_defaults() -> None:
    """Let jsonargparse list this package's ``**options: Unpack[...]`` by the calls that pass them on.

    It would list them by the TypedDict alone, which has no defaults: ``--help`` and saved configs would lack them.
    """
    by_typed_dict = _parameter_resolvers.unpack_typed_dict_kwargs

    def unpack(params: list[Any], kwargs_idx: int, logger: Any = None) -> int:
        ours = [x.__module__.startswith("memup_lightning.") for x in get_args(params[kwargs_idx].annotation)]
        return kwargs_idx if any(ours) else by_typed_dict(params, kwargs_idx, logger)

    _parameter_resolvers.unpack_typed_dict_kwargs = unpack


def keep_null() -> None:
    """Let jsonargparse hand ``null`` to a class inside another class; it would hand on the text ``None``."""
    hints: Any = _typehints
    adapt = hints.adapt_class_type

    def adapt_with_null(value: Any, *args: Any, **kwargs: Any) -> Any:
        nested = value.get("init_args") if hasattr(value, "get") else None
        if isinstance(nested, hints.NestedArg) and (nested.val is None or isinstance(nested.val, list | dict)):
            value["init_args"] = nested._replace(val=json.dumps(nested.val))
        return adapt(value, *args, **kwargs)

    hints.adapt_class_type = adapt_with_null
