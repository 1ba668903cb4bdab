"""Settings of optimizers and schedulers on resume: those of this run take precedence over the checkpoint's."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from memup_lightning.exceptions import MemUPError, counted
from memup_lightning.user_warnings import option

Settings = dict[str, Any]
_PROGRESS = ("base_lrs", "last_epoch", "_step_count", "_last_lr", "_is_initial", "_get_lr_called_within_step")
_PLAIN = (int, float, bool, str, type(None))


def optimizer_settings(optimizer: Optimizer) -> Settings:
    """Return the class of an optimizer and its arguments, which a checkpoint loads with ``weights_only=True``."""
    return {"class": type(optimizer).__name__, "defaults": _plain(optimizer.defaults)}


def scheduler_settings(scheduler: LRScheduler) -> Settings:
    """Return the class of a scheduler that has just been made, and its arguments.

    Some schedulers (OneCycleLR) keep arguments in the parameter groups of their optimizer.
    """
    optimizer = scheduler.optimizer
    known = {*optimizer.defaults, "params", "initial_lr"}
    groups = [_plain({key: x for key, x in group.items() if key not in known}) for group in optimizer.param_groups]
    return {"class": type(scheduler).__name__, "arguments": _plain(scheduler.state_dict()), "groups": groups}


def restore_settings(
    optimizer: Optimizer,
    scheduler: LRScheduler | None,
    make_scheduler: Callable[[Optimizer], Any] | None,
    before: Mapping[str, Any],
    now: Mapping[str, Any],
) -> Any:
    """Replace settings of the checkpoint by those that were changed since.

    With another learning rate under the same schedule, the schedule continues where it was, at the new rate. With other
    settings of the schedule, it is made again and stepped as often as the previous one.

    Args:
        optimizer: as Lightning restored it.
        scheduler: of this optimizer, as Lightning restored it.
        make_scheduler: ``(optimizer) -> scheduler``.
        before: ``optimizer`` and ``scheduler`` settings of the checkpoint's run.
        now: those of this run.

    Returns:
        The scheduler to continue with.

    Raises:
        MemUPError: another class of optimizer, or a schedule that ends before the update that was reached.
    """
    was, defaults = before["optimizer"], now["optimizer"]["defaults"]
    if was["class"] != now["optimizer"]["class"]:
        same = option("model.init_args.optimizer", was["class"], f"optimizer={was['class']}")
        raise MemUPError(
            f"the checkpoint holds the state of {was['class']}, but this run has {now['optimizer']['class']}; resume with "
            f"{same}, or start a new run from its weights by the callback InitialWeights"
        )
    changed = {key: x for key, x in defaults.items() if was["defaults"].get(key) != x}
    same_schedule = before["scheduler"] == now["scheduler"]
    if scheduler is None or not same_schedule:
        for group in optimizer.param_groups:
            group.update(changed)
    if scheduler is None or make_scheduler is None:
        return scheduler
    if not same_schedule:
        return _made_again(optimizer, scheduler, make_scheduler, defaults["lr"])
    if "lr" in changed and was["defaults"].get("lr"):
        _rescale(optimizer, scheduler, changed.pop("lr") / was["defaults"]["lr"])
    for group in optimizer.param_groups:
        group.update(changed)
    return scheduler


def _made_again(optimizer: Optimizer, scheduler: Any, make_scheduler: Callable[[Optimizer], Any], rate: float) -> Any:
    steps = scheduler.last_epoch
    if isinstance(scheduler, ReduceLROnPlateau):  # its state depends on past metrics, which are kept
        fresh = make_scheduler(optimizer)
        kept = {key: getattr(scheduler, key) for key in ("best", "num_bad_epochs", "cooldown_counter", "last_epoch")}
        fresh.__dict__.update(kept)
        return fresh
    for group in optimizer.param_groups:
        group["lr"] = rate
        group.pop("initial_lr", None)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
        try:
            fresh = make_scheduler(optimizer)
            for _ in range(steps):
                fresh.step()
        except ValueError as error:
            raise MemUPError(
                f"the checkpoint was written after {counted(steps, 'step')} of the schedule, which lr_scheduler does "
                f"not allow ({error}); give it at least as many steps"
            ) from error
    return fresh


def _rescale(optimizer: Optimizer, scheduler: Any, ratio: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] *= ratio
        group["initial_lr"] *= ratio
    if hasattr(scheduler, "base_lrs"):
        scheduler.base_lrs = [rate * ratio for rate in scheduler.base_lrs]


def _plain(value: Any) -> Any:
    """Return the plain values of nested settings, without those that change from step to step."""
    if isinstance(value, Mapping):
        pairs = {key: _plain(x) for key, x in value.items() if key not in _PROGRESS}
        return {key: x for key, x in pairs.items() if x is not _OMISSION}
    if isinstance(value, list | tuple):
        return [part for part in map(_plain, value) if part is not _OMISSION]
    return value if isinstance(value, _PLAIN) else _OMISSION


_OMISSION = object()
