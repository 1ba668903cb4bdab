"""Verdict that a run left in its ``summary.json``: a warning for those who use a memory that learned nothing."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

from memup_lightning.user_warnings import warn_user

SUMMARY = "summary.json"
"""Name of the file, in the folder of a run."""
_LEARNED_NOTHING = {
    "not_trained",
    "constant_outcome",
    "no_targets",
    "no_outcomes",
    "needs_no_memory",
    "rare_outcomes",
    "diverged",
    "memorized",
    "worse_than_constant",
    "undertrained",
    "uncertain",
    "blind",
    "wrong_targets",
    "noise",
    "badly_scaled",
}
"""Verdicts of runs whose memory may know nothing of the outcomes."""


def run_homes(checkpoint: Path) -> list[Path]:
    """Return where the run that wrote a checkpoint may have its files: beside it, and above ``checkpoints``."""
    home = checkpoint.parent
    return [home, home.parent] if home.name == "checkpoints" else [home]


def warn_of_verdict(checkpoint: Path) -> None:
    """Warn, once in a process, where the run that wrote a checkpoint ended with the verdict that it learned nothing.

    Args:
        checkpoint: in the folder of a run, or in its ``checkpoints``; of any other nothing is known.
    """
    for home in run_homes(checkpoint):
        if (home / SUMMARY).is_file():
            _warn_once(home.absolute(), home)


@cache
def _warn_once(run: Path, shown: Path) -> None:
    try:
        verdict = json.loads((run / SUMMARY).read_text())["verdict"]["findings"][0]
        name, sentence = verdict["name"], verdict["sentence"]
    except (OSError, ValueError, LookupError, TypeError):  # a run that was interrupted, or of agents
        return
    if name in _LEARNED_NOTHING:
        warn_user(f"{shown}: the run that trained this memory ended with the verdict: {sentence}")
