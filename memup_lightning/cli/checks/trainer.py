"""Settings of which Lightning says something else than what is wrong, or nothing."""

from __future__ import annotations

from jsonargparse import Namespace

from memup_lightning.exceptions import MemUPError
from memup_lightning.user_warnings import warn_user

_MAX_SEED = 2**32 - 1


def check_trainer(trainer: Namespace) -> None:
    """Refuse settings of the Trainer.

    Raises:
        MemUPError: validations every 0 updates, a share of chunks to over-fit, float16 weights, processes that
            are spawned.
    """
    if trainer.val_check_interval == 0:
        raise MemUPError(
            "trainer.val_check_interval=0: give the number of updates from one validation to the next, at least 1; "
            "--trainer.limit_val_batches=0 leaves validations out"
        )
    if isinstance(trainer.overfit_batches, float) and 0 < trainer.overfit_batches < 1:
        raise MemUPError(f"trainer.overfit_batches={trainer.overfit_batches}: give a whole number of chunks")
    if trainer.precision == "16-true":
        raise MemUPError(
            "trainer.precision=16-true: float16 weights become NaN, since Adam's eps is 0 in float16; take 16-mixed or "
            "bf16-mixed"
        )
    if isinstance(trainer.strategy, str) and "spawn" in trainer.strategy:
        raise MemUPError(
            f"trainer.strategy={trainer.strategy}: a run cannot be handed to processes that are spawned; take ddp, which "
            "runs the command in each process"
        )


def check_seed(seed: int | bool | None) -> None:
    """Refuse a seed that no generator takes.

    Raises:
        MemUPError: see above.
    """
    if seed is not None and not 0 <= seed <= _MAX_SEED:
        raise MemUPError(f"seed_everything={seed}: give a whole number from 0 to {_MAX_SEED}")


def warn_of_random_weights(subcommand: str, given: Namespace) -> None:
    """Warn where weights are evaluated that were never trained.

    Args:
        subcommand: of the command line.
        given: its settings.
    """
    loads = any("InitialWeights" in callback.class_path for callback in given.trainer.callbacks or [])
    if subcommand in ("validate", "test") and not given.get("ckpt_path") and not loads:
        warn_user(
            f"{subcommand} without --ckpt_path evaluates weights that were never trained; give --ckpt_path best, last, or "
            "the path of a checkpoint"
        )
