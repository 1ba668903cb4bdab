"""Warnings that point at the user's line, not at ours."""

from __future__ import annotations

import sys
import warnings
from types import FrameType

from lightning_utilities.core.rank_zero import rank_zero_only

_OURS = "memup_lightning"
_COMMAND_LINE = "memup_lightning.cli"
_BETWEEN = {_OURS, "torch", "pytorch_lightning", "lightning_fabric", "lightning_utilities", "gymnasium", "contextlib"}
"""Packages whose functions call ours, or wrap them, on the way from a user's line."""


def warn_user(message: str) -> None:
    """Warn on rank zero, with the line of the user's code that led here.

    On the command line there is none, and the warning is the sentence alone (``format_warning`` of the command line).
    """
    # Lightning sets it; where nothing has imported Lightning, there are no ranks.
    if getattr(rank_zero_only, "rank", 0):
        return
    frame = _user_frame(sys._getframe())
    registry = frame.f_globals.setdefault("__warningregistry__", {})
    module = str(frame.f_globals.get("__name__", "unknown"))
    warnings.warn_explicit(message, UserWarning, frame.f_code.co_filename, frame.f_lineno, module, registry)


def option(key: str, value: object = None, python: str | None = None) -> str:
    """Return how a setting is written where the user's call is.

    Args:
        key: as the command line has it, such as ``data.missing``.
        value: None: the setting is named without one.
        python: the argument in Python, where it is another than ``missing='mask'``.

    Returns:
        On the command line ``--data.missing=mask``, in Python ``missing='mask'``.
    """
    if _from_command_line(sys._getframe()):
        return f"--{key}" if value is None else f"--{key}={value}"
    name = key.rpartition(".")[2]
    return python or (name if value is None else f"{name}={value!r}")


def options(*settings: tuple[str, object], python: str | None = None) -> str:
    """Return how several settings are written where the user's call is.

    Args:
        *settings: keys and values, as :func:`option` takes them.
        python: all of them in Python, where that is no list of ``name=value``.

    Returns:
        On the command line ``--trainer.max_steps=9 --data.lanes=2``, in Python ``max_steps=9, lanes=2``.
    """
    if _from_command_line(sys._getframe()):
        return " ".join(option(key, value) for key, value in settings)
    return python or ", ".join(option(key, value) for key, value in settings)


def _from_command_line(frame: FrameType | None) -> bool:
    while frame is not None:
        if f"{frame.f_globals.get('__name__', '')}.".startswith(f"{_COMMAND_LINE}."):
            return True
        frame = frame.f_back
    return False


def _user_frame(ours: FrameType) -> FrameType:
    """Return the innermost frame outside of our packages; ours where there is none, or the command line called."""
    found, frame = None, ours.f_back
    while frame is not None:
        module = str(frame.f_globals.get("__name__", ""))
        if f"{module}.".startswith(f"{_COMMAND_LINE}."):
            return ours
        if found is None and module.partition(".")[0] not in _BETWEEN:
            found = frame
        frame = frame.f_back
    return found or ours
