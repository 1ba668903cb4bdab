"""Private parts of Lightning and jsonargparse that this project relies on; nothing else touches any.

``tests/runs/test_lightning_private.py`` fails where a new version of Lightning lacks one of them.
"""

from __future__ import annotations

from typing import Any

from jsonargparse import ArgumentParser
from pytorch_lightning.loggers import Logger


def given_version(logger: Logger) -> int | str | None:
    """Return the version that a logger was built with, or None where it takes the next free number or has none."""
    version: int | str | None = getattr(logger, "_version", None)
    return version


def forget_version(logger: Logger) -> None:
    """Let a logger that numbers its runs look for the next free number again."""
    logger._version = None  # type: ignore[attr-defined]


def drop_anonymous(logger: Any) -> None:
    """Remove an argument that WandbLogger hands to W&B, and of which W&B warns before it knows that it is silent."""
    logger._wandb_init.pop("anonymous", None)


def failed_parser(parser: ArgumentParser, error: Exception | None) -> ArgumentParser:
    """Return the parser of the subcommand in which an error arose, or the parser that reports it."""
    found: ArgumentParser = getattr(error, "subcommand_parser", None) or parser
    return found
