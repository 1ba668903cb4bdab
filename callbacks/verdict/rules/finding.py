"""Finding: what the measurements of a run show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Finding:
    """What the measurements of a run show.

    Attributes:
        name: which one, for programs.
        sentence: in words.
        try_first: the one thing to try first, in words or as an option of the command; None: nothing is wrong.
        numbers: from which it follows.
    """

    name: str
    sentence: str
    try_first: str | None = None
    numbers: dict[str, Any] = field(default_factory=dict)
