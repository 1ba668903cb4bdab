"""Warning of a memory that wraps another environment than the one its run played."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import yaml

from memup_lightning.runs.run_verdict import run_homes
from memup_lightning.user_warnings import warn_user


def warn_of_another_env(env: Any, checkpoint: Path | None) -> None:
    """Warn where the config of a checkpoint's run names another environment; spaces that are alike say nothing of it.

    Args:
        env: the environment that is wrapped, single or vector.
        checkpoint: from which the memory is; None: of a model, whose environment is not known.
    """
    if checkpoint is None or (spec := env.unwrapped.spec) is None:
        return
    run = run_homes(checkpoint)[-1]
    if (played := _env_of(run.absolute() / "config.yaml")) is None or played in (spec.id, spec.id.rpartition("-v")[0]):
        return
    warn_user(
        f"the memory of {run} was trained on {played}, and wraps {spec.id}, whose observations and actions are alike: what "
        "it has learned to keep may be of no use there; give the folder of a run on this environment, if there is one"
    )


@cache  # of a process with many environments
def _env_of(config: Path) -> str | None:
    """Return the environment that a run's config names; None where it names none."""
    if not config.is_file():
        return None
    data = (yaml.safe_load(config.read_text()) or {}).get("data") or {}
    name = (data.get("init_args") or data).get("env_id")
    return name.rpartition(":")[2] if isinstance(name, str) else None  # module:Name-v0
