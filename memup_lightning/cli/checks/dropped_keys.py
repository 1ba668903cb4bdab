"""Keys that jsonargparse drops when a later class replaces an earlier one: said once, in one line."""

from __future__ import annotations

import ast
import logging
import re
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

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
    return logger


def warn_of_dropped_keys(args: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> None:
    """Let the logger name the keys that are dropped from now on, each once, if a config or an option sets them.

    Args:
        args: the command line.
        configs: content of its config files.
    """
    logger = dropped_keys_logger()
    logger.handlers.clear()
    logger.addHandler(_Warnings(_GivenKeys(args, configs)))


class _GivenKeys:
    """The keys and classes that configs and options set, by their places, such as ``model.memory``."""

    def __init__(self, args: Sequence[str], configs: Sequence[Mapping[str, Any]]) -> None:
        self.keys: dict[str, set[str]] = defaultdict(set)
        self.classes: dict[str, set[str]] = defaultdict(set)
        pairs = [pair for config in configs for pair in _leaves(config, "")]
        pairs += [(name, value) for name, mark, value in (x[2:].partition("=") for x in args if x[:2] == "--") if mark]
        for name, value in pairs:
            place = re.sub(r"\.init_args\b|\+", "", name)
            if place.endswith(".class_path") or isinstance(value, str):
                self.classes[place.removesuffix(".class_path")].add(str(value).rpartition(".")[-1])
            place, _, key = place.rpartition(".")
            self.keys[place].add(key)

    def __contains__(self, dropped: tuple[str, str, str]) -> bool:
        """Return whether a key was set; ``dropped`` is the key, the class that has it, and the one that replaces it."""
        key, before, after = dropped
        classes = (self.classes.get(place, set()) for place, keys in self.keys.items() if key in keys)
        # A class that was not given is the default's; where others were given, the key was set for those.
        return any(after in given and (before in given or given == {after}) for given in classes)


class _Warnings(logging.Handler):
    """Prints a sentence for each new set of dropped keys; a parser drops the same keys several times."""

    def __init__(self, given: _GivenKeys) -> None:
        super().__init__()
        self._given = given
        self._said: set[tuple[str, ...]] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if not (found := _DROP_MESSAGE.match(record.getMessage())):
            return
        before, after = (path.rsplit(".", 1)[-1] for path in found.group(1, 2))
        dropped = {key: text for key, text in _read(found[3]) if (key, before, after) in self._given}
        said = (before, after, *dropped)
        if dropped and said not in self._said:
            self._said.add(said)
            _say(
                f"warning: {after} replaces {before} and does not take its {', '.join(dropped.values())}",
                file=sys.stderr,
            )


def _leaves(part: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield the values of a config with their keys, joined by dots; the items of a list have the key of the list."""
    if isinstance(part, Mapping):
        for key, inner in part.items():
            yield from _leaves(inner, f"{place}.{key}".lstrip("."))
    elif isinstance(part, list):
        for inner in part:
            yield from _leaves(inner, place)
    else:
        yield place, part


def _read(dropped: str) -> Iterator[tuple[str, str]]:
    """Read a dictionary, given as Python writes it: each key with ``key=value``; of a value that is an object, its key."""
    keys = ast.parse(dropped, mode="eval").body
    assert isinstance(keys, ast.Dict)
    for key, value in zip(keys.keys, keys.values, strict=True):
        if key is not None:
            name = ast.literal_eval(key)
            yield name, name + ("" if isinstance(value, ast.Call) else f"={ast.unparse(value)}")
