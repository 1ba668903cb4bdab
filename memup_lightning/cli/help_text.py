"""Text of ``--help`` and ``--data.help CLASS``: docstrings, without the markup of the documentation."""

from __future__ import annotations

import argparse
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from jsonargparse import DefaultHelpFormatter

_CLASS = re.compile(r"<class '(?:\w+\.)*(\w+)'>")
_SUBCLASSES = re.compile(r"(?<=known subclasses: )[\w.]+(?:, [\w.]+)*")
_MANY = 20  # options in a usage, and known subclasses, above which not all are named
_CLASSES = """

the keys of a class: --model.help MemUP, --data.help GymnasiumDataModule, --trainer.callbacks.help Replay"""
_FEW = 5  # of another package, the user's own say, which are named nevertheless
_ROLE = re.compile(r":(?:\w+:)?\w+:`(?:[^`<]*?<)?(~?)([^`<>]+)>?`")


class PlainHelpFormatter(DefaultHelpFormatter):
    """Formatter of help that names classes and values as they are written on the command line."""

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[argparse.Action],
        groups: Iterable[Any],
        prefix: str | None = None,
    ) -> None:
        """Add the usage; of many options it would be a second, bare list before the one with their meaning."""
        options = list(actions)
        if usage is None and len(options) > _MANY:
            usage = "%(prog)s [--KEY VALUE ...]"
            if any(option.dest.endswith("data.help") for option in options):  # of a subcommand
                usage += _CLASSES
        super().add_usage(usage, options, groups, prefix)

    def start_section(self, heading: str | None) -> None:
        super().start_section(plain(heading) if heading else heading)

    def _expand_help(self, action: argparse.Action) -> str:
        text = _CLASS.sub(r"\1", plain(str(super()._expand_help(action))))
        return _SUBCLASSES.sub(lambda found: _shorten(found[0].split(", ")), text)


def _shorten(names: Sequence[str]) -> str:
    """Join class paths; of many, name those that this package makes public, and count those of large packages.

    A type such as ``Module`` has hundreds of subclasses, and their names would bury the options below them.
    """
    if len(names) <= _MANY:
        return ", ".join(names)
    packages = Counter(name.partition(".")[0] for name in names)
    packages.pop("memup_lightning", None)
    large = {package: number for package, number in packages.items() if number > _FEW}
    internal = [name for name in names if name.startswith("memup_lightning.") and name.count(".") > 1]
    named = [name for name in names if name.partition(".")[0] not in large and name not in internal]
    return ", ".join([*named, *(f"{number} of {package}" for package, number in large.items())])


def plain(text: str) -> str:
    """Replace roles such as ``:class:`~package.Class``` by the last name, and double backticks by single ones."""
    text = _ROLE.sub(lambda found: found[2].rsplit(".", 1)[-1] if found[1] else found[2], text)
    return text.replace("``", "`")
