"""The program `memup`; `python -m memup_lightning` is the same."""

import os
import sys


def run() -> None:
    """Copy configs, export a model, or run a subcommand of the LightningCLI, whose imports take seconds."""
    if os.getcwd() not in sys.path and not sys.flags.safe_path:  # as `python -m`: configs name modules of the user
        sys.path.insert(0, os.getcwd())
    if sys.argv[1:2] == ["configs"]:
        from memup_lightning.cli.configs import copy_configs

        copy_configs(sys.argv[2:])
    elif sys.argv[1:2] == ["export"]:
        from memup_lightning.cli.export import export_model

        export_model(sys.argv[2:])
    else:
        from memup_lightning.cli.main import main

        main()


if __name__ == "__main__":
    run()
