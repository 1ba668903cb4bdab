"""Keys that jsonargparse drops when a later class replaces an earlier one: said once, in one line."""

from __future__ import annotations

import ast
import logging
import re
import sys

from lightning_utilities.core.rank_zero import rank_zero_only

_DROP_MESSAGE = re.compile(
    r"Due to class_path change from '(\S+)' to '(\S+)', discarding init_args: (.*)\.$", re.DOTALL
)
_say = rank_zero_only(print)


def dropped_keys_logger() -> logging.Logger:
    """Return a logger for a parser, which prints a warning for dropped keys and nothing else.

    jsonargparse keeps the arguments that both classes have. The others it drops, and says so at the level of debugging.
    """
    logger = logging.getLogger(__name__)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(_Warnings())
    return logger


class _Warnings(logging.Handler):
    """Prints a sentence for each new set of dropped keys; a parser drops the same keys several times."""

    def __init__(self) -> None:
        super().__init__()
        self._said: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if not (found := _DROP_MESSAGE.match(record.getMessage())) or found[0] in self._said:
            return
        self._said.add(found[0])
        before, after = (path.rsplit(".", 1)[-1] for path in found.group(1, 2))
        _say(f"warning: {after} replaces {before} and does not take its {_listed(found[3])}", file=sys.stderr)


def _listed(dropped: str) -> str:
    """Write a dictionary, given as Python writes it, as ``key=value, ...``; of a value that is an object, its key only."""
    try:
        keys = ast.parse(dropped, mode="eval").body
    except SyntaxError:
        return dropped
    assert isinstance(keys, ast.Dict)
    return ", ".join(
        ast.literal_eval(key) + ("" if isinstance(value, ast.Call) else f"={ast.unparse(value)}")
        for key, value in zip(keys.keys, keys.values, strict=True)
        if key is not None
    )
