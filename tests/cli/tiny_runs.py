"""Tiny runs of the command line."""

from __future__ import annotations

from collections.abc import Callable

from memup_lightning.cli.main import MemUPCLI

Run = Callable[..., MemUPCLI]
"""Runs a subcommand with the tiny config and more options."""
