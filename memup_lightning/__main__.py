"""The program `memup`; `python -m memup_lightning` is the same."""

import os
import sys

from memup_lightning.cli.subcommands import run_own


def run() -> None:
    """Run the command line of the process; what does not need the LightningCLI is spared its imports of seconds."""
    if os.getcwd() not in sys.path and not sys.flags.safe_path:  # as `python -m`: configs name modules of the user
        sys.path.insert(0, os.getcwd())
    if not run_own(sys.argv[1:]):
        from memup_lightning.runs.torchmetrics_import import import_torchmetrics

        import_torchmetrics()
        from memup_lightning.cli.main import main

        main()


if __name__ == "__main__":
    run()
