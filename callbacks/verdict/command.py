"""Advice of a verdict as a whole command: the arguments of the run, and the options of the advice in place of its own."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from pathlib import Path

from pytorch_lightning import Trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from memup_lightning.runs.checkpoints.files import latest_first
from memup_lightning.runs.run_folder import nearby

_LAST = "--ckpt_path=last"
_LIST = r"\[(?:\"(?:\\.|[^\"\\])*\"|[^\]\"])*\]"  # with names in double quotes where they are not plain
_OPTION = re.compile(rf"{_LAST}|--[\w.]+=(?:{_LIST}|[^\s;]+)")
_OPTIONS = re.compile(rf":? (?:{_OPTION.pattern})(?: (?:{_OPTION.pattern}))*")


def without_options(advice: str) -> str:
    """Return the words of an advice, such as "train longer" of "train longer: --trainer.max_steps=2000"."""
    return _OPTIONS.sub("", advice)


def whole_command(given: Sequence[str], advice: str, checkpoint: str | None, resumed: bool) -> str | None:
    """Return the command that follows an advice; None where the advice has no options.

    Args:
        given: arguments of the run, without the program's name.
        advice: its options are ``--ckpt_path=last`` and ``--key=value``; a value may be a list, ``[a, "b c"]``.
        checkpoint: from which this run is continued; None where it left none.
        resumed: whether the run continued another. Where the advice does not continue it, the command starts a new one.
    """
    advised = _OPTION.findall(advice)
    if not advised:
        return None
    options = [option for option in advised if option != _LAST]
    replaced = set(map(_key, options))
    if "trainer.max_steps" in replaced:
        replaced.add("trainer.max_time")  # with which the run may end where this one did
    kept: list[str] = []
    for option in _grouped(given):
        key = _key(option[0])
        has_parts = any(other.startswith(f"{key}.") for other in (_key(x) for x in given))
        if key == "ckpt_path" or (key in replaced and not has_parts):
            continue  # the class of a part stays before the options of the part
        kept += option
    if _LAST in advised and checkpoint is not None:
        kept += ["--ckpt_path", checkpoint]
    elif resumed and not any(_key(arg) == "ckpt_path" for arg in given):
        kept.append("--ckpt_path=null")  # the config names one
    return shlex.join(["memup", *kept, *options])


def checkpoint_to_continue(trainer: Trainer) -> str | None:
    """Return the latest checkpoint of a run, or that from which it began; None where there is neither."""
    written: set[Path] = set()
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint):
            found = callback.last_model_path, callback.best_model_path, *callback.best_k_models
            written |= {path for name in found if name and (path := Path(name)).is_file()}
    if written:
        return nearby(latest_first(written)[0])
    return None if trainer.ckpt_path is None else str(trainer.ckpt_path)


def _grouped(args: Sequence[str]) -> list[list[str]]:
    """Return each option with its value, where that is an argument of its own."""
    groups: list[list[str]] = []
    for arg in args:
        if groups and not arg.startswith("--") and groups[-1][0].startswith("-") and "=" not in groups[-1][0]:
            groups[-1].append(arg)
        else:
            groups.append([arg])
    return groups


def _key(arg: str) -> str:
    """Return the key of an option as one writes it in short: ``data.num_train`` of ``--data.init_args.num_train=8``."""
    return arg.removeprefix("--").partition("=")[0].replace(".init_args", "") if arg.startswith("--") else ""
