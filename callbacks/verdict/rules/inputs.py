"""Advice on what a memory reads, where it memorizes: fewer inputs, or columns combined by what is known of them."""

from __future__ import annotations

import json
import re

from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.rules.words import more_episodes

_FEW = 4  # columns; of so few none needs to be left out
_FEWER_INPUTS = (
    "leave out inputs that cannot matter (--data.x names those that are read), since their noise is what is memorized"
)
_COMBINED = (
    "combine columns by what you know of them: the deviation of a reading from its set point, its ratio to the nominal "
    "value, rows since an event"
)
_PLAIN = re.compile(r"[^\W\d_]\w*")
_NOT_TEXT = {"true", "false", "yes", "no", "on", "off", "null", "y", "n"}  # for YAML


def fewer_inputs(run: Measurements, otherwise: str, more: str) -> str:
    """Say what helps against memorizing: fewer inputs, and else something else. Where few columns are read already: more
    episodes, or columns that are combined.

    Args:
        run: its measurements.
        otherwise: the advice that comes after fewer inputs.
        more: the advice that comes first where few columns are read.
    """
    if not run.columns:
        return f"{_FEWER_INPUTS}; {otherwise}"
    if len(run.columns) <= _FEW:
        return f"{more}; or {_COMBINED}"
    first, second = run.columns[:2]
    rises = "val/average_precision rises (or val/nll falls)" if run.outcome == "class" else "val/nll falls"
    return (
        f"read only the two to four of the {len(run.columns)} columns that you suspect (put their names in place of "
        f"{first!r} and {second!r}): --data.x=[{_quoted(first)}, {_quoted(second)}]; then add others one at a time while "
        f"{rises}; {otherwise}"
    )


def against_memorizing(run: Measurements) -> str:
    """Say what helps a memory that memorizes, but explains some of other episodes: more episodes where they are generated,
    else fewer inputs, and more episodes."""
    more = f"give more training episodes{more_episodes(run)}"
    return more if run.episodes_option else fewer_inputs(run, f"else {more}", more)


def _quoted(name: str) -> str:
    """Quote a name where YAML would not read it as this text."""
    plain = _PLAIN.fullmatch(name) and name.lower() not in _NOT_TEXT
    return name if plain else json.dumps(name, ensure_ascii=False)
