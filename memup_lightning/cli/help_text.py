"""Text of ``--help`` and ``--data.help CLASS``: docstrings, without the markup of the documentation."""

from __future__ import annotations

import argparse
import re

from jsonargparse import DefaultHelpFormatter

_ROLE = re.compile(r":(?:\w+:)?\w+:`(?:[^`<]*?<)?(~?)([^`<>]+)>?`")


class PlainHelpFormatter(DefaultHelpFormatter):
    """Formatter of help that names classes and values as they are written on the command line."""

    def start_section(self, heading: str | None) -> None:
        super().start_section(plain(heading) if heading else heading)

    def _expand_help(self, action: argparse.Action) -> str:
        return plain(str(super()._expand_help(action)))


def plain(text: str) -> str:
    """Replace roles such as ``:class:`~package.Class``` by the last name, and double backticks by single ones."""
    text = _ROLE.sub(lambda found: found[2].rsplit(".", 1)[-1] if found[1] else found[2], text)
    return text.replace("``", "`")
