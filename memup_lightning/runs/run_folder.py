"""Where a run leaves its files, and whether Weights & Biases can be reached from it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pytorch_lightning import Trainer
from pytorch_lightning.loggers import WandbLogger

from memup_lightning.exceptions import MemUPError

_OFFLINE = ("offline", "dryrun")


def run_folder(trainer: Trainer) -> Path:
    """The one folder of this run: the first logger's, or the trainer's root folder."""
    return Path(trainer.log_dir or trainer.default_root_dir)


def configured_folders(trainer: Any) -> dict[str, str]:
    """The folders that loggers and callbacks of a trainer's config write to: the option that sets it -> folder."""
    root = trainer.get("default_root_dir") or "."
    folders = {"trainer.default_root_dir": str(root)}
    for key, option in (("logger", "save_dir"), ("callbacks", "dirpath")):
        for part in _list(trainer.get(key)):
            folder = getattr(part, "init_args", {}).get(option)
            if folder:
                folders[f"trainer.{key}.init_args.{option}"] = str(folder)
                if key == "logger":
                    folders.pop("trainer.default_root_dir", None)
    return folders


def check_writable(folder: Path, option: str = "trainer.logger.init_args.save_dir") -> None:
    """Make the folder.

    Args:
        folder: it and what lies above it.
        option: the key that sets it, for the message.

    Raises:
        MemUPError: it cannot be made or written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".writable.{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        blocked = next((path for path in (folder, *folder.parents) if path.exists()), folder)
        reason = f"{blocked} is a file" if blocked.is_file() else error.strerror
        raise MemUPError(
            f"the run folder {folder} cannot be written to ({reason}); choose another, for example --{option}=/tmp/runs"
        ) from error


def keep_wandb_quiet(trainer: Any) -> None:
    """Keep W&B offline where it cannot be reached or nobody is logged in, and silent when it is offline.

    It must never ask for a login, nor wait for a network.

    Args:
        trainer: the trainer's config.
    """
    loggers = [part for part in _list(trainer.get("logger")) if "WandbLogger" in getattr(part, "class_path", "")]
    if not loggers:
        return
    offline = any(part.init_args.get("offline") for part in loggers)
    if not offline and "WANDB_MODE" not in os.environ and not (_has_credentials() and _reachable()):
        os.environ["WANDB_MODE"] = "offline"
    if offline or os.environ.get("WANDB_MODE") in _OFFLINE:
        os.environ.setdefault("WANDB_SILENT", "true")


def drop_deprecated(trainer: Trainer) -> None:
    """Lightning hands W&B an argument that W&B warns of, before it knows that it should be silent."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            logger._wandb_init.pop("anonymous", None)


def wandb_sync_line(trainer: Trainer) -> str | None:
    """How to send this run to W&B later; None where it is online already, or has no WandbLogger."""
    for logger in trainer.loggers:
        if isinstance(logger, WandbLogger):
            run = logger.experiment
            if getattr(run, "offline", False) and getattr(run, "dir", None):
                folder = Path(run.dir).parent
                near = folder.relative_to(Path.cwd()) if folder.is_relative_to(Path.cwd()) else folder
                return f"W&B is offline; send this run later with: wandb sync {near}"
    return None


def _list(parts: Any) -> Iterable[Any]:
    return parts if isinstance(parts, list) else [] if parts is None else [parts]


def _has_credentials() -> bool:
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    netrc = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    return netrc.is_file() and str(_server().hostname) in netrc.read_text()


def _reachable(seconds: float = 3) -> bool:
    if os.environ.get("HTTPS_PROXY") or os.environ.get("https_proxy"):
        return True
    server = _server()
    try:
        socket.create_connection((server.hostname or "", server.port or 443), timeout=seconds).close()
    except OSError:
        return False
    return True


def _server() -> Any:
    return urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai"))
