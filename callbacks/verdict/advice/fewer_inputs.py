"""Advice on what a memory reads, where it memorizes: fewer inputs, or columns combined by what is known of them."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from memup_lightning.callbacks.overfitting.column_use import FEW_COLUMNS, MUCH_FEWER
from memup_lightning.callbacks.verdict.advice.whole_episodes import against_single_outcomes
from memup_lightning.callbacks.verdict.advice.words import more_episodes
from memup_lightning.callbacks.verdict.measuring.measurements import Measurements
from memup_lightning.protocols.columns import InputColumns
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
    inputs, used, read = run.columns.inputs, run.columns.used, run.columns.read
    if not (names := inputs.names):
        how = f" ({option(inputs.setting)} names the arrays that are read)" if inputs.setting else ""
        return f"leave out inputs that cannot matter{how}, since their noise is what is memorized; {otherwise}"
    if run.columns.number <= FEW_COLUMNS:
        return f"{more}; or {_COMBINED}"
    rises = "val/average_precision rises (or val/nll falls)" if run.data.outcome == "class" else "val/nll falls"
    then = f"then add others one at a time while {rises}; {otherwise}"
    of = "" if inputs.array is None else f" of {inputs.array}"
    if used and not read and len(used) <= MUCH_FEWER * len(names):
        return (
            f"read only those of the {len(names)} columns{of} on which predictions of validation episodes depend: "
            f"{_reading(inputs, used)}; {then}"
        )
    most = ""
    if used and not read:
        most = f"; predictions of validation episodes depend most on {', '.join(used[:FEW_COLUMNS])}"
    return f"read only the two to four of the {len(names)} columns{of} that you suspect ({_how(inputs)}{most}); {then}"


def _reading(inputs: InputColumns, names: Sequence[str]) -> str:
    """Say how some columns alone are read."""
    if not inputs.numbers:
        return option("data.x", f"[{', '.join(map(_quoted, names))}]", f"x={list(names)}")
    numbers = sorted(inputs.numbers[inputs.names.index(name)] for name in names)
    if inputs.setting is not None:
        return option(inputs.setting, numbers)
    return f"give {inputs.array}[..., {numbers}] in place of {inputs.array}"


def _how(inputs: InputColumns) -> str:
    """Say how columns that the user chooses are read alone."""
    if not inputs.numbers:
        return f"{option('data.x')} names those that are read"
    if inputs.setting is not None:
        return f"{option(inputs.setting)} gives their numbers"
    return f"{inputs.array}[..., [0, 2]] in place of {inputs.array} has its columns 0 and 2"


def against_memorizing(run: Measurements) -> str:
    """Say what helps a memory that memorizes, but explains some of other episodes: whole episodes in a chunk, where
    these are short and end with their only outcome; else more episodes, where they are generated; else fewer inputs, and
    more episodes."""
    if (whole := against_single_outcomes(run)) is not None:
        return whole
    more = f"give more training episodes{more_episodes(run)}"
    return more if run.data.episodes_option else fewer_inputs(run, f"else {more}", more)


def _quoted(name: str) -> str:
    """Quote a name where YAML would not read it as this text."""
    plain = _PLAIN.fullmatch(name) and name.lower() not in _NOT_TEXT
    return name if plain else json.dumps(name, ensure_ascii=False)
