"""Advice on what a memory reads, where it memorizes: fewer inputs, or columns combined by what is known of them."""

from __future__ import annotations

import json
import re

from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.callbacks.verdict.rules.finding import Finding
from memup_lightning.callbacks.verdict.rules.words import more_episodes
from memup_lightning.modules.column_use import FEW_COLUMNS, MUCH_FEWER
from memup_lightning.user_warnings import option

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
        return (
            f"leave out inputs that cannot matter ({option('data.x')} names those that are read), since their noise is "
            f"what is memorized; {otherwise}"
        )
    if len(run.read_columns or run.columns) <= FEW_COLUMNS:
        return f"{more}; or {_COMBINED}"
    rises = "val/average_precision rises (or val/nll falls)" if run.outcome == "class" else "val/nll falls"
    then = f"then add others one at a time while {rises}; {otherwise}"
    used = run.used_columns
    if used and not run.read_columns and len(used) <= MUCH_FEWER * len(run.columns):
        named = option("data.x", f"[{', '.join(map(_quoted, used))}]", f"x={list(used)}")
        return (
            f"read only those of the {len(run.columns)} columns on which predictions of validation episodes depend: "
            f"{named}; {then}"
        )
    return (
        f"read only the two to four of the {len(run.columns)} columns that you suspect ({option('data.x')} names those "
        f"that are read); {then}"
    )


def left_out(run: Measurements) -> Finding | None:
    """Say which columns of a table are read, where the run left out others."""
    if not run.read_columns:
        return None
    others = [name for name in run.columns if name not in run.read_columns]
    return Finding(
        "columns_left_out",
        f"Memory and predictor read {', '.join(run.read_columns)} alone: they memorized training episodes, and what they "
        f"predicted of validation episodes did not depend on {', '.join(others)} ({option('data.x')} names the columns to "
        "read).",
        None,
        {"read": list(run.read_columns), "left_out": others},
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
