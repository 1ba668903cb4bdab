"""``memup --help`` and ``memup --version``: answered without Lightning, whose import takes seconds."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from memup_lightning import __version__

SUBCOMMANDS = {
    "fit": "train a model",
    "validate": "evaluate a trained model on the validation episodes",
    "test": "evaluate a trained model on the test episodes",
    "predict": "write the predictions of a trained model",
    "configs": "copy the shipped configs to conf/ and list them",
    "export": "write a trained model as ONNX, TorchScript or torch.export",
}


def print_overview(args: Sequence[str]) -> None:
    """Print the subcommands, or the version.

    Args:
        args: ``--help`` or ``--version``.

    Raises:
        SystemExit: with status 0, once it is printed.
    """
    parser = argparse.ArgumentParser(
        prog="memup",
        description="Train long-term memory.",
        epilog="memup SUBCOMMAND --help lists the options of a subcommand.",
    )
    parser.add_argument("--version", action="version", version=f"memup {__version__}")
    subcommands = parser.add_subparsers(title="subcommands", metavar="SUBCOMMAND")
    for name, text in SUBCOMMANDS.items():
        subcommands.add_parser(name, help=text)
    parser.parse_args(args)
