"""Advice of chunks that hold whole episodes, so that gradients reach every input."""

from __future__ import annotations

from memup_lightning.callbacks.overfitting.column_use import FEW_COLUMNS
from memup_lightning.callbacks.verdict import thresholds as at
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.user_warnings import option


def whole_episodes(run: Measurements, steps: int) -> str:
    """Say how gradients cross whole episodes, and how much longer an update takes.

    Args:
        run: its measurements.
        steps: of a chunk.
    """
    ratio = steps / max(1, run.chunk_length)
    return (
        f"start again with gradients that cross whole episodes: {option('data.chunk_length', steps)}; an update then takes "
        f"up to {ratio:.{int(ratio < 10)}f} times as long"
    )


def against_single_outcomes(run: Measurements) -> str | None:
    """Say what helps a memory that memorizes short episodes whose only outcome is at their end; None of others.

    In chunks that are shorter than the episodes, such an outcome is mostly a target of earlier states, which may not know
    it yet, and training episodes are distinguished by these. Logs of 90 steps were explained to .68 with chunks of 32,
    and to .94 with chunks of 90.
    """
    if not run.data.ends_alone or not run.targets.needed or not run.chunk_length < run.data.longest <= at.SHORT:
        return None
    columns = run.columns.number > FEW_COLUMNS
    return (
        f"{whole_episodes(run, run.data.longest)}. If that is not enough, give more training episodes"
        f"{', or read fewer columns' if columns else ''}"
    )
