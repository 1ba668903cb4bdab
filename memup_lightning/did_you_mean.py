"""Turns a parser's complaint into one that says what was meant."""

from __future__ import annotations


def explain(message: str, parser) -> str:
    return message
