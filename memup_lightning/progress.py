"""Progress bars of what takes long outside of training: collection, and the scoring of episodes."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

from tqdm import tqdm

from memup_lightning.distributed import rank

_DELAY = 2.0  # seconds without a bar
_INTERVALS = (0.2, 10.0)  # seconds between two updates, on a terminal and in a file

T = TypeVar("T")


def progress_bar(
    of: Iterable[T] | None, doing: str, unit: str, total: int | None = None, leave: bool = True
) -> tqdm[T]:
    """Make a progress bar, on rank zero; it appears after two seconds, and is updated rarely in a file.

    Args:
        of: what is iterated over; None: the caller updates the bar.
        doing: what is done: ``collecting``, say.
        unit: what is counted, in the plural.
        total: how many there are; by default the length of ``of``.
        leave: whether it stays when all is done.
    """
    return tqdm(
        of,
        total=total,
        desc=doing,
        unit=f" {unit}",
        delay=_DELAY,
        mininterval=_INTERVALS[not sys.stderr.isatty()],
        miniters=0,
        leave=leave,
        disable=rank() > 0,
    )
