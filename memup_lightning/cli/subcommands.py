"""What of the command line is not Lightning's: help, version, ``memup configs`` and ``memup export``."""

from __future__ import annotations

from collections.abc import Sequence


def run_own(args: Sequence[str]) -> bool:
    """Run what the arguments ask for, with the imports that it needs alone; those of Lightning take seconds.

    Args:
        args: of the command line, without the program's name.

    Returns:
        Whether it was one of these; else it is for the LightningCLI.
    """
    first, others = next(iter(args), ""), args[1:]
    if first in ("-h", "--help", "--version"):
        from memup_lightning.cli.overview import print_overview

        print_overview(args)
    elif first == "configs":
        from memup_lightning.cli.configs import copy_configs

        copy_configs(others)
    elif first == "export":
        from memup_lightning.cli.export import export_model

        export_model(others)
    else:
        return False
    return True
