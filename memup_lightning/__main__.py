"""The program `memup`; `python -m memup_lightning` is the same."""

import os
import sys


def run() -> None:
    """Print help, copy configs, export a model, or run a subcommand of the LightningCLI, whose imports take seconds."""
    if os.getcwd() not in sys.path and not sys.flags.safe_path:  # as `python -m`: configs name modules of the user
        sys.path.insert(0, os.getcwd())
    if sys.argv[1:2] in (["-h"], ["--help"], ["--version"]):
        from memup_lightning.cli.overview import print_overview

        print_overview(sys.argv[1:])
    elif sys.argv[1:2] == ["configs"]:
        from memup_lightning.cli.configs import copy_configs

        copy_configs(sys.argv[2:])
    elif sys.argv[1:2] == ["export"]:
        from memup_lightning.cli.export import export_model

        export_model(sys.argv[2:])
    else:
        from memup_lightning.runs.torchmetrics_import import import_torchmetrics

        import_torchmetrics()
        from memup_lightning.cli.main import main

        main()


if __name__ == "__main__":
    run()
