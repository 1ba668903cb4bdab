"""Runs of the shipped configs, through the command line's own entry point."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pytorch_lightning import Callback

from memup_lightning.cli import MemUPCLI, main


def fit(config: str, folder: str, seed: int, max_steps: int, extra: Sequence[Callback] = (), **data: Any) -> MemUPCLI:
    """Run ``fit`` on a config.

    Args:
        config: path of the config.
        folder: where the run leaves its files.
        seed: of weights and data.
        max_steps: updates at most.
        extra: callbacks beside those of the config.
        **data: arguments of the datamodule.

    Returns:
        The finished run.
    """
    overrides = [f"--data.init_args.{name}={value}" for name, value in data.items()]
    arguments = [
        "fit",
        f"--config={Path(config).resolve()}",
        f"--seed_everything={seed}",
        f"--trainer.max_steps={max_steps}",
        *overrides,
    ]
    with contextlib.chdir(folder):
        return main(arguments, extra_callbacks=extra)
