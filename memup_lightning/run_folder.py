"""Where a run leaves its files, and whether Weights & Biases can be reached from it."""

from __future__ import annotations

import os
from pathlib import Path

from pytorch_lightning import Trainer

from memup_lightning.errors import MemUPError


def run_folder(trainer: Trainer) -> Path:
    """The one folder of this run: the first logger's, or the trainer's root folder."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def check_writable(folder: Path) -> None:
    """Make the folder.

    Raises:
        MemUPError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise MemUPError(
            f"the run folder {folder} cannot be written to ({error.strerror}); choose another by the logger's "
            "save_dir, for example --trainer.logger.init_args.save_dir=/tmp/runs"
        ) from error


def wandb_offline() -> bool:
    """Keep W&B offline where there are no credentials: it must never ask for a login, nor wait for a network.

    Returns:
        Whether the run is offline.
    """
    if "WANDB_MODE" not in os.environ and not _has_credentials():
        os.environ["WANDB_MODE"] = "offline"
        print(
            "W&B: no credentials, this run stays offline; send it later with: wandb sync <run folder>/wandb/offline-run-*"
        )
    return os.environ.get("WANDB_MODE") in ("offline", "disabled")


def _has_credentials() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").split("//")[-1].split("/")[0]
    return netrc.is_file() and host in netrc.read_text()
